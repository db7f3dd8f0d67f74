#include "packument_words.h"

void words_reset(struct words *t)
{
	t->n = 1;
	t->w[0] = (struct word){ 0 };
}

enum word_step words_next_slow(struct words *t, struct scan *s, uint32_t *at, bool *first, str *key)
{
	if (!scan_key(s, first, key))
		return WORD_END;
	for (uint32_t i = 1; i < t->n; i++) {
		str raw = t->w[i].raw;
		if (raw.n == key->n + 3 && memcmp(raw.p + 1, key->p, key->n) == 0) {
			t->w[*at].next = i;
			*at = i;
			return WORD_KNOWN;
		}
	}
	*at = 0;
	return WORD_NEW;
}

uint32_t words_learn(struct words *t, const struct scan *s, uint32_t prev, str key, uint32_t what)
{
	/* One with an escape was decoded elsewhere, one with white space before its colon is not worth it. */
	if (t->n == WORDS_MAX || key.p + key.n + 2 != s->p)
		return 0;
	t->w[t->n] = (struct word){ .raw = { key.p - 1, key.n + 3 }, .what = what };
	t->w[prev].next = t->n;
	return t->n++;
}
