/* fetch_packs — package bytes from a drayd into the store: packs over a few HTTP/2 connections, import on the pool.
 *
 * Beside the plan's connection, so that bulk never stands before frames. One thread drives all sessions (pack_conn.c);
 * the loop hands packages in, in plan order, and gets told what became of them. What the plan does not name a pack for
 * is looked up at the server first, by its tarball's digest, when asked for.
 *
 * Bounded by `max_bytes` of packs that were asked for and are not yet imported (one is always allowed): the plan and
 * the answers to look-ups say every pack's size beforehand, and one that is not so long is refused. So backpressure is
 * that nothing more is asked for. Large ones are unpacked while they arrive (pack_feed.c), and there it is HTTP/2's
 * window. A lost connection is opened again, a few times or for `away_ms`, and only the rest is asked for, from the
 * byte where a pack broke off.
 *
 * pack_fetch() and the callbacks belong to the install's loop. */
#pragma once
#include "pool.h"
#include "tree.h"

struct pack_fetcher;
struct pack_fetcher_opts {
	str url, token;      /* the drayd, as source_remote_opts */
	const char *ca_file; /* likewise */
	struct store *store;
	unsigned connections; /* 0: 8 */
	unsigned connect_ms;  /* 0: 1,000 */
	unsigned away_ms;   /* for so long a server that was there is tried again, as while it is restarted; 0: 3,000 */
	unsigned stall_ms;  /* an answer that brings no byte for so long is ended and asked for again; 0: 60,000 */
	uint64_t max_bytes; /* 0: 12 MiB */
	uint64_t stream_from; /* a pack of so many bytes is unpacked while it arrives; 0: 1 MiB */
	uint32_t ahead;       /* bytes of it that may wait for that; 0: 3 MiB */
	uint32_t small_ahead; /* bytes by which smaller ones may be ahead of their share; 0: 3 MiB */
	unsigned share_ms;    /* a large one that brings nothing for so long keeps no small ones back; 0: 200 */
	bool connect; /* before the first package: packs are expected, and their round trips begin with the plan's */
	/* The package is in the store (READY). */
	void (*done)(void *arg, struct tree_package *p);
	/* It has to come from somewhere else: E is NULL where the server has no pack, else says what was wrong with it.
	 * P is NULL when E is about the server and the package was taken back before. */
	void (*absent)(void *arg, struct tree_package *p, const struct err *e);
	void *arg;
};
struct pack_counts {
	uint64_t packs, bytes;         /* imported; received, broken-off ones included */
	uint64_t deltas;               /* of the packs */
	uint64_t absent, refused;      /* no pack; pack wrong or server lost */
	uint64_t requests, reconnects; /* requests for packs and look-ups */
	uint64_t import_us;
	uint64_t saved;      /* bytes by which the tarballs are larger than their packs */
	uint64_t most_bytes; /* asked for and not imported, at once */
};
/* Starts the thread, which connects at the first package where not told otherwise. ERR_USAGE: the URL. */
MUST_USE int pack_fetcher_new(
	struct pack_fetcher **out, struct pool *pool, const struct pack_fetcher_opts *o, struct err *e);
/* Whether P can come as a pack: the frame names one, or (LOOK_UP) its integrity is known. */
bool pack_possible(const struct tree_package *p, bool look_up);
/* A version of the package that the store has: its record stays valid until the install ends. */
struct pack_base_of {
	uint8_t key[24]; /* PACKS_KEY */
	struct pkg rec;
};
/* LOOK_UP: what the frame names may have been replaced by a better one since. BASE (may be NULL): a delta from there
 * will do, and the server is asked for one. Its record may be to come (rec.p NULL): the look-up goes out, and what it
 * finds is asked for once pack_base_comes(). */
void pack_fetch(struct pack_fetcher *f, struct tree_package *p, bool look_up, const struct pack_base_of *base);
/* The version that P was to be built on is in the store. Nothing happens where P does not wait for one. */
void pack_base_comes(struct tree_package *p, struct pkg rec);
/* It will not come, in a form that P could be built on: what was found for P is forgotten. True: P is IDLE and to be
 * asked for anew. */
MUST_USE bool pack_base_lost(struct tree_package *p);
/* Takes back the first package whose look-up has no answer yet, so that it is had elsewhere meanwhile (IDLE). NULL:
 * none. What a frame names a pack for is never one: its server is there. Without DELTAS nothing that was asked for
 * with a base: such a pack is a small part of its tarball. */
struct tree_package *pack_take(struct pack_fetcher *f, bool deltas);
/* How many that were taken back the server still has not answered for. */
size_t pack_fetcher_unanswered(const struct pack_fetcher *f);
/* Readable when pack_fetcher_drain() has something. */
int pack_fetcher_fd(const struct pack_fetcher *f);
/* Takes what the pack thread has brought: to the pool, or to done() and absent(). */
void pack_fetcher_drain(struct pack_fetcher *f);
/* Packages for which neither done() nor absent() was called yet; those that were taken back are none. */
size_t pack_fetcher_pending(const struct pack_fetcher *f);
/* So far. Any thread. */
struct pack_counts pack_fetcher_counts(struct pack_fetcher *f);
/* Stops the thread: nothing arrives any more. Before the pool is waited for. NULL is fine. */
void pack_fetcher_stop(struct pack_fetcher *f);
/* After stop, and when the pool is idle. NULL is fine. */
void pack_fetcher_free(struct pack_fetcher *f);
