/* serve — the fixture registry over HTTP/1.1 and h2c, on libh2o, one thread.
 *
 * Packuments in both forms (by Accept), ETag and 304, gzip made once and kept, tarballs (from a byte on, too), /-/ping;
 * and the faults that a test asks for. */
#pragma once
#include "packages.h"

enum fault_kind { FAULT_STATUS, FAULT_STALL, FAULT_TRUNCATE, FAULT_INTEGRITY };
struct fault {
	enum fault_kind kind;
	int status;        /* FAULT_STATUS */
	unsigned every;    /* each n-th request that matches; 1: all */
	unsigned limit;    /* so often at most; 0: for ever */
	int retry_after_s; /* -1: no header */
	str match;         /* part of the path; empty: all */
	unsigned seen, done;
};
/* "503[,every=N][,limit=N][,retry-after=S][,match=TEXT]"; "stall", "truncate" or "integrity" in the place of a
 * status. */
MUST_USE int fault_parse(struct fault *out, str s, struct err *e);

struct serve_opts {
	const struct recording *recording;
	const struct packages *packages; /* NULL: none */
	uint16_t port;                   /* 0: any */
	str base;          /* of tarball URLs, without a trailing slash; empty: http:// and the request's Host */
	const char *count; /* a file that gets "METHOD PATH STATUS" for each request; NULL: none */
	struct fault *fault;
	size_t nfaults;
};
/* Prints its URL when it listens, serves until SIGTERM or SIGINT, returns 0. */
MUST_USE int serve(const struct serve_opts *o, struct err *e);
