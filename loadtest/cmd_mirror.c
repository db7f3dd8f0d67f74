/* cmd_mirror — `dray-bench mirror DIR [PORT [REGISTRY]]`: the recorded registry as a server of
 * its own, until interrupted. */
#include "cmd.h"
#include "mirror.h"
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

int cmd_mirror(int argc, char **argv)
{
	static struct mirror_counts counts;
	uint64_t port = 0;
	struct mirror *m;
	struct err e;
	uint16_t bound;
	sigset_t stop;

	if (argc < 2 || argc > 4 || argv[1][0] == '-' ||
		(argc > 2 && (!str_u64(str_of(argv[2]), &port) || port > 65535))) {
		fprintf(stderr, "usage: dray-bench mirror DIR [PORT [REGISTRY-TO-RECORD]]\n");
		return 2;
	}
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	int fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	struct mirror_opts o = { .dir = argv[1],
		.upstream = argc > 3 ? str_of(argv[3]) : STR_NONE,
		.port = (uint16_t)port,
		.counts = &counts };
	int rc = mirror_new(&m, &o, &bound, &e);
	if (rc == 0) {
		printf("http://127.0.0.1:%u/\n", bound);
		fflush(stdout);
		rc = mirror_run(m, fd, &e);
		fprintf(stderr, "%llu requests, %llu not there%s%s\n", (unsigned long long)counts.requests,
			(unsigned long long)counts.misses, counts.misses ? ", last: " : "", counts.last_miss);
		mirror_free(m);
	}
	if (rc < 0)
		fprintf(stderr, "dray-bench: %s\n", e.msg);
	return rc < 0 ? err_exit_status(rc) : 0;
}
