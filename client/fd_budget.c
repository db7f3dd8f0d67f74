#include "fd_budget.h"
#include <errno.h>
#include <stdio.h>

#include "descriptors.h"

enum {
	FIXED = 40, /* the store, the tree, what waits, the server's connections, libraries while they are loaded */
	WORKER = 8, /* a worker holds two to four; one that removes a tree one for each level */
	LEAST = 64, /* FIXED, and a few connections, and two workers */
};

/* The soft limit is at the hard one by now. */
static const char remedy[] = "raise its hard limit (`ulimit -Hn`) to 1024: LimitNOFILE= of a systemd unit, nofile in "
			     "/etc/security/limits.conf, --ulimit nofile= of a container";

int fd_budget_check(struct err *e)
{
	unsigned limit = descriptors_limit();

	if (limit >= LEAST)
		return 0;
	return err_set(e, ERR_IO, "this process may have %u files open at a time, and dray needs %d: %s", limit, LEAST,
		remedy);
}

/* One half of what is left is the network's, the other one the workers'. */
static unsigned half(void)
{
	unsigned limit = descriptors_limit();

	return limit > FIXED ? (limit - FIXED) / 2 : 0;
}

unsigned fd_budget_connections(unsigned wanted)
{
	unsigned most = half() ? half() : 1;

	return wanted < most ? wanted : most;
}

unsigned fd_budget_workers(unsigned wanted)
{
	unsigned most = half() / WORKER < 2 ? 2 : half() / WORKER;

	return wanted < most ? wanted : most;
}

/* Errors that came through a plan or a library have lost errno, and kept its text. */
void fd_budget_explain(struct err *e)
{
	char text[128];
	size_t n = strlen(e->msg);

	if (strstr(e->msg, strerror_r(EMFILE, text, sizeof(text))))
		snprintf(e->msg + n, sizeof(e->msg) - n, "; this process may have %u open at a time: %s",
			descriptors_limit(), remedy);
}
