/* fetch — package bytes from the registry into the store: download on the fetch thread, import on the pool.
 *
 * A fetch is started as soon as its package is in the plan, or, when many are, when it is its turn: the most work
 * first. Small tarballs are collected in memory and imported in one go, a large one is fed to the importer piece by
 * piece and its download pauses meanwhile. What has been fetched and not yet imported is bounded by `max_bytes`: past
 * it downloads pause, and go on by turns, each with room for all that it lacks. Only when the workers would be left
 * with nothing to import is one taken as far as it is.
 *
 * fetch_package() and the callbacks belong to the install's loop. */
#pragma once
#include "pool.h"
#include "registry.h"
#include "tree.h"

struct fetcher;
struct fetcher_opts {
	struct http *http;
	struct registry *registry;
	struct store *store; /* NULL: nothing is kept, packages become READY with their records */
	uint64_t max_bytes;  /* fetched and not imported; 0: 12 MiB */
	uint64_t piece;      /* a tarball above this is imported piecewise, a quarter of it at a time; 0: 4 MiB */
	/* On the loop: the package is in the store (READY), or CODE is negative and E says why not. */
	void (*done)(void *arg, struct tree_package *p, int code, const struct err *e);
	void *arg;
};
struct fetch_counts {
	uint64_t tarballs, bytes, pieces; /* fetched; bytes on the wire; imports that went piecewise */
	uint64_t import_us;               /* work on all workers */
	uint64_t most_bytes;              /* in memory at once */
};
/* What O points at is borrowed, and P. Nothing is asked for yet. ERR_IO: there is no descriptor. */
MUST_USE int fetcher_new(struct fetcher **out, struct pool *p, const struct fetcher_opts *o, struct err *e);
/* P, which is IDLE, is COMING from now on; done() is called once, later. */
void fetch_package(struct fetcher *f, struct tree_package *p);
/* Readable when fetcher_drain() has something. */
int fetcher_fd(const struct fetcher *f);
/* Takes what the fetch thread has brought: to the pool, or to done(). */
void fetcher_drain(struct fetcher *f);
/* Packages whose done() is still to be called. */
size_t fetcher_pending(const struct fetcher *f);
/* So far. Any thread. */
struct fetch_counts fetcher_counts(struct fetcher *f);
/* Asks for nothing more; packages that were not asked for yet stay pending. Before the http ends. */
void fetcher_stop(struct fetcher *f);
/* The http must be freed before, so that no callback runs any more, and the pool be idle. */
void fetcher_free(struct fetcher *f);
