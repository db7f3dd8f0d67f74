/* config — what the operator decided: flags over a file over defaults, parsed once.
 *
 * The file has one `name = value` a line with the flags' names, "#" starts a
 * comment, a name that may be given several times adds. Unknown names, values
 * out of range and a certificate without its key are errors with file and
 * line. Read-only afterwards; any thread. */
#pragma once
#include "base/base.h"
#include "log.h"

enum config_command { CONFIG_RUN = 0, CONFIG_CHECK, CONFIG_HELP, CONFIG_VERSION };
struct config {
	struct arena a;
	enum config_command command;
	struct str_list listen;         /* "127.0.0.1:4873", "[::1]:0"; each NUL-terminated */
	str tls_cert, tls_key;          /* PEM files; both or none */
	str store_dir, registry;        /* directory; upstream URL with trailing slash */
	struct str_list registry_alias; /* URLs by which clients may know the registry */
	str ready_file;                 /* gets a line "address:port" for each listener once they accept */
	str config_file;
	enum log_level log_level;
	enum log_format log_format;
	uint64_t threads;                 /* event loops; 0: one per CPU, at most 4 */
	uint64_t plans;                   /* resolved at the same time */
	uint64_t plan_queue;              /* waiting behind them; past it 503 */
	uint64_t plans_per_client;        /* at the same time on one connection; past it 429 */
	uint64_t max_body_mib;            /* of a request as received; past it 413 */
	uint64_t max_bodies_mib;          /* of all plan requests that wait or run; past it 503 */
	uint64_t max_requests;            /* at the same time, of all kinds; past it 503 */
	uint64_t max_connections;         /* open; past it new ones are closed at once */
	uint64_t connections_per_address; /* the same for one address; 0: no limit */
	uint64_t drain_s;                 /* after SIGTERM, until what is left is cut off */
	uint64_t idle_s;                  /* a connection without requests is closed */
	uint64_t packument_age_s;         /* how long a packument is fresh, and a plan made of them is kept */
	uint64_t plan_cache_mib;          /* of plans kept in memory; 0: only requests at the same time share one */
};
/* Reads the command line and the file it names. ERR_USAGE, ERR_NOTFOUND, ERR_IO. */
MUST_USE int config_load(struct config *out, int argc, char **argv, struct err *e);
void config_release(struct config *c);
/* Calls FN with the name of each option that A and B differ in; LIVE: a running server can take it over. */
void config_diff(
	const struct config *a, const struct config *b, void (*fn)(void *arg, const char *name, bool live), void *arg);
/* The text of --help, made from the same table as the parser. */
void config_help(struct buf *out);
