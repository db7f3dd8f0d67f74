#include "base/str.h"
#include <sys/auxv.h>

int str_cmp(str a, str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? memcmp(a.p, b.p, n) : 0;

	return d ? d : (a.n > b.n) - (a.n < b.n);
}

int strs_order(const void *a, const void *b)
{
	return str_cmp(*(const str *)a, *(const str *)b);
}

bool str_cut(str s, char sep, str *head, str *tail)
{
	size_t at = str_find(s, sep, 0);

	if (at == SIZE_MAX) {
		*head = s;
		*tail = STR_NONE;
		return false;
	}
	*head = (str){ s.p, at };
	*tail = (str){ s.p + at + 1, s.n - at - 1 };
	return true;
}

bool str_rcut(str s, char sep, str *head, str *tail)
{
	for (size_t i = s.n; i-- > 0;) {
		if (s.p[i] == sep) {
			*head = (str){ s.p, i };
			*tail = (str){ s.p + i + 1, s.n - i - 1 };
			return true;
		}
	}
	*head = s;
	*tail = STR_NONE;
	return false;
}

size_t str_find(str s, char c, size_t at)
{
	const char *hit = at < s.n ? memchr(s.p + at, c, s.n - at) : NULL;

	return hit ? (size_t)(hit - s.p) : SIZE_MAX;
}

enum { SHORT_NEEDLE = 4 }; /* bytes; what a search for one byte finds sooner than memmem() begins */

size_t str_find_str(str s, str needle, size_t at)
{
	if (needle.n == 0)
		return at <= s.n ? at : SIZE_MAX;
	if (at >= s.n) /* memmem() takes no NULL */
		return SIZE_MAX;
	if (needle.n <= SHORT_NEEDLE) {
		while ((at = str_find(s, needle.p[0], at)) != SIZE_MAX && !str_starts(str_from(s, at), needle))
			at++;
		return at;
	}
	const char *hit = memmem(s.p + at, s.n - at, needle.p, needle.n);
	return hit ? (size_t)(hit - s.p) : SIZE_MAX;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

str str_trim(str s)
{
	while (s.n && is_blank(s.p[0]))
		s = str_from(s, 1);
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool str_u64(str s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	*out = v;
	return true;
}

/* Set once before main() and never again: keys come from registries and peers, who must not know where they collide. */
static uint64_t hash_seed;

__attribute__((constructor)) static void hash_seed_init(void)
{
	const void *random = (const void *)(uintptr_t)getauxval(AT_RANDOM); /* 16 bytes from the kernel */

	if (random)
		memcpy(&hash_seed, random, sizeof(hash_seed));
}

/* Eight bytes a step, multiply and fold. What keeps floods out is the seed, not this. */
uint64_t str_hash(str s)
{
	uint64_t h = hash_seed ^ (0x9E3779B97F4A7C15u * (s.n + 1));
	size_t i = 0;

	for (; i + 8 <= s.n; i += 8) {
		uint64_t w;
		memcpy(&w, s.p + i, 8);
		h = (h ^ w) * 0xFF51AFD7ED558CCDu;
		h ^= h >> 32;
	}
	uint64_t w = 0;
	if (i < s.n)
		memcpy(&w, s.p + i, s.n - i);
	h = (h ^ w) * 0xC4CEB9FE1A85EC53u;
	return h ^ (h >> 29);
}

const str *str_map_get(struct str_map m, str key)
{
	for (size_t i = 0; i < m.n; i++) {
		if (str_eq(m.p[i].k, key))
			return &m.p[i].v;
	}
	return NULL;
}

bool str_list_has(struct str_list l, str s)
{
	for (size_t i = 0; i < l.n; i++) {
		if (str_eq(l.p[i], s))
			return true;
	}
	return false;
}

bool str_list_same(struct str_list a, struct str_list b)
{
	bool same = a.n == b.n;

	for (size_t i = 0; same && i < a.n; i++)
		same = str_list_has(b, a.p[i]);
	return same;
}
