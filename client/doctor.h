/* doctor — whether a drayd can be used from here, and what to do if not.
 *
 * Asks GET /v1/info over the same kind of connection as a plan, and compares the
 * answer with the project's registries and scopes. A line a finding; one that is
 * wrong has what to do about it. Blocks. */
#pragma once
#include "project.h"

struct doctor_opts {
	str url, token;                /* of the server; url empty: none is configured, which is a finding */
	const struct project *project; /* NULL: only the server is looked at */
};
/* Appends the findings. 0: all is well; else the code of the first that is not. */
MUST_USE int doctor_run(struct buf *out, const struct doctor_opts *o);
