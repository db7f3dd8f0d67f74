/* parity_case — one folder of tests/parity/cases as a request to the engine. */
#pragma once
#include "request.h"

struct parity_case {
	str name, dir;
	struct request req;
	struct buf want; /* expected-pnpm-lock.yaml */
	struct arena a;
};

/* Reads DIR's project as the client would, with REGISTRY (trailing slash) as its only one. */
MUST_USE int parity_case_read(struct parity_case *c, str dir, str registry, struct err *e);
void parity_case_release(struct parity_case *c);
