/* rig — the processes around a measured run: the frozen mirror, the emulated link, drayd.
 *
 * The mirror and the link are forks of the benchmark; drayd is the program under
 * test. All on loopback. Their CPU is read from /proc, because they share the
 * cores with the client and the reader should know. */
#pragma once
#include "link_profile.h"
#include "mirror.h"
#include <sys/types.h>

struct rig_opts {
	const char *mirror_dir;
	str upstream;      /* recording when not empty */
	const char *drayd; /* program, or NULL */
	const struct link_profile *link;
	bool far_upstream; /* a link of this run has an upstream_rtt_us: drayd has a relay of its own to the registry */
	const char *log_dir;
};
struct rig_counts {
	uint64_t requests, misses;                  /* that the mirror had, whoever asked: the client or drayd */
	uint64_t down_bytes, up_bytes, connections; /* of the client's link, both routes */
	uint64_t server_bytes;                      /* of those down, from drayd */
	double mirror_cpu_s, relay_cpu_s, drayd_cpu_s;
	uint64_t drayd_rss_kb;
};
struct rig;
MUST_USE int rig_start(struct rig **out, const struct rig_opts *o, struct err *e);
/* As the client sees them, through the link. Borrowed. */
const char *rig_registry(const struct rig *r);
const char *rig_server(const struct rig *r);
/* Puts another link in the place of this one: the same ports, no connection of the client's survives, and none of
 * drayd's where its way to the registry is another. *L is borrowed. ROUND decides in which order what a link does wrong
 * befalls who uses it: each subject of a round has the same luck, whoever came before. */
MUST_USE int rig_relink(struct rig *r, const struct link_profile *l, unsigned round, struct err *e);
/* The mirror and the relay are there: without them every client waits until its time is up. */
MUST_USE int rig_check(struct rig *r, struct err *e);
/* Starts drayd over STORE_DIR (kept by the caller); stops one that runs. SETTLES: it improves its packs when idle. */
MUST_USE int rig_drayd(struct rig *r, const char *store_dir, bool settles, struct err *e);
/* Where drayd itself listens, without a relay in between. */
int rig_drayd_port(const struct rig *r);
/* Waits until its packs and deltas have their first encoding, or (SETTLED) their best. ERR_TIMEOUT after PATIENCE_S. */
MUST_USE int rig_drayd_packs(struct rig *r, bool settled, double patience_s, struct err *e);
/* Stops drayd and makes all packs of STORE_DIR as good as they can be, on all CPUs. */
MUST_USE int rig_drayd_settle(struct rig *r, const char *store_dir, struct err *e);
void rig_drayd_stop(struct rig *r);
/* Totals since the start. */
struct rig_counts rig_counts(const struct rig *r);
/* Last path that the frozen mirror did not have. */
const char *rig_last_miss(const struct rig *r);
void rig_stop(struct rig *r);
