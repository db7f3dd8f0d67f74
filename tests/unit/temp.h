/* A folder of a test's own. After the headers that cmocka.h wants. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEMP_PATH = 24 };

/* Makes one; its path goes to OUT. */
static inline void temp_make(char out[TEMP_PATH])
{
	snprintf(out, TEMP_PATH, "/tmp/dray-test-XXXXXX");
	assert_non_null(mkdtemp(out));
}

/* Takes it away with all that is in it; by rm, as the calls of fs.h may be told to fail. */
static inline void temp_remove(const char *dir)
{
	char command[TEMP_PATH + 16];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}
