/* metrics — what drayd counts and measures, and its Prometheus text.
 *
 * One table declares every counter and gauge of the daemon itself; the struct and the text are both made of it, so
 * that none can be declared and not emitted. Counting is one relaxed atomic addition; any thread. What the
 * backend counts (packuments, upstreams, packs) it prints itself. */
#pragma once
#include "base/base.h"
#include <pthread.h>
#include <stdatomic.h>

/* field, type, name, help */
#define METRICS(X)                                                                                                     \
	X(connections, "counter", "connections_total", "Connections accepted.")                                        \
	X(connections_open, "gauge", "connections_open", "Connections open.")                                          \
	X(connections_refused, "counter", "connections_refused_total",                                                 \
		"Connections closed at once: max-connections, connections-per-address.")                               \
	X(accept_pauses, "counter", "accept_pauses_total",                                                             \
		"Times that a loop accepted nothing for a moment: no descriptors, or no memory, for a connection.")    \
	X(requests, "counter", "requests_total", "Requests of all kinds.")                                             \
	X(streams, "gauge", "streams_open", "Requests whose answer has not ended.")                                    \
	X(rejected, "counter", "rejected_total", "Requests answered 429 or 503 by a limit.")                           \
	X(response_bytes, "counter", "response_bytes_total", "Bytes of bodies sent, of all answers.")                  \
	X(plans, "counter", "plans_total", "Plan requests taken up.")                                                  \
	X(plans_active, "gauge", "plans_active", "Plan requests not answered to the end.")                             \
	X(plans_running, "gauge", "plans_running", "Plans on a worker now.")                                           \
	X(plans_done, "counter", "plans_done_total", "Plans sent whole.")                                              \
	X(plans_failed, "counter", "plans_failed_total", "Plans that ended with an error.")                            \
	X(plans_cancelled, "counter", "plans_cancelled_total", "Plans whose client left.")                             \
	X(plans_refused, "counter", "plans_refused_total", "Plan requests answered 429 or 503.")                       \
	X(plans_cached, "counter", "plans_cached_total", "Plans answered from memory.")                                \
	X(plans_missed, "counter", "plans_missed_total", "Plans that had to be made.")                                 \
	X(plans_joined, "counter", "plans_joined_total", "Plans that waited for an identical request's.")              \
	X(plan_bodies, "gauge", "plan_body_bytes", "Bodies of plan requests in memory.")                               \
	X(lockfiles_needed, "counter", "lockfiles_needed_total", "Requests answered with need: lockfile.")             \
	X(bytes_out, "counter", "plan_bytes_total", "Bytes of plans sent.")                                            \
	X(resets, "counter", "resets_total", "Answers that their client cut short.")                                   \
	X(abusive, "counter", "abusive_connections_total", "Connections shut down for what only abuse does.")          \
	X(loops_blocked, "counter", "loops_blocked_total", "Times an event loop was blocked for 1.5 s.")               \
	X(lock_waits, "counter", "lock_waits_total", "Waits of over 1 ms for a lock.")                                 \
	X(heap_trims, "counter", "heap_trims_total", "Times that free memory was given back to the system.")           \
	X(reloads, "counter", "reloads_total", "SIGHUPs whose configuration was taken over.")                          \
	X(tls_expires, "gauge", "tls_certificate_expires_seconds",                                                     \
		"Unix time at which the certificate ends; 0: no TLS.")                                                 \
	X(reloads_failed, "counter", "reloads_failed_total", "SIGHUPs whose configuration was refused.")

/* Upper bounds of the buckets of every histogram in µs; one more for the rest. */
#define METRICS_BOUNDS                                                                                                 \
	{                                                                                                              \
		500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000,         \
			10000000, 30000000                                                                             \
	}
enum { METRICS_NBOUNDS = 15 };
struct histogram {
	_Atomic uint64_t bucket[METRICS_NBOUNDS + 1], sum_us;
};
#define METRICS_HISTOGRAMS(X)                                                                                          \
	X(plan_wait, "plan_wait_seconds", "From a plan request's last byte until a worker takes it.")                  \
	X(plan_first, "plan_first_frame_seconds", "From a plan request's last byte to its first frame.")               \
	X(plan_resolve, "plan_resolve_seconds", "A worker's time on one plan.")                                        \
	X(plan_last, "plan_seconds", "From a plan request's last byte to its last frame.")                             \
	X(request, "request_seconds", "From a request's first byte to the end of its answer.")

enum { METRICS_ROUTES = 32 };
struct counts {
#define FIELD(f, type, name, help) _Atomic uint64_t f;
	METRICS(FIELD)
#undef FIELD
#define FIELD(f, name, help) struct histogram f;
	METRICS_HISTOGRAMS(FIELD)
#undef FIELD
	_Atomic uint64_t by_status[METRICS_ROUTES][500]; /* 100 to 599 */
};

/* US: microseconds. */
void histogram_add(struct histogram *h, uint64_t us);
/* Appends it as Prometheus text, in seconds; NAME without the prefix. */
void histogram_print(struct buf *out, const char *name, const char *help, const struct histogram *h);
/* A request of ROUTE (below METRICS_ROUTES) ended with STATUS. */
void counts_request(struct counts *n, unsigned route, int status);
/* All of N. ROUTE gives the labels, of the first NROUTES routes. */
void counts_print(struct buf *out, const struct counts *n, const char *const *route, unsigned nroutes);
/* One metric with its HELP and TYPE; NAME without the prefix "drayd_". */
void metric_print(struct buf *out, const char *name, const char *type, const char *help, double v);
/* HELP and TYPE alone, for one with labels. */
void metric_head(struct buf *out, const char *name, const char *type, const char *help);
/* Bytes of this process in memory; 0 when /proc does not tell. */
uint64_t metrics_rss(void);
/* Seconds of CPU this process has used. */
double metrics_cpu_s(void);
