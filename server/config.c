#include "config_section.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum kind { K_STR, K_LIST, K_NUMBER, K_BOOL, K_LEVEL, K_FORMAT };
struct option {
	const char *name, *value, *help;
	enum kind kind;
	size_t at;
	uint64_t def, min, max;
};
#define AT(f) .at = offsetof(struct config, f)
#define NUMBER(f, usual, least, most) K_NUMBER, AT(f), .def = (usual), .min = (least), .max = (most)
static const struct option options[] = {
	{ "listen", "ADDR:PORT", "where to serve; may be given again; port 0 takes a free one (127.0.0.1:4874)", K_LIST,
		AT(listen) },
	{ "tls-cert", "FILE", "certificate chain, PEM; without it h2c", K_STR, AT(tls_cert) },
	{ "tls-key", "FILE", "its key, PEM", K_STR, AT(tls_key) },
	{ "tls-client-ca", "FILE", "clients must show a certificate signed by one of these, PEM", K_STR,
		AT(tls_client_ca) },
	{ "token-file", "FILE", "clients' tokens, kept by `drayd token` (tokens in store-dir)", K_STR, AT(token_file) },
	{ "login-days", "N", "how long the token is good that `npm login` gets", NUMBER(login_days, 90, 1, 3650) },
	{ "insecure", "true|false", "serve other addresses than loopback without TLS, or without tokens", K_BOOL,
		AT(insecure) },
	{ "public-url", "URL", "how clients reach this server (as each request says)", K_STR, AT(public_url) },
	{ "store-dir", "DIR", "index and caches (/var/lib/drayd)", K_STR, AT(store_dir) },
	{ "registry", "URL", "registry to resolve against; none: only what [upstream] sections say", K_STR,
		AT(registry) },
	{ "registry-alias", "URL", "another URL by which clients may know the registry; may be given again", K_LIST,
		AT(registry_alias) },
	{ "ready-file", "FILE", "gets the bound addresses, a line each, once they accept", K_STR, AT(ready_file) },
	{ "config", "FILE", "read these options from FILE, \"name = value\" a line", K_STR, AT(config_file) },
	{ "log-level", "LEVEL", "error, warn, info or debug (info)", K_LEVEL, AT(log_level) },
	{ "log-format", "FORMAT", "text or json (text)", K_FORMAT, AT(log_format) },
	{ "threads", "N", "event loops (one per CPU, at most 4)", NUMBER(threads, 0, 0, 64) },
	{ "plans", "N", "plans resolved at the same time", NUMBER(plans, 16, 1, 1024) },
	{ "plan-queue", "N", "plans waiting behind them; past it 503", NUMBER(plan_queue, 2000, 0, 1000000) },
	{ "plans-per-client", "N", "plans at the same time on one connection; past it 429",
		NUMBER(plans_per_client, 32, 1, 100) },
	{ "max-body", "MIB", "largest request; past it 413", NUMBER(max_body_mib, 8, 1, 64) },
	{ "max-bodies", "MIB", "plan requests in memory, together; past it 503",
		NUMBER(max_bodies_mib, 256, 8, 65536) },
	{ "max-requests", "N", "requests of all kinds at the same time; past it 503",
		NUMBER(max_requests, 10000, 1, 1000000) },
	{ "max-connections", "N", "connections open; past it new ones are closed",
		NUMBER(max_connections, 10000, 1, 1000000) },
	{ "connections-per-address", "N", "the same for one address; 0, as by default: no limit",
		NUMBER(connections_per_address, 0, 0, 1000000) },
	{ "drain", "SECONDS", "after SIGTERM, until the rest is cut off", NUMBER(drain_s, 30, 0, 3600) },
	{ "idle", "SECONDS", "a connection without requests is closed", NUMBER(idle_s, 120, 1, 86400) },
	{ "stall", "SECONDS", "a connection that takes nothing of an answer is closed",
		NUMBER(stall_s, 300, 1, 86400) },
	{ "packument-age", "SECONDS", "how long a packument counts as fresh", NUMBER(packument_age_s, 300, 0, 86400) },
	{ "index-limit", "MIB", "packuments and lockfiles remembered in the index",
		NUMBER(index_mib, 16384, 64, 65536 - 4096) },
	{ "tarball-cache", "MIB", "tarballs and packuments kept on disk for npm clients",
		NUMBER(tarball_cache_mib, 10240, 16, 1u << 30) },
	{ "pack-cache", "MIB", "packs kept on disk; 0: no limit", NUMBER(pack_cache_mib, 20480, 0, 1u << 30) },
	{ "pack-delay", "SECONDS", "from a plan to the making of the packs that it lacks; 0: at once",
		NUMBER(pack_delay_s, 1, 0, 3600) },
	{ "pack-settle-level", "N", "zstd level at which packs are encoded again when idle; 0: never",
		NUMBER(pack_settle_level, 19, 0, 22) },
	{ "plan-cache", "MIB", "plans kept in memory", NUMBER(plan_cache_mib, 64, 0, 65536) },
};
enum { NOPTIONS = sizeof(options) / sizeof(options[0]) };
#define CONFIG_MAX_FILE (1u << 20)
/* Where the options' values are from: a line of the file, or the command line, which wins; 0: nowhere. */
#define BY_FLAG UINT_MAX

static const struct option *option_find(str name)
{
	for (size_t i = 0; i < NOPTIONS; i++) {
		if (str_eq(name, str_of(options[i].name)))
			return &options[i];
	}
	return NULL;
}

/* Index of V among NAMES, or -1. */
static int one_of(str v, const char *const *names, int n)
{
	for (int i = 0; i < n; i++) {
		if (str_eq(v, str_of(names[i])))
			return i;
	}
	return -1;
}

static int set_number(const struct option *o, uint64_t *to, str v, struct err *e)
{
	uint64_t n;

	if (!str_u64(v, &n) || n < o->min || n > o->max)
		return err_set(e, ERR_USAGE, "%s = " STR_FMT ": expected a number%s from %llu to %llu", o->name,
			STR_ARG(str_head(v, 100)),
			strcmp(o->value, "MIB") == 0       ? " of MiB, without a unit,"
			: strcmp(o->value, "SECONDS") == 0 ? " of seconds, without a unit,"
							   : "",
			(unsigned long long)o->min, (unsigned long long)o->max);
	*to = n;
	return 0;
}

static int option_set(struct config *c, const struct option *o, str v, struct err *e)
{
	static const char *const levels[] = { "error", "warn", "info", "debug" }, *const formats[] = { "text", "json" };
	void *to = (char *)c + o->at;
	int i;

	if (!v.n && !str_eq(str_of(o->name), STR("registry"))) /* which says itself that there is none */
		return err_set(
			e, ERR_USAGE, "%s = : expected %s; leave the line out for the default", o->name, o->value);
	switch (o->kind) {
	case K_STR:
		*(str *)to = arena_str(&c->a, v);
		return 0;
	case K_LIST:
		config_list_add(&c->a, to, v);
		return 0;
	case K_BOOL:
		if (!str_eq(v, STR("true")) && !str_eq(v, STR("false")))
			return err_set(e, ERR_USAGE, "%s = " STR_FMT ": expected true or false", o->name, STR_ARG(v));
		*(bool *)to = str_eq(v, STR("true"));
		return 0;
	case K_NUMBER:
		return set_number(o, to, v, e);
	case K_LEVEL:
		if ((i = one_of(v, levels, 4)) < 0)
			return err_set(e, ERR_USAGE, "log-level = " STR_FMT ": expected error, warn, info or debug",
				STR_ARG(v));
		*(enum log_level *)to = (enum log_level)i;
		return 0;
	case K_FORMAT:
		if ((i = one_of(v, formats, 2)) < 0)
			return err_set(e, ERR_USAGE, "log-format = " STR_FMT ": expected text or json", STR_ARG(v));
		*(enum log_format *)to = (enum log_format)i;
		return 0;
	}
	return 0;
}

static int file_read(struct buf *out, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return err_set(e, ERR_NOTFOUND, "%s: no such file", path);
	if (fd < 0)
		return err_os(e, "open %s", path);
	for (;;) {
		ssize_t n = read(fd, buf_reserve(out, 4096), 4096);
		if (n > 0)
			out->n += (size_t)n;
		if (n == 0 || out->n > CONFIG_MAX_FILE || (n < 0 && errno != EINTR)) {
			int rc = n < 0 ? err_os(e, "read %s", path) : 0;
			close(fd);
			return out->n > CONFIG_MAX_FILE ? err_set(e, ERR_TOOBIG, "%s: over 1 MiB", path) : rc;
		}
	}
}

/* Options that NAME may have meant: one letter more, less or other, or two changed about. */
static bool is_near(str a, str b)
{
	size_t i = 0, j = 0;

	while (i < a.n && i < b.n && a.p[i] == b.p[i])
		i++;
	while (j + i < a.n && j + i < b.n && a.p[a.n - 1 - j] == b.p[b.n - 1 - j])
		j++;
	size_t x = a.n - i - j, y = b.n - i - j;
	return (x <= 1 && y <= 1) || (x == 2 && y == 2 && a.p[i] == b.p[i + 1] && a.p[i + 1] == b.p[i]);
}

/* DASHES: "--", where it stood on the command line. */
static int no_option(const char *dashes, str name, struct err *e)
{
	for (size_t i = 0; i < NOPTIONS; i++) {
		if (is_near(name, str_of(options[i].name)))
			return err_set(e, ERR_USAGE, "no option %s" STR_FMT "; is it %s%s?", dashes,
				STR_ARG(str_head(name, 100)), dashes, options[i].name);
	}
	return err_set(e, ERR_USAGE, "no option %s" STR_FMT "; `drayd --help` lists them", dashes,
		STR_ARG(str_head(name, 100)));
}

/* A comment begins with a `#` that stands first or behind a space: in a password it is a character like others. */
static str without_comment(str line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '#' && (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
			return str_head(line, i);
	}
	return line;
}

static int config_line(struct config *c, str line, unsigned n, unsigned *from, struct err *e)
{
	str name, value;

	line = str_trim(without_comment(line));
	if (line.n == 0)
		return 0;
	if (line.p[0] == '[')
		return config_section_begin(c, line, e);
	if (!str_cut(line, '=', &name, &value))
		return err_set(e, ERR_USAGE, "expected \"name = value\"");
	name = str_trim(name);
	if (c->section && option_find(name) && !config_section_shares(c->section, name))
		return err_set(e, ERR_USAGE, STR_FMT " is an option of drayd's own: it stands before the first section",
			STR_ARG(name));
	if (c->section)
		return config_section_set(c, name, str_trim(value), e);
	const struct option *o = option_find(name);
	if (!o)
		return no_option("", name, e);
	if (str_eq(name, STR("config")))
		return err_set(e, ERR_USAGE, "config stands on the command line only: a file names no other file");
	if (from[o - options] == BY_FLAG)
		return 0;
	if (from[o - options] && o->kind != K_LIST)
		return err_set(e, ERR_USAGE, "%s is there twice, here and in line %u", o->name, from[o - options]);
	from[o - options] = n;
	return option_set(c, o, str_trim(value), e);
}

static int config_file(struct config *c, unsigned *from, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	unsigned n = 0;

	if (file_read(&text, c->config_file.p, e) < 0)
		return e->code;
	for (str rest = buf_str(&text), line; rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		n++;
		if (config_line(c, line, n, from, e) < 0)
			return err_ctx(e, STR_FMT ":%u", STR_ARG(c->config_file), n);
	}
	return 0;
}

static bool is_option(str arg)
{
	str name, value;

	str_cut(arg, '=', &name, &value);
	return option_find(name) != NULL;
}

/* Whether ARG says what is to be done instead of serving, or in addition to it. */
static bool command_take(struct config *c, str arg, bool first)
{
	static const struct {
		str word;
		enum config_command command;
	} known[] = { { STR_INIT("check-config"), CONFIG_CHECK }, { STR_INIT("verify-store"), CONFIG_VERIFY },
		{ STR_INIT("--wait-settled"), CONFIG_SETTLE }, { STR_INIT("token"), CONFIG_TOKEN } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		bool may = first || (c->command != CONFIG_TOKEN && known[i].command != CONFIG_TOKEN);
		if (str_eq(arg, known[i].word) && may) { /* behind `token` it is a name */
			c->command = known[i].command;
			return true;
		}
	}
	return false;
}

/* Whether ARG is of `drayd token`: anything but an option of drayd itself. */
static bool token_arg(const struct config *c, str arg)
{
	return c->command == CONFIG_TOKEN && !(str_starts(arg, STR("--")) && is_option(str_from(arg, 2)));
}

/* The option argv[*I], and its value, behind '=' or in the next word. */
static int flag_take(struct config *c, int argc, char **argv, int *i, unsigned *from, struct err *e)
{
	str arg = str_of(argv[*i]), name, value;
	bool joined = str_cut(str_from(arg, 2), '=', &name, &value);
	const struct option *o = str_starts(arg, STR("--")) ? option_find(name) : NULL;

	if (!o && str_starts(arg, STR("--")))
		return no_option("--", name, e);
	if (!o)
		return err_set(e, ERR_USAGE, "no option or command %s; --help lists them", argv[*i]);
	if (!joined && *i + 1 == argc)
		return err_set(e, ERR_USAGE, "%s needs a value", argv[*i]);
	if (!joined)
		value = str_of(argv[++*i]);
	from[o - options] = BY_FLAG;
	return option_set(c, o, value, e) < 0 ? err_ctx(e, "--" STR_FMT, STR_ARG(name)) : 0;
}

static int config_flags(struct config *c, int argc, char **argv, unsigned *from, struct err *e)
{
	for (int i = 1; i < argc; i++) {
		str arg = str_of(argv[i]);
		if (command_take(c, arg, i == 1))
			continue;
		if (str_eq(arg, STR("--help")) || str_eq(arg, STR("-h")) || str_eq(arg, STR("--version"))) {
			c->command = str_eq(arg, STR("--version")) ? CONFIG_VERSION : CONFIG_HELP;
			return 0;
		}
		if (token_arg(c, arg)) {
			config_list_add(&c->a, &c->args, arg);
			continue;
		}
		if (flag_take(c, argc, argv, &i, from, e) < 0)
			return e->code;
	}
	return 0;
}

static int check_url(const char *name, str url, struct err *e)
{
	if (str_starts(url, STR("http://")) || str_starts(url, STR("https://")))
		return 0;
	return err_set(e, ERR_USAGE, "%s = \"" STR_FMT "\": expected a http or https URL", name, STR_ARG(url));
}

/* Each check: *OF is the option whose value is wrong, NULL where that is the file as a whole. */
static int check_tls(const struct config *c, const char **of, struct err *e)
{
	*of = c->tls_cert.n ? "tls-cert" : "tls-key";
	if (!c->tls_cert.n != !c->tls_key.n)
		return err_set(e, ERR_USAGE, "tls-cert and tls-key belong together: %s is missing",
			c->tls_cert.n ? "tls-key" : "tls-cert");
	*of = "tls-client-ca";
	if (c->tls_client_ca.n && !c->tls_cert.n)
		return err_set(e, ERR_USAGE, "tls-client-ca needs tls-cert and tls-key");
	return 0;
}

/* Where "none" is right, and how URLs are kept: with a slash at their end. */
static int check_registry(struct config *c, const char **of, struct err *e)
{
	if (!c->registry.n && (c->command == CONFIG_TOKEN || c->command == CONFIG_VERIFY))
		c->registry = STR("none"); /* tokens need no registry, and may be made before one is chosen */
	bool none = str_eq(c->registry, STR("none"));
	*of = "registry";
	if (!none && !c->registry.n && !c->from[option_find(STR("registry")) - options])
		*of = NULL;
	if (!none && !c->registry.n)
		return err_set(
			e, ERR_USAGE, "no registry: set `registry = URL`, or `none` where only sections name any");
	if (!none && check_url(*of, c->registry, e) < 0)
		return e->code;
	*of = "registry-alias";
	for (size_t i = 0; i < c->registry_alias.n; i++) {
		if (check_url(*of, c->registry_alias.p[i], e) < 0)
			return e->code;
	}
	if (!none)
		c->registry = path_slashed(&c->a, c->registry);
	return 0;
}

static int check_listen(const struct config *c, const char **of, struct err *e)
{
	*of = "listen";
	if (c->listen.n > CONFIG_MAX_LISTEN)
		return err_set(e, ERR_USAGE, "more than %d listen addresses", CONFIG_MAX_LISTEN);
	for (size_t i = 0; i < c->listen.n; i++) {
		str addr = c->listen.p[i], host, port;
		uint64_t n;
		if (!str_rcut(addr, ':', &host, &port) || !host.n || !str_u64(port, &n) || n > 65535)
			return err_set(e, ERR_USAGE, "listen = " STR_FMT ": expected ADDR:PORT", STR_ARG(addr));
		if (n != 0 && str_list_has((struct str_list){ c->listen.p, i }, addr))
			return err_set(e, ERR_USAGE, "listen = " STR_FMT " is there twice", STR_ARG(addr));
	}
	return 0;
}

static int config_check(struct config *c, const char **of, struct err *e)
{
	if (check_tls(c, of, e) < 0)
		return e->code;
	*of = "public-url";
	if (c->public_url.n && check_url(*of, c->public_url, e) < 0)
		return e->code;
	if (c->public_url.n)
		c->public_url = path_slashed(&c->a, c->public_url);
	*of = "pack-settle-level";
	if (c->command == CONFIG_SETTLE && c->pack_settle_level == 0)
		return err_set(e, ERR_USAGE, "--wait-settled: pack-settle-level = 0 says that packs stay as they are");
	if (check_registry(c, of, e) < 0 || check_listen(c, of, e) < 0)
		return e->code;
	*of = NULL;
	return config_section_end(c, e);
}

int config_blame(const struct config *c, const char *of, struct err *e)
{
	const struct option *o = of ? option_find(str_of(of)) : NULL;
	unsigned at = o && c->from ? c->from[o - options] : 0;

	if (o && !at)
		return e->code; /* the default: no file says it */
	if (at == BY_FLAG)
		return err_ctx(e, "--%s", of);
	if (at && !(o->kind == K_LIST && ((const struct str_list *)(const void *)((const char *)c + o->at))->n > 1))
		return err_ctx(e, STR_FMT ":%u", STR_ARG(c->config_file), at);
	return c->config_file.n ? err_ctx(e, STR_FMT, STR_ARG(c->config_file)) : e->code;
}

int config_load(struct config *out, int argc, char **argv, struct err *e)
{
	struct config c = { 0 };
	unsigned *from = arena_new(&c.a, unsigned, NOPTIONS);
	const char *of = NULL;

	memset(from, 0, NOPTIONS * sizeof(*from));
	c.from = from;

	for (size_t i = 0; i < NOPTIONS; i++) {
		if (options[i].kind == K_NUMBER)
			*(uint64_t *)(void *)((char *)&c + options[i].at) = options[i].def;
	}
	c.log_level = LOG_INFO;
	c.store_dir = STR("/var/lib/drayd");
	c.registry = STR(DRAY_DEFAULT_REGISTRY);
	if (config_flags(&c, argc, argv, from, e) < 0)
		goto fail;
	if (c.command != CONFIG_HELP && c.command != CONFIG_VERSION) {
		if (c.config_file.n && config_file(&c, from, e) < 0)
			goto fail;
		if (c.listen.n == 0 && option_set(&c, option_find(STR("listen")), STR("127.0.0.1:4874"), e) < 0)
			goto fail;
		if (config_check(&c, &of, e) < 0) {
			(void)config_blame(&c, of, e);
			goto fail;
		}
	}
	*out = c;
	return 0;
fail:
	config_release(&c);
	return e->code;
}

void config_release(struct config *c)
{
	arena_release(&c->a);
	*c = (struct config){ 0 };
}

static bool option_same(const struct option *o, const struct config *a, const struct config *b)
{
	const void *x = (const char *)a + o->at, *y = (const char *)b + o->at;
	const struct str_list *l = x, *m = y;

	switch (o->kind) {
	case K_STR:
		return str_eq(*(const str *)x, *(const str *)y);
	case K_NUMBER:
		return *(const uint64_t *)x == *(const uint64_t *)y;
	case K_LIST:
		for (size_t i = 0; l->n == m->n && i < l->n; i++) {
			if (!str_eq(l->p[i], m->p[i]))
				return false;
		}
		return l->n == m->n;
	case K_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case K_LEVEL:
		return *(const enum log_level *)x == *(const enum log_level *)y;
	case K_FORMAT:
		return *(const enum log_format *)x == *(const enum log_format *)y;
	}
	return false;
}

void config_diff(
	const struct config *a, const struct config *b, void (*fn)(void *arg, const char *name, bool live), void *arg)
{
	static const char *const live[] = { "log-level", "tls-cert", "tls-key", "tls-client-ca" };

	for (size_t i = 0; i < NOPTIONS; i++) {
		if (!option_same(&options[i], a, b))
			fn(arg, options[i].name, one_of(str_of(options[i].name), live, 4) >= 0);
	}
	if (a->sections_hash != b->sections_hash)
		fn(arg, "[sections]", false);
}

static const char usage[] =
	"drayd — resolves npm dependencies next to the registry\n"
	"\n"
	"usage: drayd [options]                  serves\n"
	"       drayd check-config [options]     what is wrong with a configuration\n"
	"       drayd token add NAME [read-only] [expires=DAYS] [packages=PATTERN,...]\n"
	"       drayd token list | revoke NAME   whom it lets in\n"
	"       drayd verify-store [options]     reads every pack and tarball it keeps; removes what is damaged\n"
	"       drayd --wait-settled [options]   serves nothing, makes what packs are missing or not at their best, and ends\n"
	"\n";
static const char usage_end[] =
	"  --help, --version\n"
	"\n"
	"In parentheses: the default. docs/operations.md has what happens past a limit, and a file's sections.\n";

void config_help(struct buf *out)
{
	buf_add(out, str_of(usage));
	for (size_t i = 0; i < NOPTIONS; i++) {
		char flag[64];
		const struct option *o = &options[i];
		snprintf(flag, sizeof(flag), "--%s %s", o->name, o->value);
		buf_printf(out, "  %-27s %s", flag, o->help);
		if (o->def)
			buf_printf(out, " (%llu)", (unsigned long long)o->def);
		buf_addc(out, '\n');
	}
	buf_add(out, str_of(usage_end));
}
