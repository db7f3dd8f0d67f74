/* made_server — an HTTP/2 server of the test's own that sends packs, or plans, and ends its connections as it is told.
 * A thread of the test's process. */
#pragma once
#include "packs_fixture.h"
#include <pthread.h>
#include <stdatomic.h>

enum made_end {
	MADE_NEVER = 0,
	MADE_LAST,   /* GOAWAY, and what was asked for before still comes; the connection stays open */
	MADE_REFUSE, /* GOAWAY in the middle of an answer, which is not gone on with; likewise */
	MADE_CUT,    /* the connection is closed in the middle of an answer */
};
/* Plans instead: the first request is answered with need: lockfile, others with BODY. */
enum made_leave {
	MADE_STAYS,
	MADE_GOAWAY,  /* GOAWAY after the first answer; the connection stays open */
	MADE_CLOSES,  /* likewise, and it is closed */
	MADE_REFUSES, /* the first request after that is refused: GOAWAY has not reached the client before it asks */
	MADE_HURRIES, /* the very first request is refused */
	MADE_LEAVES,  /* every request but the very first is refused */
};
struct made_plans {
	str body;
	enum made_leave leave;
};
struct made_opts {
	const struct made_plans *plans; /* NULL: packs, as follows */
	const struct fixture *fix;
	unsigned nfix;
	enum made_end end;
	/* Bytes of answers that a connection brings before it ends; 0: none, it ends before the first. */
	uint64_t every;
	unsigned most;  /* connections that end so; the others never */
	bool fails;     /* each request is answered 503 */
	unsigned holds; /* of this pack no more than its first bytes are sent before made_release(); 0: of none */
	bool floods;    /* and after these DATA without a byte, without end */
};
struct made_row { /* a pack that was asked for */
	unsigned fix, conn;
	uint64_t from;
};
struct made_server;
/* Listens on loopback. */
struct made_server *made_new(const struct made_opts *o);
unsigned made_port(const struct made_server *s);
/* So far: packs that were asked for, in order; *row borrows them, until the server is freed. */
unsigned made_rows(struct made_server *s, const struct made_row **row);
unsigned made_connections(struct made_server *s);
unsigned made_asked(struct made_server *s); /* requests for plans, or that were answered 503 */
unsigned made_ended(struct made_server *s);
void made_release(struct made_server *s);
void made_free(struct made_server *s); /* NULL is fine */
