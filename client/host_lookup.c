#include "host_lookup.h"
#include "base/clock.h"
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What the C library's thread writes to: not ours to free while it may. */
struct lookup {
	struct gaicb cb;
	struct addrinfo hints;
	char *host, *port;
};

static void lookup_free(struct lookup *l)
{
	free(l->host);
	free(l->port);
	free(l);
}

/* An EAI_ code; EAI_INPROGRESS: not by BY_MS. */
static int lookup_wait(struct lookup *l, int64_t by_ms)
{
	const struct gaicb *list[] = { &l->cb };
	int rc;

	while ((rc = gai_error(&l->cb)) == EAI_INPROGRESS) {
		int64_t left = by_ms - clock_ms();
		if (left <= 0)
			break;
		struct timespec t = { left / 1000, left % 1000 * 1000000 };
		gai_suspend(list, 1, &t);
	}
	return rc;
}

static int err_late(struct err *e, str host)
{
	return err_set(e, ERR_TIMEOUT, "no name server told the address of " STR_FMT " in time", STR_ARG(host));
}

int host_lookup(struct addrinfo **out, str host, str port, int64_t by_ms, struct err *e)
{
	struct lookup *l = xcalloc(1, sizeof(*l));
	struct gaicb *list[] = { &l->cb };

	l->host = xstrndup(host);
	l->port = xstrndup(port);
	l->hints = (struct addrinfo){ .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	int rc = getaddrinfo(l->host, l->port, &l->hints, out); /* an address needs no thread */
	if (rc == 0) {
		lookup_free(l);
		return 0;
	}
	l->hints.ai_flags = 0;
	l->cb = (struct gaicb){ .ar_name = l->host, .ar_service = l->port, .ar_request = &l->hints };
	rc = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
	if (rc == 0)
		rc = lookup_wait(l, by_ms);
	bool late = rc == EAI_INPROGRESS;
	if (late && gai_cancel(&l->cb) == EAI_NOTCANCELED) /* the C library still writes to it: not freed */
		return err_late(e, host);
	if (late)
		rc = gai_error(&l->cb); /* it was cancelled, or has just ended */
	if (rc == EAI_CANCELED) {
		lookup_free(l);
		return err_late(e, host);
	}
	*out = l->cb.ar_result;
	lookup_free(l);
	return rc == 0 ? 0 : err_set(e, ERR_NET, STR_FMT ": %s", STR_ARG(host), gai_strerror(rc));
}
