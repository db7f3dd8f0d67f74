/* What the reader takes, the writer prints so that it reads and prints the same again. */
#include "accepted.h"
#include "lockfile.h"
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct buf once AUTO(buf_release) = BUF_INIT, twice AUTO(buf_release) = BUF_INIT;
	struct lockfile lf;
	struct err e;

	if (lockfile_parse(&lf, (str){ (const char *)data, n }, STR("fuzz"), &a, &e) != 0)
		return 0;
	accepted();
	lockfile_print(&once, &lf);
	if (lockfile_parse(&lf, buf_str(&once), STR("printed"), &a, &e) != 0) {
		fprintf(stderr, "%s\n" STR_FMT, e.msg, STR_ARG(buf_str(&once)));
		abort();
	}
	lockfile_print(&twice, &lf);
	if (!str_eq(buf_str(&once), buf_str(&twice))) {
		fprintf(stderr, STR_FMT "\n----\n" STR_FMT, STR_ARG(buf_str(&once)), STR_ARG(buf_str(&twice)));
		abort();
	}
	return 0;
}
