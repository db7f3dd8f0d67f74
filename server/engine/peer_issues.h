/* peer_issues — peers that are not there, or there in a version that does not do.
 *
 * Judges the finished graph, importer by importer in order of their paths, each package under a peer context once,
 * where it is met first: as pnpm reads its own lockfile for "pnpm peers check" and strictPeerDependencies,
 * peerDependencyRules included. Changes nothing. */
#pragma once
#include "peers.h"

enum { PEER_ISSUES_MAX = 2000 }; /* frames of a plan; what is past it is not sent */

/* Sends a frame for each issue of G. ERR_POLICY, sent too, when there is one and strictPeerDependencies is set. */
MUST_USE int peer_issues_send(struct run *r, const struct graph *g, struct err *e);
