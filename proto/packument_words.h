/* packument_words — keys that the objects of one kind repeat, known again by their bytes.
 *
 * A packument's versions have the same keys in the same order, and mostly the same values: the next key is compared
 * with the one that followed the last time, and is neither scanned, hashed nor looked up when it is that. The texts are
 * slices of the document (a key with its quotes and colon, a value whole). A value that begins with a whole string,
 * object or array *is* that value. Internal to packument.c; one document at a time. */
#pragma once
#include "packument_scan.h"

enum { WORDS_MAX = 48 }; /* keys beyond them are read as if they were new */
struct word {
	str raw;
	uint32_t what; /* the caller's */
	uint32_t next; /* the word that followed it the last time; 0: none */
	str value;     /* the last one; empty: none */
	uint32_t value_what;
};
struct words {
	uint32_t n; /* word 0 is the beginning of an object */
	struct word w[WORDS_MAX];
};

enum word_step { WORD_END, WORD_KNOWN, WORD_NEW };

void words_reset(struct words *t);
/* What words_next() does where the guess was wrong. */
enum word_step words_next_slow(struct words *t, struct scan *s, uint32_t *at, bool *first, str *key);
/* Notes KEY, which words_next() just called new, behind the word PREV. The word, or 0 where it cannot be kept. */
uint32_t words_learn(struct words *t, const struct scan *s, uint32_t prev, str key, uint32_t what);

/* memcmp() == 0 of what is mostly short, and the same. */
static inline bool words_same(const char *a, const char *b, size_t n)
{
	uint64_t x, y, other = 0;

	if (n < sizeof(x) || n > 4 * sizeof(x))
		return memcmp(a, b, n) == 0;
	for (size_t i = 0;; i = i + 2 * sizeof(x) <= n ? i + sizeof(x) : n - sizeof(x)) {
		memcpy(&x, a + i, sizeof(x));
		memcpy(&y, b + i, sizeof(y));
		other |= x ^ y;
		if (i + sizeof(x) == n)
			return !other;
	}
}

/* Steps to the next member, as scan_key() does. *AT is the word before (0 to begin with) and becomes this one, 0 when
 * it is new: only then is *KEY set. */
static inline enum word_step words_next(struct words *t, struct scan *s, uint32_t *at, bool *first, str *key)
{
	const struct word *guess = &t->w[t->w[*at].next];
	const char *p = s->p;

	if (p < s->end && *p == '}') {
		s->p++;
		return WORD_END;
	}
	if (!*first && (p == s->end || *p++ != ','))
		return words_next_slow(t, s, at, first, key);
	while (p < s->end && *p == ' ')
		p++;
	if (!guess->raw.n || guess->raw.n > (size_t)(s->end - p) || !words_same(p, guess->raw.p, guess->raw.n))
		return words_next_slow(t, s, at, first, key);
	s->p = p + guess->raw.n;
	*first = false;
	*at = (uint32_t)(guess - t->w);
	return WORD_KNOWN;
}

/* Whether the value that comes next is the last one of word AT; then it is consumed. */
static inline bool words_value(const struct words *t, struct scan *s, uint32_t at)
{
	const struct word *w = &t->w[at];

	while (s->p < s->end && *s->p == ' ')
		s->p++;
	if (!w->value.n || w->value.n > (size_t)(s->end - s->p) || !words_same(s->p, w->value.p, w->value.n))
		return false;
	s->p += w->value.n;
	return true;
}

/* The value of word AT was read, from FROM to where S is now. */
static inline void words_keep(struct words *t, const struct scan *s, uint32_t at, const char *from, uint32_t what)
{
	if (at == 0 || s->bad || s->p == from || (*from != '"' && *from != '{' && *from != '['))
		return;
	t->w[at].value = (str){ from, (size_t)(s->p - from) };
	t->w[at].value_what = what;
}
