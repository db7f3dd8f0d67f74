#include "integrity.h"
#include "metrics.h"
#include "surface_impl.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 16, WAITING = 4096 };
/* Packuments are made on threads of their own, so that what is here is sent meanwhile. More come at a time only where
 * there are hundreds of upstreams. */
enum { MAKERS = 8, MAKING = 65536 };
/* And what came is kept by others, so that nobody but they waits for a disk that stalls. */
enum { KEEPERS = 8, KEEPING = 1024, KEEP_STEPS = 500, KEEP_STEP_MS = 10 };

void surface_key(uint8_t out[32], const char *kind, str a, str b, str c)
{
	AUTO(buf_release) struct buf text = BUF_INIT;

	buf_printf(&text, "%s %zu:" STR_FMT "%zu:" STR_FMT "%zu:" STR_FMT, kind, a.n, STR_ARG(a), b.n, STR_ARG(b), c.n,
		STR_ARG(c));
	sha256(out, text.p, text.n);
}

/* ---- threads ---- */

/* What the queue has of a task, which is gone once it has run; the queue drops what nobody took off its list, too. */
struct ticket {
	struct surface_task *task; /* NULL: it has run */
};

static void ticket_run(void *arg)
{
	struct ticket *k = arg;
	struct surface_task *t = k->task;

	k->task = NULL;
	t->run(t);
}

static void ticket_drop(void *arg)
{
	struct ticket *k = arg;

	if (k->task)
		k->task->drop(k->task);
	free(k);
}

static bool run_on(struct workq *q, struct surface_task *t)
{
	struct ticket *k = xcalloc(1, sizeof(*k));

	k->task = t;
	if (workq_push(q, k))
		return true;
	free(k);
	return false;
}

bool surface_run(struct surface *s, struct surface_task *t)
{
	return run_on(s->work, t);
}

bool surface_run_making(struct surface *s, struct surface_task *t)
{
	return run_on(s->making, t);
}

bool surface_run_keeping(struct surface *s, struct surface_task *t)
{
	return run_on(s->keeping, t);
}

/* Takes finished tasks off the queues' lists: they have looked after themselves. */
static void *drain(void *arg)
{
	struct surface *s = arg;

	for (;;) {
		struct pollfd p[4] = { { .fd = s->stop_fd, .events = POLLIN },
			{ .fd = workq_fd(s->work), .events = POLLIN }, { .fd = workq_fd(s->making), .events = POLLIN },
			{ .fd = workq_fd(s->keeping), .events = POLLIN } };
		if (poll(p, 4, -1) < 0 && errno != EINTR)
			return NULL;
		for (struct ticket *k;
			(k = workq_pop(s->work)) || (k = workq_pop(s->making)) || (k = workq_pop(s->keeping));)
			free(k);
		if (p[0].revents)
			return NULL;
	}
}

static void *scan(void *arg)
{
	blobs_scan(((struct surface *)arg)->blobs);
	return NULL;
}

int surface_new(struct surface **out, const struct surface_opts *o, struct err *e)
{
	struct surface *s = xcalloc(1, sizeof(*s));
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct workq_opts wo = {
		.name = "registry", .workers = WORKERS, .depth = WAITING, .run = ticket_run, .drop = ticket_drop
	};
	struct workq_opts mo = wo, ko = wo;

	mo.name = "registry-make";
	mo.workers = MAKERS;
	mo.depth = MAKING;
	ko.name = "registry-keep";
	ko.workers = KEEPERS;
	ko.depth = KEEPING;
	s->o = *o;
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->landed, NULL);
	if (s->stop_fd < 0) {
		err_os(e, "eventfd");
		goto fail;
	}
	if (blobs_new(&s->blobs, arena_printf(&a, "%s/registry", o->dir).p, o->max_bytes, o->lock_waits, e) < 0 ||
		workq_new(&s->work, &wo, e) < 0 || workq_new(&s->making, &mo, e) < 0 ||
		workq_new(&s->keeping, &ko, e) < 0 || workq_thread(&s->drain, "registry-done", drain, s, e) < 0)
		goto fail;
	s->draining = true;
	if (workq_thread(&s->scan, "registry-scan", scan, s, e) < 0)
		goto fail;
	s->scanning = true;
	*out = s;
	return 0;
fail:
	surface_free(s);
	return e->code;
}

void surface_free(struct surface *s)
{
	uint64_t one = 1;

	if (!s)
		return;
	if (s->scanning) {
		blobs_stop(s->blobs);
		pthread_join(s->scan, NULL);
	}
	if (s->draining) {
		if (write(s->stop_fd, &one, sizeof(one)) < 0)
			abort(); /* an eventfd of ours takes a write of 1 */
		pthread_join(s->drain, NULL);
	}
	/* The fetch thread and the resolver hand tasks to both queues, whose workers may be about to begin a fetch. */
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_mutex_unlock(&s->lock);
	docs_close(s);
	pthread_mutex_lock(&s->lock);
	while (s->fetching)
		pthread_cond_wait(&s->landed, &s->lock);
	pthread_mutex_unlock(&s->lock);
	if (s->work)
		workq_free(s->work);
	if (s->making)
		workq_free(s->making);
	/* What came last is kept as well, unless the disk stalls. */
	for (int i = 0; i < KEEP_STEPS && atomic_load(&s->keeps); i++)
		nanosleep(&(struct timespec){ .tv_nsec = KEEP_STEP_MS * 1000000L }, NULL);
	if (s->keeping)
		workq_free(s->keeping);
	flights_free(s);
	docs_free(s);
	blobs_free(s->blobs);
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	pthread_cond_destroy(&s->landed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- figures ---- */

struct surface_counts surface_counts(struct surface *s)
{
	lock_timed(&s->lock, s->o.lock_waits);
	struct surface_counts n = s->n;
	for (const struct doc_upstream *up = s->up; up; up = up->next)
		n.doc_pending += up->waiting + up->asked;
	pthread_mutex_unlock(&s->lock);
	n.plain_bytes = atomic_load(&s->plain);
	return n;
}

void surface_metrics(struct surface *s, struct buf *b)
{
	struct surface_counts n = surface_counts(s);
	struct blobs_counts f = blobs_counts(s->blobs);
	const struct {
		const char *name, *type, *help;
		uint64_t v;
	} row[] = {
		{ "registry_packuments_total", "counter", "Packuments asked for by npm clients.", n.docs },
		{ "registry_packuments_hit_total", "counter", "Of these, answered from memory.", n.doc_hits },
		{ "registry_packuments_fetched_total", "counter", "Packuments fetched for them.", n.doc_fetched },
		{ "registry_packuments_revalidated_total", "counter", "Packuments confirmed by a 304.",
			n.doc_revalidated },
		{ "registry_packuments_stale_total", "counter", "Stale ones sent while they were asked for again.",
			n.doc_stale },
		{ "registry_packuments_upstream_down_total", "counter", "Stale ones sent because the upstream failed.",
			n.doc_down },
		{ "registry_packuments_absent_total", "counter", "Answers that there is no such package, remembered.",
			n.doc_absent },
		{ "registry_packuments_rewritten_total", "counter",
			"Requests by a Host that has no place: their packuments are rewritten for each. Set public-url.",
			n.doc_rewritten },
		{ "registry_packuments_unkept_total", "counter",
			"Packuments that were sent and not kept on disk: it is full.", n.doc_unkept },
		{ "registry_packuments_pending", "gauge",
			"Packuments that an upstream is asked for, or that wait for their turn.", n.doc_pending },
		{ "registry_unpacked_bytes", "gauge", "Packuments that are being sent without gzip.", n.plain_bytes },
		{ "registry_tarballs_hit_total", "counter", "Tarballs sent from disk.", n.tarball_hits },
		{ "registry_tarballs_fetched_total", "counter", "Tarballs fetched from upstream.", n.tarball_fetched },
		{ "registry_tarballs_joined_total", "counter",
			"Requests that read a tarball while it arrived for another.", n.tarball_joined },
		{ "registry_tarballs_failed_total", "counter", "Tarballs that could not be had, or had another digest.",
			n.tarball_failed },
		{ "registry_tarballs_unkept_total", "counter",
			"Tarballs that were sent and not kept: disk slow or full.", n.tarball_unkept },
		{ "registry_cache_files", "gauge", "Files in the cache of packuments and tarballs.", f.files },
		{ "registry_cache_bytes", "gauge", "Their bytes.", f.bytes },
		{ "registry_cache_evicted_total", "counter", "Files evicted.", f.evicted },
		{ "registry_cache_passes_total", "counter", "Times that all files were looked at for what may go.",
			f.passes },
		{ "registry_cache_evicted_young_total", "counter",
			"Of these, used within a day: the cache is too small.", f.evicted_young },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		metric_print(b, row[i].name, row[i].type, row[i].help, (double)row[i].v);
}
