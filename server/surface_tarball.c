/* The tarballs of surface.h. A flight's file is written on the fetch thread and read by whoever waits. It lies in
 * memory, as long as there is room for it, so that nobody waits for a disk that stalls; a keeper brings it there. Where
 * there is no room it goes to the disk at once, and when that is full, back. */
#include "fs.h"
#include "integrity.h"
#include "log.h"
#include "surface_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct flight {
	struct surface_task task; /* first: keeping it */
	struct surface *s;
	_Atomic unsigned refs; /* the table, the fetch (then the task), each reader */
	uint8_t key[32];
	struct digest want;
	char *label, etag[132];
	int fd;                /* what it stands for changes, not the number */
	char temp[32];         /* its name on the disk; "": it is in memory */
	bool was_full;         /* the disk was: it does not go there again */
	_Atomic uint64_t held; /* bytes of the surface's flight_memory */
	uint64_t queued;       /* and of its keep_memory */
	struct hasher *hash;   /* fetch thread */
	uint64_t pos;          /* fetch thread: of the attempt that runs */
	pthread_mutex_t lock;  /* all below */
	uint64_t size;
	bool ended;
	unsigned generation;
	int code, os;
	struct flight_waiter *waiter;
};

void flight_release(struct flight *f)
{
	if (!f || atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	fs_close(f->fd);
	atomic_fetch_sub(&f->s->flight_memory, f->held);
	hasher_free(f->hash);
	free(f->label);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/* Under the surface's lock. */
static void flight_remove(struct surface *s, struct flight *f)
{
	for (size_t i = 0; i < s->flight.n; i++) {
		if (s->flight.p[i] == f) {
			s->flight.p[i] = s->flight.p[--s->flight.n];
			flight_release(f);
			return;
		}
	}
}

void flights_free(struct surface *s)
{
	while (s->flight.n)
		flight_remove(s, s->flight.p[0]);
	vec_release(&s->flight);
}

/* Tells all who wait; under the flight's lock, which they may not take. */
static void flight_wake(struct flight *f)
{
	struct flight_waiter *w = f->waiter;

	f->waiter = NULL;
	while (w) {
		struct flight_waiter *next = w->next;
		w->wake(w);
		w = next;
	}
}

bool flight_look(struct flight *f, struct flight_state *out, uint64_t at, struct flight_waiter *w)
{
	pthread_mutex_lock(&f->lock);
	*out = (struct flight_state){ f->size, f->ended, f->generation, f->code, f->ended && f->os != 0 };
	bool waits = w && !f->ended && at >= f->size;
	if (waits) {
		w->next = f->waiter;
		f->waiter = w;
	}
	pthread_mutex_unlock(&f->lock);
	return waits;
}

/* ---- bytes; on the fetch thread ---- */

/* An attempt after the first: what the file has already has to come again. Bytes of P used, or -1: they differ. */
static ptrdiff_t compare(const struct flight *f, const char *p, size_t n)
{
	char old[16384];
	size_t done = 0;

	while (done < n && f->pos + done < f->size) {
		size_t want = n - done < sizeof(old) ? n - done : sizeof(old);
		ssize_t got = pread(f->fd, old, want, (off_t)(f->pos + done));
		if (got <= 0 || memcmp(old, p + done, (size_t)got) != 0)
			return -1;
		done += (size_t)got;
	}
	return (ptrdiff_t)done;
}

static bool is_full(int os)
{
	return os == ENOSPC || os == EDQUOT;
}

/* Room in memory for SIZE bytes of it, of which it may have some already. */
static bool hold(struct flight *f, uint64_t size)
{
	if (size <= f->held)
		return true;
	if (size > FLIGHT_HELD && !f->was_full)
		return false;
	uint64_t n = size - f->held;
	if (atomic_fetch_add(&f->s->flight_memory, n) + n > FLIGHT_MEMORY) {
		atomic_fetch_sub(&f->s->flight_memory, n);
		return false;
	}
	f->held += n;
	return true;
}

/* Copies the first SIZE bytes of FROM to the end of TO. False: errno says why. */
static bool copy(int to, int from, uint64_t size)
{
	char bytes[65536];

	for (uint64_t at = 0; at < size;) {
		size_t want = size - at < sizeof(bytes) ? (size_t)(size - at) : sizeof(bytes);
		ssize_t n = pread(from, bytes, want, (off_t)at);
		if (n == 0)
			errno = EIO;
		if (n <= 0 || fs_write_all(to, bytes, (size_t)n) != 0)
			return false;
		at += (uint64_t)n;
	}
	return true;
}

/* It needs no room in memory any more. */
static void unhold(struct flight *f)
{
	atomic_fetch_sub(&f->s->flight_memory, f->held);
	f->held = 0;
}

/* The disk is full. What the file has is copied, so that who reads finds the same bytes under the same number. False:
 * no memory for it either. */
static bool flight_to_memory(struct flight *f, uint64_t size)
{
	int to = memfd_create("tarball", MFD_CLOEXEC);

	f->was_full = true;
	bool ok = to >= 0 && hold(f, size) && copy(to, f->fd, size) && dup3(to, f->fd, O_CLOEXEC) >= 0;

	fs_close(to);
	if (ok) {
		blobs_drop(f->s->blobs, f->temp);
		f->temp[0] = 0;
	}
	return ok;
}

/* The other way. False: f->os says why. */
static bool flight_to_disk(struct flight *f, uint64_t size)
{
	char temp[32];
	struct err e;
	int to;

	f->os = ENOSPC; /* of memory, where the disk is full already */
	if (f->was_full)
		return false;
	if (blobs_temp(f->s->blobs, &to, temp, &e) < 0) {
		f->os = e.code == ERR_NOSPACE ? ENOSPC : EIO;
		f->was_full = is_full(f->os);
		return false;
	}
	bool ok = copy(to, f->fd, size) && dup3(to, f->fd, O_CLOEXEC) >= 0;
	f->os = ok ? 0 : errno;
	fs_close(to);
	if (!ok) {
		f->was_full = is_full(f->os);
		blobs_drop(f->s->blobs, temp);
		return false;
	}
	memcpy(f->temp, temp, sizeof(temp));
	unhold(f);
	return true;
}

/* Room for what it has from then on: SIZE bytes, of which it HAS some. False: f->os says why. */
static bool room(struct flight *f, uint64_t has, uint64_t size)
{
	if (f->temp[0] || hold(f, size) || flight_to_disk(f, has))
		return true;
	if (!is_full(f->os) || !hold(f, size))
		return false;
	f->os = 0; /* in memory, however large */
	return true;
}

static bool write_at(struct flight *f, const char *p, size_t n, uint64_t at)
{
	for (size_t done = 0; done < n;) {
		if (!room(f, at + done, at + n))
			return false;
		ssize_t k = pwrite(f->fd, p + done, n - done, (off_t)(at + done));
		int why = errno;
		if (k > 0)
			done += (size_t)k;
		else if (k < 0 && why == EINTR)
			continue;
		else if (!f->temp[0] || !is_full(why) || !flight_to_memory(f, at + done)) {
			f->os = why;
			return false;
		}
	}
	return true;
}

static ptrdiff_t on_bytes(void *arg, const void *p, size_t n)
{
	struct flight *f = arg;
	ptrdiff_t skip = 0;

	if (!p) {
		struct digest none;
		hasher_end(f->hash, &none);
		f->pos = 0;
		return 0;
	}
	hasher_add(f->hash, p, n);
	pthread_mutex_lock(&f->lock);
	if (f->pos < f->size && (skip = compare(f, p, n)) < 0) {
		f->generation++; /* whoever has read past here has read wrong bytes */
		f->size = f->pos;
		skip = 0;
	}
	size_t left = n - (size_t)skip;
	uint64_t at = f->pos + (uint64_t)skip;
	pthread_mutex_unlock(&f->lock);
	if (!write_at(f, (const char *)p + skip, left, at))
		return -1;
	f->pos += n;
	pthread_mutex_lock(&f->lock);
	if (f->pos > f->size) {
		f->size = f->pos;
		flight_wake(f);
	}
	pthread_mutex_unlock(&f->lock);
	return (ptrdiff_t)n;
}

/* On the disk, under its name; from there it is read from now on. */
static int flight_store(struct flight *f, struct err *e)
{
	struct surface *s = f->s;
	char temp[32];
	int to;

	if (f->temp[0])
		return blobs_keep(s->blobs, f->key, f->fd, f->temp, e);
	if (blobs_temp(s->blobs, &to, temp, e) < 0)
		return e->code;
	int rc = 0;
	if (copy(to, f->fd, f->size)) {
		rc = blobs_keep(s->blobs, f->key, to, temp, e);
	} else {
		rc = err_os(e, "write tmp/%s", temp);
		blobs_drop(s->blobs, temp);
	}
	if (rc == 0 && dup3(to, f->fd, O_CLOEXEC) >= 0)
		unhold(f);
	fs_close(to);
	return rc;
}

/* False: the keepers are behind. */
static bool keep_room(struct flight *f)
{
	f->queued = f->held;
	atomic_fetch_add(&f->s->keeps, 1);
	uint64_t others = atomic_fetch_add(&f->s->keep_memory, f->queued);
	return !others || others + f->queued <= KEEP_MEMORY;
}

/* The keepers are behind, or the surface ends. */
static void flight_drop(struct surface_task *t)
{
	struct flight *f = (struct flight *)t;
	struct surface *s = f->s;

	atomic_fetch_sub(&s->keep_memory, f->queued);
	atomic_fetch_sub(&s->keeps, 1);
	if (f->temp[0])
		blobs_drop(s->blobs, f->temp);
	log_warn("registry", "tarball=%s kept=0 message=\"the disk does not keep up\"", f->label);
	lock_timed(&s->lock, s->o.lock_waits);
	s->n.tarball_unkept++;
	flight_remove(s, f);
	pthread_mutex_unlock(&s->lock);
	flight_release(f);
}

static void flight_keep(struct surface_task *t)
{
	struct flight *f = (struct flight *)t;
	struct surface *s = f->s;
	struct err e;

	int rc = flight_store(f, &e);
	atomic_fetch_sub(&s->keep_memory, f->queued);
	atomic_fetch_sub(&s->keeps, 1);
	if (rc < 0)
		log_warn("registry", "tarball=%s kept=0 message=\"%s\"", f->label, e.msg);
	lock_timed(&s->lock, s->o.lock_waits);
	s->n.tarball_unkept += rc < 0;
	flight_remove(s, f);
	pthread_mutex_unlock(&s->lock);
	flight_release(f);
}

static void on_end(void *arg, int code, uint64_t bytes, const struct err *e)
{
	struct flight *f = arg;
	struct surface *s = f->s;
	struct digest got;

	(void)bytes;
	hasher_end(f->hash, &got);
	pthread_mutex_lock(&f->lock);
	if (code < 0 && f->os) /* it was we who stopped */
		code = is_full(f->os) ? ERR_NOSPACE : ERR_IO;
	if (code == 0 && (f->pos != f->size || !digest_eq(&got, &f->want)))
		code = ERR_INTEGRITY;
	if (code == ERR_INTEGRITY)
		log_warn("registry", "tarball=%s failed=integrity bytes=%llu", f->label, (unsigned long long)f->pos);
	else if (code < 0)
		log_info("registry", "tarball=%s failed=%s message=\"%s\"", f->label, err_name(code),
			f->os ? strerror(f->os) : e->msg);
	pthread_mutex_unlock(&f->lock);
	/* A failed one is gone before anybody is told. */
	lock_timed(&s->lock, s->o.lock_waits);
	*(code < 0 ? &s->n.tarball_failed : &s->n.tarball_fetched) += 1;
	s->flying--;
	if (code < 0)
		flight_remove(s, f);
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_lock(&f->lock);
	f->ended = true;
	f->code = code;
	flight_wake(f);
	pthread_mutex_unlock(&f->lock);
	if (code < 0) {
		if (f->temp[0])
			blobs_drop(s->blobs, f->temp);
		flight_release(f);
	} else if (!keep_room(f) || !surface_run_keeping(s, &f->task)) {
		flight_drop(&f->task);
	}
	/* The surface may end from here on. */
	lock_timed(&s->lock, s->o.lock_waits);
	s->fetching--;
	pthread_cond_broadcast(&s->landed);
	pthread_mutex_unlock(&s->lock);
}

/* ---- where a tarball is ---- */

struct where {
	str url, sri; /* in the arena */
	bool old;     /* as it was once: enough for what is on disk */
};

static int where_in(struct where *out, struct packument p, str version, struct arena *a, struct err *e)
{
	uint32_t i = packument_find(p, version);

	if (i == UINT32_MAX)
		return err_set(e, ERR_NOTFOUND, "package " STR_FMT " has no version " STR_FMT,
			STR_ARG(packument_name(p)), STR_ARG(version));
	*out = (struct where){ .url = arena_str(a, packument_tarball(p, i, a)),
		.sri = arena_str(a, packument_integrity(p, i)) };
	if (!out->sri.n)
		return err_set(e, ERR_INTEGRITY, STR_FMT "@" STR_FMT " has no integrity in its packument",
			STR_ARG(packument_name(p)), STR_ARG(version));
	return 0;
}

enum { RESOLVER_MOST = 4096 }; /* asked for one upstream's packages */

static void on_meta(void *arg, struct meta_record *r, const struct err *e)
{
	struct surface_ask *k = arg;
	struct surface *s = k->s;
	struct doc_upstream *up = k->up;

	k->r = r;
	if (!r)
		k->err = *e;
	k->landed(k);
	lock_timed(&s->lock, s->o.lock_waits);
	up->resolver--;
	s->fetching--;
	pthread_cond_broadcast(&s->landed);
	pthread_mutex_unlock(&s->lock);
	/* The surface may end from here on. */
}

int surface_ask(struct surface *s, struct surface_ask *k, str name, struct err *e)
{
	int rc = 0;
	str url;

	if (upstream_route(&url, s->o.upstreams, name, STR_NONE, e) < 0)
		return e->code;
	lock_timed(&s->lock, s->o.lock_waits);
	k->s = s;
	k->up = surface_upstream(s, url);
	if (s->closing)
		rc = err_set(e, ERR_BUSY, "this server is shutting down");
	else if (k->up->resolver >= RESOLVER_MOST)
		rc = err_set(
			e, ERR_BUSY, "%d tarballs of " STR_FMT " are waited for already", RESOLVER_MOST, STR_ARG(url));
	if (rc == 0) {
		k->up->resolver++;
		s->fetching++;
	}
	pthread_mutex_unlock(&s->lock);
	if (rc == 0)
		meta_want(s->o.meta, url, name, PACKUMENT_ABBREVIATED, on_meta, k);
	return rc;
}

static int where_from_ask(struct where *out, const struct surface_ask *k, str version, struct arena *a, struct err *e)
{
	if (k->r)
		return where_in(out, meta_packument(k->r), version, a, e);
	*e = k->err;
	return e->code;
}

/* In a packument that was sent to somebody, whichever base it was made for, else in what the resolver knows. */
static int where_is(struct where *out, struct surface *s, str name, str version, str base,
	const struct surface_ask *asked, struct arena *a, struct err *e)
{
	static const char *const forms[] = { "short", "full" };
	struct packument p;
	uint8_t key[32];
	str url;

	if (upstream_route(&url, s->o.upstreams, name, STR_NONE, e) < 0)
		return e->code;
	for (int i = 0; i < 2; i++) {
		surface_key(key, "doc", str_of(forms[i]), name, base);
		lock_timed(&s->lock, s->o.lock_waits);
		struct doc *d = doc_find(s, key);
		if (d)
			atomic_fetch_add(&d->refs, 1);
		pthread_mutex_unlock(&s->lock);
		bool hit =
			d && packument_open(&p, d->record, d->nrecord, e) == 0 && where_in(out, p, version, a, e) == 0;
		doc_release(d);
		if (hit)
			return 0;
	}
	if (asked)
		return where_from_ask(out, asked, version, a, e);
	struct meta_record *r = meta_peek(s->o.meta, url, name, PACKUMENT_ABBREVIATED);
	bool fresh = r != NULL;
	if (!r)
		r = meta_look(s->o.meta, url, name, PACKUMENT_ABBREVIATED);
	if (!r)
		return SURFACE_ASKS;
	int rc = where_in(out, meta_packument(r), version, a, e);
	out->old = !fresh;
	meta_record_release(r);
	return rc < 0 && !fresh ? SURFACE_ASKS : rc; /* an old one may not have the version yet */
}

/* ---- asked from outside ---- */

static void src_etag(char etag[132], const struct digest *d)
{
	char hex[129];

	hex_print(hex, d->b, d->n);
	snprintf(etag, 132, "\"%s\"", hex);
}

void surface_tarball_name(uint8_t out[32], const struct digest *d)
{
	char etag[132];

	src_etag(etag, d);
	surface_key(out, "tarball", str_of(etag), STR_NONE, STR_NONE);
}

/* Under the lock: the flight that has KEY, referenced. */
static struct flight *flight_join(struct surface *s, const uint8_t key[32])
{
	for (size_t i = 0; i < s->flight.n; i++) {
		struct flight *f = s->flight.p[i];
		if (memcmp(f->key, key, 32) == 0) {
			atomic_fetch_add(&f->refs, 1);
			return f;
		}
	}
	return NULL;
}

/* Under the lock: checked and registered in one. *fresh: the caller starts it. */
static struct flight *flight_enter(
	struct surface *s, const uint8_t key[32], const struct digest *want, str label, bool *fresh, struct err *e)
{
	struct flight *f = flight_join(s, key);

	*fresh = !f;
	if (f) {
		s->n.tarball_joined++;
		return f;
	}
	if (s->closing) {
		err_set(e, ERR_BUSY, "this server is shutting down");
		return NULL;
	}
	if (s->flying >= FLIGHTS_MOST) {
		err_set(e, ERR_BUSY, "%d tarballs are being fetched already", FLIGHTS_MOST);
		return NULL;
	}
	f = xcalloc(1, sizeof(*f));
	f->s = s;
	f->task = (struct surface_task){ flight_keep, flight_drop };
	memcpy(f->key, key, 32);
	f->want = *want;
	pthread_mutex_init(&f->lock, NULL);
	f->fd = memfd_create("tarball", MFD_CLOEXEC); /* no disk: others wait for the lock */
	if (f->fd < 0) {
		err_os(e, "memory for a tarball");
		atomic_init(&f->refs, 1);
		flight_release(f);
		return NULL;
	}
	f->hash = hasher_new(want->alg);
	f->label = xstrndup(label);
	atomic_init(&f->refs, 3); /* the table, the fetch, the caller */
	*vec_add(&s->flight) = f;
	s->flying++;
	s->fetching++;
	return f;
}

int surface_tarball(struct tarball_src *out, struct surface *s, str name, str version, str base,
	const struct surface_ask *asked, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	struct digest want;
	struct where at;
	uint8_t key[32];
	bool fresh;

	*out = (struct tarball_src){ .fd = -1 };
	int rc = where_is(&at, s, name, version, base, asked, &a, e);
	if (rc != 0)
		return rc;
	if (integrity_parse(&want, at.sri, e) < 0 || upstream_tarball(s->o.upstreams, name, at.url, e) < 0)
		return at.old ? SURFACE_ASKS : e->code;
	src_etag(out->etag, &want);
	surface_tarball_name(key, &want);
	out->fd = blobs_open(s->blobs, key, &out->size);
	lock_timed(&s->lock, s->o.lock_waits);
	if (out->fd >= 0) {
		s->n.tarball_hits++;
		pthread_mutex_unlock(&s->lock);
		return 0;
	}
	if (at.old) {
		pthread_mutex_unlock(&s->lock);
		return SURFACE_ASKS;
	}
	str label = arena_printf(&a, STR_FMT "@" STR_FMT, STR_ARG(name), STR_ARG(version));
	struct flight *f = flight_enter(s, key, &want, label, &fresh, e);
	pthread_mutex_unlock(&s->lock);
	if (!f)
		return e->code;
	if (fresh)
		registry_tarball(s->o.registry,
			&(struct registry_tarball){
				.url = at.url, .name = name, .data = on_bytes, .done = on_end, .arg = f });
	out->fd = f->fd;
	out->flight = f;
	return 0;
}
