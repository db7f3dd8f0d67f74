/* fetch_packs_impl — what fetch_packs.c and pack_feed.c (the loop's side) and pack_conn.c (the thread's) share. */
#pragma once
#include "fetch_body.h"
#include "fetch_packs.h"
#include "h2_session.h"
#include "pack_stream.h"
#include "packs_wire.h"
#include "server_url.h"
#include <pthread.h>
#include <stdatomic.h>

/* Who decides where a package that is looked up comes from: the thread that finds its pack, or the loop
 * that takes it back first. */
enum want_fate { WANT_OPEN = 0, WANT_FOUND, WANT_TAKEN };
enum { FEED_BLOCK = 256 << 10 }; /* bytes of a large pack that go to the loop at once, at most */
enum pack_end { PACK_COMES = 0, PACK_ARRIVED, PACK_ABSENT };
/* What has arrived of a pack, in blocks that go their ways one by one. */
struct pack_block {
	struct fetch_body b;
	struct pack_block *next;
};
struct pack_blocks {
	struct pack_block *head, *tail;
	size_t n; /* bytes */
};
/* A pack that is unpacked through a window of memory: as it arrives, where it is large. */
struct pack_feed {
	struct job job; /* first */
	struct pack_want *w;
	atomic_uint_fast64_t fed; /* bytes unpacked, or dropped */
	/* under the lock */
	struct pack_blocks inbox; /* arrived, and not taken yet */
	enum pack_end end;
	struct err why; /* it is absent; code 0: the server has none */
	bool told;
	struct pack_feed *told_next, *all_next;
	/* a job's, then the loop's */
	struct pack_import *import;
	struct pack_blocks piece;
	enum pack_end after; /* that piece */
	/* the loop's */
	bool queued, busy; /* it waits for another's window; a job has it */
	struct pack_feed *next;
};

/* One package on its way. Belongs to the loop, then the thread, then (with its bytes) a job, then the loop again. One
 * with a feed is the thread's until that has ended, and the loop's after. */
struct pack_want {
	struct job job; /* first */
	struct pack_fetcher *f;
	struct tree_package *p;
	uint8_t key[PACKS_KEY], digest[32];
	struct pack_base_of base; /* another version, if HAS_BASE; its record may be to come */
	uint64_t size;            /* 0: to be looked up */
	uint64_t hold;            /* of `held`, as long as it was asked for and is not imported */
	uint64_t raw;             /* memory that unpacking takes; 0: no pack, which its import says */
	struct fetch_body body;   /* without a feed: what has arrived */
	struct fetch_body come;   /* with one: the block that is not full yet */
	uint64_t got;             /* bytes received */
	uint64_t from;            /* of these, when it was asked for last */
	atomic_uint fate;
	struct pack_want *open_next, **open_link; /* in f->open; open_link NULL: not in it */
	unsigned tries;                           /* that brought nothing */
	bool has_base;
	bool awaits; /* under the lock: its base is still to come, and it is asked for only then */
	bool left;   /* under the lock; the loop writes it: the base will not come, and nobody waits for this */
	bool arrived;
	bool delta;
	uint32_t tarball; /* bytes of the tarball that it stands for */
	struct err err;   /* code 0: all is well, or the server has none */
	struct pkg rec;
	int code;
	uint64_t import_us;
	struct pack_feed *feed; /* NULL: it is imported in one piece */
	uint64_t consumed;      /* the thread's, of a feed: bytes whose window was given back */
	struct pack_want *next;
};
struct want_list { /* by `next` */
	struct pack_want *head, *tail;
	size_t n;
};
struct pack_fetcher {
	struct pack_fetcher_opts o;
	struct pool *pool;
	struct arena a;
	struct fetch_bodies bodies; /* any thread's */
	struct server_url url;
	str path_get, path_find, authorization;
	/* the loop's */
	uint64_t unpacking;                  /* memory of the imports that the pool has */
	struct want_list waiting;            /* for others to be unpacked */
	struct pack_feed *feed, *feeds;      /* the one that has a window; those that wait for it */
	size_t pending, unanswered;          /* unanswered: taken back, and the thread still has them */
	struct pack_want *open, **open_last; /* looked up, in the plan's order */
	/* any thread's */
	int fd, wake; /* eventfds: for the loop, for the thread */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	struct want_list in, news;    /* under the lock */
	struct want_list parked;      /* under the lock: found, and they await their base */
	struct pack_feed *told, *all; /* under the lock: feeds with news; all feeds */
	struct {
		struct pack_scratch *p[4];
		unsigned n;
	} spare;                     /* under the lock: not in use; 4 MiB at most */
	struct pack_scratch *window; /* a job's of the feed that has it, or nobody's; NULL: none yet */
	bool stop;                   /* under the lock */
	atomic_uint_fast64_t held;   /* bytes asked for and not imported */
	struct pack_counts counts;   /* under the lock */
};

/* W as the last of L. */
void want_add(struct want_list *l, struct pack_want *w);
/* Behind BEFORE; NULL: as the first. */
void want_insert(struct want_list *l, struct pack_want *before, struct pack_want *w);
/* W, out of L. False: it is not in L. */
bool want_remove(struct want_list *l, struct pack_want *w);
/* The first, out of L; NULL: it is empty. */
struct pack_want *want_take(struct want_list *l);
/* Puts ALL, in its order, before what is in L. */
void want_return(struct want_list *l, struct want_list *all);

/* Says that a thread has something to read. */
void pack_signal(int fd);
/* W is through: READY, or to be had elsewhere. Frees it. */
void want_end(struct pack_want *w, bool ready);

/* pack_feed.c. Makes W's feed, of which nothing has arrived yet. */
void feed_new(struct pack_want *w);
/* The thread's: as many of the next N bytes of W, which has a feed, as its block has room for. *FULL: that has to
 * be given away before more. */
size_t feed_add(struct pack_want *w, const void *p, size_t n, bool *full);
/* The thread's: gives the block to the loop. Wakes nobody. Under the lock. */
void feed_give(struct pack_want *w, enum pack_end end, const struct err *why);
/* The loop's: goes on with every feed that has news. */
void feeds_go(struct pack_fetcher *f);
/* The loop's: all of W's pack is in its body. */
void feed_whole(struct pack_want *w);
/* With what has arrived of it; it is in no list. */
void want_free(struct pack_want *w);

/* The thread: from `in` to `news`. */
void *pack_conn_run(void *fetcher);
