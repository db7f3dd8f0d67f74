/* For a drayd whose wall clock a test sets, and whose loop it blocks: --wrap=clock_gettime,--wrap=time,--wrap=h_health.
 * The file $DRAY_TEST_CLOCK has the seconds to add, as an int64; while there is one named so with ".block" behind it,
 * whoever asks for /v1/health blocks the loop. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead_s;
static char block[4096];

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
time_t __wrap_time(time_t *out);
struct st_h2o_req_t;
int __real_h_health(struct st_h2o_req_t *req);
int __wrap_h_health(struct st_h2o_req_t *req);

__attribute__((constructor)) static void clock_map(void)
{
	int fd = open(getenv("DRAY_TEST_CLOCK"), O_RDONLY | O_CLOEXEC);
	void *p = mmap(NULL, sizeof(*ahead_s), PROT_READ, MAP_SHARED, fd, 0);

	if (fd < 0 || p == MAP_FAILED)
		abort();
	close(fd);
	ahead_s = p;
	snprintf(block, sizeof(block), "%s.block", getenv("DRAY_TEST_CLOCK"));
}

int __wrap_h_health(struct st_h2o_req_t *req)
{
	while (access(block, F_OK) == 0)
		usleep(10000);
	return __real_h_health(req);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	int rc = __real_clock_gettime(id, t);

	if (id == CLOCK_REALTIME)
		t->tv_sec += *ahead_s;
	return rc;
}

time_t __wrap_time(time_t *out)
{
	struct timespec t;

	__wrap_clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}
