/* The packuments of surface.h. */
#include "base/clock.h"
#include "fs.h"
#include "integrity.h"
#include "log.h"
#include "npm_rewrite.h"
#include "surface_impl.h"
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ABSENT_MS = 30 * 1000, RETRY_MS = 5 * 1000, MAX_KEPT = 300 << 20 };

/* ---- documents ---- */

void doc_release(struct doc *d)
{
	if (!d || atomic_fetch_sub(&d->refs, 1) != 1)
		return;
	free(d->gz);
	free(d->validator);
	free(d->record);
	free(d);
}

static size_t doc_bytes(const struct doc *d)
{
	return sizeof(*d) + d->n + d->nrecord;
}

static unsigned bucket_of(const uint8_t key[32])
{
	return (key[0] | (unsigned)key[1] << 8) % DOC_BUCKETS;
}

struct doc *doc_find(struct surface *s, const uint8_t key[32])
{
	for (struct doc *d = s->bucket[bucket_of(key)]; d; d = d->next) {
		if (memcmp(d->key, key, 32) == 0)
			return d;
	}
	return NULL;
}

/* Under the lock. */
static void doc_remove(struct surface *s, const uint8_t key[32])
{
	struct doc **at = &s->bucket[bucket_of(key)];

	for (; *at; at = &(*at)->next) {
		struct doc *d = *at;
		if (memcmp(d->key, key, 32) != 0)
			continue;
		*at = d->next;
		s->doc_bytes -= doc_bytes(d);
		doc_release(d);
		return;
	}
}

static void doc_evict(struct surface *s)
{
	while (s->doc_bytes > DOC_MEMORY) {
		const struct doc *oldest = NULL;
		for (unsigned i = 0; i < DOC_BUCKETS; i++) {
			for (const struct doc *d = s->bucket[i]; d; d = d->next) {
				if (!oldest || d->used < oldest->used)
					oldest = d;
			}
		}
		if (!oldest)
			return; /* the sum of nothing is 0: only for who reads this alone */
		doc_remove(s, oldest->key);
	}
}

/* Under the lock; takes a reference of its own. */
static void doc_add(struct surface *s, struct doc *d)
{
	doc_remove(s, d->key);
	atomic_fetch_add(&d->refs, 1);
	d->used = clock_ms();
	d->next = s->bucket[bucket_of(d->key)];
	s->bucket[bucket_of(d->key)] = d;
	s->doc_bytes += doc_bytes(d);
	doc_evict(s);
}

void docs_free(struct surface *s)
{
	for (unsigned i = 0; i < DOC_BUCKETS; i++) {
		while (s->bucket[i])
			doc_remove(s, s->bucket[i]->key);
	}
	vec_release(&s->doc_flight);
}

/* JSON as received → a document. */
static int doc_make(struct doc **out, const uint8_t key[32], str json, str validator, str name, str base, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT, record = BUF_INIT;
	uint8_t sha[32];
	char hex[65];

	if (npm_rewrite(&text, json, base, name, e) < 0 || packument_compile(&record, json, name, e) < 0)
		return err_ctx(e, "package " STR_FMT, STR_ARG(name));
	struct doc *d = xcalloc(1, sizeof(*d));
	struct libdeflate_compressor *z = libdeflate_alloc_compressor(4);
	if (!z)
		die_oom(0);
	size_t room = libdeflate_gzip_compress_bound(z, text.n);
	d->gz = xmalloc(room);
	d->n = libdeflate_gzip_compress(z, text.p, text.n, d->gz, room);
	libdeflate_free_compressor(z);
	d->gz = xrealloc(d->gz, d->n + 1);
	d->plain = text.n;
	sha256(sha, text.p, text.n);
	hex_print(hex, sha, 32);
	snprintf(d->etag, sizeof(d->etag), "\"%.32s\"", hex);
	d->validator = xstrndup(validator);
	d->nrecord = record.n;
	d->record = (uint8_t *)buf_steal(&record, &room);
	memcpy(d->key, key, 32);
	atomic_init(&d->refs, 1);
	*out = d;
	return 0;
}

/* ---- as received, on disk: validator, "\n" and the body ---- */

struct kept {
	struct buf file;
	str validator, json; /* into file */
	struct buf plain;
};

static void kept_release(struct kept *k)
{
	buf_release(&k->file);
	buf_release(&k->plain);
}

static bool kept_read(struct kept *k, struct surface *s, const uint8_t key[32])
{
	uint64_t size;
	struct err e;
	str head, body;
	int fd = blobs_open(s->blobs, key, &size);

	if (fd < 0 || size > MAX_KEPT) {
		fs_close(fd);
		return false;
	}
	char *to = buf_reserve(&k->file, (size_t)size + 1);
	while (k->file.n < size) {
		ssize_t n = pread(fd, to + k->file.n, (size_t)size - k->file.n, (off_t)k->file.n);
		if (n <= 0)
			break;
		k->file.n += (size_t)n;
	}
	fs_close(fd);
	if (k->file.n < size || !str_cut(buf_str(&k->file), '\n', &head, &body))
		return false;
	if (registry_decode(&k->plain, body, true, &e) < 0) {
		blobs_remove(s->blobs, key); /* spoiled: fetched again */
		return false;
	}
	k->validator = head;
	k->json = buf_str(&k->plain);
	return true;
}

static bool kept_write(struct surface *s, const uint8_t key[32], str validator, str raw, bool gzip)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct err e;

	if (validator.n > 1000 || str_find(validator, '\n', 0) != SIZE_MAX)
		validator = STR_NONE;
	buf_add(&b, validator);
	buf_addc(&b, '\n');
	if (gzip) {
		buf_add(&b, raw);
	} else {
		struct libdeflate_compressor *z = libdeflate_alloc_compressor(1);
		if (!z)
			die_oom(0);
		size_t room = libdeflate_gzip_compress_bound(z, raw.n);
		b.n += libdeflate_gzip_compress(z, raw.p, raw.n, buf_reserve(&b, room), room);
		libdeflate_free_compressor(z);
	}
	int rc = blobs_put(s->blobs, key, buf_str(&b), &e);
	if (rc < 0)
		log_debug("registry", "kept=0 message=\"%s\"", e.msg);
	return rc == 0;
}

/* ---- asking the upstream; blocks ---- */

struct ask {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool ended, not_modified, gzip;
	int code;
	struct err err;
	struct buf raw;
	char validator[1024];
};

static void on_packument(void *arg, int code, const struct registry_packument *p, const struct err *e)
{
	struct ask *q = arg;

	pthread_mutex_lock(&q->lock);
	q->code = code;
	if (code < 0) {
		q->err = *e;
	} else {
		q->not_modified = p->not_modified;
		q->gzip = p->gzip;
		buf_add(&q->raw, p->raw);
		if (p->validator.n < sizeof(q->validator))
			memcpy(q->validator, p->validator.p ? p->validator.p : "", p->validator.n);
	}
	q->ended = true;
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
}

static void ask(struct ask *q, struct surface *s, str url, str name, enum packument_form form, str validator)
{
	registry_packument_raw(s->o.registry, url, name, form, validator, false, on_packument, q);
	pthread_mutex_lock(&q->lock);
	while (!q->ended)
		pthread_cond_wait(&q->cond, &q->lock);
	pthread_mutex_unlock(&q->lock); /* also: on_packument has let go of it */
	pthread_cond_destroy(&q->cond);
	pthread_mutex_destroy(&q->lock);
}

/* What an upstream that is not well answers, as opposed to one that says no. */
static bool is_trouble(int code)
{
	return code == ERR_NET || code == ERR_TIMEOUT || code == ERR_BUSY || code == ERR_PARSE || code == ERR_IO;
}

struct want {
	str name, base;
	enum packument_form form;
	uint8_t key[32], file[32];
	str url;
};

static int want_init(struct want *w, struct surface *s, str name, enum packument_form form, str base, struct err *e)
{
	str f = form == PACKUMENT_FULL ? STR("full") : STR("short");

	*w = (struct want){ .name = name, .base = base, .form = form };
	if (upstream_route(&w->url, s->o.upstreams, name, STR_NONE, e) < 0)
		return e->code;
	surface_key(w->key, "doc", f, name, base);
	surface_key(w->file, "packument", f, name, w->url);
	return 0;
}

/* Under no lock. OLD: what is in memory, or NULL. */
static int fetch(
	struct doc **out, enum doc_age *age, struct surface *s, const struct want *w, struct doc *old, struct err *e)
{
	struct ask q = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	AUTO(kept_release) struct kept kept = { 0 };
	AUTO(buf_release) struct buf json = BUF_INIT;
	bool has = !old && kept_read(&kept, s, w->file), unkept = false;
	str validator = old ? str_of(old->validator) : has ? kept.validator : STR_NONE;
	int rc = 0;

	*age = DOC_FRESH;
	ask(&q, s, w->url, w->name, w->form, validator);
	bool down = q.code < 0 && is_trouble(q.code) && (old || has);
	if (q.code < 0 && !down) {
		*e = q.err;
		rc = e->code;
	} else if (down || q.not_modified) {
		if (old)
			atomic_fetch_add(&old->refs, 1);
		else if (has)
			rc = doc_make(&old, w->key, kept.json, kept.validator, w->name, w->base, e);
		else
			rc = err_set(e, ERR_NET, "package " STR_FMT ": the registry says 304 to who has nothing",
				STR_ARG(w->name));
		*age = down ? DOC_UPSTREAM_DOWN : DOC_FRESH;
		if (rc == 0)
			*out = old;
	} else {
		rc = registry_decode(&json, buf_str(&q.raw), q.gzip, e);
		if (rc == 0)
			rc = doc_make(out, w->key, buf_str(&json), str_of(q.validator), w->name, w->base, e);
		unkept = rc == 0 && !kept_write(s, w->file, str_of(q.validator), buf_str(&q.raw), q.gzip);
	}
	buf_release(&q.raw);
	/* What is stale because the upstream is down is asked for again soon, not at each request. */
	if (rc == 0) {
		atomic_store(&(*out)->at, clock_ms() - (down ? s->o.fresh_ms - RETRY_MS : 0));
		atomic_store(&(*out)->down, down);
	}
	lock_timed(&s->lock, s->o.lock_waits);
	s->n.doc_fetched += q.code == 0 && !q.not_modified;
	s->n.doc_revalidated += q.code == 0 && q.not_modified;
	s->n.doc_down += down;
	s->n.doc_unkept += unkept;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* ---- who asks together ---- */

/* Under the lock. */
static struct doc_flight *doc_flight_of(struct surface *s, const uint8_t key[32])
{
	for (size_t i = 0; i < s->doc_flight.n; i++) {
		if (memcmp(s->doc_flight.p[i]->key, key, 32) == 0)
			return s->doc_flight.p[i];
	}
	return NULL;
}

/* Under the lock: F is gone before anybody is told. */
static void doc_flight_end(struct surface *s, const struct doc_flight *f)
{
	for (size_t i = 0; i < s->doc_flight.n; i++) {
		if (s->doc_flight.p[i] == f)
			s->doc_flight.p[i] = s->doc_flight.p[--s->doc_flight.n];
	}
	pthread_cond_broadcast(&s->landed);
}

static struct absent *absent_of(struct surface *s, const uint8_t key[32])
{
	return &s->absent[(key[2] | (unsigned)key[3] << 8) % ABSENT_MOST];
}

static int flight_result(struct doc **out, enum doc_age *age, const struct doc_flight *f, struct err *e)
{
	if (f->code < 0) {
		*e = f->err;
		return f->code;
	}
	atomic_fetch_add(&f->doc->refs, 1);
	*out = f->doc;
	*age = f->age;
	return 0;
}

/* Under the lock, given up for as long as it fetches or waits. */
static int fetch_together(
	struct doc **out, enum doc_age *age, struct surface *s, const struct want *w, struct doc *old, struct err *e)
{
	struct doc_flight *f = doc_flight_of(s, w->key);
	int rc;

	if (f) {
		f->waiters++;
		while (!f->ended)
			pthread_cond_wait(&s->landed, &s->lock);
		rc = flight_result(out, age, f, e);
	} else {
		f = xcalloc(1, sizeof(*f));
		memcpy(f->key, w->key, 32);
		f->waiters = 1;
		*vec_add(&s->doc_flight) = f;
		if (old)
			atomic_fetch_add(&old->refs, 1);
		pthread_mutex_unlock(&s->lock);
		f->code = fetch(&f->doc, &f->age, s, w, old, &f->err);
		doc_release(old);
		lock_timed(&s->lock, s->o.lock_waits);
		f->ended = true;
		if (f->code == 0)
			doc_add(s, f->doc);
		if (f->code == ERR_NOTFOUND) {
			doc_remove(s, w->key);
			struct absent *no = absent_of(s, w->key);
			memcpy(no->key, w->key, 32);
			no->until_ms = clock_ms() + (s->o.fresh_ms < ABSENT_MS ? s->o.fresh_ms : ABSENT_MS);
		}
		rc = flight_result(out, age, f, e);
		doc_flight_end(s, f);
	}
	if (--f->waiters == 0) {
		doc_release(f->doc);
		free(f);
	}
	return rc;
}

/* ---- stale-while-revalidate ---- */

struct refresh {
	struct surface_task task; /* first */
	struct surface *s;
	struct want w;
	struct arena a;
	struct doc *old;
};

static void refresh_drop(struct surface_task *t)
{
	struct refresh *r = (struct refresh *)t;

	atomic_store(&r->old->refreshing, false);
	doc_release(r->old);
	arena_release(&r->a);
	free(r);
}

static void refresh_run(struct surface_task *t)
{
	struct refresh *r = (struct refresh *)t;
	struct doc *d = NULL;
	enum doc_age age;
	struct err e;

	lock_timed(&r->s->lock, r->s->o.lock_waits);
	int rc = fetch_together(&d, &age, r->s, &r->w, r->old, &e);
	pthread_mutex_unlock(&r->s->lock);
	if (rc < 0)
		log_info("registry", "package=" STR_FMT " refresh=failed message=\"%s\"", STR_ARG(r->w.name), e.msg);
	doc_release(d);
	refresh_drop(t);
}

static void refresh_start(struct surface *s, const struct want *w, struct doc *old)
{
	if (atomic_exchange(&old->refreshing, true))
		return;
	struct refresh *r = xcalloc(1, sizeof(*r));
	r->task = (struct surface_task){ refresh_run, refresh_drop };
	r->s = s;
	r->w = *w;
	r->a.chunk_size = 1024;
	r->w.name = arena_str(&r->a, w->name);
	r->w.base = arena_str(&r->a, w->base);
	r->old = old;
	atomic_fetch_add(&old->refs, 1);
	if (!surface_run_asking(s, &r->task))
		refresh_drop(&r->task);
}

/* ---- asked from outside ---- */

struct doc *surface_doc_peek(struct surface *s, str name, enum packument_form form, str base)
{
	struct want w;
	struct err e;

	if (want_init(&w, s, name, form, base, &e) < 0)
		return NULL;
	lock_timed(&s->lock, s->o.lock_waits);
	struct doc *d = doc_find(s, w.key);
	if (d && clock_ms() - atomic_load(&d->at) < s->o.fresh_ms) {
		d->used = clock_ms();
		atomic_fetch_add(&d->refs, 1);
		s->n.docs++;
		s->n.doc_hits++;
	} else {
		d = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	return d;
}

int surface_doc(struct doc **out, enum doc_age *age, struct surface *s, str name, enum packument_form form, str base,
	bool ask, struct err *e)
{
	struct want w;
	int rc = 0;

	if (want_init(&w, s, name, form, base, e) < 0)
		return e->code;
	lock_timed(&s->lock, s->o.lock_waits);
	struct doc *d = doc_find(s, w.key);
	int64_t now = clock_ms(), old = d ? now - atomic_load(&d->at) : 0;
	const struct absent *no = absent_of(s, w.key);
	if (no->until_ms > now && memcmp(no->key, w.key, 32) == 0) {
		s->n.doc_absent++;
		rc = err_set(e, ERR_NOTFOUND, "package \"" STR_FMT "\" is not in the registry " STR_FMT, STR_ARG(name),
			STR_ARG(w.url));
	} else if (d && old < 2 * s->o.fresh_ms) {
		/* Up to as long again as it was fresh it is sent at once, and asked for meanwhile. */
		atomic_fetch_add(&d->refs, 1);
		d->used = now;
		*out = d;
		*age = old >= s->o.fresh_ms ? DOC_STALE : atomic_load(&d->down) ? DOC_UPSTREAM_DOWN : DOC_FRESH;
		s->n.doc_hits += *age == DOC_FRESH;
		s->n.doc_stale += *age == DOC_STALE;
	} else {
		rc = ask ? fetch_together(out, age, s, &w, d, e) : SURFACE_ASKS;
	}
	s->n.docs += rc != SURFACE_ASKS;
	pthread_mutex_unlock(&s->lock);
	if (rc == 0 && *age == DOC_STALE)
		refresh_start(s, &w, *out);
	return rc;
}
