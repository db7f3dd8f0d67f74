/* ctest label: threads */
#include "fs.h"
#include "surface_impl.h"
#include "test_server.h"
#include "tgz.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "temp.h"
#include <cmocka.h>

struct env {
	char root[TEMP_PATH], url[64];
	struct server s;
	struct http *http;
	struct registry *registry;
	struct upstreams *upstreams;
	struct surface *surface;
	struct buf tgz;
	str sri;
	struct arena a;
	atomic_bool ended;
	atomic_bool hold_all;    /* packuments are held, too */
	atomic_int not_modified; /* the next so many are answered 304, whatever was asked with */
	atomic_int failing;      /* and so many 500 */
	atomic_int strange;      /* and so many 200, with what is no packument */
	atomic_uint asked_with;  /* requests that had a validator */
	atomic_uint before_it;   /* requests until the last of these, it included */
};

static atomic_bool full;     /* the disk takes no new file */
static atomic_bool stalled;  /* nor does it write: who tries hangs */
static atomic_uint stalling; /* so many do */

int fs_fault(const char *op)
{
	if (strcmp(op, "write") == 0 && stalled) {
		stalling++;
		while (stalled)
			nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
		stalling--;
	}
	return full && strcmp(op, "open") == 0 ? ENOSPC : 0;
}

/* Of x, whose second version has another digest than any tarball here. */
static void packument_put(struct buf *json, const struct env *v)
{
	buf_printf(json,
		"{\"name\":\"x\",\"dist-tags\":{\"latest\":\"1.0.0\"},\"versions\":{"
		"\"1.0.0\":{\"name\":\"x\",\"version\":\"1.0.0\",\"dist\":{\"tarball\":\"%sx/-/"
		"x-1.0.0.tgz\",\"integrity\":\"" STR_FMT "\"}},"
		"\"2.0.0\":{\"name\":\"x\",\"version\":\"2.0.0\",\"dist\":{\"tarball\":\"%sx/-/"
		"x-2.0.0.tgz\",\"shasum\":"
		"\"00112233445566778899aabbccddeeff00112233\"}}}}",
		v->url, STR_ARG(v->sri), v->url);
}

/* ---- the packuments of store/meta: memory has none, the index has what the test says, and nobody is asked ---- */

struct meta_record {
	struct buf bytes;
};

struct meta {
	struct meta_record *kept;
	unsigned looked;
};

struct meta_record *meta_peek(struct meta *m, str registry_url, str name, enum packument_form form)
{
	(void)m;
	(void)registry_url;
	(void)name;
	(void)form;
	return NULL;
}

struct meta_record *meta_look(struct meta *m, str registry_url, str name, enum packument_form form)
{
	(void)registry_url;
	assert_true(str_eq(name, STR("x")));
	assert_int_equal(form, PACKUMENT_ABBREVIATED);
	m->looked++;
	return m->kept;
}

void meta_want(struct meta *m, str registry_url, str name, enum packument_form form, meta_done *done, void *arg)
{
	struct err e;

	(void)m;
	(void)registry_url;
	(void)form;
	err_set(&e, ERR_NET, "asked for " STR_FMT, STR_ARG(name));
	done(arg, NULL, &e);
}

struct packument meta_packument(const struct meta_record *r)
{
	struct packument p;
	struct err e;

	assert_int_equal(packument_open(&p, (const uint8_t *)r->bytes.p, r->bytes.n, &e), 0);
	return p;
}

void meta_record_release(struct meta_record *r)
{
	(void)r; /* the test's */
}

/* ---- the upstream ---- */

/* Tarballs are held until hold_until says otherwise. */
static void serve(void *arg, struct reply *r, const struct seen *q)
{
	struct env *v = arg;
	AUTO(buf_release) struct buf json = BUF_INIT;

	if (str_ends(q->path, STR(".tgz"))) {
		r->hold = true;
		reply_text(r, 200, "", buf_str(&v->tgz));
		return;
	}
	r->hold = v->hold_all;
	if (header_of(q, "If-None-Match").n > 0) {
		v->asked_with++;
		v->before_it = v->s.requests;
	}
	if (v->not_modified > 0) {
		v->not_modified--;
		reply_text(r, 304, "", STR_NONE);
	} else if (v->failing > 0) {
		v->failing--;
		reply_text(r, 500, "", STR_NONE);
	} else if (v->strange > 0) {
		v->strange--;
		reply_text(r, 200, "", STR("<html>log in first</html>"));
	} else {
		packument_put(&json, v);
		reply_text(r, 200, "ETag: \"one\"\r\n", buf_str(&json));
	}
}

static int setup(void **state)
{
	struct env *v = xcalloc(1, sizeof(*v));
	struct buf t = BUF_INIT;
	struct err e;

	temp_make(v->root);
	tar_file(&t, "package/package.json", "{\"name\":\"x\",\"version\":\"1.0.0\"}");
	tar_close(&t);
	v->tgz = tgz(&t);
	v->sri = tgz_sri(&v->tgz, &v->a);
	server_start(&v->s, serve, v);
	v->s.hold_until = 1000;
	snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%u/", v->s.port);
	struct upstream_config up = {
		.name = STR("default"), .url = str_of(v->url), .is_default = true, .private_addresses = true
	};
	assert_int_equal(upstreams_new(&v->upstreams, &(struct upstreams_opts){ .upstream = &up, .n = 1 }, &e), 0);
	assert_int_equal(http_new(&v->http, &(struct http_opts){ .private_addresses = true, .proxy = "" }, &e), 0);
	assert_int_equal(registry_new(&v->registry, v->http, &(struct registry_opts){ .no_retries = true }, &e), 0);
	assert_int_equal(surface_new(&v->surface,
				 &(struct surface_opts){ .dir = v->root,
					 .registry = v->registry,
					 .upstreams = v->upstreams,
					 .max_bytes = 1 << 20,
					 .fresh_ms = 60000 },
				 &e),
		0);
	*state = v;
	return 0;
}

static int teardown(void **state)
{
	struct env *v = *state;

	full = stalled = false; /* of a test that failed half way */
	http_stop(v->http);
	surface_free(v->surface);
	registry_free(v->registry);
	http_free(v->http);
	upstreams_free(v->upstreams);
	server_stop(&v->s);
	buf_release(&v->tgz);
	arena_release(&v->a);
	temp_remove(v->root);
	free(v);
	return 0;
}

/* ---- who asks ---- */

static void nap(void)
{
	nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
}

struct asker {
	struct doc_waiter w; /* first */
	struct doc *d;
	enum doc_age age;
	struct err err;
	atomic_bool told;
};

static void on_landed(struct doc_waiter *w, struct doc *d, enum doc_age age, const struct err *e)
{
	struct asker *k = (struct asker *)w;

	k->d = d;
	k->age = age;
	if (!d)
		k->err = *e;
	k->told = true;
}

static int want(struct env *v, struct asker *k, str base)
{
	*k = (struct asker){ .w = { .landed = on_landed } };
	return surface_doc(&k->d, &k->age, v->surface, STR("x"), PACKUMENT_FULL, base, &k->w, &k->err);
}

static int wait_told(struct asker *k)
{
	for (int i = 0; !k->told; i++) {
		assert_true(i < 12000);
		nap();
	}
	return k->d ? 0 : k->err.code;
}

/* K's packument of x, asked for if need be. */
static int get(struct env *v, struct asker *k, str base)
{
	int rc = want(v, k, base);

	return rc == SURFACE_ASKS ? wait_told(k) : rc;
}

/* A tarball that its upstream holds back, with the packument that says where it is. */
static void begin(struct env *v, struct tarball_src *src)
{
	enum doc_age age;
	struct asker k;
	struct doc *d;
	struct err e;
	str base = STR("http://here/");

	assert_int_equal(surface_doc(&d, &age, v->surface, STR("x"), PACKUMENT_FULL, base, NULL, &e), SURFACE_ASKS);
	assert_int_equal(v->s.requests, 0);
	assert_int_equal(get(v, &k, base), 0);
	doc_release(k.d);
	assert_int_equal(surface_tarball(src, v->surface, STR("x"), STR("1.0.0"), base, NULL, &e), 0);
	assert_non_null(src->flight);
	for (int i = 0; v->s.requests < 2; i++) {
		assert_true(i < 12000);
		nap();
	}
}

/* What came of it, once the flight has ended. */
static struct flight_state await(struct tarball_src *src)
{
	struct flight_state st;

	for (int i = 0; flight_look(src->flight, &st, 0, NULL), !st.ended; i++) {
		assert_true(i < 12000);
		nap();
	}
	return st;
}

static void *end(void *arg)
{
	struct env *v = arg;

	surface_free(v->surface);
	v->ended = true;
	return NULL;
}

/* It ends only when the fetch thread has: that has its flights until then, and hands what arrived to its workers. */
static void it_outlives_its_fetches(void **state)
{
	struct env *v = *state;
	struct tarball_src src;
	pthread_t t;
	struct err e;

	begin(v, &src);
	flight_release(src.flight); /* its client leaves */
	assert_int_equal(workq_thread(&t, "end", end, v, &e), 0);
	for (int i = 0; i < 100; i++) {
		nap();
		assert_false(v->ended);
	}
	v->s.hold_until = 1;
	pthread_join(t, NULL);
	assert_true(v->ended);
	v->surface = NULL;
}

/* The same when all fetches are cut short. */
static void it_ends_with_its_fetches(void **state)
{
	struct env *v = *state;
	struct tarball_src src;

	begin(v, &src);
	http_stop(v->http);
	assert_int_equal(await(&src).code, ERR_CANCELLED);
	flight_release(src.flight);
	surface_free(v->surface);
	v->surface = NULL;
}

/* Once it ends no fetch begins: what asks for one then is refused, while what is under way is waited for. */
static void it_begins_nothing_as_it_ends(void **state)
{
	struct env *v = *state;
	struct tarball_src src;
	bool closing = false;
	pthread_t t;
	struct err e;

	begin(v, &src);
	flight_release(src.flight);
	assert_int_equal(workq_thread(&t, "end", end, v, &e), 0);
	for (int i = 0; !closing; i++) {
		assert_true(i < 12000);
		nap();
		pthread_mutex_lock(&v->surface->lock);
		closing = v->surface->closing;
		pthread_mutex_unlock(&v->surface->lock);
	}
	assert_int_equal(
		surface_tarball(&src, v->surface, STR("x"), STR("2.0.0"), STR("http://here/"), NULL, &e), ERR_BUSY);
	assert_non_null(strstr(e.msg, "shutting down"));
	assert_null(src.flight);
	v->s.hold_until = 1;
	pthread_join(t, NULL);
	v->surface = NULL;
}

static bool ask_landed;

static void on_ask(struct surface_ask *k)
{
	(void)k;
	ask_landed = true;
}

/* A tarball that is on disk is sent though its packument is not in memory, as after a restart: the index has one, of
 * whatever age. A version that this one does not have is asked for. */
static void on_disk_after_a_restart(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf json = BUF_INIT;
	struct meta_record kept = { .bytes = BUF_INIT };
	struct meta m = { 0 };
	struct tarball_src src;
	struct err e;
	str elsewhere = STR("http://there/"); /* nothing in memory is made for it */

	v->s.hold_until = 1;
	begin(v, &src);
	assert_int_equal(await(&src).code, 0);
	flight_release(src.flight);
	for (int i = 0; blobs_counts(v->surface->blobs).files < 2; i++) {
		assert_true(i < 12000);
		nap();
	}
	v->surface->o.meta = &m;
	assert_int_equal(surface_tarball(&src, v->surface, STR("x"), STR("1.0.0"), elsewhere, NULL, &e), SURFACE_ASKS);
	packument_put(&json, v);
	assert_int_equal(packument_compile(&kept.bytes, buf_str(&json), STR("x"), &e), 0);
	m.kept = &kept;
	assert_int_equal(surface_tarball(&src, v->surface, STR("x"), STR("1.0.0"), elsewhere, NULL, &e), 0);
	assert_true(src.fd >= 0);
	assert_null(src.flight);
	assert_int_equal(src.size, v->tgz.n);
	fs_close(src.fd);
	assert_int_equal(m.looked, 2);
	assert_int_equal(surface_tarball(&src, v->surface, STR("x"), STR("3.0.0"), elsewhere, NULL, &e), SURFACE_ASKS);
	struct surface_ask ask = { .landed = on_ask };
	assert_int_equal(surface_ask(v->surface, &ask, STR("x"), &e), 0);
	assert_true(ask_landed);
	assert_int_equal(surface_tarball(&src, v->surface, STR("x"), STR("3.0.0"), elsewhere, &ask, &e), ERR_NET);
	assert_int_equal(v->surface->fetching, 0);
	buf_release(&kept.bytes);
}

/* Where the disk takes nothing a tarball is sent from memory, as long as there is some for it; past that it is this
 * server that has no room, not the upstream that failed. */
static void a_full_disk(void **state)
{
	struct env *v = *state;
	struct tarball_src src;
	struct err e;

	v->s.hold_until = 1;
	begin(v, &src); /* on disk */
	assert_int_equal(await(&src).code, 0);
	flight_release(src.flight);
	for (int i = 0; blobs_counts(v->surface->blobs).files < 2; i++) {
		assert_true(i < 12000);
		nap();
	}
	for (int left = 0; left < 2; left++) {
		uint64_t taken = left ? 0 : FLIGHT_MEMORY - v->tgz.n + 1;
		char got[4096];
		full = true;
		v->surface->flight_memory = taken;
		assert_int_equal(
			surface_tarball(&src, v->surface, STR("x"), STR("1.0.0"), STR("http://here/"), NULL, &e), 0);
		struct flight_state st = await(&src);
		for (int i = 0; left && surface_counts(v->surface).tarball_unkept == 0; i++) {
			assert_true(i < 12000);
			nap();
		}
		full = false;
		assert_int_equal(st.code, left ? 0 : ERR_NOSPACE);
		assert_int_equal(st.own, !left);
		if (left) {
			assert_int_equal(st.size, v->tgz.n);
			assert_int_equal(pread(src.fd, got, sizeof(got), 0), v->tgz.n);
			assert_memory_equal(got, v->tgz.p, v->tgz.n);
		}
		flight_release(src.flight);
		for (int i = 0; v->surface->flight_memory != taken;
			i++) { /* the fetch thread has a moment with it yet */
			assert_true(i < 12000);
			nap();
		}
		struct surface_counts n = surface_counts(v->surface);
		assert_int_equal(n.tarball_failed, 1);
		assert_int_equal(n.tarball_unkept, left);
	}
	v->surface->flight_memory = 0;
}

/* ---- packuments that are waited for ---- */

static struct surface_counts until_asked(struct env *v, unsigned n)
{
	for (int i = 0; v->s.requests < n; i++) {
		assert_true(i < 12000);
		nap();
	}
	return surface_counts(v->surface);
}

/* Who asks the same waits for the same answer; who leaves is told nothing. */
static void one_fetch_for_all(void **state)
{
	struct env *v = *state;
	struct asker k[5];

	v->hold_all = true;
	for (int i = 0; i < 5; i++)
		assert_int_equal(want(v, &k[i], STR("http://here/")), SURFACE_ASKS);
	assert_int_equal(until_asked(v, 1).doc_pending, 1);
	assert_true(surface_doc_leave(v->surface, &k[0].w)); /* who began it */
	assert_true(surface_doc_leave(v->surface, &k[3].w));
	assert_false(surface_doc_leave(v->surface, &k[3].w));
	v->s.hold_until = 1;
	for (int i = 0; i < 5; i++) {
		if (i == 0 || i == 3)
			continue;
		assert_int_equal(wait_told(&k[i]), 0);
		assert_ptr_equal(k[i].d, k[4].d);
		assert_false(surface_doc_leave(v->surface, &k[i].w));
	}
	for (int i = 1; i < 5; i++)
		doc_release(k[i].d);
	assert_false(k[0].told || k[3].told);
	assert_int_equal(v->s.requests, 1);
	assert_int_equal(surface_counts(v->surface).doc_fetched, 1);
}

/* However many are asked for, so many are under way, the rest waits in line without a thread, and what is here is
 * served. Who leaves the line takes nothing of the upstream. */
static void a_line_has_a_bound(void **state)
{
	struct env *v = *state;
	enum { N = ASKED_MOST + 40 };
	struct asker *k = xcalloc(N, sizeof(*k));
	struct asker here;
	char base[N][32];
	struct tarball_src src;
	struct err e;

	v->s.hold_until = 1;
	begin(v, &src);
	assert_int_equal(await(&src).code, 0);
	flight_release(src.flight);
	v->s.hold_until = 1000;
	v->hold_all = true;
	for (int i = 0; i < N; i++) {
		snprintf(base[i], sizeof(base[i]), "http://%d/", i);
		assert_int_equal(want(v, &k[i], str_of(base[i])), SURFACE_ASKS);
	}
	assert_int_equal(surface_counts(v->surface).doc_pending, N);
	pthread_mutex_lock(&v->surface->lock);
	assert_int_equal(v->surface->up->asked, ASKED_MOST);
	pthread_mutex_unlock(&v->surface->lock);
	assert_int_equal(get(v, &here, STR("http://here/")), 0);
	doc_release(here.d);
	assert_int_equal(surface_tarball(&src, v->surface, STR("x"), STR("1.0.0"), STR("http://here/"), NULL, &e), 0);
	flight_release(src.flight);
	if (!src.flight)
		fs_close(src.fd);
	for (int i = ASKED_MOST + 10; i < N; i++)
		assert_true(surface_doc_leave(v->surface, &k[i].w));
	assert_int_equal(surface_counts(v->surface).doc_pending, ASKED_MOST + 10);
	v->s.hold_until = 1;
	for (int i = 0; i < ASKED_MOST + 10; i++) {
		assert_int_equal(wait_told(&k[i]), 0);
		doc_release(k[i].d);
	}
	for (int i = ASKED_MOST + 10; i < N; i++)
		assert_false(k[i].told);
	for (int i = 0; surface_counts(v->surface).doc_pending; i++) {
		assert_true(i < 12000);
		nap();
	}
	assert_int_equal(surface_counts(v->surface).doc_fetched, 1 + ASKED_MOST + 10);
	free(k);
}

static void lines(struct env *v, bool *first, bool *later)
{
	pthread_mutex_lock(&v->surface->lock);
	*first = v->surface->up->line.first;
	*later = v->surface->up->later.first;
	pthread_mutex_unlock(&v->surface->lock);
}

/* What is asked for again though nobody waits for it comes after all that somebody waits for. */
static void a_refresh_goes_last(void **state)
{
	struct env *v = *state;
	enum { N = 2 * ASKED_MOST + 20 };
	struct asker *k = xcalloc(N, sizeof(*k)), old;
	char base[N][32];

	full = true; /* nothing is kept: only who asks again has a validator */
	assert_int_equal(get(v, &old, STR("http://old/")), 0);
	v->hold_all = true;
	for (int i = 0; i < N; i++) {
		snprintf(base[i], sizeof(base[i]), "http://%d/", i);
		if (i == ASKED_MOST) { /* in front of those that follow */
			doc_release(old.d);
			atomic_fetch_sub(&old.d->at, v->surface->o.fresh_ms + 1000); /* the surface has it still */
			assert_int_equal(want(v, &old, STR("http://old/")), 0);
			assert_int_equal(old.age, DOC_STALE);
		}
		assert_int_equal(want(v, &k[i], str_of(base[i])), SURFACE_ASKS);
	}
	v->s.hold_until = 1;
	for (int i = 0; i < N; i++) {
		assert_int_equal(wait_told(&k[i]), 0);
		doc_release(k[i].d);
	}
	for (int i = 0; surface_counts(v->surface).doc_pending; i++) {
		assert_true(i < 12000);
		nap();
	}
	full = false;
	doc_release(old.d);
	assert_int_equal(v->asked_with, 1);
	assert_true(v->before_it >= 1 + N - (ASKED_MOST - 1)); /* so many may be under way beside it */
	free(k);
}

/* Until somebody waits for it. */
static void who_waits_goes_first(void **state)
{
	struct env *v = *state;
	enum { N = ASKED_MOST };
	struct asker k[N], old, late, joined;
	char base[N][32];
	bool first, later;

	assert_int_equal(get(v, &old, STR("http://old/")), 0);
	doc_release(old.d);
	v->hold_all = true;
	for (int i = 0; i < N; i++) {
		snprintf(base[i], sizeof(base[i]), "http://%d/", i);
		assert_int_equal(want(v, &k[i], str_of(base[i])), SURFACE_ASKS);
	}
	atomic_fetch_sub(&old.d->at, v->surface->o.fresh_ms + 1000); /* the surface has it still */
	assert_int_equal(want(v, &old, STR("http://old/")), 0);
	assert_int_equal(old.age, DOC_STALE);
	lines(v, &first, &later);
	assert_true(!first && later);
	assert_int_equal(want(v, &late, STR("http://late/")), SURFACE_ASKS);
	lines(v, &first, &later);
	assert_true(first && later);
	assert_true(surface_doc_leave(v->surface, &late.w));
	lines(v, &first, &later);
	assert_true(!first && later);
	atomic_fetch_sub(&old.d->at, v->surface->o.fresh_ms);
	assert_int_equal(want(v, &joined, STR("http://old/")), SURFACE_ASKS);
	lines(v, &first, &later);
	assert_true(first && !later);
	assert_int_equal(surface_counts(v->surface).doc_pending, N + 1);
	v->s.hold_until = 1;
	for (int i = 0; i < N; i++) {
		assert_int_equal(wait_told(&k[i]), 0);
		doc_release(k[i].d);
	}
	assert_int_equal(wait_told(&joined), 0);
	doc_release(joined.d);
	doc_release(old.d);
	lines(v, &first, &later);
	assert_true(!first && !later);
}

/* As it ends, those in line are told so, and those under way get what comes of their fetch. */
static void who_waits_as_it_ends_is_told(void **state)
{
	struct env *v = *state;
	enum { N = ASKED_MOST + 5 };
	struct asker *k = xcalloc(N, sizeof(*k));
	char base[N][32];

	v->hold_all = true;
	for (int i = 0; i < N; i++) {
		snprintf(base[i], sizeof(base[i]), "http://%d/", i);
		assert_int_equal(want(v, &k[i], str_of(base[i])), SURFACE_ASKS);
	}
	http_stop(v->http);
	surface_free(v->surface);
	v->surface = NULL;
	for (int i = 0; i < N; i++) {
		assert_true(k[i].told);
		assert_null(k[i].d);
		assert_int_equal(k[i].err.code, ERR_CANCELLED);
	}
	free(k);
}

/* All that came is on the disk. */
static void until_kept(struct env *v)
{
	for (int i = 0; v->surface->keep_memory; i++) {
		assert_true(i < 12000);
		nap();
	}
}

/* What is kept on disk answers for an upstream that confirms it, or that is down; when it turns out to be
 * spoiled it is asked for anew. */
static void what_is_kept_is_asked_about(void **state)
{
	struct env *v = *state;
	struct asker k;
	struct surface_counts n;

	assert_int_equal(get(v, &k, STR("http://a/")), 0);
	doc_release(k.d);
	until_kept(v);
	assert_int_equal(v->asked_with, 0);
	v->not_modified = 1;
	assert_int_equal(get(v, &k, STR("http://b/")), 0);
	assert_int_equal(k.age, DOC_FRESH);
	doc_release(k.d);
	assert_int_equal(v->asked_with, 1);
	v->failing = 1;
	assert_int_equal(get(v, &k, STR("http://c/")), 0);
	assert_int_equal(k.age, DOC_UPSTREAM_DOWN);
	doc_release(k.d);
	v->strange = 1;
	assert_int_equal(get(v, &k, STR("http://c2/")), 0);
	assert_int_equal(k.age, DOC_UPSTREAM_DOWN);
	doc_release(k.d);
	n = surface_counts(v->surface);
	assert_int_equal(n.doc_fetched, 1);
	assert_int_equal(n.doc_revalidated, 1);
	assert_int_equal(n.doc_down, 2);
	char cmd[512];
	snprintf(cmd, sizeof(cmd),
		"for f in %s/registry/[0-9a-f][0-9a-f]/*; do head -n 1 $f > %s/t; echo spoiled >> %s/t; cp %s/t $f; "
		"done",
		v->root, v->root, v->root, v->root);
	assert_int_equal(system(cmd), 0);
	v->failing = 1;
	assert_int_equal(get(v, &k, STR("http://d/")), ERR_NET); /* it is all there is */
	assert_int_equal(blobs_counts(v->surface->blobs).files, 0);
	assert_int_equal(get(v, &k, STR("http://e/")), 0);
	doc_release(k.d);
	until_kept(v);
	assert_int_equal(system(cmd), 0);
	v->not_modified = 1;
	unsigned before = v->s.requests;
	/* Confirmed, and not there: the second time without a validator. */
	assert_int_equal(get(v, &k, STR("http://f/")), 0);
	assert_int_equal(k.age, DOC_FRESH);
	doc_release(k.d);
	assert_int_equal(v->s.requests, before + 2);
	n = surface_counts(v->surface);
	assert_int_equal(n.doc_fetched, 3);
	assert_int_equal(n.doc_revalidated, 1);
}

/* More than the keepers can take waits for a disk that writes nothing: who asks is answered all the same, and nobody
 * who asks waits for it. What has no room in their queue is not kept, and counted. */
static void a_disk_that_stalls_holds_up_nobody(void **state)
{
	struct env *v = *state;
	struct tarball_src src, again;
	struct asker k;
	char base[32];
	struct err e;

	v->s.hold_until = 1;
	stalled = true;
	begin(v, &src);
	assert_int_equal(await(&src).code, 0);
	for (int i = 0; i < 20; i++) {
		snprintf(base, sizeof(base), "http://%d/", i);
		assert_int_equal(get(v, &k, str_of(base)), 0);
		doc_release(k.d);
	}
	assert_int_equal(surface_tarball(&again, v->surface, STR("x"), STR("1.0.0"), STR("http://here/"), NULL, &e), 0);
	assert_ptr_equal(again.flight, src.flight); /* as long as it is not kept */
	flight_release(again.flight);
	assert_int_equal(surface_counts(v->surface).tarball_fetched, 1);
	for (int i = 0; stalling == 0; i++) {
		assert_true(i < 12000);
		nap();
	}
	atomic_fetch_add(&v->surface->keep_memory, KEEP_MEMORY);
	assert_int_equal(get(v, &k, STR("http://last/")), 0);
	doc_release(k.d);
	assert_int_equal(surface_counts(v->surface).doc_unkept, 1);
	assert_int_equal(surface_tarball(&again, v->surface, STR("x"), STR("1.0.0"), STR("http://here/"), NULL, &e), 0);
	assert_non_null(again.flight);
	flight_release(again.flight);
	atomic_fetch_sub(&v->surface->keep_memory, KEEP_MEMORY);
	stalled = false;
	for (int i = 0; v->surface->keep_memory || v->surface->flight_memory; i++) {
		assert_true(i < 12000);
		nap();
	}
	flight_release(src.flight);
	assert_int_equal(blobs_counts(v->surface->blobs).files, 2);
	assert_int_equal(surface_counts(v->surface).tarball_unkept, 0);
}

/* Unpacked copies have a bound; one alone may be of any size. */
static void unpacked_copies_have_a_bound(void **state)
{
	struct env *v = *state;
	struct doc_plain *one, *two;
	struct asker k;
	struct err e;

	assert_int_equal(get(v, &k, STR("http://here/")), 0);
	assert_int_equal(doc_plain_new(&one, v->surface, k.d, STR_NONE, STR_NONE, &e), 0);
	assert_int_equal(one->n, k.d->plain);
	assert_int_equal(one->p[0], '{');
	assert_int_equal(one->p[one->n - 1], '}');
	atomic_fetch_add(&v->surface->plain, PLAIN_MOST - 2 * one->n + 1);
	assert_int_equal(doc_plain_new(&two, v->surface, k.d, STR_NONE, STR_NONE, &e), ERR_BUSY);
	atomic_fetch_sub(&v->surface->plain, 1);
	assert_int_equal(doc_plain_new(&two, v->surface, k.d, STR_NONE, STR_NONE, &e), 0);
	atomic_fetch_sub(&v->surface->plain, PLAIN_MOST - 2 * one->n);
	doc_plain_release(two);
	doc_plain_release(one);
	assert_int_equal(surface_counts(v->surface).plain_bytes, 0);
	doc_release(k.d);
}

static void assert_base(struct env *v, const char *asked, const char *got)
{
	char to[SURFACE_BASE_MAX];
	str base;

	surface_base(&base, v->surface, str_of(asked), to);
	assert_string_equal(base.p, got);
}

/* As many bases have documents of their own as there are places; one that nobody asks by gives its up.
 * The others' are rewritten. */
static void bases_have_a_bound(void **state)
{
	struct env *v = *state;
	struct doc_plain *plain;
	struct asker k;
	char base[32];
	struct err e;

	for (int i = 0; i < HOSTS_MOST; i++) {
		snprintf(base, sizeof(base), "http://%d/", i);
		assert_base(v, base, base);
	}
	assert_base(v, "http://more/", "http://0/");
	assert_base(v, "http://more/", "http://0/");
	assert_base(v, "http://3/", "http://3/");
	assert_int_equal(surface_counts(v->surface).doc_rewritten, 2);
	v->surface->host[5].used_ms -= HOST_MS;
	assert_base(v, "http://more/", "http://more/");
	assert_base(v, "http://5/", "http://0/");
	assert_int_equal(get(v, &k, STR("http://0/")), 0);
	assert_int_equal(doc_plain_new(&plain, v->surface, k.d, STR("http://5.longer/"), STR("x"), &e), 0);
	str text = { plain->p, plain->n };
	assert_true(str_find_str(text, STR("\"http://5.longer/x/-/x-1.0.0.tgz\""), 0) != SIZE_MAX);
	assert_true(str_find_str(text, STR("\"http://5.longer/x/-/x-2.0.0.tgz\""), 0) != SIZE_MAX);
	assert_int_equal(str_find_str(text, STR("http://0/"), 0), SIZE_MAX);
	assert_int_equal(plain->n, k.d->plain + 2 * 7);
	doc_plain_release(plain);
	assert_int_equal(surface_counts(v->surface).plain_bytes, 0);
	doc_release(k.d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_outlives_its_fetches, setup, teardown),
		cmocka_unit_test_setup_teardown(it_ends_with_its_fetches, setup, teardown),
		cmocka_unit_test_setup_teardown(it_begins_nothing_as_it_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(on_disk_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(bases_have_a_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(one_fetch_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refresh_goes_last, setup, teardown),
		cmocka_unit_test_setup_teardown(who_waits_goes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_has_a_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(who_waits_as_it_ends_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_kept_is_asked_about, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disk_that_stalls_holds_up_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(unpacked_copies_have_a_bound, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
