/* pattern — patterns of package names, as access rules and tokens have them.
 *
 * A pattern is a package's name in which each * stands for any characters, none
 * included: "react*" is a prefix, "@acme/" followed by a star a scope. Pure. */
#pragma once
#include "base/base.h"

/* At most 214 bytes of printable ASCII without spaces and commas; not empty. */
bool pattern_valid(str pattern);
/* By match_one() of match.h. */
bool name_matches_any(struct str_list patterns, str name);
