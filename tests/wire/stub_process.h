/* stub_process — what tests of the wire share about a server as a process of its own. */
#pragma once
#include "base/base.h"
#include "base/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* cmocka wants the ones above */
#include <cmocka.h>

/* What must come comes within this on any machine; nothing is held to be fast. */
enum { PATIENCE_MS = 120000 };

static inline void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* Waits until a server has written where it listens into the file READY. */
static inline void await_ready(const char *ready, char port[8], char url[64])
{
	char line[128] = "";

	for (int64_t end = clock_ms() + PATIENCE_MS; clock_ms() < end && !line[0];) {
		FILE *f = fopen(ready, "r");
		if (f) {
			assert_non_null(fgets(line, sizeof(line), f));
			fclose(f);
		} else {
			pause_ms(10);
		}
	}
	assert_true(line[0]);
	snprintf(port, 8, "%d", atoi(strrchr(line, ':') + 1));
	snprintf(url, 64, "http://127.0.0.1:%s", port);
}
