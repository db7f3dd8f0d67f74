/* host_dial — a connection to the first of a host's addresses that answers.
 *
 * One address that swallows packets must not use up the time that there is for
 * connecting: after 250 ms, or as soon as one refuses, the next is tried beside
 * it, the families in turn (RFC 8305, 4 and 5). Who connects first is taken.
 * Never blocks and starts no thread: its owner polls host_dial_fd() for POLLIN until
 * host_dial_due_ms(), then calls host_dial_go(). Used by the HTTP/2 session. */
#pragma once
#include "base/base.h"

struct addrinfo;
struct host_dial;
/* Begins with the first of ALL, which is borrowed for the dial's life, as WHERE is: it names the host in messages.
 * ERR_NET: there is no address that can be tried. */
MUST_USE int host_dial_new(struct host_dial **out, const struct addrinfo *all, const char *where, struct err *e);
/* To be polled for POLLIN; the dial's own. */
int host_dial_fd(const struct host_dial *d);
/* When the next address is tried, on clock_ms()'s clock; INT64_MAX: none is left. */
int64_t host_dial_due_ms(const struct host_dial *d);
/* 1: *fd is a connected socket, non-blocking, the caller's, and only host_dial_free() may follow. 0: not yet.
 * ERR_NET: all have refused. */
MUST_USE int host_dial_go(int *fd, struct host_dial *d, struct err *e);
/* Closes what host_dial_go() has not handed over. NULL is fine. */
void host_dial_free(struct host_dial *d);
