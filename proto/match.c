#include "match.h"

bool match_one(str pattern, str name)
{
	size_t p = 0, n = 0, star = SIZE_MAX, back = 0;

	while (n < name.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			back = n;
		} else if (p < pattern.n && pattern.p[p] == name.p[n]) {
			p++;
			n++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			n = ++back;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

bool match_list(struct str_list patterns, str name)
{
	bool any_include = false;

	for (size_t i = 0; i < patterns.n; i++)
		any_include |= !str_starts(patterns.p[i], STR("!"));
	bool yes = patterns.n > 0 && !any_include;
	for (size_t i = 0; i < patterns.n; i++) {
		bool exclude = str_starts(patterns.p[i], STR("!"));
		if (yes == exclude && match_one(exclude ? str_from(patterns.p[i], 1) : patterns.p[i], name))
			yes = !exclude;
	}
	return yes;
}
