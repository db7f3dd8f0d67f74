/* server — drayd's insides that its files share: the loops, what is counted, and what answers plans.
 *
 * One h2o context and one event loop a thread; they share nothing but the
 * counters and the queue of plans. A plan runs on a worker of that queue and
 * talks to its loop by messages only. */
#pragma once
#include "auth.h"
#include "config.h"
#include "meta.h"
#include "metrics.h"
#include "packs.h"
#include "plan_wire.h"
#include "running.h"
#include "workq.h"

/* Cancelling a plan: set on the loop's thread, seen by the worker; HOOK is called at most once, on the thread that
 * cancels (or that sets the hook, when it is late). */
struct cancel {
	pthread_mutex_t lock;
	bool set;
	void (*hook)(void *arg);
	void *arg;
};
/* Not set, and without a hook. */
void cancel_init(struct cancel *c);
void cancel_set(struct cancel *c);
bool cancel_is_set(struct cancel *c);
/* HOOK NULL takes it back; when that has returned, it is not running and will not run. */
void cancel_hook(struct cancel *c, void (*hook)(void *arg), void *arg);
void cancel_release(struct cancel *c);

/* What the backend knows about itself, for the status page. */
struct slow_package {
	char name[96];
	unsigned ms;
	int64_t at; /* Unix time */
};
enum { STATUS_SLOWEST = 10, STATUS_UPSTREAMS = 64 };
struct backend_status {
	struct meta_counts meta;
	struct packs_counts packs;
	uint64_t index_entries, index_bytes;
	struct upstream_health upstream[STATUS_UPSTREAMS];
	size_t nupstreams;
	struct slow_package slow[STATUS_SLOWEST]; /* slowest first */
	size_t nslow;
};

/* What resolves: the engine, or a test's stand-in. Called on workers, several at once. */
struct backend {
	void *ctx;
	/* Sends R's plan to SINK, with nothing in it that WHO may not see. R is the callee's to complete (req.lockfile)
	 * until it returns; A lives as long. A negative code without a FAILURE frame is answered as an HTTP error when
	 * no frame was sent, else made a FAILURE frame. */
	int (*plan)(void *ctx, struct plan_request *r, const struct identity *who, struct arena *a, struct cancel *c,
		frame_sink *sink, void *sink_ctx, struct err *e);
	/* The lockfile text with this digest, copied into A; false when it is not known. NULL: none ever is. */
	bool (*lockfile)(void *ctx, str *out, const uint8_t sha256[32], struct arena *a);
	/* Told of every lockfile's text that a client sent. May be NULL. */
	void (*lockfile_keep)(void *ctx, const uint8_t sha256[32], str text);
	/* N packs by their keys (PACKS_KEY bytes each) are named by a plan again: their leases are
	 * renewed. Blocks. May be NULL. */
	void (*renew)(void *ctx, const uint8_t *keys, size_t n);
	/* Waits of over 1 ms for its locks, which the server takes over when it prints its own. May be NULL. */
	_Atomic uint64_t *lock_waits;
	/* Where the server counts the open connections from this machine. May be NULL. */
	_Atomic uint64_t *near;
	/* Appends Prometheus text. May be NULL. */
	void (*metrics)(void *ctx, struct buf *out);
	/* The packs that this server has. NULL, or returning NULL: it makes none. */
	struct packs *(*packs)(void *ctx);
	/* What npm clients read. NULL, or returning NULL: nothing. */
	struct surface *(*surface)(void *ctx);
	/* Whether requests can be served; the reason when not. May be NULL. */
	bool (*ready)(void *ctx, struct err *e);
	/* Fills OUT, which is zero. May be NULL. */
	void (*status)(void *ctx, struct backend_status *out);
	/* SIGHUP: takes over what it can of C, which dies after the call. May be NULL. */
	int (*reload)(void *ctx, const struct config *c, struct err *e);
};

struct server {
	const struct config *config;
	const struct backend *backend;
	struct workq *plans;
	struct plan_cache *cache;
	struct auth *auth;
	struct counts n;
	struct running running;
	int64_t started_ms, started_at; /* monotonic; Unix seconds */
	atomic_bool draining;
	atomic_bool unready; /* by what server_ready() said last */
};

/* Serves until SIGTERM or SIGINT, drains, returns 0. SIGHUP reads the configuration again, from ARGV as at start (argc
 * 0: not at all), takes over what can change while serving and names what needs a restart. The caller must not have
 * started threads before signals were blocked (server_signals). */
MUST_USE int server_run(const struct config *c, const struct backend *b, int argc, char **argv, struct err *e);
/* Whether requests can be served, as far as the backend is concerned; the reason, which is not for anybody who asks,
 * when not. A change of it is logged. Any thread. */
MUST_USE bool server_ready(struct server *s, struct err *e);
/* What server_run() would refuse, without serving: a certificate that cannot be read or does not fit its key. */
MUST_USE int server_check(const struct config *c, struct err *e);
/* Whether SIGTERM, SIGINT and SIGHUP wait for who serves, or end the program as they do any
 * other. SIGPIPE is ignored. */
void server_signals(bool wait);
