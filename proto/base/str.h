/* str — a borrowed slice of bytes, and the few operations every parser needs.
 *
 * A str has no NUL and owns nothing: whoever hands one out states how long it
 * lives. {NULL, 0} is "absent" where absence matters, otherwise the same as
 * empty. Pure; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
	const char *p;
	size_t n;
} str;

#define STR_INIT(lit)                                                                                                  \
	{                                                                                                              \
		"" lit, sizeof(lit) - 1                                                                                \
	}
#define STR(lit) ((str)STR_INIT(lit))
#define STR_NONE ((str){ 0 })
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).n, ((s).n ? (s).p : "")

/* A list of slices; the array's owner is whoever owns the strings. */
struct str_list {
	str *p;
	size_t n;
};
/* An ordered map as JSON and YAML have it; keys are unique, order is the source's. */
struct str_kv {
	str k, v;
};
struct str_map {
	struct str_kv *p;
	size_t n;
};

static inline str str_of(const char *cstr)
{
	return cstr ? (str){ cstr, strlen(cstr) } : STR_NONE;
}
static inline bool str_eq(str a, str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_starts(str s, str head)
{
	return s.n >= head.n && (head.n == 0 || memcmp(s.p, head.p, head.n) == 0);
}
static inline bool str_ends(str s, str tail)
{
	return s.n >= tail.n && (tail.n == 0 || memcmp(s.p + s.n - tail.n, tail.p, tail.n) == 0);
}
/* How many bytes two begin with in common. */
static inline size_t str_shared(str a, str b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}
static inline str str_from(str s, size_t at)
{
	return at < s.n ? (str){ s.p + at, s.n - at } : (str){ s.p ? s.p + s.n : NULL, 0 };
}
static inline str str_head(str s, size_t n)
{
	return (str){ s.p, n < s.n ? n : s.n };
}

/* Length of the UTF-8 sequence at AT, which is below S.n; 0 when it is malformed (RFC 3629: no
 * surrogates, nothing overlong). */
static inline size_t str_utf8(str s, size_t at)
{
	const unsigned char *p = (const unsigned char *)s.p + at, c = p[0];
	size_t n = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;

	if (n == 0 || n > s.n - at)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	}
	if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) || (c == 0xF0 && p[1] < 0x90) ||
		(c == 0xF4 && p[1] > 0x8F))
		return 0;
	return n;
}

/* Byte order, as UTF-8 code points order; <0, 0, >0. */
int str_cmp(str a, str b);
/* The same, for qsort() of slices. */
int strs_order(const void *a, const void *b);
/* Splits at the first SEP. Returns whether it was found; without it head is all of S and tail is empty. */
bool str_cut(str s, char sep, str *head, str *tail);
/* Splits at the last SEP, likewise. */
bool str_rcut(str s, char sep, str *head, str *tail);
/* Index of the first C (or NEEDLE) at or after AT, or SIZE_MAX. */
size_t str_find(str s, char c, size_t at);
size_t str_find_str(str s, str needle, size_t at);
/* Without leading and trailing space, tab, CR and LF. */
str str_trim(str s);
/* Decimal digits only, no sign; false on garbage, emptiness or overflow. */
bool str_u64(str s, uint64_t *out);
/* A 64-bit hash for tables in memory, another one in each process; never stored or sent. */
uint64_t str_hash(str s);
/* Value of KEY in M, or NULL. Linear: for the short maps of manifests. */
const str *str_map_get(struct str_map m, str key);
/* Linear, likewise. */
bool str_list_has(struct str_list l, str s);
/* Whether both have the same, in whatever order. */
bool str_list_same(struct str_list a, struct str_list b);
