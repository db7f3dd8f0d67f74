#include "plan_key.h"

#include "integrity.h"
#include <limits.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Fields of struct client_settings that change a tree, or what is written about it. The others: offline,
 * prefer_offline, network_concurrency, fetch_*, proxies, user_agent, dray_*, npmrc_auth_file (how bytes come);
 * verify_store_integrity, child_concurrency (how, not what); frozen_lockfile, prefer_frozen_lockfile (whether a
 * lockfile may be used, which is asked before), *_workspace_cycles and fail_if_no_match (likewise);
 * catalog_prune* (what is not used);
 * node_version (in the platform). */
#define CLIENT_BOOLS(X)                                                                                                \
	X(hoist)                                                                                                       \
	X(shamefully_hoist)                                                                                            \
	X(hoist_workspace_packages)                                                                                    \
	X(enable_global_virtual_store)                                                                                 \
	X(dangerously_allow_all_builds)                                                                                \
	X(strict_dep_builds)                                                                                           \
	X(ignore_scripts)                                                                                              \
	X(enable_pre_post_scripts)                                                                                     \
	X(extend_node_path)                                                                                            \
	X(engine_strict)                                                                                               \
	X(side_effects_cache)                                                                                          \
	X(lockfile)                                                                                                    \
	X(optimistic_repeat_install) X(include_workspace_root) X(age_strict_set) X(age_strict) X(trust_lockfile)
#define CLIENT_NUMBERS(X)                                                                                              \
	X(virtual_store_dir_max_length)                                                                                \
	X(import_method)
#define CLIENT_TEXTS(X)                                                                                                \
	X(store_dir)                                                                                                   \
	X(script_shell)                                                                                                \
	X(node_options)                                                                                                \
	X(pm_on_fail)
#define CLIENT_LISTS(X)                                                                                                \
	X(hoist_pattern)                                                                                               \
	X(public_hoist_pattern)

static void add_text(struct sha256_ctx *h, str s)
{
	uint64_t n = s.n;

	sha256_update(h, sizeof(n), (const uint8_t *)&n);
	sha256_update(h, s.n, (const uint8_t *)s.p);
}

static void add_number(struct sha256_ctx *h, uint64_t n)
{
	sha256_update(h, sizeof(n), (const uint8_t *)&n);
}

static void add_list(struct sha256_ctx *h, struct str_list l)
{
	add_number(h, l.n);
	for (size_t i = 0; i < l.n; i++)
		add_text(h, l.p[i]);
}

static void add_client(struct sha256_ctx *h, const struct client_settings *c)
{
#define X(f) add_number(h, (uint64_t)c->f);
	CLIENT_BOOLS(X)
	CLIENT_NUMBERS(X)
#undef X
#define X(f) add_text(h, c->f);
	CLIENT_TEXTS(X)
#undef X
#define X(f) add_list(h, c->f);
	CLIENT_LISTS(X)
#undef X
	add_number(h, c->nallow_build);
	for (size_t i = 0; i < c->nallow_build; i++) {
		add_text(h, c->allow_build[i].key);
		add_number(h, c->allow_build[i].allow);
	}
}

/* Which node it is, where its version is not known: it decides which packages fit and what is built. */
static void add_node(struct sha256_ctx *h)
{
	const char *env = getenv("PATH");
	str path = str_of(env ? env : ""), dir;
	char file[PATH_MAX], real[PATH_MAX];
	struct stat st;

	while (path.n) {
		str_cut(path, ':', &dir, &path);
		if (!dir.n || dir.n > PATH_MAX - 8)
			continue;
		snprintf(file, sizeof(file), STR_FMT "/node", STR_ARG(dir));
		if (!realpath(file, real) || stat(real, &st) != 0)
			continue;
		add_text(h, str_of(real));
		add_number(h, (uint64_t)st.st_size);
		add_number(h, (uint64_t)st.st_mtim.tv_sec);
		add_number(h, (uint64_t)st.st_mtim.tv_nsec);
		return;
	}
}

void plan_key_base(uint8_t out[32], const struct plan_key_input *in)
{
	/* node_modules/.modules.yaml names pnpm's store, which these lead to */
	static const char *const names[] = { "HOME", "PNPM_HOME", "XDG_DATA_HOME" };
	const struct project *p = in->project;
	struct settings settings = p->req.settings;
	const struct platform *m = &p->req.platform;
	uint8_t digest[32];
	struct sha256_ctx hash, *h = &hash;

	settings.nregistry = 0;
	settings_digest(digest, &settings);
	sha256_init(h);
	add_text(h, STR("dray plan 2 " DRAY_VERSION));
	sha256_update(h, sizeof(digest), digest);
	sha256_update(h, sizeof(p->manifests), p->manifests);
	add_client(h, &p->client);
	add_list(h, (struct str_list){ (str[]){ m->os, m->cpu, m->libc, m->node_version, in->store_dir }, 5 });
	if (!m->node_version.n)
		add_node(h);
	const bool flags[] = { in->req->prod, in->req->dev, in->req->optional, in->req->ignore_scripts };
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		add_number(h, flags[i]);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *v = getenv(names[i]);
		add_text(h, str_of(v ? v : ""));
	}
	add_list(h, p->patterns);
	sha256_digest(h, SHA256_DIGEST_SIZE, out);
}

void plan_key(uint8_t out[32], const uint8_t base[32], enum plan_kind kind, const uint8_t lockfile[32])
{
	uint8_t text[65];

	memcpy(text, base, 32);
	memcpy(text + 32, lockfile, 32);
	text[64] = (uint8_t)kind;
	sha256(out, text, sizeof(text));
}
