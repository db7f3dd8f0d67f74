/* match — patterns of package names: "*" is any text, everything else itself.
 *
 * In hoistPattern, ignoredOptionalDependencies and their kin "!" in front
 * excludes and later patterns win; in drayd's access rules and tokens there is no
 * "!". Pure. Source: pnpm's @pnpm/matcher. */
#pragma once
#include "base/base.h"

/* Linear but for the last star, which is the only one that is tried again. */
bool match_one(str pattern, str name);
/* Whether the list takes NAME; a list of exclusions takes the rest, an empty one nothing. */
bool match_list(struct str_list patterns, str name);
