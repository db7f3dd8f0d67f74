/* The limit on packs: the longest unused go, a bounded batch at a time, on a thread of their own. What was made a
 * moment ago stays, and what a recent plan names, as long as those are no more than a quarter of the limit. The journal
 * keeps the order over a restart. */
#include "cond_timed.h"
#include "fs.h"
#include "integrity.h"
#include "log.h"
#include "packs_impl.h"
#include <stdlib.h>
#include <string.h>

enum { BATCH = 256, ROWS = 4096, YOUNG_S = 3600, NOTE_S = 600, PINNED_PART = 4, LOW_PERCENT = 90 };

struct candidate {
	struct pack_item *it;
	int64_t used_s, lease_s;
	uint64_t size;
};
typedef VEC(struct candidate) candidates;

/* -- the journal -------------------------------------------------------------------- */

static void key_line(struct buf *b, const char *word, const struct pack_item *it)
{
	char key[2 * PACKS_KEY + 1];
	size_t start = b->n;

	hex_print(key, it->key, PACKS_KEY);
	buf_printf(b, "%s %s %lld", word, key, (long long)it->used_s);
	packs_line_end(b, start);
}

void packevict_line_put(struct buf *b, const struct pack_item *it)
{
	if (packs_is_ready(it) && it->used_s)
		key_line(b, "used", it);
}

bool packevict_line(struct packs *p, const str *w, size_t n)
{
	bool gone = n == 3 && str_eq(w[0], STR("gone")), used = n == 3 && str_eq(w[0], STR("used"));
	uint8_t key[PACKS_KEY];
	uint64_t when;

	if ((!gone && !used) || !hex_read(key, PACKS_KEY, w[1]) || !str_u64(w[2], &when) || when > INT64_MAX)
		return false;
	struct pack_item *it = packs_item(p, key, false);
	if (!it)
		return true;
	if (gone) { /* and not made again because it was wanted once */
		free(it->url);
		free(it->sri);
		it->url = it->sri = NULL;
		packs_unready(p, it);
	}
	it->used_s = it->noted_s = (int64_t)when;
	return true;
}

/* -- use ------------------------------------------------------------------------------ */

void packs_touch(struct packs *p, struct pack_item *it, bool lease)
{
	int64_t now = age_clock_s(&p->clock);

	it->used_s = now;
	it->plans += lease && it->plans < UINT16_MAX;
	if (lease)
		it->lease_s = now + p->o.lease_s;
}

/* -- a pass ---------------------------------------------------------------------------------- */

static int longest_unused_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return (x->used_s > y->used_s) - (x->used_s < y->used_s);
}

static int lease_longest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return (x->lease_s < y->lease_s) - (x->lease_s > y->lease_s);
}

/* The next ROWS of them that are ready and not fresh, from *AT on. False: those were all. Under the lock. */
static bool rows_copy(candidates *unused, candidates *leased, const struct packs *p, size_t *at, int64_t now)
{
	for (size_t end = *at + ROWS; *at < end && *at < p->item.n; ++*at) {
		struct pack_item *it = p->item.p[*at];
		struct candidate c = { it, it->used_s, it->lease_s, it->size };
		if (!packs_is_ready(it) || now < it->born_s + p->o.fresh_s)
			continue;
		if (it->lease_s > now)
			*vec_add(leased) = c;
		else
			*vec_add(unused) = c;
	}
	return *at < p->item.n && !p->stop;
}

/* What may go, longest unused first. Of the leases the newest count, up to a quarter of the limit; returns their bytes.
 * No lock: whoever has a request in hand is not to wait until a million are copied and sorted. */
static uint64_t candidates_find(candidates *out, struct packs *p, int64_t now)
{
	candidates leased = VEC_INIT;
	uint64_t pinned = 0;
	bool more = true;

	for (size_t at = 0; more;) {
		pthread_mutex_lock(&p->lock);
		more = rows_copy(out, &leased, p, &at, now);
		pthread_mutex_unlock(&p->lock);
	}
	if (leased.n)
		qsort(leased.p, leased.n, sizeof(leased.p[0]), lease_longest_first);
	for (size_t i = 0; i < leased.n; i++) {
		if (pinned + leased.p[i].size <= p->o.max_bytes / PINNED_PART)
			pinned += leased.p[i].size;
		else
			*vec_add(out) = leased.p[i];
	}
	vec_release(&leased);
	if (out->n)
		qsort(out->p, out->n, sizeof(out->p[0]), longest_unused_first);
	return pinned;
}

/* From now on nobody is told of it. Under the lock, as all that follow; its file goes when the lock is released. */
static void item_evict(struct packs *p, struct pack_item *it, int64_t now)
{
	packs_unready(p, it);
	p->n.evicted++;
	p->n.evicted_bytes += it->size;
	p->n.evicted_young += now - it->used_s < YOUNG_S;
}

static void unlink_batch(struct packs *p, uint8_t (*digest)[32], size_t n)
{
	pthread_mutex_unlock(&p->lock);
	packjournal_write(p); /* before the files go */
	for (size_t i = 0; i < n; i++)
		packs_remove(p, digest[i]);
	pthread_mutex_lock(&p->lock);
}

/* An item that was made again, or used, since the candidates were looked for stays. */
static size_t candidates_evict(struct packs *p, const candidates *c, int64_t now)
{
	uint8_t digest[BATCH][32];
	uint64_t low = p->o.max_bytes / 100 * LOW_PERCENT;
	AUTO(buf_release) struct buf lines = BUF_INIT;
	size_t n = 0, gone = 0;

	for (size_t i = 0; i < c->n && p->n.pack_bytes > low && !p->stop; i++) {
		struct pack_item *it = c->p[i].it;
		if (!packs_is_ready(it) || it->used_s != c->p[i].used_s || it->lease_s != c->p[i].lease_s)
			continue;
		item_evict(p, it, now);
		key_line(&lines, "gone", it);
		gone++;
		if (!packs_is_named(p, it->digest)) /* else it is another package's, too, which stays */
			memcpy(digest[n++], it->digest, 32);
		if (n == BATCH) {
			packs_lines(p, buf_str(&lines));
			buf_clear(&lines);
			unlink_batch(p, digest, n);
			n = 0;
		}
	}
	packs_lines(p, buf_str(&lines));
	unlink_batch(p, digest, n);
	return gone;
}

size_t packs_evict(struct packs *p, int64_t now)
{
	candidates c = VEC_INIT;
	size_t gone;

	pthread_mutex_lock(&p->lock);
	bool over = p->o.max_bytes && p->n.pack_bytes > p->o.max_bytes;
	pthread_mutex_unlock(&p->lock);
	if (!over)
		return 0;
	uint64_t leased = candidates_find(&c, p, now);
	pthread_mutex_lock(&p->lock);
	p->n.leased_bytes = leased;
	gone = candidates_evict(p, &c, now);
	log_info("packs", "evicted=%zu pack_bytes=%llu limit=%llu", gone, (unsigned long long)p->n.pack_bytes,
		(unsigned long long)p->o.max_bytes);
	pthread_mutex_unlock(&p->lock);
	vec_release(&c);
	return gone;
}

/* Notes uses that the journal does not know, ten minutes' precision; LEAST: the seconds between
 * two of one pack. No lock. */
static void uses_note(struct packs *p, int64_t least)
{
	bool more = true;

	for (size_t i = 0; more;) {
		AUTO(buf_release) struct buf lines = BUF_INIT;
		pthread_mutex_lock(&p->lock);
		for (size_t end = i + ROWS; i < end && i < p->item.n; i++) {
			struct pack_item *it = p->item.p[i];
			if (!packs_is_ready(it) || it->used_s - it->noted_s < least)
				continue;
			it->noted_s = it->used_s;
			key_line(&lines, "used", it);
		}
		more = i < p->item.n;
		packs_lines(p, buf_str(&lines));
		pthread_mutex_unlock(&p->lock);
		packjournal_write(p);
	}
}

static void *evictor_run(void *arg)
{
	struct packs *p = arg;
	unsigned turn = 0;

	packsweep(p);
	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		(void)cond_timed_wait(&p->evict, &p->lock, p->o.evict_ms);
		if (p->stop)
			break;
		pthread_mutex_unlock(&p->lock);
		if (++turn % 12 == 0)
			uses_note(p, NOTE_S);
		packs_evict(p, age_clock_s(&p->clock));
		packjournal_write(p);
		packjournal_shorten(p);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	uses_note(p, 1);
	return NULL;
}

int packevict_start(struct packs *p, struct err *e)
{
	if (workq_thread(&p->evictor, "evict", evictor_run, p, e) < 0)
		return e->code;
	p->has_evictor = true;
	return 0;
}

void packevict_stop(struct packs *p)
{
	if (!p->has_evictor)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_signal(&p->evict);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->evictor, NULL);
}
