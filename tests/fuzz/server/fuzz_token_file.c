/* Any bytes as drayd's file of tokens: what is read has names, and no more than the bound. */
#include "accepted.h"
#include "pattern.h"
#include "token_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct tokens ts = { 0 };
	struct err e;
	char path[] = "/tmp/dray-fuzz-tokens-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || (n && write(fd, data, n) != (ssize_t)n))
		abort();
	if (tokens_read(&ts, str_of(path), &e) == 0) {
		if (ts.n > TOKENS_MOST)
			abort();
		if (ts.n)
			accepted();
		for (size_t i = 0; i < ts.n; i++) {
			if (!ts.p[i].name.n)
				abort();
			for (size_t k = 0; k < ts.p[i].packages.n; k++) {
				if (!pattern_valid(ts.p[i].packages.p[k]))
					abort();
			}
		}
	}
	tokens_release(&ts);
	unlink(path);
	close(fd);
	return 0;
}
