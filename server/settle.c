#include "settle.h"
#include "base/clock.h"
#include "fs.h"
#include "resolver.h"
#include <signal.h>
#include <time.h>

enum { LOOK_MS = 100, SAY_MS = 2000 };

static void say(int fd, const struct buf *b)
{
	(void)!fs_write_all(fd, b->p, b->n); /* nobody reads it: nothing to be done */
}

static void say_progress(int fd, const struct packs_counts *n)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "%llu to be made, %llu to be proved, %llu deltas, %llu to be encoded better, %llu settled\n",
		(unsigned long long)n->pending + n->building, (unsigned long long)n->unproved,
		(unsigned long long)n->deltas_pending, (unsigned long long)n->warm, (unsigned long long)n->settled);
	say(fd, &b);
}

static void say_end(int fd, const struct packs_counts *n)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "settled: %llu packs, %.1f MB of tarballs in %.1f MB, after %.1f s and %.1f s of CPU\n",
		(unsigned long long)n->settled, (double)n->tarball_bytes / 1e6, (double)n->pack_bytes / 1e6,
		(double)(n->settled_ms > 0 ? n->settled_ms : 0) / 1e3,
		(double)(n->build_us + n->delta_us + n->settle_us) / 1e6);
	say(fd, &b);
}

/* 0: settled. */
static int settle_wait(struct packs *p, int fd, struct err *e)
{
	struct timespec t = { .tv_nsec = LOOK_MS * 1000000 };
	int64_t said = clock_ms();
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	for (;;) {
		struct packs_counts n = packs_counts(p);
		if (n.settled_ms >= 0)
			return 0;
		if (packs_stuck(p, e))
			return err_ctx(e, "what was made is kept, the rest cannot be made now");
		if (sigtimedwait(&stop, NULL, &t) > 0)
			return err_set(e, ERR_CANCELLED, "interrupted: what was made is kept");
		if (clock_ms() - said >= SAY_MS) {
			say_progress(fd, &n);
			said = clock_ms();
		}
	}
}

int settle_run(const struct config *c, int fd, struct err *e)
{
	struct resolver *r;

	if (resolver_new(&r, c, e) < 0)
		return e->code;
	struct packs *p = resolver_backend(r)->packs(resolver_backend(r)->ctx);
	int rc = settle_wait(p, fd, e);
	size_t failing = packs_failing(p);
	if (rc == 0) {
		struct packs_counts n = packs_counts(p);
		say_end(fd, &n);
	}
	if (rc == 0 && failing)
		rc = err_set(e, ERR_NET,
			"%zu package(s) could not be packed, the log says why; they are tried again later", failing);
	resolver_free(r);
	return rc;
}
