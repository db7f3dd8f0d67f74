#include "watch.h"
#include "base/clock.h"
#include "cond_timed.h"
#include "log.h"
#include "notify.h"
#include "workq.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TURN_MS = 200, LIMIT_MS = 1500, GRACE_MS = 5000 };

struct watch {
	struct watch_opts o;
	pthread_t tid;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t cond;
	bool stop;
	const char *stage;
	int64_t stage_from, stage_until;
};

void watch_slot_init(struct watch_slot *s)
{
	*s = (struct watch_slot){ 0 };
	pthread_mutex_init(&s->lock, NULL);
}

void watch_slot_release(struct watch_slot *s)
{
	pthread_mutex_destroy(&s->lock);
}

void watch_beat(struct watch_slot *s)
{
	atomic_store_explicit(&s->beat_ms, clock_ms(), memory_order_relaxed);
}

void watch_rest(struct watch_slot *s)
{
	atomic_store_explicit(&s->beat_ms, 0, memory_order_relaxed);
}

static size_t put(char *to, size_t at, str s, size_t most)
{
	size_t n = s.n < most ? s.n : most;

	memcpy(to + at, s.p ? s.p : "", n);
	return at + n;
}

/* For each request: no printf. */
void watch_enter(struct watch_slot *s, str what, str id)
{
	pthread_mutex_lock(&s->lock);
	size_t n = put(s->what, 0, what, 40);
	n = put(s->what, n, STR(" id="), 4);
	n = put(s->what, n, id, 64);
	s->what[n] = 0;
	s->within = true;
	pthread_mutex_unlock(&s->lock);
}

void watch_leave(struct watch_slot *s)
{
	pthread_mutex_lock(&s->lock);
	s->within = false;
	pthread_mutex_unlock(&s->lock);
}

/* Once a blockage: the same beat is not told twice. */
static void slot_look(struct watch *w, size_t i, int64_t now)
{
	struct watch_slot *s = w->o.slot[i];
	int64_t beat = atomic_load_explicit(&s->beat_ms, memory_order_relaxed);
	char what[sizeof(s->what)];
	bool within;

	if (beat == 0 || now - beat < w->o.limit_ms || beat == s->reported_ms)
		return;
	s->reported_ms = beat;
	pthread_mutex_lock(&s->lock);
	snprintf(what, sizeof(what), "%s", s->what);
	within = s->within;
	pthread_mutex_unlock(&s->lock);
	for (char *c = what; *c; c++) { /* a path as its sender wrote it */
		if (*c == '"' || *c == '\\')
			*c = '?';
	}
	if (w->o.blocked)
		atomic_fetch_add(w->o.blocked, 1);
	log_error("watchdog", "loop=%zu blocked_ms=%lld %s=\"%s\"", i, (long long)(now - beat), within ? "in" : "after",
		what[0] ? what : "nothing");
}

static void *watch_run(void *arg)
{
	struct watch *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		(void)cond_timed_wait(&w->cond, &w->lock, TURN_MS);
		int64_t now = clock_ms();
		for (size_t i = 0; i < w->o.n && !w->stop; i++)
			slot_look(w, i, now);
		if (!w->stop && w->stage && now > w->stage_until) {
			log_error("stop", "stage=%s ms=%lld: past its bound, leaving", w->stage,
				(long long)(now - w->stage_from));
			_exit(1);
		}
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int watch_new(struct watch **out, const struct watch_opts *o, struct err *e)
{
	struct watch *w = xcalloc(1, sizeof(*w));

	w->o = *o;
	w->o.slot = xcalloc(o->n + 1, sizeof(*w->o.slot));
	if (o->n)
		memcpy(w->o.slot, o->slot, o->n * sizeof(*w->o.slot));
	w->o.limit_ms = o->limit_ms ? o->limit_ms : LIMIT_MS;
	pthread_mutex_init(&w->lock, NULL);
	cond_timed_init(&w->cond);
	if (workq_thread(&w->tid, "watch", watch_run, w, e) < 0) {
		pthread_cond_destroy(&w->cond);
		pthread_mutex_destroy(&w->lock);
		free(w->o.slot);
		free(w);
		return e->code;
	}
	*out = w;
	return 0;
}

/* Under the lock. */
static void stage_end(struct watch *w)
{
	if (w->stage)
		log_info("stop", "stage=%s ms=%lld", w->stage, (long long)(clock_ms() - w->stage_from));
	w->stage = NULL;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	stage_end(w);
	w->stop = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->tid, NULL);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free(w->o.slot);
	free(w);
}

void watch_stage(struct watch *w, const char *name, int64_t bound_ms)
{
	int64_t now = clock_ms();

	/* A manager that knows less time than the stages have waits for them. */
	notify("STOPPING=1\nSTATUS=Stopping: %s\nEXTEND_TIMEOUT_USEC=%lld", name,
		(long long)(bound_ms + GRACE_MS) * 1000);
	pthread_mutex_lock(&w->lock);
	stage_end(w);
	w->stage = name;
	w->stage_from = now;
	w->stage_until = now + bound_ms;
	pthread_mutex_unlock(&w->lock);
}
