/* match — name patterns of hoistPattern and its kin: "*" is any text, "!" excludes, later ones win. Pure. Source: pnpm's
 * @pnpm/matcher. */
#pragma once
#include "base/base.h"

bool match_one(str pattern, str name);
/* Whether the list takes NAME; an empty list takes nothing. */
bool match_any(struct str_list patterns, str name);
