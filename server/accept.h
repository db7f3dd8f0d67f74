/* accept — connections come in: how many may, and which loop has them.
 *
 * Every loop listens, and takes what comes; a connection is then the loop's that has the fewest, so that a thousand
 * clients are served by all of them, whichever was the first to wake. All on the loop's thread. */
#pragma once
#include "route.h"

/* What the loops share; the owner fills it before any of them begins. */
struct door {
	struct loop *loop;
	size_t nloops;
	struct clients *clients;
	_Atomic(SSL_CTX *) tls;  /* of connections that begin now; NULL: in clear */
	_Atomic int64_t told_ms; /* when the log was told that nothing is accepted */
};
/* How long nothing is accepted when there is no descriptor for it; door_tick() is to be called as often then. */
enum { DOOR_PAUSE_MS = 100 };

/* L listens at copies of these N. */
MUST_USE int door_open(struct loop *l, struct door *d, const int *fd, size_t n, struct err *e);
/* L accepts again what it had to leave for lack of descriptors, once the pause is over. */
void door_tick(struct loop *l, int64_t now_ms);
/* Nothing more comes to L, from the other loops neither (but what is under way). */
void door_close(struct loop *l);
