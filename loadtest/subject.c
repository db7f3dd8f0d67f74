#include "subject.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
	const char *name, *title;
} phases[NPHASES] = {
	[P0] = { "p0", "full cold (pnpm: clean install; bun: fresh)" },
	[P1] = { "p1", "resolve only" },
	[P3] = { "p3", "cold with lockfile (pnpm: with lockfile)" },
	[P4] = { "p4", "warm link (pnpm: with cache and lockfile)" },
	[P5] = { "p5", "nothing to do (pnpm: with cache, lockfile and node_modules)" },
	[PARTIAL] = { "partial", "24 % of the packages in the store" },
	[UPDATE] = { "update", "ten bumped dependencies" },
};

const char *phase_name(enum phase p)
{
	return phases[p].name;
}

const char *phase_title(enum phase p)
{
	return phases[p].title;
}

bool phase_resolves(enum phase p)
{
	return p == P0 || p == P1 || p == UPDATE;
}

bool phase_shares_store(enum phase p)
{
	return p == P4 || p == P5;
}

/* The first link from a store reads its inodes and makes journal blocks of them: 1.3 to 2 times what the next
 * ones take, with everybody. */
bool phase_warms_up(enum phase p)
{
	return p == P4;
}

enum phase phase_read(const char *name)
{
	int p = 0;

	while (p < NPHASES && strcmp(phases[p].name, name) != 0)
		p++;
	return (enum phase)p;
}

const struct subject subjects[] = {
	{ .name = "dray-direct", .program = "dray", .lockfile = "pnpm-lock.yaml", .is_dray = true },
	{ .name = "dray-cold",
		.program = "dray",
		.lockfile = "pnpm-lock.yaml",
		.is_dray = true,
		.server = SERVER_COLD },
	{ .name = "dray-warm",
		.program = "dray",
		.lockfile = "pnpm-lock.yaml",
		.is_dray = true,
		.server = SERVER_WARM },
	{ .name = "dray-settled",
		.program = "dray",
		.lockfile = "pnpm-lock.yaml",
		.is_dray = true,
		.server = SERVER_SETTLED },
	{ .name = "dray-gvs", .program = "dray", .lockfile = "pnpm-lock.yaml", .is_dray = true, .gvs = true },
	{ .name = "pnpm", .program = "pnpm", .lockfile = "pnpm-lock.yaml" },
	{ .name = "pnpm-gvs", .program = "pnpm", .lockfile = "pnpm-lock.yaml", .gvs = true },
	{ .name = "bun", .program = "bun", .lockfile = "bun.lock" },
	{ .name = "utoo", .program = "utoo", .lockfile = "package-lock.json" },
	{ .name = "npm", .program = "npm", .lockfile = "package-lock.json" },
	{ .name = "yarn", .program = "yarn", .lockfile = "yarn.lock" },
};
const size_t nsubjects = sizeof(subjects) / sizeof(*subjects);

const struct subject *subject_find(const char *name)
{
	for (size_t i = 0; i < nsubjects; i++) {
		if (strcmp(subjects[i].name, name) == 0)
			return &subjects[i];
	}
	return NULL;
}

const char *subject_program(const struct subject *s, const char *dray_dir, const char *peers_dir, struct arena *a)
{
	char real[PATH_MAX];
	str path = s->is_dray ? arena_printf(a, "%s/%s", dray_dir, s->program)
			      : arena_printf(a, "%s/node_modules/.bin/%s", peers_dir, s->program);

	/* The wrapper in .bin is a link: what it leads to is what is measured. */
	if (!realpath(path.p, real) || access(real, X_OK) != 0)
		return NULL;
	return arena_str(a, str_of(real)).p;
}

struct words {
	const char **at;
	size_t n, most;
	struct arena *a;
};

static void word(struct words *w, const char *s)
{
	if (s && w->n + 1 < w->most)
		w->at[w->n++] = s;
}

#define word_fmt(w, ...) word((w), arena_printf((w)->a, __VA_ARGS__).p)

static void env_common(struct words *env, const struct invoke_opts *at)
{
	word(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	word_fmt(env, "HOME=%s", at->home);
	word_fmt(env, "XDG_CACHE_HOME=%s/cache", at->home);
	word_fmt(env, "XDG_DATA_HOME=%s/data", at->home);
	word_fmt(env, "XDG_STATE_HOME=%s/state", at->home);
	word_fmt(env, "XDG_CONFIG_HOME=%s/config", at->home);
	word_fmt(env, "npm_config_registry=%s", at->registry);
	word_fmt(env, "pnpm_config_registry=%s", at->registry);
	word(env, "LANG=C.UTF-8");
}

/* What says how the lockfile is meant. p5 is the plain command that people repeat: with --frozen-lockfile
 * pnpm looks at everything. */
static const char *lockfile_flag(enum phase p)
{
	if (p == P1)
		return "--lockfile-only";
	return p == P5 ? NULL : phase_resolves(p) ? "--no-frozen-lockfile" : "--frozen-lockfile";
}

static void args_dray(struct words *argv, const struct subject *s, enum phase p, const struct invoke_opts *at)
{
	word(argv, "install");
	word_fmt(argv, "--store-dir=%s", at->store);
	word_fmt(argv, "--registry=%s", at->registry);
	word(argv, "--ignore-scripts");
	word(argv, "--reporter=ndjson");
	/* A server that cannot be used is a failed run, not a direct one under its name. */
	if (s->server != SERVER_NONE) {
		word_fmt(argv, "--server=%s", at->server);
		word(argv, "--server-fallback=error");
	} else {
		word(argv, "--direct");
	}
	word(argv, lockfile_flag(p));
}

static void args_pnpm(struct words *argv, enum phase p, const struct invoke_opts *at)
{
	word(argv, "install");
	word_fmt(argv, "--store-dir=%s", at->store);
	word(argv, "--ignore-scripts");
	word(argv, lockfile_flag(p));
}

static void args_bun(struct words *argv, enum phase p, const struct invoke_opts *at)
{
	word(argv, "install");
	word(argv, "--ignore-scripts");
	word(argv, "--no-progress");
	word_fmt(argv, "--cache-dir=%s", at->store);
	word_fmt(argv, "--registry=%s", at->registry);
	word(argv, p == P1 ? "--lockfile-only" : p == P0 || p == UPDATE || p == P5 ? NULL : "--frozen-lockfile");
}

static void args_utoo(struct words *argv, enum phase p, const struct invoke_opts *at)
{
	word(argv, p == P1 ? "deps" : "install");
	word_fmt(argv, "--registry=%s", at->registry);
	word_fmt(argv, "--cache-dir=%s", at->store);
	word(argv, p == P1 ? NULL : "--ignore-scripts");
}

static void args_npm(struct words *argv, enum phase p, const struct invoke_opts *at)
{
	/* Not `ci`: with --legacy-peer-deps it refuses lockfiles that npm itself has just written. */
	word(argv, "install");
	word(argv, "--ignore-scripts");
	word(argv, "--no-audit");
	word(argv, "--no-fund");
	/* Real projects contradict themselves in their peers, which npm alone refuses. */
	word(argv, "--legacy-peer-deps");
	word_fmt(argv, "--cache=%s", at->store);
	word(argv, "--no-update-notifier"); /* it would ask the registry for npm itself */
	word(argv, p == P1 ? "--package-lock-only" : NULL);
}

static void args_yarn(struct words *argv, struct words *env, enum phase p, const struct invoke_opts *at)
{
	word(argv, "install");
	word(argv, p == P0 || p == P1 || p == UPDATE ? "--no-immutable" : "--immutable");
	word(argv, p == P1 ? "--mode=update-lockfile" : "--mode=skip-build");
	word_fmt(env, "YARN_NPM_REGISTRY_SERVER=%s", at->registry);
	word(env, "YARN_UNSAFE_HTTP_WHITELIST=127.0.0.1");
	word(env, "YARN_NODE_LINKER=node-modules");
	word(env, "YARN_NM_MODE=hardlinks-global");
	word(env, "YARN_ENABLE_TELEMETRY=0");
	word_fmt(env, "YARN_GLOBAL_FOLDER=%s", at->store);
}

bool subject_takes_part(const struct subject *s, enum phase p)
{
	return !s->gvs || p == P4 || p == P5;
}

void subject_invoke(
	struct invocation *out, const struct subject *s, enum phase p, const struct invoke_opts *at, struct arena *a)
{
	struct words argv = { out->argv, 0, sizeof(out->argv) / sizeof(*out->argv), a };
	struct words env = { out->env, 0, sizeof(out->env) / sizeof(*out->env), a };

	*out = (struct invocation){ 0 };
	word(&argv, at->program);
	env_common(&env, at);
	if (s->gvs) {
		word(&env, "pnpm_config_enable_global_virtual_store=true");
		word(&env, "CI="); /* pnpm turns shared slots off where CI is set */
	}
	if (s->is_dray)
		args_dray(&argv, s, p, at);
	else if (strcmp(s->program, "pnpm") == 0)
		args_pnpm(&argv, p, at);
	else if (strcmp(s->program, "bun") == 0)
		args_bun(&argv, p, at);
	else if (strcmp(s->program, "utoo") == 0)
		args_utoo(&argv, p, at);
	else if (strcmp(s->program, "npm") == 0)
		args_npm(&argv, p, at);
	else
		args_yarn(&argv, &env, p, at);
}
