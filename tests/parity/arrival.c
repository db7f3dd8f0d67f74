/* arrival — the same bytes whatever arrives when: cases of the parity suite through the real preload, whose packuments
 * are answered by 1 to 8 threads in random order.
 *
 *	arrival [--dir D] [--recording F] [--filter TEXT] [--orders N] [--workers MOST]
 *
 * Each case is resolved N times, with 1, 2, … MOST threads by turns; every lockfile must be the first one's. The
 * packument cache is a stand-in that hands the wanted names to its threads in random order; each compiles what it
 * took. */
#include "parity_case.h"
#include "parity_io.h"
#include "preload.h"
#include "workq.h"
#include <dirent.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_WORKERS = 8, MOST_WANTS = 1 << 16 };
struct meta_record {
	atomic_uint refs;
	struct packument pk;
	struct buf bytes;
};
struct want {
	struct meta *m;
	char *name;
	enum packument_form form;
	meta_done *done;
	void *arg;
};
struct meta {
	const struct recording *rec;
	pthread_mutex_t lock;
	struct workq *q;
	struct want **want; /* not yet taken */
	size_t n;
	uint64_t seed;
	unsigned inside, most; /* compile jobs at once; the most so far */
};

struct packument meta_packument(const struct meta_record *r)
{
	return r->pk;
}

enum meta_origin meta_record_origin(const struct meta_record *r)
{
	(void)r;
	return META_FETCHED;
}

void meta_record_release(struct meta_record *r)
{
	if (r && atomic_fetch_sub(&r->refs, 1) == 1) {
		buf_release(&r->bytes);
		free(r);
	}
}

struct meta_record *meta_peek(struct meta *m, str registry, str name, enum packument_form form)
{
	(void)m;
	(void)registry;
	(void)name;
	(void)form;
	return NULL;
}

struct meta_record *meta_kept(struct meta *m, int64_t *checked_ms, str registry, str name, enum packument_form form)
{
	(void)checked_ms;
	return meta_peek(m, registry, name, form);
}

/* splitmix64; under the lock */
static size_t dice(struct meta *m, size_t n)
{
	uint64_t z = (m->seed += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (size_t)((z ^ z >> 31) % n);
}

static struct want *want_take(struct meta *m)
{
	pthread_mutex_lock(&m->lock);
	size_t at = dice(m, m->n); /* a job for each want: there is one */
	struct want *w = m->want[at];
	m->want[at] = m->want[--m->n];
	m->inside++;
	m->most = m->inside > m->most ? m->inside : m->most;
	pthread_mutex_unlock(&m->lock);
	return w;
}

static void answer(void *arg)
{
	AUTO(buf_release) struct buf json = BUF_INIT;
	struct meta *m = arg;
	struct want *w = want_take(m);
	struct meta_record *r = xcalloc(1, sizeof(*r));
	struct err e = { 0 };

	atomic_init(&r->refs, 1);
	if (!recording_json(&json, m->rec, str_of(w->name), w->form, STR(PARITY_BASE)))
		err_set(&e, ERR_NOTFOUND, "%s: not in the recording (404)", w->name);
	else if (packument_compile(&r->bytes, buf_str(&json), str_of(w->name), &e) == 0)
		(void)packument_open(&r->pk, r->bytes.p, r->bytes.n, &e);
	if (!r->pk.p) {
		meta_record_release(r);
		r = NULL;
	}
	pthread_mutex_lock(&m->lock);
	m->inside--;
	pthread_mutex_unlock(&m->lock);
	w->done(w->arg, r, &e);
	free(w->name);
	free(w);
}

static void drop(void *job)
{
	(void)job; /* the meta itself */
}

void meta_want(struct meta *m, str registry, str name, enum packument_form form, meta_done *done, void *arg)
{
	struct want *w = xcalloc(1, sizeof(*w));

	(void)registry;
	*w = (struct want){ m, xstrndup(name), form, done, arg };
	pthread_mutex_lock(&m->lock);
	m->want[m->n++] = w;
	pthread_mutex_unlock(&m->lock);
	while (workq_pop(m->q)) /* finished jobs make room */
		;
	if (!workq_push(m->q, m))
		abort(); /* as deep as there are names */
}

/* --- runs --- */

struct options {
	const char *dir, *recording, *filter;
	unsigned orders, workers;
};

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	(void)e;
	if (f->kind == FRAME_DONE)
		*(struct frame_done *)ctx = f->done;
	return 0;
}

static int run_once(struct frame_done *done, unsigned *most, const struct parity_case *c, const struct recording *rec,
	uint64_t seed, unsigned workers, struct err *e)
{
	struct meta m = { .rec = rec, .seed = seed };
	struct preload_opts o = { .now_ms = PARITY_NOW_MS };
	struct workq_opts q = {
		.name = "arrival", .workers = workers, .depth = MOST_WANTS, .run = answer, .drop = drop
	};

	m.want = xcalloc(MOST_WANTS, sizeof(struct want *)); /* NOLINT: pointers are meant */
	pthread_mutex_init(&m.lock, NULL);
	int rc = workq_new(&m.q, &q, e);
	if (rc == 0) {
		struct preload *p = preload_new(&m, &o);
		rc = engine_run(c->req, preload_io(p), on_frame, done, e);
		preload_free(p);
	}
	workq_free(m.q);
	*most = m.most > *most ? m.most : *most;
	pthread_mutex_destroy(&m.lock);
	free(m.want);
	return rc;
}

static bool run_case(const char *dir, const struct options *o, const struct recording *rec, unsigned *most)
{
	struct parity_case c;
	struct err e;
	uint8_t first[32];
	bool ok = parity_case_read(&c, str_of(dir), STR(PARITY_BASE "/"), &e) == 0;

	for (unsigned i = 0; ok && i < o->orders; i++) {
		struct frame_done done = { 0 };
		unsigned workers = 1 + i % o->workers;
		if (run_once(&done, most, &c, rec, i + 1, workers, &e) < 0) {
			ok = false;
			break;
		}
		if (i == 0)
			memcpy(first, done.lockfile_digest, sizeof(first));
		else if (memcmp(first, done.lockfile_digest, sizeof(first)) != 0)
			ok = err_set(&e, ERR_PROTOCOL, "order %u with %u threads gave another lockfile", i + 1,
				     workers) == 0;
	}
	if (!ok)
		printf("FAIL " STR_FMT ": %s\n", STR_ARG(c.name), e.msg);
	parity_case_release(&c);
	return ok;
}

static int run_all(const struct options *o, const struct recording *rec)
{
	struct dirent **list;
	char path[4096];
	unsigned cases = 0, same = 0, most = 0;

	snprintf(path, sizeof(path), "%s/cases", o->dir);
	int n = scandir(path, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.' && (!o->filter || strstr(list[i]->d_name, o->filter))) {
			snprintf(path, sizeof(path), "%s/cases/%s", o->dir, list[i]->d_name);
			cases++;
			same += run_case(path, o, rec, &most);
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	printf("%u of %u cases: %u orders with 1 to %u threads gave the same bytes; %u compiled at once\n", same, cases,
		o->orders, o->workers, most);
	return cases && same == cases ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option table[] = { { "dir", 1, NULL, 'd' }, { "recording", 1, NULL, 'r' },
		{ "filter", 1, NULL, 'f' }, { "orders", 1, NULL, 'o' }, { "workers", 1, NULL, 'w' }, { 0 } };
	struct options o = { .dir = "tests/parity",
		.recording = "tests/parity/packuments.ndjson.zst",
		.orders = 100,
		.workers = MOST_WORKERS };
	struct recording *rec;
	struct err e;

	for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
		uint64_t n = 0;
		if (c == 'd')
			o.dir = optarg;
		else if (c == 'r')
			o.recording = optarg;
		else if (c == 'f')
			o.filter = optarg;
		else if ((c == 'o' || c == 'w') && str_u64(str_of(optarg), &n) && n > 0 &&
			 n <= (c == 'o' ? 100000u : (unsigned)MOST_WORKERS))
			*(c == 'o' ? &o.orders : &o.workers) = (unsigned)n;
		else
			return 2;
	}
	if (recording_open(&rec, o.recording, &e) < 0) {
		fprintf(stderr, "arrival: %s\n", e.msg);
		return 2;
	}
	int rc = run_all(&o, rec);
	recording_free(rec);
	return rc;
}
