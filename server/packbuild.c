/* The threads behind packs.h: builders fetch a tarball each and have it encoded; settlers (one) have deltas made, and
 * packs encoded again and better, when nothing else is to be done: nobody waits for either. What takes long is done at
 * low priority (packs_low()), the settlers' when the machine is idle. */
#include "base/clock.h"
#include "cond_timed.h"
#include "fs.h"
#include "integrity.h"
#include "log.h"
#include "pack.h"
#include "pack_tarball.h"
#include "packs_impl.h"
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* A tiny package's pack may be a little larger than its tarball (digests): it still saves a request to the registry. */
enum { RETRY_MS = 10 * 60 * 1000, AGAIN_MS = 60 * 1000, WORSE_MAX = 4096 };
/* What a start found is looked through so many packs at a time, under the lock, and with such pauses. */
enum { STOCK_STEPS = 1000, STOCK_MS = 10 };
/* So many of those that may be settled are compared at a time, under the lock, from where the last ones ended: with a
 * million it is not the best of all. */
enum { COMPARED = 4096 };
/* Who is near may hold up what is wanted for so many times its delay; looked at so often. */
enum { HELD_TIMES = 9, HELD_MS = 100 };

/* -- low priority -------------------------------------------------------------------- */

static uint64_t thread_cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct low_run {
	const struct packs_low *l;
	struct err *e;
	int rc;
	uint64_t cpu_us;
};

static void *low_run(void *arg)
{
	struct low_run *r = arg;
	struct sched_param none = { 0 };

	setpriority(PRIO_PROCESS, 0, r->l->idle ? 19 : 10); /* of this thread (Linux) */
	if (r->l->idle)
		pthread_setschedparam(pthread_self(), SCHED_IDLE, &none); /* where that is refused, nice has to do */
	r->rc = r->l->run(r->l->arg, r->e);
	r->cpu_us = thread_cpu_us();
	return NULL;
}

int packs_low(const struct packs_low *l, uint64_t *cpu_us, struct err *e)
{
	struct low_run r = { .l = l, .e = e };
	pthread_t t;

	*cpu_us = 0;
	if (workq_thread(&t, l->idle ? "settling" : "packing", low_run, &r, e) < 0)
		return e->code;
	pthread_join(t, NULL);
	*cpu_us = r.cpu_us;
	return r.rc;
}

/* -- fetching -------------------------------------------------------------------- */

/* A tarball that a builder waits for. */
struct tarball {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct buf z;
	bool ended;
	int code;
	struct err err;
};

static ptrdiff_t on_bytes(void *arg, const void *p, size_t n)
{
	struct tarball *t = arg;

	if (!p)
		buf_clear(&t->z); /* the registry is asked again, from the start */
	else
		buf_add(&t->z, (str){ p, n });
	return (ptrdiff_t)n;
}

static void on_end(void *arg, int code, uint64_t bytes, const struct err *e)
{
	struct tarball *t = arg;

	(void)bytes;
	pthread_mutex_lock(&t->lock);
	t->code = code;
	if (code < 0)
		t->err = *e;
	t->ended = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

/* Blocks. What the policy forbids is not asked for: the request's URL came from a packument. */
static int tarball_fetch(struct buf *out, const struct packs *p, const struct pack_item *it, struct err *e)
{
	struct tarball t = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	struct registry_tarball rt = { .url = str_of(it->url),
		.name = str_of(it->name),
		.max_body = p->o.max_tarball,
		.data = on_bytes,
		.done = on_end,
		.arg = &t };

	if (p->o.upstreams && upstream_tarball(p->o.upstreams, rt.name, rt.url, e) < 0)
		return e->code;
	registry_tarball(p->o.registry, &rt);
	pthread_mutex_lock(&t.lock);
	while (!t.ended)
		pthread_cond_wait(&t.cond, &t.lock);
	pthread_mutex_unlock(&t.lock); /* also: on_end has let go of it */
	pthread_cond_destroy(&t.cond);
	pthread_mutex_destroy(&t.lock);
	if (t.code < 0) {
		buf_release(&t.z);
		*e = t.err;
		return e->code;
	}
	*out = t.z;
	return 0;
}

/* -- building ------------------------------------------------------------------------ */

/* One of the things that take long, on its thread. */
struct job {
	struct packs *p;
	const struct pack_item *it;
	struct pack_item of, base; /* of a delta */
	struct pack_made *got;
	struct buf z; /* a tarball */
};

static int item_encode(void *arg, struct err *e)
{
	struct job *j = arg;
	struct packs *p = j->p;
	const struct pack_item *it = j->it;
	struct pack_made *got = j->got;
	AUTO(buf_release) struct buf pack = BUF_INIT;
	AUTO(arena_release) struct arena a = ARENA_INIT(512);
	struct pack_tarball_opts o = { .sri = str_of(it->sri),
		.label = arena_printf(&a, "%s@%s", it->name, it->version),
		.name = str_of(it->name),
		.named = &got->named,
		.max_unpacked = 2 * PACK_MOST_RAW, /* tar's own bytes and files that are the same included */
		.pack = { .level = p->o.level, .stop = &p->stop } };

	int rc = pack_tarball(&pack, got->digest, &got->raw, &o, j->z.p, j->z.n, e);
	got->tarball = j->z.n;
	got->size = pack.n;
	if (rc == 0 && pack.n > j->z.n + WORSE_MAX)
		rc = err_set(e, ERR_TOOBIG, STR_FMT ": the pack would be larger than the tarball", STR_ARG(o.label));
	got->vain = rc == ERR_TOOBIG || rc == ERR_POLICY; /* what has that digest stays so */
	return rc < 0 ? rc : packs_write(p, got->digest, buf_str(&pack), e);
}

/* Fetching takes locks that requests wait for, too; so not that. */
static int item_build(struct packs *p, struct pack_item *it, struct pack_made *got, uint64_t *cpu_us, struct err *e)
{
	struct job j = { .p = p, .it = it, .got = got, .z = BUF_INIT };

	*cpu_us = 0;
	int rc = tarball_fetch(&j.z, p, it, e);
	if (rc == 0)
		rc = packs_low(&(struct packs_low){ .run = item_encode, .arg = &j }, cpu_us, e);
	buf_release(&j.z);
	return rc;
}

/* Under the lock, as the next one. */
static void item_failed(
	struct packs *p, struct pack_item *it, const struct pack_made *got, int code, const struct err *e)
{
	it->state = PACK_FAILED;
	it->code = code;
	it->vain = got->vain;
	/* What is too large to be fetched is tried again from elsewhere only, after a restart as well. */
	bool big = code == ERR_TOOBIG && !got->vain;
	it->retry_ms = got->vain || big ? INT64_MAX : clock_ms() + RETRY_MS;
	if (big)
		it->tarball = p->o.max_tarball;
	if (!it->delta || !got->vain) {
		p->n.failed++;
		log_info("pack", "package=%s@%s failed=%s message=\"%s\"", it->name, it->version, err_name(code),
			e->msg);
	}
	if (got->vain && code == ERR_POLICY) /* for who asks for that one it is tried again */
		packs_set(&it->name, str_of(got->named.name[0] ? got->named.name : "-"));
	if (got->vain || big)
		packs_note(p, it);
}

static void item_built(
	struct packs *p, struct pack_item *it, const struct pack_made *got, int code, const struct err *e)
{
	*(it->delta ? &p->n.deltas_pending : &p->n.building) -= 1;
	if (code == ERR_CANCELLED && p->stop) { /* nothing failed: the journal still wants it */
		it->state = PACK_COLD;
		return;
	}
	if (code < 0) {
		item_failed(p, it, got, code, e);
		return;
	}
	if (!it->delta && got->named.version[0]) /* whatever the client's lockfile says */
		packs_set(&it->version, str_of(got->named.version));
	packs_name(p, it, got->digest);
	it->size = got->size;
	it->tarball = got->tarball;
	it->raw = got->raw;
	packs_ready(p, it, it->delta ? PACK_SETTLED : PACK_WARM);
	it->born_s = age_clock_s(&p->clock);
	packs_touch(p, it, false);
	*(it->delta ? &p->n.deltas : &p->n.built) += 1;
	packs_note(p, it);
	if (!it->delta)
		packdelta_ahead(p, it);
}

/* Whether somebody on this machine may still be at the install for which IT is wanted, whose delay is over. */
static bool is_held(const struct packs *p, const struct pack_item *it, int64_t now)
{
	return p->o.near && atomic_load(p->o.near) > 0 && now - it->begin_ms < (int64_t)HELD_TIMES * p->o.delay_ms;
}

/* Under the lock. NULL: nothing is to be begun before *WAIT_MS have passed; below 0: nothing is wanted at all. */
static struct pack_item *wanted_take(struct packs *p, int64_t *wait_ms)
{
	*wait_ms = -1;
	if (p->head == p->queue.n)
		return NULL;
	struct pack_item *it = p->item.p[p->queue.p[p->head]];
	int64_t now = clock_ms();
	*wait_ms = it->begin_ms > now ? it->begin_ms - now : is_held(p, it, now) ? HELD_MS : 0;
	if (*wait_ms > 0)
		return NULL;
	if (++p->head == p->queue.n)
		p->head = p->queue.n = 0;
	else
		pthread_cond_signal(&p->work); /* another builder may take the next */
	return it;
}

/* Under the lock, which it lets go of where nothing is to be begun. Who is still at its install needs the processors of
 * a machine that it shares with this server, so that what it asked for is begun later: packs_opts.delay_ms. */
static struct pack_item *next_wanted(struct packs *p)
{
	while (!p->stop) {
		int64_t wait_ms;
		struct pack_item *it = wanted_take(p, &wait_ms);
		if (it)
			return it;
		if (packproof_one(p)) /* meanwhile something may have come */
			continue;
		if (wait_ms > 0)
			(void)cond_timed_wait(&p->work, &p->lock, wait_ms);
		else
			pthread_cond_wait(&p->work, &p->lock);
	}
	return NULL;
}

/* Called with the lock, which it lets go of meanwhile. */
static void note(struct packs *p)
{
	pthread_mutex_unlock(&p->lock);
	packjournal_write(p);
	pthread_mutex_lock(&p->lock);
}

static void *builder_run(void *arg)
{
	struct packs *p = arg;
	struct pack_item *it;

	pthread_mutex_lock(&p->lock);
	while ((it = next_wanted(p))) {
		struct pack_made got = { 0 };
		struct err e = { 0 };
		uint64_t cpu;
		it->state = PACK_BUILDING; /* its strings are left alone until it is not */
		p->n.pending--;
		p->n.building++;
		pthread_mutex_unlock(&p->lock);
		int code = item_build(p, it, &got, &cpu, &e);
		pthread_mutex_lock(&p->lock);
		p->n.build_us += cpu;
		item_built(p, it, &got, code, &e);
		p->last_ms = clock_ms();
		pthread_cond_broadcast(&p->settle);
		note(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* -- settling ---------------------------------------------------------------------------- */

/* The content of IT's pack, encoded better; *GOT has digest and size. */
static int item_settle(void *arg, struct err *e)
{
	const struct job *j = arg;
	struct packs *p = j->p;
	const struct pack_item *it = j->it;
	struct pack_made *got = j->got;
	AUTO(buf_release) struct buf pack = BUF_INIT;
	struct pack_files r = PACK_FILES_INIT;
	struct pack_opts o = { .level = p->o.settled_level, .tarball = (uint32_t)it->tarball, .stop = &p->stop };
	int rc = packs_files(&r, p, it->digest, str_of(it->name), e);

	if (rc == 0)
		rc = pack_build(&pack, got->digest, r.file.p, (uint32_t)r.file.n, &o, e);
	pack_files_release(&r);
	got->size = pack.n;
	if (rc == 0 && got->size < it->size)
		rc = packs_write(p, got->digest, buf_str(&pack), e);
	return rc;
}

/* The pack is as good as it was, and what is wrong is this machine: a full disk, say. Others come before it, in case
 * that it is only this file which cannot be read. Under the lock, as the next one. */
static void item_put_off(struct packs *p, struct pack_item *it, const struct err *e)
{
	int64_t now = clock_ms();

	it->put_off_ms = now + RETRY_MS;
	if (!p->o.eager)
		p->settle_after_ms = now + AGAIN_MS;
	p->unsettled_misses = (struct pack_misses){ p->unsettled_misses.n + 1, *e };
}

/* That file goes in MS, if it is nobody's then. */
static void old_add(struct packs *p, const uint8_t digest[32], int64_t ms)
{
	struct pack_old old = { .until_ms = clock_ms() + ms };

	memcpy(old.digest, digest, 32);
	*vec_add(&p->old) = old;
}

static void item_settled(
	struct packs *p, struct pack_item *it, const struct pack_made *got, int code, const struct err *e)
{
	if (it->state != PACK_WARM) { /* its file went meanwhile, and so does what nobody names */
		if (code == 0 && got->size < it->size)
			old_add(p, got->digest, 0);
		return;
	}
	if (code == ERR_CANCELLED && p->stop) /* stays warm, for the next one */
		return;
	if (code < 0) {
		log_warn("pack", "package=%s@%s unsettled=%s message=\"%s\"", it->name, it->version, err_name(code),
			e->msg);
		if (packs_says_of_pack(code))
			packs_unready(p, it);
		else
			item_put_off(p, it, e);
		p->n.failed++;
		return;
	}
	p->unsettled_misses.n = 0;
	p->n.warm--;
	it->state = PACK_SETTLED;
	p->n.settled++;
	p->n.resettled++;
	if (got->size < it->size) {
		old_add(p, it->digest, (int64_t)p->o.keep_s * 1000);
		p->n.pack_bytes -= it->size - got->size;
		packs_name(p, it, got->digest);
		it->size = got->size;
	}
	packs_note(p, it);
}

/* Bytes that a better encoding may save, over the plans that would feel it. */
static uint64_t worth(const struct pack_item *it)
{
	return it->size * (1 + (uint64_t)it->plans);
}

/* Under the lock. One that was put off comes last, and where somebody waits for all of them only. */
static struct pack_item *next_unsettled(struct packs *p)
{
	struct pack_item *best = NULL, *last = NULL;
	int64_t now = clock_ms();

	if (p->o.no_settle || now < p->settle_after_ms || (p->o.eager && p->unsettled_misses.n >= PACK_MISSES_MOST))
		return NULL;

	for (size_t n = 0; n < p->warm.n && (n < COMPARED || !best);) {
		if (p->warm_at >= p->warm.n)
			p->warm_at = 0;
		struct pack_item *it = p->item.p[p->warm.p[p->warm_at]];
		it->listed = it->state == PACK_WARM;
		if (!it->listed) {
			p->warm.p[p->warm_at] = p->warm.p[--p->warm.n];
			continue;
		}
		if (!it->settling && it->put_off_ms > now)
			last = it;
		else if (!it->settling && (!best || worth(it) > worth(best)))
			best = it;
		p->warm_at++;
		n++;
	}
	return best || !p->o.eager ? best : last;
}

/* Under the lock, which it lets go of while files go. */
static void old_remove(struct packs *p, int64_t now)
{
	VEC(struct pack_old) gone = VEC_INIT;
	size_t kept = 0;

	for (size_t i = 0; i < p->old.n; i++) {
		if (p->old.p[i].until_ms > now)
			p->old.p[kept++] = p->old.p[i];
		else if (!packs_is_named(p, p->old.p[i].digest)) /* it may have been made again */
			*vec_add(&gone) = p->old.p[i];
	}
	p->old.n = kept;
	if (gone.n == 0)
		return;
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < gone.n; i++)
		packs_remove(p, gone.p[i].digest);
	vec_release(&gone);
	pthread_mutex_lock(&p->lock);
}

/* Until the first of them goes; a minute at most. */
static int64_t old_next(const struct packs *p, int64_t now)
{
	int64_t wait = 60 * 1000;

	for (size_t i = 0; i < p->old.n; i++) {
		if (p->old.p[i].until_ms - now < wait)
			wait = p->old.p[i].until_ms - now;
	}
	return wait < 1 ? 1 : wait;
}

/* Under the lock: a delta first, which may save more than an encoding. It stays in its queue. */
static struct pack_item *next_later(struct packs *p)
{
	if (p->deltas_at < p->deltas.n)
		return p->item.p[p->deltas.p[p->deltas_at]];
	p->deltas_at = p->deltas.n = 0;
	(void)packdelta_ahead_some(p, STOCK_STEPS);
	if (p->deltas.n)
		return p->item.p[p->deltas.p[0]];
	return next_unsettled(p);
}

/* Under the lock: waits until there is something to make better and nobody has wanted anything for a while. */
static struct pack_item *wait_later(struct packs *p)
{
	while (!p->stop) {
		old_remove(p, clock_ms());
		if (p->stop)
			break;
		int64_t now = clock_ms(), quiet = p->last_ms + (int64_t)p->o.idle_ms;
		bool busy = p->n.pending + p->n.building > 0;
		struct pack_item *it = busy ? NULL : next_later(p);
		if (it && now >= quiet)
			return it;
		bool stocked = p->stock_at == 2 * p->stock;
		if (!it && !busy && stocked && p->n.warm + p->n.deltas_pending + p->n.unproved == 0 && p->first_ms &&
			p->n.settled_ms < 0) {
			p->n.settled_ms = now - p->first_ms;
			p->n.settled_us = packs_cpu_us(p) - p->first_us;
			log_info("packs", "settled=%llu ms=%lld cpu_ms=%llu tarball_bytes=%llu pack_bytes=%llu",
				(unsigned long long)p->n.settled, (long long)p->n.settled_ms,
				(unsigned long long)(p->n.settled_us / 1000), (unsigned long long)p->n.tarball_bytes,
				(unsigned long long)p->n.pack_bytes);
		}
		int64_t wait = it ? quiet - now : old_next(p, now);
		(void)cond_timed_wait(&p->settle, &p->lock, stocked || it || busy ? wait : STOCK_MS);
	}
	return NULL;
}

static int delta_encode(void *arg, struct err *e)
{
	const struct job *j = arg;

	return packdelta_build(j->p, j->it, &j->of, &j->base, j->got, e);
}

/* Called with the lock, which it lets go of meanwhile, like the next one. */
static void delta_make(struct packs *p, struct pack_item *it)
{
	const struct pack_item *of = packs_item(p, it->of, false), *base = packs_item(p, it->base, false);
	struct pack_made got = { 0 };
	struct err e = { 0 };
	uint64_t cpu = 0;
	int code;

	p->deltas_at++;
	p->n.deltas_building++;
	it->state = PACK_BUILDING;
	bool here = packs_is_ready(of) && packs_is_ready(base);
	struct job j = { .p = p,
		.it = it,
		.of = here ? *of : (struct pack_item){ .at = 0 },
		.base = here ? *base : (struct pack_item){ .at = 0 },
		.got = &got };
	pthread_mutex_unlock(&p->lock);
	if (here)
		code = packs_low(&(struct packs_low){ .run = delta_encode, .arg = &j, .idle = !p->o.eager }, &cpu, &e);
	else
		code = err_set(&e, ERR_NOTFOUND, "a pack that the delta is made of is gone");
	got.vain = code == ERR_TOOBIG;
	pthread_mutex_lock(&p->lock);
	p->n.delta_us += cpu;
	p->n.deltas_building--;
	item_built(p, it, &got, code, &e);
}

static void settle(struct packs *p, struct pack_item *it)
{
	struct pack_item copy = *it;
	struct pack_made got = { 0 };
	struct err e = { 0 };
	struct job j = { .p = p, .it = &copy, .got = &got };
	uint64_t cpu;

	copy.name = xstrndup(str_of(it->name)); /* its own may be written anew, if it is evicted meanwhile */
	it->settling = true;
	pthread_mutex_unlock(&p->lock);
	int code = packs_low(&(struct packs_low){ .run = item_settle, .arg = &j, .idle = !p->o.eager }, &cpu, &e);
	free(copy.name);
	pthread_mutex_lock(&p->lock);
	p->n.settle_us += cpu;
	it->settling = false;
	item_settled(p, it, &got, code, &e);
}

static void *settler_run(void *arg)
{
	struct packs *p = arg;
	struct pack_item *it;

	pthread_mutex_lock(&p->lock);
	while ((it = wait_later(p))) {
		if (it->delta)
			delta_make(p, it);
		else
			settle(p, it);
		pthread_cond_broadcast(&p->settle); /* the last of several says that all is settled */
		note(p);
	}
	p->settlers--;
	pthread_cond_signal(&p->ended);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* -- life ---------------------------------------------------------------------------------- */

int packbuild_start(struct packs *p, struct err *e)
{
	p->thread = xcalloc(p->o.builders + p->o.settlers, sizeof(*p->thread));
	for (; p->nthreads < p->o.builders + p->o.settlers; p->nthreads++) {
		bool settler = p->nthreads >= p->o.builders;
		pthread_mutex_lock(&p->lock);
		p->settlers += settler;
		pthread_mutex_unlock(&p->lock);
		if (workq_thread(&p->thread[p->nthreads], settler ? "settle" : "pack",
			    settler ? settler_run : builder_run, p, e) == 0)
			continue;
		pthread_mutex_lock(&p->lock);
		p->settlers -= settler;
		pthread_mutex_unlock(&p->lock);
		return e->code;
	}
	return 0;
}

/* Under the lock. */
static bool settlers_end(struct packs *p)
{
	int64_t until = clock_ms() + p->o.leave_ms;

	for (int64_t now; p->settlers && (now = clock_ms()) < until;)
		(void)cond_timed_wait(&p->ended, &p->lock, until - now);
	return p->settlers == 0;
}

bool packbuild_stop(struct packs *p)
{
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_cond_broadcast(&p->settle);
	bool ended = settlers_end(p);
	pthread_mutex_unlock(&p->lock);
	if (!ended)
		log_info("packs", "left=settling: this machine is busy; it is begun anew after a restart");
	for (unsigned i = 0; i < p->nthreads; i++) {
		if (ended || i < p->o.builders)
			pthread_join(p->thread[i], NULL);
		else
			pthread_detach(p->thread[i]);
	}
	free(p->thread);
	return ended;
}
