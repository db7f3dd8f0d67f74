#include "base/clock.h"
#include "cond_timed.h"
#include "fs.h"
#include "integrity.h"
#include "lock_timed.h"
#include "log.h"
#include "metrics.h"
#include "pack.h"
#include "packs_impl.h"
#include "url.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Packages and deltas that are known, with a pack or without: half a kilobyte each. What is new past it has no pack. */
enum { ITEMS_MOST = 8000000 };
/* Bytes of a name, a version or an SRI: a client's lockfile may have a MiB there, which would be kept. */
enum { WORD_MOST = 1024 };
/* So many are looked for under the lock without a break: some 50 us. */
enum { FOUND_AT_ONCE = 64 };

/* -- files ------------------------------------------------------------------- */

/* "ab/cdef…" */
static void pack_path(char out[66], const uint8_t digest[32])
{
	char hex[65];

	hex_print(hex, digest, 32);
	memcpy(out, hex, 2);
	out[2] = '/';
	memcpy(out + 3, hex + 2, 63);
}

int packs_write(struct packs *p, const uint8_t digest[32], str bytes, struct err *e)
{
	char to[66], tmp[32], shard[3] = { 0 };

	pack_path(to, digest);
	memcpy(shard, to, 2);
	/* Two packages may have the same pack, and be at it at once. */
	snprintf(tmp, sizeof(tmp), "tmp-%llu", (unsigned long long)atomic_fetch_add(&p->serial, 1));
	if (fs_mkdir(p->dir, shard, 0755) != 0 && errno != EEXIST)
		return err_os(e, "make %s/packs/%s", p->o.dir, shard);
	AUTO(fs_close_auto) int fd = fs_open(p->dir, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || fs_write_all(fd, bytes.p, bytes.n) != 0 || fdatasync(fd) != 0 ||
		fs_rename(p->dir, tmp, p->dir, to) != 0) {
		err_os(e, "write %s/packs/%s", p->o.dir, to);
		fs_unlink(p->dir, tmp, 0);
		return e->code;
	}
	return 0;
}

void packs_remove(struct packs *p, const uint8_t digest[32])
{
	char path[66];

	pack_path(path, digest);
	if (fs_unlink(p->dir, path, 0) != 0 && errno != ENOENT)
		log_warn("packs", "file=%s cannot be removed: %s", path, strerror(errno));
}

/* Whether those that have the pack with DIGEST say that it has another SIZE: it was cut, say. Its lock, here and in the
 * next, is not timed: who counts waits may be gone before a settler that was left. */
static bool has_other_size(struct packs *p, const uint8_t digest[32], uint64_t size)
{
	bool other = false;

	pthread_mutex_lock(&p->lock);
	for (uint32_t i = map_get(&p->by_digest, (str){ (const char *)digest, 32 }); i != MAP_NONE;
		i = p->item.p[i]->next_same)
		other |= packs_is_ready(p->item.p[i]) && p->item.p[i]->size != size;
	pthread_mutex_unlock(&p->lock);
	return other;
}

/* It is made again when next asked for. */
static void pack_gone(struct packs *p, const uint8_t digest[32])
{
	pthread_mutex_lock(&p->lock);
	for (uint32_t i = map_get(&p->by_digest, (str){ (const char *)digest, 32 }); i != MAP_NONE;
		i = p->item.p[i]->next_same) {
		if (packs_is_ready(p->item.p[i]))
			packs_unready(p, p->item.p[i]);
	}
	pthread_mutex_unlock(&p->lock);
}

int packs_open(struct packs *p, const uint8_t digest[32], uint64_t *size)
{
	char path[66];
	struct stat st;

	pack_path(path, digest);
	int fd = fs_open(p->dir, path, O_RDONLY, 0);
	bool gone = fd < 0 && errno == ENOENT; /* and not that there are too many descriptors, say */
	bool file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	bool cut = file && has_other_size(p, digest, (uint64_t)st.st_size);
	if (file && !cut) {
		*size = (uint64_t)st.st_size;
		return fd;
	}
	int os = fd < 0 ? errno : ENOENT;
	fs_close(fd);
	if (cut) { /* before it is made again under its name */
		log_warn("packs", "file=%s bytes=%lld: damaged, it is made anew", path, (long long)st.st_size);
		packs_remove(p, digest);
	}
	if (gone || cut)
		pack_gone(p, digest);
	errno = os;
	return -1;
}

/* -- the index ----------------------------------------------------------------- */

struct pack_item *packs_item(struct packs *p, const uint8_t key[PACKS_KEY], bool make)
{
	uint32_t at = map_get(&p->by_key, (str){ (const char *)key, PACKS_KEY });

	if (at != MAP_NONE)
		return p->item.p[at];
	if (!make)
		return NULL;
	struct pack_item *it = arena_new(&p->own, struct pack_item, 1);
	memcpy(it->key, key, PACKS_KEY);
	it->next_same = it->next_named = it->client = MAP_NONE;
	it->at = (uint32_t)p->item.n;
	it->unmade = true;
	p->n.unmade++;
	map_set(&p->by_key, (str){ (const char *)it->key, PACKS_KEY }, (uint32_t)p->item.n);
	*vec_add(&p->item) = it;
	return it;
}

void packs_made(struct packs *p, struct pack_item *it)
{
	p->n.unmade -= it->unmade;
	if (it->client != MAP_NONE)
		p->client.p[it->client].unmade -= it->unmade;
	it->unmade = false;
}

/* IT's old digest is nobody's any more. */
static void item_unchain(struct packs *p, struct pack_item *it)
{
	str key = { (const char *)it->chained, 32 };
	uint32_t at = map_get(&p->by_digest, key);

	if (at == it->at) {
		map_set(&p->by_digest, key, it->next_same);
		return;
	}
	while (at != MAP_NONE && p->item.p[at]->next_same != it->at)
		at = p->item.p[at]->next_same;
	if (at != MAP_NONE)
		p->item.p[at]->next_same = it->next_same;
}

void packs_name(struct packs *p, struct pack_item *it, const uint8_t digest[32])
{
	bool first;

	packs_made(p, it);
	memcpy(it->digest, digest, 32);
	if (it->chained && memcmp(it->chained, digest, 32) == 0)
		return;
	if (it->chained)
		item_unchain(p, it);
	uint8_t *own_key = arena_new(&p->own, uint8_t, 32);
	memcpy(own_key, digest, 32);
	it->chained = own_key;
	it->next_same = map_add(&p->by_digest, (str){ (const char *)own_key, 32 }, it->at, &first);
	if (first)
		it->next_same = MAP_NONE;
	else
		map_set(&p->by_digest, (str){ (const char *)own_key, 32 }, it->at);
}

static uint64_t *ready_count(struct packs *p, const struct pack_item *it)
{
	return it->state == PACK_WARM ? &p->n.warm : &p->n.settled;
}

void packs_ready(struct packs *p, struct pack_item *it, enum pack_state state)
{
	it->state = state;
	it->put_off_ms = 0;
	if (state == PACK_WARM && !it->listed) {
		it->listed = true;
		*vec_add(&p->warm) = it->at;
	}
	*ready_count(p, it) += 1;
	p->n.pack_bytes += it->size;
	p->n.tarball_bytes += it->tarball;
}

void packs_unready(struct packs *p, struct pack_item *it)
{
	if (packs_is_ready(it)) {
		*ready_count(p, it) -= 1;
		p->n.pack_bytes -= it->size;
		p->n.tarball_bytes -= it->tarball;
		p->n.unproved -= it->unproved && !it->delta;
	}
	it->unproved = false;
	it->state = PACK_COLD;
}

uint64_t packs_cpu_us(const struct packs *p)
{
	return p->n.build_us + p->n.delta_us + p->n.settle_us;
}

/* There is something to make again: the time until all is settled begins, unless it runs. */
static void packs_unsettled(struct packs *p)
{
	if (p->first_ms && p->n.settled_ms < 0)
		return;
	p->first_ms = clock_ms();
	p->first_us = packs_cpu_us(p);
	p->n.settled_ms = -1;
}

void packs_want(struct packs *p, struct pack_item *it)
{
	int64_t now = clock_ms();

	p->last_ms = now;
	if (it->state != PACK_COLD && !(it->state == PACK_FAILED && now >= it->retry_ms))
		return;
	uint64_t *pending = it->delta ? &p->n.deltas_pending : &p->n.pending;
	if (*pending >= p->o.max_pending) {
		p->n.dropped++;
		return;
	}
	packs_unsettled(p);
	it->state = PACK_WANTED;
	*pending += 1;
	if (it->delta) {
		*vec_add(&p->deltas) = it->at;
		pthread_cond_broadcast(&p->settle);
	} else {
		it->begin_ms = now + p->o.delay_ms;
		if (p->head == p->queue.n) /* else somebody who was woken before is at the queue, and wakes the next */
			pthread_cond_signal(&p->work);
		*vec_add(&p->queue) = it->at;
	}
}

void packs_set(char **to, str s)
{
	free(*to);
	*to = xstrndup(s);
}

/* -- asking ------------------------------------------------------------------------ */

static bool is_word(str s, size_t most)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((uint8_t)s.p[i] <= ' ')
			return false;
	}
	return s.n > 0 && s.n <= most;
}

/* What can be packed: a registry's tarball whose digest is known. */
static bool packable(const struct frame_package *f, uint8_t key[PACKS_KEY])
{
	return !f->skip && f->unpacked_size <= PACK_MOST_RAW && f->meta.resolution.kind != LOCK_RES_DIRECTORY &&
	       f->meta.resolution.kind != LOCK_RES_GIT && is_word(f->url, URL_MAX) && is_word(f->name, WORD_MOST) &&
	       is_word(f->version, WORD_MOST) && is_word(f->meta.resolution.integrity, WORD_MOST) &&
	       packs_key(key, f->meta.resolution.integrity);
}

/* IT has failed: whether asking for F instead may mend that. A client's lockfile may say that a tarball is whatever
 * package's, and anywhere. */
static bool mends(const struct pack_item *it, const struct frame_package *f)
{
	struct url was, now;
	struct err e;

	if (url_parse(&now, f->url, &e) < 0)
		return false;
	if (!it->url || url_parse(&was, str_of(it->url), &e) < 0)
		return true;
	bool elsewhere = !url_same_origin(&was, &now);
	switch (it->code) {
	case ERR_NET:
	case ERR_TIMEOUT:
	case ERR_BUSY:
		return elsewhere;
	case ERR_POLICY:
	case ERR_AUTH:
	case ERR_NOTFOUND:
	case ERR_INTEGRITY:
	case ERR_TOOBIG: /* what came had no end */
		/* Another query does not count: there is no end of them. */
		return elsewhere || !str_eq(was.path, now.path) || !str_eq(str_of(it->name), f->name);
	default:
		return false;
	}
}

static bool may_try(const struct pack_item *it, const struct frame_package *f)
{
	if (it->state != PACK_FAILED)
		return it->state == PACK_COLD;
	if (it->vain)
		return it->code == ERR_POLICY && str_eq(str_of(it->name), f->name);
	return clock_ms() >= it->retry_ms || mends(it, f);
}

/* Has a pack that may be handed out. */
static bool is_given(const struct pack_item *it)
{
	return packs_is_ready(it) && !it->unproved;
}

static uint32_t client_of(struct packs *p, str name)
{
	uint32_t at = name.n ? map_get(&p->by_client, name) : MAP_NONE;

	if (!name.n || at != MAP_NONE)
		return at;
	at = (uint32_t)p->client.n;
	*vec_add(&p->client) = (struct pack_client){ 0 };
	map_set(&p->by_client, arena_str(&p->own, name), at);
	return at;
}

/* Whether a package more may be known that has no pack. A client with a name gets no more of that room than it leaves:
 * whatever it asks for, there is as much for the next one. */
static bool has_room(struct packs *p, uint32_t client, str name)
{
	if (p->item.n >= ITEMS_MOST || p->n.unmade >= p->o.max_unmade)
		return false;
	struct pack_client *c = client == MAP_NONE ? NULL : &p->client.p[client];
	if (!c || c->unmade < p->o.max_unmade - p->n.unmade)
		return true;
	if (!c->told)
		log_warn("packs",
			"client=\"" STR_FMT
			"\" unmade=%llu: its lockfiles name what cannot be had; no more of that is tried for it",
			STR_ARG(name), (unsigned long long)c->unmade);
	c->told = true;
	return false;
}

/* The item of a package that CLIENT's plan names; NULL: there are too many. */
static struct pack_item *item_for(struct packs *p, const uint8_t key[PACKS_KEY], str client)
{
	struct pack_item *it = packs_item(p, key, false);

	if (it)
		return it;
	uint32_t of = client_of(p, client);
	if (!has_room(p, of, client)) {
		p->n.dropped++;
		return NULL;
	}
	it = packs_item(p, key, true);
	it->client = of;
	if (of != MAP_NONE)
		p->client.p[of].unmade++;
	return it;
}

void packs_of(struct packs *p, struct frame_package *f, str client)
{
	uint8_t key[PACKS_KEY];

	if (!packable(f, key))
		return;
	lock_timed(&p->lock, p->o.lock_waits);
	struct pack_item *it = item_for(p, key, client);
	if (packs_is_ready(it)) {
		if (is_given(it) && str_eq(str_of(it->name), f->name)) { /* else it is not told that there is one */
			memcpy(f->pack, it->digest, 32);
			f->pack_size = it->size;
			packs_touch(p, it, true);
		}
	} else if (it && may_try(it, f)) {
		it->state = PACK_COLD;
		it->vain = false;
		packs_set(&it->sri, f->meta.resolution.integrity);
		packs_set(&it->url, f->url);
		packs_set(&it->name, f->name);
		packs_set(&it->version, f->version);
		packs_want(p, it);
		if (it->state == PACK_WANTED)
			packs_note(p, it);
	}
	pthread_mutex_unlock(&p->lock);
}

bool packs_is_ready(const struct pack_item *it)
{
	return it && (it->state == PACK_WARM || it->state == PACK_SETTLED);
}

struct pack_item *packs_delta(struct packs *p, const struct pack_item *of, const struct pack_item *base)
{
	uint8_t text[6 + 2 * PACKS_KEY] = "delta", sum[32];

	memcpy(text + 6, of->key, PACKS_KEY);
	memcpy(text + 6 + PACKS_KEY, base->key, PACKS_KEY);
	sha256(sum, text, sizeof(text));
	/* A client that asks from each version to each would have millions. */
	struct pack_item *d = packs_item(p, sum, p->item.n < ITEMS_MOST && p->n.deltas_pending < p->o.max_pending);
	if (!d) {
		p->n.dropped++;
	} else if (d->state == PACK_COLD) {
		packs_made(p, d); /* it is no package */
		d->delta = true;
		memcpy(d->of, of->key, PACKS_KEY);
		memcpy(d->base, base->key, PACKS_KEY);
		packs_set(&d->name, str_of(of->name));
		packs_set(&d->version, str_of(of->version));
	}
	return d;
}

/* Under the lock, these three. */
static void find_item(struct packs *p, struct pack_found *out, struct pack_item *it)
{
	if (is_given(it)) {
		memcpy(out->digest, it->digest, 32);
		out->size = it->size;
		packs_touch(p, it, true);
	} else if (it && it->url) {
		packs_want(p, it);
	}
}

/* The delta from FROM to IT, if it is ready and worth it; else it is made for the next one that asks. */
static bool find_delta(struct packs *p, struct pack_found *out, struct pack_item *it, struct pack_item *from)
{
	if (!is_given(it) || !is_given(from) || it == from || it->delta || from->delta ||
		strcmp(it->name, from->name) != 0)
		return false;
	struct pack_item *d = packs_delta(p, it, from);
	if (d)
		packs_want(p, d);
	if (!packs_is_ready(d) || d->size >= it->size)
		return false;
	if (d->unproved) { /* what it is made of is proved, and what that is its key says */
		d->unproved = false;
		packs_set(&d->name, str_of(it->name));
	}
	memcpy(out->digest, d->digest, 32);
	out->size = d->size;
	packs_touch(p, d, true);
	packs_touch(p, it, true);
	p->n.deltas_named++;
	return true;
}

/* FOUND_AT_ONCE of them at most. What they need of the index is fetched from memory together, and only then looked
 * at. */
static void find_some(struct packs *p, struct pack_found *out, const uint8_t *rows, size_t n, size_t width, bool from)
{
	static const uint8_t none[PACKS_KEY];
	struct pack_item *it[FOUND_AT_ONCE];

	for (size_t i = 0; i < n; i++)
		map_expect(&p->by_key, (str){ (const char *)rows + i * width, PACKS_KEY });
	for (size_t i = 0; i < n; i++) {
		it[i] = packs_item(p, rows + i * width, false);
		if (it[i])
			__builtin_prefetch(&it[i]->used_s, 1);
	}
	for (size_t i = 0; i < n; i++) {
		const uint8_t *base = from ? rows + i * width + PACKS_KEY : none;
		struct pack_item *had = memcmp(base, none, PACKS_KEY) != 0 ? packs_item(p, base, false) : NULL;
		out[i] = (struct pack_found){ 0 };
		if (!find_delta(p, &out[i], it[i], had))
			find_item(p, &out[i], it[i]);
	}
}

void packs_find_all(struct packs *p, struct pack_found *out, const uint8_t *rows, size_t n, size_t width, bool from)
{
	for (size_t i = 0; i < n; i += FOUND_AT_ONCE) {
		size_t some = n - i < FOUND_AT_ONCE ? n - i : FOUND_AT_ONCE;
		lock_timed(&p->lock, p->o.lock_waits);
		find_some(p, out + i, rows + i * width, some, width, from);
		pthread_mutex_unlock(&p->lock);
	}
}

bool packs_find(struct packs *p, uint8_t digest[32], uint64_t *size, const uint8_t key[PACKS_KEY])
{
	struct pack_found f;

	packs_find_all(p, &f, key, 1, PACKS_KEY, false);
	if (!f.size)
		return false;
	memcpy(digest, f.digest, 32);
	*size = f.size;
	return true;
}

bool packs_allowed(struct packs *p, const uint8_t digest[32], const struct identity *who)
{
	bool hit = false, ok = true;
	struct err e;

	if (!identity_restricted(who))
		return true;
	lock_timed(&p->lock, p->o.lock_waits);
	for (uint32_t i = map_get(&p->by_digest, (str){ (const char *)digest, 32 }); i != MAP_NONE;
		i = p->item.p[i]->next_same) {
		const struct pack_item *it = p->item.p[i];
		if (!packs_is_ready(it)) /* its name is what somebody asked for */
			continue;
		hit = true;
		ok = ok && !it->unproved && identity_may_see(who, str_of(it->name), &e) == 0;
	}
	pthread_mutex_unlock(&p->lock);
	return hit && ok; /* one that has been superseded has no name any more: a plan names the new one */
}

void packs_count_sent(struct packs *p, uint64_t packs, uint64_t bytes, uint64_t absent)
{
	atomic_fetch_add_explicit(&p->sent, packs, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->sent_bytes, bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->absent, absent, memory_order_relaxed);
}

struct packs_counts packs_counts(struct packs *p)
{
	lock_timed(&p->lock, p->o.lock_waits);
	struct packs_counts n = p->n;
	pthread_mutex_unlock(&p->lock);
	n.sent = atomic_load_explicit(&p->sent, memory_order_relaxed);
	n.sent_bytes = atomic_load_explicit(&p->sent_bytes, memory_order_relaxed);
	n.absent = atomic_load_explicit(&p->absent, memory_order_relaxed);
	return n;
}

uint64_t packs_unsettled_of(const struct packs_counts *n)
{
	return n->pending + n->building + n->deltas_pending + n->warm + n->unproved;
}

bool packs_settled(struct packs *p)
{
	struct packs_counts n = packs_counts(p);

	return packs_unsettled_of(&n) == 0;
}

bool packs_stuck(struct packs *p, struct err *why)
{
	lock_timed(&p->lock, p->o.lock_waits);
	const struct packs_counts *n = &p->n;
	const struct pack_misses *m = p->unsettled_misses.n ? &p->unsettled_misses : &p->unproved_misses;
	bool stuck = p->o.eager && m->n && n->pending + n->building + n->deltas_pending == 0 &&
		     (n->warm == 0 || p->unsettled_misses.n >= PACK_MISSES_MOST) &&
		     (n->unproved == 0 || p->unproved_misses.n >= PACK_MISSES_MOST) && n->warm + n->unproved > 0;
	if (stuck)
		*why = m->why;
	pthread_mutex_unlock(&p->lock);
	return stuck;
}

size_t packs_failing(struct packs *p)
{
	size_t n = 0;

	lock_timed(&p->lock, p->o.lock_waits);
	for (size_t i = 0; i < p->item.n; i++)
		n += p->item.p[i]->state == PACK_FAILED && p->item.p[i]->retry_ms != INT64_MAX;
	pthread_mutex_unlock(&p->lock);
	return n;
}

void packs_metrics(struct packs *p, struct buf *b)
{
	struct packs_counts n = packs_counts(p);

	metric_print(b, "packs_pending", "gauge", "Packages waiting for their first encoding.",
		(double)(n.pending + n.building));
	metric_print(b, "packs_warm", "gauge", "Packages with a first encoding only.", (double)n.warm);
	metric_print(b, "packs_settled", "gauge", "Packages with their best encoding.", (double)n.settled);
	metric_print(b, "packs_deltas_pending", "gauge", "Deltas between versions that are wanted and not made.",
		(double)n.deltas_pending);
	metric_print(b, "packs_unproved", "gauge",
		"Packs of an older drayd whose name is not proved yet: nobody is given them.", (double)n.unproved);
	metric_print(b, "packs_unsettled", "gauge",
		"Packages without their best encoding or not proved, and deltas that are wanted; 0: all are settled.",
		(double)packs_unsettled_of(&n));
	metric_print(b, "packs_built_total", "counter", "First encodings made.", (double)n.built);
	metric_print(b, "packs_deltas_total", "counter", "Deltas between versions made.", (double)n.deltas);
	metric_print(
		b, "packs_deltas_named_total", "counter", "Deltas that a client was told of.", (double)n.deltas_named);
	metric_print(b, "packs_resettled_total", "counter", "Best encodings made.", (double)n.resettled);
	metric_print(
		b, "packs_failed_total", "counter", "Packages that could not be fetched or encoded.", (double)n.failed);
	metric_print(b, "packs_dropped_total", "counter", "Packages and deltas not queued because there were too many.",
		(double)n.dropped);
	metric_print(b, "packs_unmade", "gauge",
		"Packages that are known and never had a pack; past 500,000 new ones get none, nor do those of a token that takes as much as it leaves.",
		(double)n.unmade);
	metric_print(b, "packs_unnoted_total", "counter",
		"Changes that the journal missed: the disk is full, or stalls.", (double)n.unnoted);
	metric_print(b, "packs_tarball_bytes", "gauge", "Tarballs of the packages that have a pack.",
		(double)n.tarball_bytes);
	metric_print(b, "packs_bytes", "gauge", "Their packs.", (double)n.pack_bytes);
	metric_print(
		b, "packs_build_cpu_seconds_total", "counter", "CPU of first encodings.", (double)n.build_us / 1e6);
	metric_print(b, "packs_deltas_cpu_seconds_total", "counter", "CPU of deltas.", (double)n.delta_us / 1e6);
	metric_print(
		b, "packs_settle_cpu_seconds_total", "counter", "CPU of best encodings.", (double)n.settle_us / 1e6);
	metric_print(b, "packs_evicted_total", "counter", "Packs removed for others' sake.", (double)n.evicted);
	metric_print(b, "packs_evicted_bytes_total", "counter", "Their bytes.", (double)n.evicted_bytes);
	metric_print(b, "packs_evicted_young_total", "counter",
		"Those of them that were used within the last hour: the limit is too small.", (double)n.evicted_young);
	metric_print(b, "packs_leased_bytes", "gauge", "Packs that a recent plan names, as of the last pass.",
		(double)n.leased_bytes);
	metric_print(b, "packs_limit_bytes", "gauge", "What packs may take; 0: no limit.", (double)p->o.max_bytes);
	metric_print(b, "packs_sent_total", "counter", "Packs sent.", (double)n.sent);
	metric_print(b, "packs_sent_bytes_total", "counter", "Their bytes.", (double)n.sent_bytes);
	metric_print(b, "packs_absent_total", "counter", "Packs asked for that were not there.", (double)n.absent);
	metric_print(b, "packs_time_to_settle_seconds", "gauge",
		"From the first package asked for until all were settled; -1: not yet.",
		n.settled_ms < 0 ? -1.0 : (double)n.settled_ms / 1e3);
	metric_print(b, "packs_time_to_settle_cpu_seconds", "gauge", "CPU spent on packs in that time; -1: not yet.",
		n.settled_ms < 0 ? -1.0 : (double)n.settled_us / 1e6);
}

/* -- life --------------------------------------------------------------------------- */

static void opts_default(struct packs_opts *o)
{
	o->builders = o->builders ? o->builders : 2;
	o->settlers = o->settlers ? o->settlers : 1;
	o->level = o->level ? o->level : 9;
	o->settled_level = o->settled_level ? o->settled_level : 19;
	o->idle_ms = o->idle_ms ? o->idle_ms : 2000;
	o->keep_s = o->keep_s ? o->keep_s : 3600;
	o->max_tarball = o->max_tarball ? o->max_tarball : 64u << 20;
	o->fresh_s = o->fresh_s ? o->fresh_s : 600;
	o->lease_s = o->lease_s ? o->lease_s : 600;
	o->leave_ms = o->leave_ms ? o->leave_ms : 5000;
	o->evict_ms = o->evict_ms ? o->evict_ms : 5000;
	o->max_pending = o->max_pending ? o->max_pending : 100000;
	o->max_unmade = o->max_unmade ? o->max_unmade : 500000;
	o->journal_slack = o->journal_slack ? o->journal_slack : 64u << 20;
}

static int dir_open(struct packs *p, struct err *e)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/packs", p->o.dir) >= (int)sizeof(path))
		return err_set(e, ERR_TOOBIG, "the server's path is too long: %.100s…", p->o.dir);
	if (fs_mkdir_p(AT_FDCWD, path, 0755, e) < 0)
		return e->code;
	p->dir = fs_open_dir(AT_FDCWD, path);
	if (p->dir < 0)
		return err_os(e, "open %s", path);
	if (flock(p->dir, LOCK_EX | LOCK_NB) == 0) /* of the open directory: goes with the process */
		return 0;
	return errno == EWOULDBLOCK ? err_set(e, ERR_BUSY,
					      "%s is in use by another drayd; drayd_packs_unsettled of its /metrics "
					      "says what it has still to make",
					      path)
				    : err_os(e, "lock %s", path);
}

static void count_items(struct packs *p)
{
	for (size_t i = 0; i < p->item.n; i++) {
		struct pack_item *it = p->item.p[i];
		(void)age_clock_pass(&p->clock, it->used_s);
		if (it->state == PACK_COLD && it->url)
			packs_want(p, it);
	}
	if (p->n.warm + p->n.pending + p->n.unproved)
		packs_unsettled(p);
	else
		p->n.settled_ms = 0;
}

int packs_new(struct packs **out, const struct packs_opts *o, struct err *e)
{
	struct packs *p = xcalloc(1, sizeof(*p));

	p->o = *o;
	p->o.dir = xstrndup(str_of(o->dir));
	opts_default(&p->o);
	p->dir = p->journal = -1;
	p->own = ARENA_INIT(64 * 1024);
	p->n.settled_ms = -1;
	age_clock_start(&p->clock);
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->writing, NULL);
	cond_timed_init(&p->work);
	cond_timed_init(&p->settle);
	cond_timed_init(&p->evict);
	cond_timed_init(&p->ended);
	if (dir_open(p, e) < 0 || packjournal_open(p, e) < 0)
		goto fail;
	count_items(p);
	packdelta_stock(p);
	while (p->o.eager && packdelta_ahead_some(p, SIZE_MAX)) { /* somebody waits until all are made */
	}
	packsweep_start(p);
	if (packbuild_start(p, e) < 0 || packevict_start(p, e) < 0)
		goto fail;
	*out = p;
	return 0;
fail:
	packs_free(p);
	return e->code;
}

void packs_free(struct packs *p)
{
	if (!p)
		return;
	packevict_stop(p);
	bool alone = packbuild_stop(p);
	packjournal_write(p);
	if (!alone)
		return;
	buf_release(&p->lines);
	fs_close(p->dir);
	fs_close(p->journal);
	for (size_t i = 0; i < p->item.n; i++) {
		struct pack_item *it = p->item.p[i];
		free(it->name);
		free(it->version);
		free(it->url);
		free(it->sri);
	}
	vec_release(&p->item);
	vec_release(&p->queue);
	vec_release(&p->deltas);
	vec_release(&p->old);
	vec_release(&p->warm);
	vec_release(&p->unproved);
	map_release(&p->by_key);
	map_release(&p->by_digest);
	map_release(&p->by_name);
	map_release(&p->by_client);
	vec_release(&p->client);
	arena_release(&p->own);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->settle);
	pthread_cond_destroy(&p->evict);
	pthread_cond_destroy(&p->ended);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->writing);
	free((void *)(uintptr_t)p->o.dir);
	free(p);
}
