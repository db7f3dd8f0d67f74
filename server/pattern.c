#include "pattern.h"

bool pattern_valid(str pattern)
{
	for (size_t i = 0; i < pattern.n; i++) {
		char c = pattern.p[i];
		if (c <= ' ' || c >= 0x7f || c == ',')
			return false;
	}
	return pattern.n > 0 && pattern.n <= 214;
}

/* Linear but for the last star, which is the only one that needs to be tried again. */
bool name_matches(str pattern, str name)
{
	size_t p = 0, n = 0, star = SIZE_MAX, from = 0;

	while (n < name.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			from = n;
		} else if (p < pattern.n && pattern.p[p] == name.p[n]) {
			p++;
			n++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			n = ++from;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

bool name_matches_any(struct str_list patterns, str name)
{
	for (size_t i = 0; i < patterns.n; i++) {
		if (name_matches(patterns.p[i], name))
			return true;
	}
	return false;
}
