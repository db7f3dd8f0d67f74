#include "accepted.h"
#include "base/json.h"
#include <stdlib.h>

/* What was read, written and read again, is the same text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	AUTO(buf_release) struct buf one = BUF_INIT, two = BUF_INIT;
	struct err e = { 0 };
	struct json *j = NULL, *again = NULL;
	int rc = json_parse(&j, (str){ (const char *)data, n }, &a, &e);

	if (rc < 0) {
		if (rc != e.code || !e.msg[0] || j)
			abort();
		return 0;
	}
	accepted();
	json_put(&one, j);
	if (json_parse(&again, buf_str(&one), &a, &e) < 0)
		abort();
	json_put(&two, again);
	if (!str_eq(buf_str(&one), buf_str(&two)))
		abort();
	return 0;
}
