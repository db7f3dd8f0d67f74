/* platform — the machine that a tree is for, and what does not run on it.
 *
 * Reads only; any thread. */
#pragma once
#include "installable.h"

/* The machine this runs on. NODE: the setting nodeVersion, or empty for the node that ENV's PATH leads to, whose
 * version is left empty where it cannot be told. Borrows NODE, the rest is in A or static. */
void platform_here(struct platform *out, str node, char **env, struct arena *a);
/* 0 when P, which is not optional, runs on what REQ is for. ERR_UNSUPPORTED: E says what P wants. A is for scratch. */
int platform_takes(const struct runs_on *p, const struct request *req, struct arena *a, struct err *e);
