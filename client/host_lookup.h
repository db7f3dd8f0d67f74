/* host_lookup — a host's addresses, by a deadline: a name server that is silent must not cost more than
 * the budget for connecting.
 *
 * Called by the HTTP/2 session as it opens; any thread. */
#pragma once
#include "base/base.h"

struct addrinfo;
/* TCP addresses of HOST and PORT, to be freed by freeaddrinfo(). BY_MS is on clock_ms()'s clock. ERR_TIMEOUT: no
 * answer by then; ERR_NET. */
MUST_USE int host_lookup(struct addrinfo **out, str host, str port, int64_t by_ms, struct err *e);
