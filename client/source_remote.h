/* source_remote — a plan source that asks a drayd over HTTP/2.
 *
 * POST /v1/plan; frames go to the sink as they arrive. When the server lacks
 * the lockfile's text it is asked again with it. The HELLO frame's settings
 * digest is compared before any frame reaches the sink: a server that
 * honours other settings is ERR_PROTOCOL (fail closed).
 *
 * Errors tell the caller whether a direct install may take over: see
 * source_remote_sent(). ERR_NET and ERR_TIMEOUT: not reached, or lost; ERR_BUSY: it is overloaded;
 * ERR_AUTH: token; ERR_PROTOCOL: another protocol version, or with source_remote_foreign() no drayd; anything else is
 * the plan's own failure, which a direct install would meet too. */
#pragma once
#include "source.h"

struct source_remote_opts {
	str url;             /* "https://host:port" or "http://host:port" (h2c); a path is a prefix of /v1/ */
	str token;           /* bearer token for the server, or empty */
	const char *ca_file; /* PEM file of accepted authorities, NULL: the system's */
	unsigned connect_ms; /* budget until the connection is ready for a request, TLS included; 0: 1,000 */
	uint32_t accept;     /* PLAN_ACCEPT_… of plan_wire.h */
};
/* Copies what it needs; connects only in run(). ERR_USAGE for a URL that is none. */
MUST_USE int source_remote_new(struct source **out, const struct source_remote_opts *o, struct err *e);
/* Whether the last run() has handed a frame to its sink: if not, nothing has happened yet and
 * another source may be run. */
bool source_remote_sent(const struct source *s);
/* Whether the last run() found that no drayd answers at the address: no HTTP/2, 404, or an answer that is none of its
 * own. Who asks for credentials (401, 403) is not counted. */
bool source_remote_foreign(const struct source *s);
