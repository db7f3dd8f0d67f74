/* pack_conn_impl — what the thread behind fetch_packs.h consists of: pack_conn.c has its connections and its loop,
 * pack_ask.c the requests on them and what comes of those. All of it is that thread's. */
#pragma once
#include "fetch_packs_impl.h"

enum {
	MOST_CONNECTIONS = 16,
	MOST_TRIES = 3, /* of a package that came no further, and of a connection without a whole answer in between */
};
enum ask_kind { ASK_FIND, ASK_GET, ASK_LARGE };

struct conn;
struct thread;
struct ask {
	struct conn *c;
	int32_t id;
	enum ask_kind kind;
	bool from;             /* names other versions beside the wanted ones */
	struct want_list want; /* in the order of the answer; the head is next */
	struct buf body;
	uint8_t row[PACKS_ROW];
	size_t nrow;
	bool inside;      /* the head's bytes are coming */
	uint64_t bytes;   /* asked for */
	struct err err;   /* why it is being cut short */
	int64_t moved_ms; /* when bytes of it came last, or could begin to */
	struct ask *next;
};
struct conn {
	struct thread *t;
	struct h2 *h;
	struct ask *asks;
	unsigned nasks, failures;
	unsigned misses;   /* attempts in a row that reached nobody, of a server that was there once */
	int64_t missed_at; /* the first of them */
	int64_t retry_at;
	bool up;      /* the present connection was made */
	bool over;    /* it takes nothing more: finishes what it has */
	bool stalled; /* since an answer on it did not go on */
	bool due;     /* poll() told of it, or it is new */
};
/* A want is in exactly one list: `find` (to be looked up), `get` or `large` (to be asked for), a request's, the
 * fetcher's `parked` (found, and its base is still to come), or handed back as `news`. One with a feed is not handed
 * back: what has arrived of it is given away piece by piece. */
struct thread {
	struct pack_fetcher *f;
	struct conn conn[MOST_CONNECTIONS];
	unsigned n;
	struct want_list find, get, news;
	struct want_list large; /* as `get`, one a request, the largest first */
	unsigned streams;       /* of these under way */
	struct {
		uint64_t bytes, moved; /* of all whose size is known; of these, arrived (large) or asked for (small) */
	} all_large, all_small;
	int64_t large_at;       /* when bytes of a large one came last, or it was asked for */
	bool share;             /* small ones are kept back until then and `share_ms` */
	struct pack_counts add; /* since last told */
	unsigned failed;        /* answers in a row that the server could not give */
	bool tell;              /* a large pack has news */
	bool ever;              /* a connection was open once */
	bool plain;             /* the server is older than deltas: other versions are not named to it */
	bool useless;           /* the server makes no packs, or cannot be reached: everything is absent */
	struct err why;
	struct ssl_ctx_st *tls; /* all connections' */
};

/* pack_ask.c. Whatever can be asked for now is. False: nothing was. */
bool ask_all(struct thread *t);
/* The end of share_ms for the large packs. */
int64_t share_ends_ms(const struct thread *t);
/* Of the large packs that are under way more may arrive, as far as they were unpacked. False: none. */
bool streams_go(struct thread *t);
/* Ends the answers on C of which no byte came for stall_ms although they were waited for. */
void asks_stalled(struct conn *c);
/* When the first of them would be ended; INT64_MAX: none is waited for. */
int64_t asks_stall_ms(const struct conn *c);
/* W's size is known: it is to be asked for. */
void want_known(struct thread *t, struct pack_want *w);
/* W's package has to come from somewhere else; WHY is NULL where the server has no pack. */
void want_absent(struct thread *t, struct pack_want *w, const struct err *why);
void ask_free(struct ask *a);
/* Nothing more is asked of this server. */
void thread_useless(struct thread *t, const struct err *why);
