/* Any bytes as drayd's configuration file: an error names a line, or a configuration comes out that
 * compares equal to itself. */
#include "accepted.h"
#include "config.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void differs(void *arg, const char *name, bool live)
{
	(void)arg;
	(void)name;
	(void)live;
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct config c = { 0 };
	struct err e = { 0 };
	char path[64], word[] = "check-config", flag[] = "--config", self[] = "drayd";
	char *argv[] = { self, word, flag, path, NULL };
	int fd = memfd_create("drayd.conf", 0);

	if (fd < 0 || (n && write(fd, data, n) != (ssize_t)n))
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (config_load(&c, 4, argv, &e) == 0) {
		config_diff(&c, &c, differs, NULL);
		accepted();
	} else if (!e.msg[0]) {
		abort();
	}
	config_release(&c);
	close(fd);
	return 0;
}
