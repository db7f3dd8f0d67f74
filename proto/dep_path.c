#include "dep_path.h"
#include "integrity.h"
#include "name.h"

#define HASH_HEX 32u /* characters of a shortened name that are its hash */

/* Where the parenthesised segments at the end start; s.n when there are none. They are matched from the end, so that a
 * path with parentheses in it ("file:a(b)/c") keeps them. */
static size_t suffix_start(str s)
{
	size_t depth = 0;

	if (!str_ends(s, STR(")")))
		return s.n;
	for (size_t i = s.n; i-- > 0;) {
		if (s.p[i] == ')')
			depth++;
		else if (depth == 0)
			return i + 1;
		else if (s.p[i] == '(')
			depth--;
	}
	return s.n;
}

void dep_path_split(str dep_path, str *name, str *version, str *suffix)
{
	size_t at = suffix_start(dep_path);

	*suffix = str_from(dep_path, at);
	name_split(str_head(dep_path, at), name, version);
}

bool dep_path_peer(str *peer, str *suffix)
{
	for (size_t at; (at = str_find(*suffix, '(', 0)) != SIZE_MAX;) {
		str rest = str_from(*suffix, at + 1);
		size_t n = 0;
		while (n < rest.n && rest.p[n] != '(' && rest.p[n] != ')')
			n++;
		*peer = str_head(rest, n);
		*suffix = str_from(rest, n);
		if (n && !str_starts(*peer, STR("patch_hash=")))
			return true;
	}
	return false;
}

str dep_path_package_key(str dep_path)
{
	return str_head(dep_path, suffix_start(dep_path));
}

str dep_path_from_ref(str alias, str ref, struct arena *a)
{
	if (str_starts(ref, STR("link:")))
		return STR_NONE;
	/* A name in front is one whose "@" comes before every ":" and "(" */
	size_t at = str_starts(ref, STR("@")) ? 0 : str_find(ref, '@', 0);
	size_t colon = str_find(ref, ':', 0), paren = str_find(ref, '(', 0);
	if (at == 0 || (at < colon && at < paren))
		return ref;
	return arena_join(a, alias, STR("@"), ref);
}

str dep_path_inside(str ref)
{
	str start = STR("link:" DEP_PATH_INSIDE);

	return str_starts(ref, start) ? str_from(ref, start.n) : STR_NONE;
}

str dep_path_to_ref(str dep_path, str alias)
{
	if (str_starts(dep_path, alias) && dep_path.n > alias.n && dep_path.p[alias.n] == '@')
		return str_from(dep_path, alias.n + 1);
	return dep_path;
}

/* Characters that a name of a folder may not have. A table: this is asked of every character of every
 * dep path that is linked to. */
static const bool odd[256] = { ['\\'] = true,
	['/'] = true,
	[':'] = true,
	['*'] = true,
	['?'] = true,
	['"'] = true,
	['<'] = true,
	['>'] = true,
	['|'] = true,
	['#'] = true };

/* Those become "+"; and parentheses: "(" and ")(" one "_", the last ")" nothing. */
static str escape(str s, struct arena *a)
{
	char *out = arena_new(a, char, s.n + 1);
	size_t n = 0;
	bool parens = str_find(s, '(', 0) != SIZE_MAX;

	if (parens && s.p[s.n - 1] == ')')
		s.n--;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (odd[(uint8_t)c]) {
			c = '+';
		} else if (parens && (c == '(' || c == ')')) {
			i += c == ')' && i + 1 < s.n && s.p[i + 1] == '(';
			c = '_';
		}
		out[n++] = c;
	}
	return (str){ out, n };
}

static bool has_upper(str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			return true;
	}
	return false;
}

/* A tarball's URL: its folder always has the digest of the dep path, since two URLs may be escaped to one name.
 * Source: pnpm 12.21's trees. */
static bool is_url(str dep_path)
{
	str name, version, suffix;

	dep_path_split(dep_path, &name, &version, &suffix);
	return str_starts(version, STR("http://")) || str_starts(version, STR("https://"));
}

str dep_path_filename(str dep_path, size_t max_len, struct arena *a)
{
	uint8_t hash[32];
	char hex[HASH_HEX + 1];

	if (str_starts(dep_path, STR("/")))
		dep_path = str_from(dep_path, 1);
	str name = escape(dep_path, a);
	bool url = is_url(dep_path);
	if (!url && name.n <= max_len && (!has_upper(name) || str_starts(name, STR("file+"))))
		return name;
	str hashed = url ? dep_path : name;
	sha256(hash, hashed.p, hashed.n);
	hex_print(hex, hash, HASH_HEX / 2);
	size_t keep = max_len > HASH_HEX + 1 ? max_len - HASH_HEX - 1 : 0;
	if (keep > name.n)
		keep = name.n;
	while (keep > 0 && keep < name.n && ((unsigned char)name.p[keep] & 0xC0) == 0x80)
		keep--; /* not in the middle of a character */
	return arena_printf(a, STR_FMT "_%s", STR_ARG(str_head(name, keep)), hex);
}
