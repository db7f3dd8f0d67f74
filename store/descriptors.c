#include "descriptors.h"
#include <sys/resource.h>

void descriptors_raise(void)
{
	struct rlimit r;
	rlim_t most = DESCRIPTORS_MOST;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= r.rlim_max || r.rlim_cur >= most)
		return;
	r.rlim_cur = r.rlim_max < most ? r.rlim_max : most;
	(void)setrlimit(RLIMIT_NOFILE, &r);
}

unsigned descriptors_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur > DESCRIPTORS_MOST)
		return DESCRIPTORS_MOST;
	return (unsigned)r.rlim_cur;
}
