/* account — how an install went, as events: what benchmarks and scripts read from
 * --reporter=ndjson. Install's thread. */
#pragma once
#include "install.h"

/* When each stage was reached, and what went through it: several lines. */
void account_phases(struct progress *p, const struct install_result *r);
/* The whole account in one line. KEPT_PLAN: the lockfile came from one. */
void account_say(struct progress *p, const struct install_result *r, bool kept_plan);
/* The same of an install that had nothing to do, and looked at nothing: all counts are 0. */
void account_nothing(struct progress *p);
