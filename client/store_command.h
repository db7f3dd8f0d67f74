/* store_command — `dray store path|status|verify|prune|sync`: looking after the store, for people. */
#pragma once
#include "options.h"

/* DIR is the store's folder. What was found goes to standard output; ERR_USAGE for an unknown command, ERR_INTEGRITY
 * when verify found spoiled packages. */
MUST_USE int store_command_run(const struct options *o, const char *dir, struct err *e);
