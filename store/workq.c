#include "workq.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ring {
	void **at;
	unsigned head, n;
};
struct workq {
	struct workq_opts o;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct ring todo, done;
	unsigned live; /* accepted and not yet popped */
	unsigned idle; /* workers that wait and have not been signalled since */
	bool stop;
	bool woken; /* the eventfd has been written since it was read, or will be in a moment */
	bool low;   /* since there were that many jobs, the owner has been told that few are left */
	bool dry;   /* since the last push, it has been told that none is left for a worker */
	bool last;  /* it wants to hear neither, since it brings no more: until the next push */
	int fd;
	pthread_t *tid;
	unsigned ntid;
};

static void ring_put(struct ring *r, unsigned cap, void *job)
{
	r->at[(r->head + r->n++) % cap] = job;
}

static void ring_put_first(struct ring *r, unsigned cap, void *job)
{
	r->head = (r->head + cap - 1) % cap;
	r->at[r->head] = job;
	r->n++;
}

static void *ring_get(struct ring *r, unsigned cap)
{
	if (r->n == 0)
		return NULL;
	void *job = r->at[r->head];
	r->head = (r->head + 1) % cap;
	r->n--;
	return job;
}

/* Under the lock: JOB has ended; whether the owner must be told. For patient ones: when few are left, so that it brings
 * more before a worker idles; when none is left to begin, since there may never have been more than few, and what still
 * runs may run for long; when all have ended. */
static bool job_ended(struct workq *q, void *job, bool patient)
{
	ring_put(&q->done, q->o.depth, job);
	bool low = !q->low && q->todo.n < WORKQ_FEW * q->o.workers;
	bool dry = !q->dry && q->todo.n == 0;
	bool brings = (low || dry) && !q->last;
	if (q->woken || (patient && !brings && q->done.n < q->live))
		return false;
	q->low |= low;
	q->dry |= dry;
	return q->woken = true;
}

/* Without the lock, which the owner takes as soon as it is awake. */
static void owner_wake(const struct workq *q)
{
	uint64_t one = 1;

	if (write(q->fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd of ours takes a write of 1 */
}

static void *worker(void *arg)
{
	struct workq *q = arg;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		while (!q->stop && q->todo.n == 0) {
			q->idle++;
			pthread_cond_wait(&q->more, &q->lock);
		}
		if (q->stop)
			break;
		void *job = ring_get(&q->todo, q->o.depth);
		pthread_mutex_unlock(&q->lock);
		q->o.run(job);
		bool patient = q->o.patient && q->o.patient(job);
		pthread_mutex_lock(&q->lock);
		if (job_ended(q, job, patient)) {
			pthread_mutex_unlock(&q->lock);
			owner_wake(q);
			pthread_mutex_lock(&q->lock);
		}
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

int workq_new(struct workq **out, const struct workq_opts *o, struct err *e)
{
	struct workq *q = xcalloc(1, sizeof(*q));

	q->o = *o;
	q->low = true;
	if (q->o.workers == 0)
		q->o.workers = workq_cpus();
	if (q->o.depth == 0)
		q->o.depth = 1;
	q->todo.at = xcalloc(q->o.depth, sizeof(void *));
	q->done.at = xcalloc(q->o.depth, sizeof(void *));
	q->tid = xcalloc(q->o.workers, sizeof(*q->tid));
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->more, NULL);
	q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->fd < 0) {
		err_os(e, "eventfd for %s", o->name);
		goto fail;
	}
	for (; q->ntid < q->o.workers; q->ntid++) {
		if (workq_thread(&q->tid[q->ntid], o->name, worker, q, e) < 0)
			goto fail;
	}
	*out = q;
	return 0;
fail:
	workq_free(q);
	return e->code;
}

static bool push(struct workq *q, void *job, void (*put)(struct ring *r, unsigned cap, void *job))
{
	pthread_mutex_lock(&q->lock);
	bool ok = q->live < q->o.depth;
	bool idle = ok && q->idle > 0;
	if (ok) {
		q->live++;
		put(&q->todo, q->o.depth, job);
		q->low &= q->todo.n < WORKQ_FEW * q->o.workers;
		q->dry = q->last = false;
		q->idle -= idle;
	}
	pthread_mutex_unlock(&q->lock);
	if (idle)
		pthread_cond_signal(&q->more); /* who wakes needs the lock at once */
	return ok;
}

bool workq_push(struct workq *q, void *job)
{
	return push(q, job, ring_put);
}

bool workq_push_first(struct workq *q, void *job)
{
	return push(q, job, ring_put_first);
}

void workq_last(struct workq *q)
{
	pthread_mutex_lock(&q->lock);
	q->last = true;
	pthread_mutex_unlock(&q->lock);
}

void *workq_pop(struct workq *q)
{
	pthread_mutex_lock(&q->lock);
	void *job = ring_get(&q->done, q->o.depth);
	if (job)
		q->live--;
	uint64_t x;
	if (q->done.n == 0 && q->woken) {
		q->woken = read(q->fd, &x, sizeof(x)) < 0; /* not written yet: it is read another time */
		if (q->woken && errno != EAGAIN)
			abort();
	}
	pthread_mutex_unlock(&q->lock);
	return job;
}

int workq_fd(const struct workq *q)
{
	return q->fd;
}

void workq_free(struct workq *q)
{
	if (!q)
		return;
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_mutex_unlock(&q->lock);
	pthread_cond_broadcast(&q->more);
	for (unsigned i = 0; i < q->ntid; i++)
		pthread_join(q->tid[i], NULL);
	for (void *job; (job = ring_get(&q->todo, q->o.depth));)
		q->o.drop(job);
	for (void *job; (job = ring_get(&q->done, q->o.depth));)
		q->o.drop(job);
	if (q->fd >= 0)
		close(q->fd);
	pthread_cond_destroy(&q->more);
	pthread_mutex_destroy(&q->lock);
	free(q->todo.at);
	free(q->done.at);
	free(q->tid);
	free(q);
}

int workq_thread(pthread_t *out, const char *name, void *(*fn)(void *), void *arg, struct err *e)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(out, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		errno = rc;
		return err_os(e, "start thread %s", name);
	}
	pthread_setname_np(*out, name);
	return 0;
}

unsigned workq_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	int n = CPU_COUNT(&set);
	return n > 0 ? (unsigned)n : 1;
}
