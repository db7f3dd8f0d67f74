#include "base/clock.h"
#include "fs.h"
#include "integrity.h"
#include "lock_timed.h"
#include "log.h"
#include "pack.h"
#include "packs_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JOURNAL_MAX = 1 << 30 };
/* Of the journal: a delta, in the format that this drayd makes (pack_impl.h). */
#define DELTA_WORD "delta3"

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
	char to[66], tmp[72], shard[3] = { 0 };

	pack_path(to, digest);
	memcpy(shard, to, 2);
	snprintf(tmp, sizeof(tmp), "tmp-%s", to + 3);
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

int packs_open(struct packs *p, const uint8_t digest[32], uint64_t *size)
{
	char path[66];
	struct stat st;

	pack_path(path, digest);
	int fd = fs_open(p->dir, path, O_RDONLY, 0);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		*size = (uint64_t)st.st_size;
		return fd;
	}
	fs_close(fd);
	lock_timed(&p->lock, p->o.lock_waits);
	for (size_t i = 0; i < p->item.n; i++) { /* somebody removed it: made again when next asked for */
		struct pack_item *it = p->item.p[i];
		if (packs_is_ready(it) && memcmp(it->digest, digest, 32) == 0)
			packs_unready(p, it);
	}
	pthread_mutex_unlock(&p->lock);
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
	it->next_same = it->next_named = MAP_NONE;
	it->at = (uint32_t)p->item.n;
	map_set(&p->by_key, (str){ (const char *)it->key, PACKS_KEY }, (uint32_t)p->item.n);
	*vec_add(&p->item) = it;
	return it;
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
	}
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
		*vec_add(&p->queue) = it->at;
		pthread_cond_signal(&p->work);
	}
}

/* -- the journal ------------------------------------------------------------------ */

static bool is_word(str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((uint8_t)s.p[i] <= ' ')
			return false;
	}
	return s.n > 0;
}

static void line_sum(char out[9], str line)
{
	uint8_t sha[32];

	sha256(sha, line.p, line.n);
	hex_print(out, sha, 4);
}

void packs_line_end(struct buf *b, size_t start)
{
	char sum[9];

	line_sum(sum, str_from(buf_str(b), start));
	buf_printf(b, " %s\n", sum);
}

static void line_of(struct buf *b, const struct pack_item *it)
{
	char key[2 * PACKS_KEY + 1], digest[65];
	size_t start = b->n;

	hex_print(key, it->key, PACKS_KEY);
	hex_print(digest, it->digest, 32);
	if (it->state == PACK_WARM || it->state == PACK_SETTLED)
		buf_printf(b, "%s %s %s %llu %llu %llu %s %s",
			it->delta                ? DELTA_WORD
			: it->state == PACK_WARM ? "warm"
						 : "settled",
			key, digest, (unsigned long long)it->size, (unsigned long long)it->tarball,
			(unsigned long long)it->raw, it->name, it->version);
	else if (it->delta) /* it would save nothing: not tried again */
		buf_printf(b, "vain %s %s %s 0 0", key, it->name, it->version);
	else
		buf_printf(b, "want %s %s %s %s %s", key, it->sri, it->url, it->name, it->version);
	packs_line_end(b, start);
}

void packs_note(struct packs *p, const struct pack_item *it)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	line_of(&b, it);
	if (fs_write_all(p->journal, b.p, b.n) != 0)
		log_warn("packs", "journal=unwritten error=\"%s\": it is made again after a restart", strerror(errno));
}

static char *own(str s)
{
	return xstrndup(s);
}

static void item_set(char **to, str s)
{
	free(*to);
	*to = own(s);
}

/* One line without its checksum. False: it is none. */
static bool line_read(struct packs *p, str line)
{
	str w[8] = { 0 };
	uint8_t key[PACKS_KEY], digest[32];
	size_t n = 0;

	for (str rest = line; rest.n && n < 8; n++)
		str_cut(rest, ' ', &w[n], &rest);
	if (packevict_line(p, w, n))
		return true;
	if (n < 6 || !hex_read(key, PACKS_KEY, w[1]))
		return false;
	if (n == 6 && str_eq(w[0], STR("vain"))) {
		struct pack_item *it = packs_item(p, key, true);
		packs_unready(p, it);
		it->delta = true;
		it->state = PACK_FAILED;
		it->retry_ms = INT64_MAX;
		item_set(&it->name, w[2]);
		item_set(&it->version, w[3]);
		return true;
	}
	if (n == 6 && str_eq(w[0], STR("want"))) {
		struct pack_item *it = packs_item(p, key, true);
		if (it->state != PACK_COLD)
			return true;
		item_set(&it->sri, w[2]);
		item_set(&it->url, w[3]);
		item_set(&it->name, w[4]);
		item_set(&it->version, w[5]);
		return true;
	}
	/* Of a format that nobody reads any more: its file is swept, and it is made anew. */
	if (n == 8 && str_eq(w[0], STR("delta")))
		return true;
	bool delta = str_eq(w[0], STR(DELTA_WORD)), settled = delta || str_eq(w[0], STR("settled"));
	uint64_t size, tarball, raw;
	if (n != 8 || (!settled && !str_eq(w[0], STR("warm"))) || !hex_read(digest, 32, w[2]) ||
		!str_u64(w[3], &size) || !str_u64(w[4], &tarball) || !str_u64(w[5], &raw))
		return false;
	struct pack_item *it = packs_item(p, key, true);
	packs_unready(p, it); /* which an earlier line said */
	it->delta = delta;
	it->size = size;
	it->tarball = tarball;
	it->raw = raw;
	packs_ready(p, it, settled ? PACK_SETTLED : PACK_WARM);
	packs_name(p, it, digest);
	item_set(&it->name, w[6]);
	item_set(&it->version, w[7]);
	return true;
}

/* Whether it is as short as one that is written anew would be, about, and whole: then it can go on as it is. */
static bool journal_lines(struct packs *p, str text)
{
	str line, rest = text, body, sum;
	char want[9];
	unsigned bad = 0;
	size_t lines = 0;

	for (const char *at = text.p; at && (at = memchr(at, '\n', text.n - (size_t)(at - text.p))); at++)
		lines++;
	map_reserve(&p->by_key, lines);
	map_reserve(&p->by_digest, lines);
	for (lines = 0; rest.n; lines++) {
		if (!str_cut(rest, '\n', &line, &rest) || !str_rcut(line, ' ', &body, &sum)) {
			bad++;
			continue;
		}
		line_sum(want, body);
		bad += !str_eq(sum, str_of(want)) || !line_read(p, body);
	}
	if (bad)
		log_warn("packs", "journal_lines_skipped=%u", bad);
	return !bad && lines <= 2 * p->item.n + 1000;
}

static void count_items(struct packs *p)
{
	for (size_t i = 0; i < p->item.n; i++) {
		struct pack_item *it = p->item.p[i];
		(void)age_clock_pass(&p->clock, it->used_s);
		if (it->state == PACK_COLD && it->url)
			packs_want(p, it);
	}
	if (p->n.warm + p->n.pending)
		packs_unsettled(p);
	else
		p->n.settled_ms = 0;
}

/* A million lines are 200 MB, which are not copied. */
static int journal_read(struct packs *p, bool *keep, struct err *e)
{
	struct stat st;

	AUTO(fs_close_auto) int fd = fs_open(p->dir, "journal", O_RDONLY, 0);
	*keep = false;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) != 0)
		return err_os(e, "read %s/packs/journal", p->o.dir);
	if (st.st_size > JOURNAL_MAX)
		return err_set(e, ERR_TOOBIG, "%s/packs/journal has %lld bytes, more than %d", p->o.dir,
			(long long)st.st_size, JOURNAL_MAX);
	*keep = true;
	if (st.st_size == 0)
		return 0;
	size_t n = (size_t)st.st_size;
	void *text = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0); /* packs/ is locked: nobody cuts it */
	if (text == MAP_FAILED)
		return err_os(e, "map %s/packs/journal", p->o.dir);
	*keep = journal_lines(p, (str){ text, n });
	munmap(text, n);
	return 0;
}

/* Reads the journal, writes it anew without what later lines replaced when that pays, and leaves it open for appending. */
static int journal_open(struct packs *p, struct err *e)
{
	AUTO(buf_release) struct buf fresh = BUF_INIT;
	bool keep;

	if (journal_read(p, &keep, e) < 0)
		return e->code;
	for (size_t i = 0; i < p->item.n && !keep; i++) {
		if (p->item.p[i]->state == PACK_COLD && !p->item.p[i]->url)
			continue; /* evicted */
		line_of(&fresh, p->item.p[i]);
		packevict_line_put(&fresh, p->item.p[i]);
	}
	if (!keep && fs_write_file(p->dir, "journal", buf_str(&fresh), 0644, e) < 0)
		return err_ctx(e, "%s/packs", p->o.dir);
	p->journal = fs_open(p->dir, "journal", O_WRONLY | O_APPEND, 0);
	return p->journal < 0 ? err_os(e, "open %s/packs/journal", p->o.dir) : 0;
}

/* -- asking ------------------------------------------------------------------------ */

/* What can be packed: a registry's tarball whose digest is known. */
static bool packable(const struct frame_package *f, uint8_t key[PACKS_KEY])
{
	return !f->skip && f->unpacked_size <= PACK_MOST_RAW && f->meta.resolution.kind != LOCK_RES_DIRECTORY &&
	       f->meta.resolution.kind != LOCK_RES_GIT && is_word(f->url) && is_word(f->name) && is_word(f->version) &&
	       is_word(f->meta.resolution.integrity) && packs_key(key, f->meta.resolution.integrity);
}

void packs_of(struct packs *p, struct frame_package *f)
{
	uint8_t key[PACKS_KEY];

	if (!packable(f, key))
		return;
	lock_timed(&p->lock, p->o.lock_waits);
	struct pack_item *it = packs_item(p, key, true);
	if (it->state == PACK_WARM || it->state == PACK_SETTLED) {
		memcpy(f->pack, it->digest, 32);
		f->pack_size = it->size;
		packs_touch(p, it, true);
	} else if (it->state == PACK_COLD || it->state == PACK_FAILED) {
		item_set(&it->sri, f->meta.resolution.integrity);
		item_set(&it->url, f->url);
		item_set(&it->name, f->name);
		item_set(&it->version, f->version);
		packs_want(p, it);
		if (it->state == PACK_WANTED)
			packs_note(p, it);
	}
	pthread_mutex_unlock(&p->lock);
}

bool packs_find(struct packs *p, uint8_t digest[32], uint64_t *size, const uint8_t key[PACKS_KEY])
{
	lock_timed(&p->lock, p->o.lock_waits);
	struct pack_item *it = packs_item(p, key, false);
	bool ready = it && (it->state == PACK_WARM || it->state == PACK_SETTLED);
	if (ready) {
		memcpy(digest, it->digest, 32);
		*size = it->size;
		packs_touch(p, it, true);
	} else if (it && it->url) {
		packs_want(p, it);
	}
	pthread_mutex_unlock(&p->lock);
	return ready;
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
	struct pack_item *d = packs_item(p, sum, true);
	if (d->state == PACK_COLD) {
		d->delta = true;
		memcpy(d->of, of->key, PACKS_KEY);
		memcpy(d->base, base->key, PACKS_KEY);
		item_set(&d->name, str_of(of->name));
		item_set(&d->version, str_of(of->version));
	}
	return d;
}

bool packs_find_from(struct packs *p, uint8_t digest[32], uint64_t *size, const uint8_t key[PACKS_KEY],
	const uint8_t base[PACKS_KEY])
{
	struct pack_item *d = NULL;

	lock_timed(&p->lock, p->o.lock_waits);
	struct pack_item *it = packs_item(p, key, false), *from = packs_item(p, base, false);
	if (packs_is_ready(it) && packs_is_ready(from) && it != from && !it->delta && !from->delta &&
		strcmp(it->name, from->name) == 0) {
		d = packs_delta(p, it, from);
		packs_want(p, d);
	}
	bool found = packs_is_ready(d) && d->size < it->size;
	if (found) {
		memcpy(digest, d->digest, 32);
		*size = d->size;
		packs_touch(p, d, true);
		packs_touch(p, it, true);
		p->n.deltas_named++;
	}
	pthread_mutex_unlock(&p->lock);
	return found || packs_find(p, digest, size, key);
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
		hit = true;
		ok = ok && identity_may_see(who, str_of(p->item.p[i]->name), &e) == 0;
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
	return n->pending + n->building + n->deltas_pending + n->warm;
}

bool packs_settled(struct packs *p)
{
	struct packs_counts n = packs_counts(p);

	return packs_unsettled_of(&n) == 0;
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

static void metric(struct buf *b, const char *name, const char *type, const char *help, double v)
{
	buf_printf(b, "# HELP drayd_packs_%s %s\n# TYPE drayd_packs_%s %s\ndrayd_packs_%s %.15g\n", name, help, name,
		type, name, v);
}

void packs_metrics(struct packs *p, struct buf *b)
{
	struct packs_counts n = packs_counts(p);

	metric(b, "pending", "gauge", "Packages waiting for their first encoding.", (double)(n.pending + n.building));
	metric(b, "warm", "gauge", "Packages with a first encoding only.", (double)n.warm);
	metric(b, "settled", "gauge", "Packages with their best encoding.", (double)n.settled);
	metric(b, "deltas_pending", "gauge", "Deltas between versions that are wanted and not made.",
		(double)n.deltas_pending);
	metric(b, "unsettled", "gauge",
		"Packages without their best encoding, and deltas that are wanted; 0: all are settled.",
		(double)packs_unsettled_of(&n));
	metric(b, "built_total", "counter", "First encodings made.", (double)n.built);
	metric(b, "deltas_total", "counter", "Deltas between versions made.", (double)n.deltas);
	metric(b, "deltas_named_total", "counter", "Deltas that a client was told of.", (double)n.deltas_named);
	metric(b, "resettled_total", "counter", "Best encodings made.", (double)n.resettled);
	metric(b, "failed_total", "counter", "Packages that could not be fetched or encoded.", (double)n.failed);
	metric(b, "dropped_total", "counter", "Packages not queued because the queue was full.", (double)n.dropped);
	metric(b, "tarball_bytes", "gauge", "Tarballs of the packages that have a pack.", (double)n.tarball_bytes);
	metric(b, "bytes", "gauge", "Their packs.", (double)n.pack_bytes);
	metric(b, "build_cpu_seconds_total", "counter", "CPU of first encodings.", (double)n.build_us / 1e6);
	metric(b, "deltas_cpu_seconds_total", "counter", "CPU of deltas.", (double)n.delta_us / 1e6);
	metric(b, "settle_cpu_seconds_total", "counter", "CPU of best encodings.", (double)n.settle_us / 1e6);
	metric(b, "evicted_total", "counter", "Packs removed for others' sake.", (double)n.evicted);
	metric(b, "evicted_bytes_total", "counter", "Their bytes.", (double)n.evicted_bytes);
	metric(b, "evicted_young_total", "counter",
		"Those of them that were used within the last hour: the limit is too small.", (double)n.evicted_young);
	metric(b, "leased_bytes", "gauge", "Packs that a recent plan names, as of the last pass.",
		(double)n.leased_bytes);
	metric(b, "limit_bytes", "gauge", "What packs may take; 0: no limit.", (double)p->o.max_bytes);
	metric(b, "sent_total", "counter", "Packs sent.", (double)n.sent);
	metric(b, "sent_bytes_total", "counter", "Their bytes.", (double)n.sent_bytes);
	metric(b, "absent_total", "counter", "Packs asked for that were not there.", (double)n.absent);
	metric(b, "time_to_settle_seconds", "gauge",
		"From the first package asked for until all were settled; -1: not yet.",
		n.settled_ms < 0 ? -1.0 : (double)n.settled_ms / 1e3);
	metric(b, "time_to_settle_cpu_seconds", "gauge", "CPU spent on packs in that time; -1: not yet.",
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
	o->max_pending = o->max_pending ? o->max_pending : 100000;
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

int packs_new(struct packs **out, const struct packs_opts *o, struct err *e)
{
	struct packs *p = xcalloc(1, sizeof(*p));
	pthread_condattr_t mono;

	p->o = *o;
	p->o.dir = xstrndup(str_of(o->dir));
	opts_default(&p->o);
	p->dir = p->journal = -1;
	p->own = ARENA_INIT(64 * 1024);
	p->n.settled_ms = -1;
	age_clock_start(&p->clock);
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&p->work, &mono);
	pthread_cond_init(&p->settle, &mono);
	pthread_cond_init(&p->evict, &mono);
	pthread_condattr_destroy(&mono);
	if (dir_open(p, e) < 0 || journal_open(p, e) < 0)
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
	packbuild_stop(p);
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
	map_release(&p->by_key);
	map_release(&p->by_digest);
	map_release(&p->by_name);
	arena_release(&p->own);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->settle);
	pthread_cond_destroy(&p->evict);
	pthread_mutex_destroy(&p->lock);
	free((void *)(uintptr_t)p->o.dir);
	free(p);
}
