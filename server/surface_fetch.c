/* What surface.h asks upstreams for: one fetch of a packument, whom it is told to, and the lines of those that wait for
 * their turn. A fetch holds no thread: it begins on a worker, which looks at what is kept, comes in on the fetch
 * thread, and is made into a document by a maker. */
#include "base/clock.h"
#include "log.h"
#include "surface_impl.h"
#include <stdio.h>
#include <stdlib.h>

enum { ABSENT_MS = 30 * 1000, RETRY_MS = 5 * 1000 };
/* Of one upstream: packuments that are asked for or being made into documents at a time, and what waits behind them; a
 * refresh, which nobody waits for, leaves room. */
enum { WAITING_MOST = 4096, REFRESH_MOST = 1024 };

struct want {
	str name, base;
	enum packument_form form;
	uint8_t key[32], file[32];
	str url;
};

/* Begun under the lock; until it is asked for it waits in its upstream's line. From then on it is the fetch thread's,
 * then a maker's, but for `waiters`. */
struct doc_flight {
	struct surface_task task; /* first: makes what came into a document */
	struct surface *s;
	struct doc_upstream *up;
	struct arena a;
	struct want w;
	struct doc *old; /* what was in memory; or NULL */
	/* Under the lock. */
	struct doc_flight *next;           /* of its bucket */
	struct doc_flight *ahead, *behind; /* in its line, while it waits in it */
	struct doc_waiter *waiters;
	bool asked, refresh; /* refresh: goes on though nobody waits */
	bool later;          /* in the line of those that nobody waits for */
	/* What was asked with, and what came. */
	bool anew; /* what is kept turned out to be spoiled: without a validator */
	char asked_with[MAX_VALIDATOR + 1], validator[MAX_VALIDATOR + 1];
	int code;
	struct err err;
	bool not_modified, gzip;
	struct buf raw;
};

/* What an upstream that is not well answers, as opposed to one that says no. */
static bool is_trouble(int code)
{
	return code == ERR_NET || code == ERR_TIMEOUT || code == ERR_BUSY || code == ERR_PARSE || code == ERR_IO;
}

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

static struct absent *absent_of(struct surface *s, const uint8_t key[32])
{
	return &s->absent[(key[2] | (unsigned)key[3] << 8) % ABSENT_MOST];
}

/* ---- flights; under the lock ---- */

struct doc_upstream *surface_upstream(struct surface *s, str url)
{
	struct doc_upstream *up = s->up;

	while (up && !str_eq(up->url, url))
		up = up->next;
	if (up)
		return up;
	up = xcalloc(1, sizeof(*up));
	up->url = url; /* lives as long as the upstreams */
	up->next = s->up;
	return s->up = up;
}

static struct doc_flight **flight_at(struct surface *s, const uint8_t key[32])
{
	struct doc_flight **at = &s->doc_flight[key[4] % DOC_FLIGHT_BUCKETS];

	while (*at && memcmp((*at)->w.key, key, 32) != 0)
		at = &(*at)->next;
	return at;
}

static struct doc_line *line_of(struct doc_flight *f)
{
	return f->later ? &f->up->later : &f->up->line;
}

static void line_join(struct doc_flight *f)
{
	struct doc_line *l = line_of(f);

	f->ahead = l->last;
	*(l->last ? &l->last->behind : &l->first) = f;
	l->last = f;
	f->up->waiting++;
}

static void line_leave(struct doc_flight *f)
{
	struct doc_line *l = line_of(f);

	*(f->ahead ? &f->ahead->behind : &l->first) = f->behind;
	*(f->behind ? &f->behind->ahead : &l->last) = f->ahead;
	f->ahead = f->behind = NULL;
	f->up->waiting--;
}

/* Somebody waits for what was a refresh only. */
static void line_forward(struct doc_flight *f)
{
	if (!f->later || f->asked)
		return;
	line_leave(f);
	f->later = false;
	line_join(f);
}

static struct doc_flight *line_next(const struct doc_upstream *up)
{
	return up->line.first ? up->line.first : up->later.first;
}

static void make_run(struct surface_task *t);
static void make_drop(struct surface_task *t);

/* NULL: E says why not. */
static struct doc_flight *flight_begin(
	struct surface *s, const struct want *w, struct doc *old, bool refresh, struct err *e)
{
	struct doc_upstream *up = surface_upstream(s, w->url);

	if (s->closing) {
		err_set(e, ERR_BUSY, "this server is shutting down");
		return NULL;
	}
	if (up->waiting >= (refresh ? REFRESH_MOST : WAITING_MOST)) {
		err_set(e, ERR_BUSY, "%u packuments of " STR_FMT " are waited for already", up->waiting,
			STR_ARG(up->url));
		return NULL;
	}
	struct doc_flight *f = xcalloc(1, sizeof(*f));
	f->task = (struct surface_task){ make_run, make_drop };
	f->s = s;
	f->up = up;
	f->a.chunk_size = 1024;
	f->w = *w;
	f->w.name = arena_str(&f->a, w->name);
	f->w.base = arena_str(&f->a, w->base);
	f->old = old;
	if (old)
		atomic_fetch_add(&old->refs, 1);
	f->refresh = f->later = refresh;
	*flight_at(s, w->key) = f; /* none: it was not there */
	line_join(f);
	return f;
}

/* Nobody knows it any more. */
static void flight_free(struct doc_flight *f)
{
	doc_release(f->old);
	buf_release(&f->raw);
	arena_release(&f->a);
	free(f);
}

/* It is over: F is gone before anybody is told, and those who waited are the caller's to tell. */
static struct doc_waiter *flight_remove(struct doc_flight *f)
{
	struct doc_waiter *all = f->waiters;

	*flight_at(f->s, f->w.key) = f->next;
	if (!f->asked)
		line_leave(f);
	f->waiters = NULL;
	for (struct doc_waiter *w = all; w; w = w->next)
		w->flight = NULL;
	return all;
}

/* Tells all who wait: D, which is borrowed, or NULL and why. Takes the lock, as the others below. */
static void flight_end(struct doc_flight *f, struct doc *d, enum doc_age age, const struct err *e)
{
	struct surface *s = f->s;

	lock_timed(&s->lock, s->o.lock_waits);
	if (d) {
		docs_add(s, d);
	} else if (e->code == ERR_NOTFOUND) {
		struct absent *no = absent_of(s, f->w.key);
		doc_remove(s, f->w.key);
		memcpy(no->key, f->w.key, 32);
		no->until_ms = clock_ms() + (s->o.fresh_ms < ABSENT_MS ? s->o.fresh_ms : ABSENT_MS);
	}
	struct doc_waiter *w = flight_remove(f);
	f->up->asked -= f->asked;
	pthread_mutex_unlock(&s->lock);
	if (!d && f->refresh)
		log_info("registry", "package=" STR_FMT " refresh=failed message=\"%s\"", STR_ARG(f->w.name), e->msg);
	while (w) {
		struct doc_waiter *next = w->next;
		if (d)
			atomic_fetch_add(&d->refs, 1);
		w->landed(w, d, age, e);
		w = next;
	}
	flight_free(f);
}

/* ---- asking; on a worker, since what is kept is looked at ---- */

static void on_packument(void *arg, int code, const struct registry_packument *p, const struct err *e)
{
	struct doc_flight *f = arg;
	struct surface *s = f->s;

	f->code = code;
	if (code < 0) {
		f->err = *e;
	} else {
		f->not_modified = p->not_modified;
		f->gzip = p->gzip;
		buf_add(&f->raw, p->raw);
		snprintf(f->validator, sizeof(f->validator), STR_FMT,
			STR_ARG(p->validator.n <= MAX_VALIDATOR ? p->validator : STR_NONE));
	}
	/* The queue has room for more than can be asked for: it refuses none. */
	if (!surface_run_making(s, &f->task))
		make_run(&f->task);
	lock_timed(&s->lock, s->o.lock_waits);
	s->fetching--;
	pthread_cond_broadcast(&s->landed);
	pthread_mutex_unlock(&s->lock);
	/* The surface may end from here on. */
}

static void flight_ask(struct doc_flight *f)
{
	if (f->old)
		snprintf(f->asked_with, sizeof(f->asked_with), "%s", f->old->validator);
	else if (!f->anew)
		kept_validator(f->asked_with, f->s, f->w.file);
	else
		f->asked_with[0] = 0;
	registry_packument(
		f->s->o.registry, f->w.url, f->w.name, f->w.form, str_of(f->asked_with), false, on_packument, f);
}

/* Asks for what waits in UP's line, as far as there is room. */
static void line_go_on(struct surface *s, struct doc_upstream *up)
{
	for (;;) {
		lock_timed(&s->lock, s->o.lock_waits);
		struct doc_flight *f = up->asked < ASKED_MOST && !s->closing ? line_next(up) : NULL;
		if (f) {
			line_leave(f);
			f->asked = true;
			up->asked++;
			s->fetching++;
		}
		pthread_mutex_unlock(&s->lock);
		if (!f)
			return;
		flight_ask(f);
	}
}

/* ---- what came; on a maker ---- */

enum { ASK_ANEW = 1 };

/* What there is when the upstream says that it is still right, or says nothing. */
static int make_known(struct doc **out, const struct doc_flight *f, struct err *e)
{
	AUTO(kept_release) struct kept kept = { 0 };
	struct surface *s = f->s;

	if (f->old) {
		atomic_fetch_add(&f->old->refs, 1);
		*out = f->old;
		return 0;
	}
	if (kept_read(&kept, s, f->w.file))
		return doc_make(out, f->w.key, kept.json, kept.validator, f->w.name, f->w.base, e);
	if (f->code < 0) {
		*e = f->err;
		return e->code;
	}
	if (f->asked_with[0])
		return ASK_ANEW;
	return err_set(e, ERR_NET, "package " STR_FMT ": the registry says 304 to who has nothing", STR_ARG(f->w.name));
}

/* What came, on its way to the disk. */
struct doc_keep {
	struct surface_task task; /* first */
	struct surface *s;
	uint8_t file[32];
	char validator[MAX_VALIDATOR + 1];
	bool gzip;
	struct buf raw;
};

static void keep_end(struct doc_keep *k, bool kept)
{
	struct surface *s = k->s;

	atomic_fetch_sub(&s->keep_memory, k->raw.n);
	atomic_fetch_sub(&s->keeps, 1);
	buf_release(&k->raw);
	free(k);
	lock_timed(&s->lock, s->o.lock_waits);
	s->n.doc_unkept += !kept;
	pthread_mutex_unlock(&s->lock);
}

static void keep_run(struct surface_task *t)
{
	struct doc_keep *k = (struct doc_keep *)t;

	keep_end(k, kept_write(k->s, k->file, str_of(k->validator), buf_str(&k->raw), k->gzip));
}

static void keep_drop(struct surface_task *t)
{
	keep_end((struct doc_keep *)t, false);
}

/* Takes F's body. Nobody waits for the disk: where it does not keep up what came is not kept. */
static void keep(struct doc_flight *f)
{
	struct surface *s = f->s;
	struct doc_keep *k = xcalloc(1, sizeof(*k));

	k->task = (struct surface_task){ keep_run, keep_drop };
	k->s = s;
	memcpy(k->file, f->w.file, 32);
	memcpy(k->validator, f->validator, sizeof(k->validator));
	k->gzip = f->gzip;
	k->raw = f->raw;
	f->raw = BUF_INIT;
	atomic_fetch_add(&s->keeps, 1);
	uint64_t others = atomic_fetch_add(&s->keep_memory, k->raw.n);
	if ((others && others + k->raw.n > KEEP_MEMORY) || !surface_run_keeping(s, &k->task))
		keep_drop(&k->task);
}

static int make_new(struct doc **out, struct doc_flight *f, struct err *e)
{
	AUTO(buf_release) struct buf json = BUF_INIT;
	str validator = str_of(f->validator), raw = buf_str(&f->raw);

	if (registry_decode(&json, raw, f->gzip, e) < 0 ||
		doc_make(out, f->w.key, buf_str(&json), validator, f->w.name, f->w.base, e) < 0)
		return e->code;
	keep(f);
	return 0;
}

/* ASK_ANEW: what is kept cannot be read after all. */
static int make(struct doc **out, enum doc_age *age, struct doc_flight *f, struct err *e)
{
	struct surface *s = f->s;
	bool trouble = f->code < 0 && is_trouble(f->code), fetched = false;
	struct err ignored;
	int rc;

	if (f->code < 0 && !trouble) {
		*e = f->err;
		rc = e->code;
	} else if (trouble || f->not_modified) {
		rc = make_known(out, f, e);
	} else {
		rc = make_new(out, f, e);
		fetched = rc == 0;
		/* It answers, but with what is no packument. */
		trouble = is_trouble(rc) && make_known(out, f, &ignored) == 0;
		rc = trouble ? 0 : rc;
	}
	bool down = trouble && rc == 0;
	*age = down ? DOC_UPSTREAM_DOWN : DOC_FRESH;
	/* What is stale because the upstream is down is asked for again soon, not at each request. */
	if (rc == 0) {
		atomic_store(&(*out)->at, clock_ms() - (down ? s->o.fresh_ms - RETRY_MS : 0));
		atomic_store(&(*out)->down, down);
	}
	lock_timed(&s->lock, s->o.lock_waits);
	s->n.doc_fetched += fetched;
	s->n.doc_revalidated += f->code == 0 && f->not_modified && rc == 0;
	s->n.doc_down += down;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* False: the surface ends. */
static bool ask_anew(struct doc_flight *f)
{
	struct surface *s = f->s;

	lock_timed(&s->lock, s->o.lock_waits);
	bool go = !s->closing;
	s->fetching += go;
	pthread_mutex_unlock(&s->lock);
	if (!go)
		return false;
	f->anew = true;
	buf_clear(&f->raw);
	flight_ask(f);
	return true;
}

static void make_run(struct surface_task *t)
{
	struct doc_flight *f = (struct doc_flight *)t;
	struct surface *s = f->s;
	struct doc_upstream *up = f->up;
	struct doc *d = NULL;
	enum doc_age age;
	struct err e = { 0 };

	int rc = make(&d, &age, f, &e);
	if (rc == ASK_ANEW) {
		if (ask_anew(f))
			return;
		rc = err_set(&e, ERR_CANCELLED, "this server is shutting down");
	}
	flight_end(f, rc == 0 ? d : NULL, age, &e);
	doc_release(d);
	line_go_on(s, up);
}

static void make_drop(struct surface_task *t)
{
	struct err e;

	err_set(&e, ERR_CANCELLED, "this server is shutting down");
	flight_end((struct doc_flight *)t, NULL, DOC_FRESH, &e);
}

void docs_close(struct surface *s)
{
	struct err e;

	err_set(&e, ERR_CANCELLED, "this server is shutting down");
	for (;;) {
		struct doc_flight *f = NULL;
		lock_timed(&s->lock, s->o.lock_waits);
		for (struct doc_upstream *up = s->up; up && !f; up = up->next)
			f = line_next(up); /* nobody but us takes it: nothing is asked for any more */
		pthread_mutex_unlock(&s->lock);
		if (!f)
			return;
		flight_end(f, NULL, DOC_FRESH, &e);
	}
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
		doc_used(s, d);
		atomic_fetch_add(&d->refs, 1);
		s->n.docs++;
		s->n.doc_hits++;
	} else {
		d = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	return d;
}

/* Under the lock: W waits for what it WANTS. *BEGUN: a flight that the caller lets go, once it has let go of the
 * lock. */
static int flight_wait(struct doc_flight **begun, struct surface *s, const struct want *want, struct doc *old,
	struct doc_waiter *w, struct err *e)
{
	struct doc_flight *f = *flight_at(s, want->key);

	if (!f)
		f = *begun = flight_begin(s, want, old, false, e);
	if (!f)
		return e->code;
	line_forward(f);
	w->flight = f;
	w->prev = NULL;
	w->next = f->waiters;
	if (w->next)
		w->next->prev = w;
	f->waiters = w;
	return SURFACE_ASKS;
}

int surface_doc(struct doc **out, enum doc_age *age, struct surface *s, str name, enum packument_form form, str base,
	struct doc_waiter *waiter, struct err *e)
{
	struct doc_flight *begun = NULL;
	struct want w;
	struct err busy;
	int rc = 0;

	if (want_init(&w, s, name, form, base, e) < 0)
		return e->code;
	lock_timed(&s->lock, s->o.lock_waits);
	struct doc_upstream *up = surface_upstream(s, w.url);
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
		doc_used(s, d);
		*out = d;
		*age = old >= s->o.fresh_ms ? DOC_STALE : atomic_load(&d->down) ? DOC_UPSTREAM_DOWN : DOC_FRESH;
		s->n.doc_hits += *age == DOC_FRESH;
		s->n.doc_stale += *age == DOC_STALE;
		if (*age == DOC_STALE && !*flight_at(s, w.key))
			begun = flight_begin(s, &w, d, true, &busy); /* none: the next one asks for it */
	} else {
		rc = waiter ? flight_wait(&begun, s, &w, d, waiter, e) : SURFACE_ASKS;
	}
	s->n.docs += waiter || rc != SURFACE_ASKS;
	pthread_mutex_unlock(&s->lock);
	if (begun)
		line_go_on(s, up);
	return rc;
}

bool surface_doc_leave(struct surface *s, struct doc_waiter *w)
{
	lock_timed(&s->lock, s->o.lock_waits);
	struct doc_flight *f = w->flight;
	bool over = false;
	if (f) {
		*(w->prev ? &w->prev->next : &f->waiters) = w->next;
		if (w->next)
			w->next->prev = w->prev;
		w->flight = NULL;
		over = !f->waiters && !f->asked && !f->refresh && !s->closing;
		if (over)
			(void)flight_remove(f);
	}
	pthread_mutex_unlock(&s->lock);
	if (over)
		flight_free(f);
	return f != NULL;
}
