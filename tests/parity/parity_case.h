/* parity_case — one folder of tests/parity/cases as a request to the engine.
 *
 * The folder is copied to a temporary one first, where input-pnpm-lock.yaml becomes pnpm-lock.yaml, and read there by
 * the client's project stage with an empty environment, as `dray install` would. */
#pragma once
#include "absorb.h"
#include "recording.h"

struct project;
struct parity_case {
	str name, dir;
	struct request *req;
	struct buf want; /* expected-pnpm-lock.yaml */
	struct arena a;
	struct project *project;
	str copy; /* the temporary folder, removed at release */
	struct lockfile absorbed;
	bool no_plan; /* ABSORBED is the result: the client asks nobody for a plan */
};

/* Reads DIR's project with REGISTRY (trailing slash) as its only one. Release C in any case. */
MUST_USE int parity_case_read(struct parity_case *c, str dir, str registry, struct err *e);
void parity_case_release(struct parity_case *c);
