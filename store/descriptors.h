/* descriptors — how many files this process may have open at a time (RLIMIT_NOFILE).
 *
 * Owns nothing. Any thread; raising is for the start of a process. */
#pragma once
#include "base/base.h"

/* More is not asked for. */
enum { DESCRIPTORS_MOST = 1 << 20 };

/* As many as may be had without a privilege: a shell allows 1,024. What the system does not give stays as it was.
 * Programs that are started later inherit it. */
void descriptors_raise(void);
/* The limit as it is now, no more than DESCRIPTORS_MOST. */
unsigned descriptors_limit(void);
