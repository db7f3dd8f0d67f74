/* peer_report — peers that are missing or bad, for people and for machines.
 *
 * The list is what pnpm prints for the same lockfile: by project, peer, and the range that is wanted, with the packages
 * that want it. On standard error, whole; in ndjson one event "peer-issue" each. One thread, the install's loop. */
#pragma once
#include "plan.h"
#include "progress.h"

/* Sorts ISSUE. Says nothing when N is 0. */
void peer_issues_say(struct progress *p, struct frame_peer_issue *issue, size_t n);
