/* fetch_packs_impl — what fetch_packs.c (the loop's side) and pack_conn.c (the thread's) share. */
#pragma once
#include "fetch_packs.h"
#include "h2_session.h"
#include "packs_wire.h"
#include "server_url.h"
#include <pthread.h>
#include <stdatomic.h>

/* Who decides where a package that is looked up comes from: the thread that finds its pack, or the loop that takes it back first. */
enum want_fate { WANT_OPEN = 0, WANT_FOUND, WANT_TAKEN };
/* One package on its way. Belongs to the loop, then the thread, then (with its bytes) a job, then the loop again. */
struct pack_want {
	struct job job; /* first */
	struct pack_fetcher *f;
	struct tree_package *p;
	uint8_t key[PACKS_KEY], digest[32];
	struct pack_base_of base; /* rec.p NULL: there is none */
	uint64_t size;            /* 0: to be looked up */
	uint64_t raw;             /* memory that unpacking takes; 0: no pack, which its import says */
	struct buf buf;
	atomic_uint fate;
	struct pack_want *open_next, **open_link; /* in f->open; open_link NULL: not in it */
	unsigned tries;
	bool arrived;
	bool delta;
	struct err err; /* code 0: all is well, or the server has none */
	struct pkg rec;
	int code;
	uint64_t import_us;
	struct pack_want *next;
};
struct want_list {
	struct pack_want *head, *tail;
	size_t n;
};
struct pack_fetcher {
	struct pack_fetcher_opts o;
	struct pool *pool;
	struct arena a;
	struct server_url url;
	str path_get, path_find, authorization;
	/* the loop's */
	uint64_t unpacking;                  /* memory of the imports that the pool has */
	struct want_list waiting;            /* for others to be unpacked */
	size_t pending, unanswered;          /* unanswered: taken back, and the thread still has them */
	struct pack_want *open, **open_last; /* looked up, in the plan's order */
	/* any thread's */
	int fd, wake; /* eventfds: for the loop, for the thread */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	struct want_list in, news; /* under the lock */
	bool stop;                 /* under the lock */
	atomic_uint_fast64_t held; /* bytes asked for and not imported */
	struct pack_counts counts; /* under the lock */
};

void want_add(struct want_list *l, struct pack_want *w);
struct pack_want *want_take(struct want_list *l);
/* Puts ALL, in its order, before what is in L. */
void want_return(struct want_list *l, struct want_list *all);

/* The thread: from `in` to `news`. */
void *pack_conn_run(void *fetcher);
