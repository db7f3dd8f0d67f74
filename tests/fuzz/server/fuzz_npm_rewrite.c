/* Any bytes as a packument that drayd hands on: a second pass over what the first wrote changes nothing. */
#include "accepted.h"
#include "npm_rewrite.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf_release) struct buf one = BUF_INIT;
	AUTO(buf_release) struct buf two = BUF_INIT;
	str base = STR("https://dray.test/"), name = STR("@scope/name");
	struct err e;

	if (npm_rewrite(&one, (str){ (const char *)data, n }, base, name, &e) < 0)
		return 0;
	accepted();
	if (npm_rewrite(&two, buf_str(&one), base, name, &e) < 0 || !str_eq(buf_str(&one), buf_str(&two)))
		abort();
	return 0;
}
