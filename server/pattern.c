#include "pattern.h"
#include "match.h"

bool pattern_valid(str pattern)
{
	for (size_t i = 0; i < pattern.n; i++) {
		char c = pattern.p[i];
		if (c <= ' ' || c >= 0x7f || c == ',')
			return false;
	}
	return pattern.n > 0 && pattern.n <= 214;
}

bool name_matches_any(struct str_list patterns, str name)
{
	for (size_t i = 0; i < patterns.n; i++) {
		if (match_one(patterns.p[i], name))
			return true;
	}
	return false;
}
