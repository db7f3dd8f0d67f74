/* relay — an emulated network link on loopback, without netem: that needs root and a module which many kernels lack.
 *
 * Listens on loopback ports and forwards each to a target, as if both were
 * joined by a link with a round-trip time and a rate. The rate is shared by all
 * connections of a link in each direction, whatever target they go to: a cap
 * per connection would flatter whoever opens many. Every connection pays one
 * round trip for its set-up and starts slowly: a window bounds what may be
 * under way, 10 segments at first, growing by what is acknowledged. Nothing is
 * dropped. Faults come in an order that a seed decides.
 *
 * One thread, one epoll loop, run in a process of its own by the benchmark. */
#pragma once
#include "base/base.h"

struct relay_route {
	uint16_t listen; /* 127.0.0.1; 0: any, the bound port is written back */
	uint16_t target; /* 127.0.0.1 */
	uint32_t rtt_us; /* round-trip time of this route */
};
struct relay_faults {
	double slow_share; /* of bursts (what comes after silence: an answer) that take slow_us longer */
	uint32_t slow_us;
	double stall_share; /* of chunks that are held for stall_us */
	uint32_t stall_us;
	double reset_share; /* of connections that are reset after a random first part of what comes down */
};
struct relay_counts {
	uint64_t down_bytes, up_bytes; /* towards and from the client */
	uint64_t connections;
};
struct relay_opts {
	struct relay_route *route;
	size_t nroutes;
	uint64_t rate_bps; /* bits a second in each direction, shared; 0: unlimited */
	struct relay_faults faults;
	uint64_t seed;               /* of the faults; 0: the same in every run */
	struct relay_counts *counts; /* nroutes of them, may be shared memory; NULL: the relay's own */
};
struct relay;
/* Binds all ports, so that clients can connect as soon as it returns. */
MUST_USE int relay_new(struct relay **out, struct relay_opts *o, struct err *e);
/* Runs until STOP_FD is readable; 0, or ERR_IO. */
MUST_USE int relay_run(struct relay *r, int stop_fd, struct err *e);
void relay_free(struct relay *r);
