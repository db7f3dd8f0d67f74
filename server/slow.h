/* slow — how long upstream took for each packument and tarball, and which took longest of late.
 *
 * Stands between store/http, store/registry and the policy of upstream.h: it notes when a URL was let through and
 * when its attempt ended, and passes everything on. Keeps the slowest names of the last hour. Any thread. */
#pragma once
#include "metrics.h"
#include "server.h"

struct slow;
struct slow *slow_new(void);
/* After upstreams_guard() and upstreams_credentials(): puts itself in front of their callbacks. */
void slow_watch(struct slow *s, struct http_opts *ho, struct registry_opts *ro);
/* The slowest first; the number. */
size_t slow_list(struct slow *s, struct slow_package out[STATUS_SLOWEST]);
/* Upstream's times as a histogram. */
void slow_metrics(struct slow *s, struct buf *out);
/* After http and registry are gone. NULL is fine. */
void slow_free(struct slow *s);
