#include "link.h"
#include <stdlib.h>

#include "base/clock.h"

enum {
	LARGE_SLOT = 500, /* slot_weight(): about five milliseconds */
	LEAST_JOB = 100,
	IN_FLIGHT = 128, /* the later ones of a batch are so short that the first half of them is nearly all of it */
};

struct link_job {
	struct job job;
	struct linker *l;
	struct slot **slot; /* borrowed from the batch */
	size_t n, ran;
	struct slot_stats stats;
	uint64_t warm_us, cold_us;
	struct link_job *next;
};
struct linker {
	struct pool *pool;
	const struct tree *tree;
	struct linker_opts o;
	struct map owner; /* folder -> slot id of the one that makes it */
	struct link_job *first, **last;
	unsigned jobs; /* on the pool */
	struct link_counts counts;
	atomic_uint now, most; /* links inside slot_link() */
	atomic_bool stopped, record_aside;
};

struct linker *linker_new(struct pool *p, const struct tree *t, const struct linker_opts *o)
{
	struct linker *l = xcalloc(1, sizeof(*l));

	l->pool = p;
	l->tree = t;
	l->o = *o;
	l->o.record_aside = &l->record_aside;
	if (l->o.in_flight == 0)
		l->o.in_flight = pool_enough(p) > IN_FLIGHT ? pool_enough(p) : IN_FLIGHT;
	l->last = &l->first;
	return l;
}

/* On a worker: the counter belongs to the linker, so two installs in one process do not mix. */
static void link_one(struct link_job *j, struct slot *s)
{
	struct linker *l = j->l;
	struct err e = { 0 };
	uint64_t start = clock_us();
	unsigned now = atomic_fetch_add(&l->now, 1) + 1, most = atomic_load(&l->most);

	while (now > most && !atomic_compare_exchange_weak(&l->most, &most, now)) {
	}
	if (l->o.entered)
		l->o.entered(l->o.entered_arg);
	s->err = NULL;
	if (slot_link(&l->o, l->tree, s, &j->stats, &e) < 0) {
		if (e.code >= 0)
			e.code = ERR_IO;
		s->err = xmalloc(sizeof(e)); /* rare, and too large to be part of every slot */
		*s->err = e;
		j->job.patient = false;
	}
	atomic_fetch_sub(&l->now, 1);
	*(s->cold ? &j->cold_us : &j->warm_us) += clock_us() - start;
}

static void link_job_run(struct job *job)
{
	struct link_job *j = (struct link_job *)job;

	for (; j->ran < j->n && !atomic_load(&j->l->stopped); j->ran++)
		link_one(j, j->slot[j->ran]);
}

static void linker_push(struct linker *l)
{
	while (!atomic_load(&l->stopped) && l->first && l->jobs < l->o.in_flight) {
		struct link_job *j = l->first;
		l->first = j->next;
		if (!l->first)
			l->last = &l->first;
		l->jobs++;
		pool_submit(l->pool, &j->job);
	}
}

static void slot_done(struct linker *l, struct slot *s, int code)
{
	s->state = code < 0 ? SLOT_WAITING : SLOT_LINKED;
	if (code == 0)
		*(s->cold ? &l->counts.cold : &l->counts.warm) += 1;
	if (!atomic_load(&l->stopped))
		l->o.done(l->o.arg, s);
}

static void link_job_free(struct link_job *j)
{
	free(j->slot);
	free(j);
}

static void link_job_done(struct job *job, void *ctx)
{
	struct link_job *j = (struct link_job *)job;
	struct linker *l = ctx;

	l->jobs--;
	l->counts.dirs += j->stats.files.dirs;
	l->counts.links += j->stats.files.links;
	l->counts.clones += j->stats.files.clones;
	l->counts.copies += j->stats.files.copies;
	l->counts.bytes_copied += j->stats.files.bytes_copied;
	l->counts.symlinks += j->stats.symlinks;
	l->counts.misfits += j->stats.files.misfits;
	l->counts.refused = j->stats.files.refused ? j->stats.files.refused : l->counts.refused;
	l->counts.warm_us += j->warm_us;
	l->counts.cold_us += j->cold_us;
	for (size_t i = 0; i < j->ran; i++) {
		struct slot *s = j->slot[i], *same = s->same;
		struct err *err = s->err;
		int code = err ? err->code : 0;
		s->same = NULL;
		for (struct slot *f = same, *next; f; f = next) {
			next = f->same;
			f->same = NULL;
			f->err = s->err;
			slot_done(l, f, code);
			f->err = NULL;
		}
		slot_done(l, s, code);
		s->err = NULL;
		free(err);
	}
	link_job_free(j);
	linker_push(l);
}

static void link_job_add(struct linker *l, struct slot **slot, size_t n)
{
	struct link_job *j = xcalloc(1, sizeof(*j));

	j->job = (struct job){ .run = link_job_run, .done = link_job_done, .ctx = l, .patient = true };
	j->l = l;
	j->n = n;
	j->slot = xmalloc(n * sizeof(*j->slot));
	memcpy(j->slot, slot, n * sizeof(*slot));
	*l->last = j;
	l->last = &j->next;
}

static uint64_t slot_weight(const struct slot *s)
{
	return 8 + s->package->work + 2u * s->snap->dependencies.n;
}

/* True when S makes its folder; otherwise it has been put behind the slot that does. */
static bool slot_owns(struct linker *l, struct slot *s)
{
	bool fresh;
	uint32_t id = map_add(&l->owner, str_of(s->dir), s->id, &fresh);

	if (fresh || id == s->id)
		return true;
	struct slot *owner = l->tree->slot[id];
	if (owner->state != SLOT_LINKING)
		return true; /* it is finished: S makes the folder anew */
	s->same = owner->same;
	owner->same = s;
	return false;
}

/* Moves the slots that are jobs of their own to the front: begun last, one of them would keep one worker
 * busy while the others idle. */
static void large_first(struct slot **slots, size_t n, uint64_t large)
{
	size_t front = 0;

	for (size_t i = 0; i < n; i++) {
		struct slot *s = slots[i];
		if (slot_weight(s) < large)
			continue;
		memmove(slots + front + 1, slots + front, (i - front) * sizeof(*slots));
		slots[front++] = s;
	}
}

void link_slots_parallel(struct linker *l, struct slot **slots, size_t n)
{
	uint64_t left = 0;
	size_t own = 0;

	for (size_t i = 0; i < n; i++) {
		slots[i]->state = SLOT_LINKING;
		slots[i]->rec = slots[i]->package->rec;
		slots[i]->fresh = slots[i]->package->cold;
		if (!slot_owns(l, slots[i]))
			continue;
		left += slot_weight(slots[i]);
		slots[own++] = slots[i];
	}
	/* of few slots even a small one is large: begun last, it would be waited for */
	const unsigned workers = pool_workers(l->pool);
	uint64_t large = left / (32u * workers);
	large_first(slots, own, large < LEAST_JOB ? LEAST_JOB : large > LARGE_SLOT ? LARGE_SLOT : large);
	/* Each job is a part of what is left, so that the last ones are short; a slot is never split, and
	 * few slots are never lumped. */
	uint64_t weight = 0, least = left / (4u * workers) < LEAST_JOB ? left / (4u * workers) : LEAST_JOB;
	size_t from = 0;
	for (size_t i = 0; i < own; i++) {
		weight += slot_weight(slots[i]);
		if (weight > least + left / (8u * workers) || own <= 2u * workers || i + 1 == own) {
			link_job_add(l, slots + from, i + 1 - from);
			from = i + 1;
			left -= weight;
			weight = 0;
		}
	}
	linker_push(l);
}

void linker_stop(struct linker *l)
{
	atomic_store(&l->stopped, true);
}

struct link_counts linker_counts(const struct linker *l)
{
	struct link_counts c = l->counts;

	c.most = atomic_load(&l->most);
	return c;
}

bool linker_brings(const struct linker *l)
{
	return l->first && !atomic_load(&l->stopped);
}

void linker_free(struct linker *l)
{
	if (!l)
		return;
	for (struct link_job *j = l->first, *next; j; j = next) {
		next = j->next;
		link_job_free(j);
	}
	map_release(&l->owner);
	free(l);
}
