#include "net_opts.h"
#include "fd_budget.h"
#include <sys/mman.h>
#include <unistd.h>

static const char *or_null(str s, struct arena *a)
{
	return s.n ? arena_str(a, s).p : NULL;
}

static unsigned clamp_ms(uint64_t ms)
{
	return ms < UINT32_MAX / 2 ? (unsigned)ms : UINT32_MAX / 2;
}

/* libcurl takes a path; /proc/self/fd names text that is in memory. */
static int ca_inline(const char **path, str pem, struct arena *a, struct err *e)
{
	int fd = memfd_create("ca", MFD_CLOEXEC);

	if (fd < 0 || write(fd, pem.p, pem.n) != (ssize_t)pem.n) {
		err_os(e, "keep .npmrc's ca in memory");
		if (fd >= 0)
			close(fd);
		return e->code;
	}
	*path = arena_printf(a, "/proc/self/fd/%d", fd).p;
	return 0;
}

int net_opts_make(struct net_opts *out, const struct project *p, struct arena *a, struct err *e)
{
	const struct client_settings *c = &p->client;
	struct net_opts o = { 0 };

	o.http = (struct http_opts){ .private_addresses = true,
		.max_active = fd_budget_connections(c->network_concurrency ? c->network_concurrency : NET_REQUESTS),
		.max_per_host = NET_TARBALLS,
		.stall_timeout_ms = clamp_ms(c->fetch_timeout_ms),
		.insecure_tls = p->insecure,
		.ca_file = or_null(p->cafile, a),
		.proxy = or_null(p->http_proxy, a),
		.https_proxy = or_null(p->https_proxy, a),
		.no_proxy = or_null(p->no_proxy, a) };
	if (!o.http.ca_file && p->ca.n && ca_inline(&o.http.ca_file, p->ca, a, e) < 0)
		return e->code;
	o.registry = (struct registry_opts){ .auth = p->auth,
		.nauth = p->nauth,
		.retries = c->fetch_retries,
		.no_retries = c->fetch_retries == 0,
		.retry_min_ms = clamp_ms(c->fetch_retry_min_ms),
		.retry_max_ms = clamp_ms(c->fetch_retry_max_ms),
		.user_agent = c->user_agent.n ? c->user_agent : STR("dray/" DRAY_VERSION) };
	*out = o;
	return 0;
}
