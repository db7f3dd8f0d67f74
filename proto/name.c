#include "name.h"

bool spec_is_path(str s)
{
	size_t slash = str_find(s, '/', 0), colon = str_find(s, ':', 0), hash = str_find(s, '#', 0);

	if (s.n && (s.p[0] == '.' || s.p[0] == '/'))
		return true;
	if (slash == SIZE_MAX || colon < slash || hash < slash)
		return false;
	size_t again = str_find(s, '/', slash + 1);
	return slash + 1 == s.n || again < hash;
}

#define NAME_MAX_LENGTH 214u

/* What encodeURIComponent() leaves alone. */
static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-_.!~*'()", c));
}

static bool component_valid(str s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_name_char(s.p[i]))
			return false;
	}
	return true;
}

static bool is_word(str s, str lower)
{
	if (s.n != lower.n)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if ((c >= 'A' && c <= 'Z' ? c | 32 : c) != lower.p[i])
			return false;
	}
	return true;
}

bool name_valid(str name)
{
	str scope, rest;

	if (name.n == 0 || name.n > NAME_MAX_LENGTH)
		return false;
	if (name.p[0] == '@') {
		if (!str_cut(str_from(name, 1), '/', &scope, &rest))
			return false;
		return component_valid(scope) && component_valid(rest) && rest.p[0] != '.';
	}
	return component_valid(name) && name.p[0] != '.' && name.p[0] != '_' && !is_word(name, STR("node_modules")) &&
	       !is_word(name, STR("favicon.ico"));
}

str name_scope(str name)
{
	size_t slash = str_starts(name, STR("@")) ? str_find(name, '/', 0) : SIZE_MAX;

	return slash == SIZE_MAX ? STR_NONE : str_head(name, slash);
}

void name_split(str s, str *name, str *rest)
{
	size_t at = str_find(s, '@', 1);

	*name = at == SIZE_MAX ? s : str_head(s, at);
	*rest = at == SIZE_MAX ? STR_NONE : str_from(s, at + 1);
}

size_t selector_split(str s)
{
	for (size_t i = 1; i < s.n; i++)
		if (s.p[i] == '>' && s.p[i - 1] != ' ' && s.p[i - 1] != '|' && s.p[i - 1] != '@')
			return i;
	return SIZE_MAX;
}

str selector_name(str s)
{
	size_t at = selector_split(s);
	str name, range;

	name_split(at == SIZE_MAX ? s : str_from(s, at + 1), &name, &range);
	return name;
}
