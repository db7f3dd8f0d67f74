/* deppath — dep paths as numbers: a package and its peer segments, text only when it is printed.
 *
 * Two dep paths with equal text have the equal number. A segment is itself a dep
 * path (a peer with its own suffix), or plain "name@version". Source: pnpm's peer
 * suffix: segments sorted by text, "(a)(b)"; a body over the maximum becomes the
 * first 32 hex digits of its SHA-256. */
#pragma once
#include "graph.h"

/* A dep path's number. */
typedef uint32_t dpid;

struct deppath {
	atom base;     /* name@version, with patch hash */
	uint32_t nseg; /* sorted by number */
	dpid *seg;
	uint32_t depth; /* how many dep paths deep it is nested: 0 without segments */
	uint32_t npair; /* those of SEG that are no dep path but name@version of a peer in a cycle */
	const dpid *pair;
	str text; /* absent until printed */
};
struct deppaths {
	struct run *r;
	VEC(struct deppath) dp;
	uint32_t *cell;
	uint32_t mask;
};
void deppaths_init(struct deppaths *d, struct run *r);
void deppaths_release(struct deppaths *d);
/* BASE with SEG (sorted in place, copied when new). */
dpid deppath_of(struct deppaths *d, atom base, dpid *seg, uint32_t nseg);
/* Says which segments of X (PAIR, copied) are only name@version. The first call for X counts. */
void deppath_set_pairs(struct deppaths *d, dpid x, const dpid *pair, uint32_t npair);
/* Whether deppath_set_pairs() said so of SEG. */
bool deppath_pair(const struct deppaths *d, dpid x, dpid seg);
/* "name@version(peer@1.0.0)", printed once; lives as long as the run. */
str deppath_text(struct deppaths *d, dpid x);
/* Names of the segments of its text; false when it has none or they are hashed. */
bool deppath_peer_names(struct deppaths *d, dpid x, const struct atomset **out);
