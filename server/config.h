/* config — what the operator decided: flags over a file over defaults, parsed once.
 *
 * The file has one `name = value` a line with the flags' names, "#" starts a
 * comment, a name that may be given several times adds; behind those stand
 * sections (config_section.h). Unknown names, values
 * out of range and a certificate without its key are errors with file and
 * line. Read-only afterwards; any thread. */
#pragma once
#include "base/base.h"
#include "log.h"
#include "upstream.h"

enum config_command {
	CONFIG_RUN = 0,
	CONFIG_CHECK,
	CONFIG_HELP,
	CONFIG_VERSION,
	CONFIG_TOKEN,
	CONFIG_SETTLE,
	CONFIG_VERIFY
};
/* The first rule with a pattern that a package matches decides who sees it; what matches no rule is everybody's. */
struct config_access {
	str name;
	struct str_list packages; /* patterns, see pattern.h */
	struct str_list allow;    /* tokens by name, patterns as well; nobody when empty */
};
enum { CONFIG_MAX_LISTEN = 32 };
struct config {
	struct arena a;
	enum config_command command;
	struct str_list listen;         /* "127.0.0.1:4874", "[::1]:0"; each NUL-terminated */
	str tls_cert, tls_key;          /* PEM files; both or none */
	str tls_client_ca;              /* PEM: clients have to show a certificate that one of these signed */
	str token_file;                 /* tokens by their hashes; empty: `tokens` in store_dir, where there is one */
	uint64_t login_days;            /* of a token that `npm login` gets */
	bool insecure;                  /* clear HTTP and no tokens, on any address */
	str public_url;                 /* how clients reach this server, with slash; empty: as each request says */
	str store_dir, registry;        /* directory; the default upstream's URL with trailing slash, or "none" */
	struct str_list registry_alias; /* URLs by which clients may know the registry */
	struct str_list args;           /* of `drayd token` */
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
	uint64_t stall_s;                 /* a connection whose peer takes nothing of an answer is closed */
	uint64_t packument_age_s;         /* how long a packument is fresh, and a plan made of them is kept */
	uint64_t index_mib;               /* of the index's pages in use; below its map of 64 GiB */
	uint64_t plan_cache_mib;          /* of plans kept in memory; 0: only requests at the same time share one */
	uint64_t pack_cache_mib;          /* of packs on disk; 0: no limit */
	uint64_t pack_delay_s;            /* from the plan that names a package to the making of its pack */
	uint64_t pack_settle_level;       /* zstd's, when packs are encoded again; 0: they are not */
	uint64_t tarball_cache_mib;       /* of tarballs and packuments kept on disk for the registry surface */
	struct upstream_config *upstream; /* as upstreams_new() takes them; the default one is among them */
	size_t nupstreams;
	struct config_access *access;
	size_t naccess;
	/* For config_blame(). By option: the line of its value, UINT_MAX for a flag, 0 for nowhere: the default. */
	const unsigned *from;
	/* While the file is read. */
	enum config_section { CONFIG_NO_SECTION = 0, CONFIG_UPSTREAM, CONFIG_ACCESS } section;
	uint64_t sections_hash; /* of their text */
};
/* Reads the command line and the file it names. ERR_USAGE, ERR_NOTFOUND, ERR_IO. */
MUST_USE int config_load(struct config *out, int argc, char **argv, struct err *e);
void config_release(struct config *c);
/* Says in E, which is about option OF (NULL: about a section, or what the file lacks), where its value comes from: the
 * file and its line, or the flag; nothing for a default. E's code. */
int config_blame(const struct config *c, const char *of, struct err *e);
/* Calls FN with the name of each option, or of the sections, that A and B differ in; LIVE: a running
 * server can take it over. */
void config_diff(
	const struct config *a, const struct config *b, void (*fn)(void *arg, const char *name, bool live), void *arg);
/* Appends a copy of V to L, in A. */
void config_list_add(struct arena *a, struct str_list *l, str v);
/* The text of --help, made from the same table as the parser. */
void config_help(struct buf *out);
