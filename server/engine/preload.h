/* preload — the engine's packuments, over store/meta: speculative, parallel, one fetch a name.
 *
 * Implements struct engine_io for the daemon and for a direct install: want()
 * starts a meta_want(), results are collected under a lock and handed out by
 * wait() and poll() on the engine's thread. A want is counted before it is
 * visible. */
#pragma once
#include "engine.h"
#include "meta.h"
#include "remote_tarball.h"
#include <pthread.h>

struct preload;
struct preload_opts {
	int64_t now_ms;
	bool early; /* engine_io.early */
	/* What was confirmed after a cutoff answers where only older versions count; else every age is none. */
	bool kept_ages;
	/* Nobody is asked: as soon as the engine needs what is not kept, or does not decide, wait() fails, and so does
	 * remote_tarball(). ERR_NET. What was only foreseen troubles nobody. */
	bool kept_only;
	struct remote_tarballs_opts remote; /* for dependencies that are tarball URLs */
};
/* M is borrowed. Asks for nothing yet. */
struct preload *preload_new(struct meta *m, const struct preload_opts *o);
/* Borrowed; lives as long as P. */
const struct engine_io *preload_io(struct preload *p);
/* wait() and remote_tarball() return ERR_CANCELLED from now on; any thread. */
void preload_cancel(struct preload *p);
/* Releases every record. Wants that are under way are not waited for: the last one frees P, so what a cancelled plan
 * asked for may take as long as the registry does. The meta must not be freed before, which meta_free() sees to. */
void preload_free(struct preload *p);

/* Where one is while it runs, so that somebody else can cancel it: before it runs, too. */
struct preload_seat {
	pthread_mutex_t lock;
	struct preload *now; /* NULL: none runs */
	bool cancelled;
};
void preload_seat_init(struct preload_seat *s);
void preload_seat_release(struct preload_seat *s);
/* P runs from now on; NULL: none does. Whoever runs it. */
void preload_seat_put(struct preload_seat *s, struct preload *p);
/* The one that runs, and each that is put there later. Any thread. */
void preload_seat_cancel(struct preload_seat *s);
