/* `dray install`: which projects, which lockfile, whose plan; then install.h does it. */
#include "command.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "absorb.h"
#include "account.h"
#include "base/clock.h"
#include "catalog_prune.h"
#include "env_document.h"
#include "fd_budget.h"
#include "filter.h"
#include "install.h"
#include "name.h"
#include "nothing_to_do.h"
#include "pack_policy.h"
#include "partial.h"
#include "plan_keep.h"
#include "plan_wire.h"
#include "project_local.h"
#include "reprint.h"
#include "server_token.h"
#include "source_remote.h"
#include "state.h"

/* Files that decide what is to be done, those that are not there included: one that comes is noticed. */
static struct str_list watch_list(const struct project *p, struct arena *a)
{
	static const char *const own[] = { "pnpm-lock.yaml", "pnpm-workspace.yaml", ".npmrc", PROJECT_HOOKS };
	enum { NOWN = sizeof(own) / sizeof(own[0]) };
	const struct settings *s = &p->req.settings;
	const char *home = getenv("HOME");
	struct str_list l = { .p = arena_new(a, str, p->req.nimporters * 3 + p->req.nlocal + s->npatch + NOWN + 3) };

	for (size_t i = 0; i < p->req.nimporters; i++) {
		l.p[l.n++] = arena_printf(a, STR_FMT "/package.json", STR_ARG(p->importer[i].dir));
		if (i == 0)
			continue;
		/* the folder that holds it: a new neighbour changes its time; and what was made in it */
		l.p[l.n++] = arena_printf(a, STR_FMT "/..", STR_ARG(p->importer[i].dir));
		l.p[l.n++] = arena_printf(a, STR_FMT "/node_modules", STR_ARG(p->importer[i].dir));
	}
	for (size_t i = 0; i < p->req.nlocal; i++) {
		if (!p->req.local[i].is_dir)
			l.p[l.n++] = p->req.local[i].path;
	}
	for (size_t i = 0; i < s->npatch; i++)
		l.p[l.n++] = s->patch[i].path;
	for (size_t i = 0; i < NOWN; i++)
		l.p[l.n++] = str_of(own[i]);
	if (p->around.n)
		l.p[l.n++] = p->around;
	if (p->machine_file.n)
		l.p[l.n++] = p->machine_file;
	if (home)
		l.p[l.n++] = arena_printf(a, "%s/.npmrc", home);
	return l;
}

struct invocation {
	struct options opt;
	struct progress progress;
	struct project project;
	struct request req;
	struct arena arena;
	str store_dir;
	int64_t began_ns; /* before the project was read */
	struct plan_keep keep;
	struct source *remote, *verdict;
	struct install_opts install;
	bool frozen, prunes;      /* catalogs have entries that are to go */
	const bool *selected;     /* by importer; NULL: all */
	const bool *filtered;     /* the same where the command line has a filter, though it means all that there are */
	struct lockfile resolved; /* of a partial install, or made to fit */
};

/* The whole list goes to standard error, line by line; the error itself names how many and the first. */
static int lockfile_outdated(struct invocation *s, struct str_list why, struct err *e)
{
	enum { SHOWN = 100 };

	for (size_t i = 0; i < why.n && i < SHOWN; i++)
		progress_warn(&s->progress, STR_FMT, STR_ARG(why.p[i]));
	if (why.n > SHOWN)
		progress_warn(&s->progress, "and %zu more", why.n - SHOWN);
	return err_set(e, ERR_OUTDATED,
		"%s does not fit and is frozen: %zu difference(s), the first is " STR_FMT
		". Run dray install --no-frozen-lockfile",
		s->project.lockfile_path.p, why.n, STR_ARG(why.p[0]));
}

/* RESOLVED is a locked plan and is to be written. */
static void invocation_moved(struct invocation *s)
{
	AUTO(buf_release) struct buf text = BUF_INIT;

	lockfile_print(&text, &s->resolved);
	s->req.lockfile = &s->resolved;
	s->req.lockfile_text = arena_str(&s->arena, buf_str(&text));
	s->install.moved = true;
}

/* The pnpm that the project pins goes into the lockfile's first document. */
static void invocation_pin(struct invocation *s)
{
	str have = s->project.env_document;

	s->install.env_document = s->frozen ? have : env_document_of(&s->install, &s->arena);
	if (!s->install.locked || str_eq(s->install.env_document, have))
		return;
	if (!s->install.moved)
		s->resolved = *s->req.lockfile;
	s->resolved.env_document = s->install.env_document;
	invocation_moved(s);
}

/* Whether the lockfile could be made to do: it is written at the end, as one that was resolved. */
static bool invocation_absorb(struct invocation *s)
{
	if (!lockfile_absorb(&s->resolved, &s->project.lockfile, &s->req, &s->arena))
		return false;
	lockfile_forget_unknown(&s->resolved, &s->arena);
	invocation_moved(s);
	return true;
}

/* Whether the lockfile may not change. An environment document alone is no lockfile, which is
 * known once it was parsed. */
static bool lockfile_frozen(const struct invocation *s)
{
	const struct client_settings *c = &s->project.client;

	if (s->opt.frozen || s->opt.lockfile_only)
		return s->opt.frozen == FROZEN_YES;
	return c->frozen_lockfile_set ? c->frozen_lockfile
				      : s->project.ci && s->project.lockfile_text.p && !s->project.lockfile.absent;
}

/* Who comes from another package manager is told that the versions may be others now. */
static void name_other_lockfiles(struct invocation *s)
{
	static const struct {
		const char *name;
		bool imported; /* pnpm reads it */
	} other[] = { { "package-lock.json", true }, { "npm-shrinkwrap.json", true }, { "yarn.lock", true },
		{ "bun.lock", false }, { "bun.lockb", false } };

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		str path = arena_printf(&s->arena, "%s/%s", s->project.root.p, other[i].name);
		if (access(path.p, F_OK) == 0)
			progress_warn(&s->progress,
				"%s is not read: there is no pnpm-lock.yaml, so versions are chosen anew%s",
				other[i].name, other[i].imported ? " (`pnpm import` makes one of it)" : "");
	}
}

/* A lockfile that is not there or cannot be read is an error where it has to do. */
static int lockfile_readable(struct invocation *s, struct err *e)
{
	const struct err *broken = &s->project.lockfile_broken;

	if (broken->code < 0 && s->frozen) {
		*e = *broken;
		return e->code;
	}
	if (broken->code < 0)
		progress_warn(&s->progress, "the broken lockfile is ignored and written anew: %s", broken->msg);
	if (!s->project.has_lockfile && s->frozen && s->project.client.lockfile)
		return err_set(e, ERR_OUTDATED, "there is no %s, and --frozen-lockfile forbids to make one",
			s->project.lockfile_path.p);
	return 0;
}

/* Whether the lockfile fits as it is. */
static int lockfile_fits(struct invocation *s, bool *fits, struct err *e)
{
	struct lockfile lf = s->project.lockfile;
	struct request req = s->req;
	struct str_list why;

	if (s->selected)
		partial_check(&lf, &req, &s->req, s->selected, &s->project.lockfile, &s->arena);
	*fits = lockfile_satisfies(&lf, &req, s->frozen, &why, &s->arena);
	if (!*fits && s->frozen)
		return lockfile_outdated(s, why, e);
	if (!s->frozen && !s->project.client.prefer_frozen_lockfile)
		*fits = false;
	return *fits ? 0 : lockfile_whole(&lf, e);
}

/* Whether the lockfile that is not there could be had back: the tree's own, where it is all that is asked for. One that
 * is not counts for nothing. Source: pnpm 12.21. */
static bool invocation_restore(struct invocation *s)
{
	enum { TREE_LOCKFILE_MAX = 256 << 20 };
	str path = arena_printf(&s->arena, STR_FMT "/node_modules/.pnpm/lock.yaml", STR_ARG(s->project.root));
	AUTO(buf_release) struct buf bytes = BUF_INIT;
	struct lockfile lf;
	struct str_list why;
	struct err e;

	if (!s->project.client.lockfile || s->selected || s->project.lockfile_text.p ||
		project_read_file(&bytes, path.p, TREE_LOCKFILE_MAX, &e) < 0 ||
		lockfile_parse(&lf, arena_str(&s->arena, buf_str(&bytes)), path, &s->arena, &e) < 0 || lf.absent ||
		!lockfile_satisfies(&lf, &s->req, false, &why, &s->arena) || lockfile_whole(&lf, &e) < 0)
		return false;
	progress_say(&s->progress, "pnpm-lock.yaml was gone: it is what node_modules was made from again");
	s->resolved = lf;
	invocation_moved(s);
	return true;
}

/* Whether the lockfile will do, and whether it has to. */
static int invocation_locked(struct invocation *s, bool *locked, struct err *e)
{
	const struct client_settings *c = &s->project.client;

	if (s->keep.taken)
		return *locked = true, 0;
	if (!c->lockfile && (s->opt.frozen == FROZEN_YES || s->opt.lockfile_only))
		return err_set(e, ERR_USAGE,
			"--%s needs a lockfile, and lockfile: false forbids one; remove one of them",
			s->opt.lockfile_only ? "lockfile-only" : "frozen-lockfile");
	s->frozen = lockfile_frozen(s);
	*locked = false;
	if (lockfile_readable(s, e) < 0)
		return e->code;
	if (!s->project.has_lockfile) {
		*locked = invocation_restore(s);
		if (!*locked && c->lockfile)
			name_other_lockfiles(s);
		return 0;
	}
	/* with a filter, projects that are not on disk are among those that stay as they are. Source: pnpm 12.21 */
	if (!s->frozen && s->filtered && partial_lost(&s->req, &s->project.lockfile))
		s->selected = s->filtered;
	if (lockfile_fits(s, locked, e) < 0)
		return e->code;
	if (!*locked && c->prefer_frozen_lockfile && !s->selected && invocation_absorb(s))
		return *locked = true, 0;
	if (*locked && s->opt.lockfile_only && !s->selected &&
		lockfile_reprint(&s->resolved, &s->project.lockfile, s->project.lockfile_text, &s->arena))
		invocation_moved(s);
	if (!*locked)
		progress_event(&s->progress, "outdated", "\"lockfile\":true");
	return 0;
}

static str server_fallback(const struct invocation *s)
{
	return s->opt.server_fallback.n ? s->opt.server_fallback : s->project.client.dray_server_fallback;
}

static int invocation_remote(struct invocation *s, struct err *e)
{
	str named = command_server(&s->opt);
	str url = named.n ? named : s->project.client.dray_server;
	bool withheld;
	struct pack_policy packs;

	if (pack_policy_read(&packs, &s->opt, &s->project.client, str_of(getenv("DRAY_MATERIALIZATION")),
		    str_of(getenv("DRAY_BAD_PACK")), e) < 0)
		return e->code;
	str fallback = server_fallback(s);
	if (fallback.n && !str_eq(fallback, STR("direct")) && !str_eq(fallback, STR("error")))
		return err_set(e, ERR_USAGE, "drayServerFallback: \"" STR_FMT "\": expected direct or error",
			STR_ARG(fallback));
	s->install.packs_stop = packs.stop;
	if (s->opt.direct || !url.n)
		return 0;
	str token = server_token_or_env(
		url, !named.n, s->project.auth, s->project.nauth, str_of(getenv("DRAY_TOKEN")), &withheld);
	if (withheld)
		progress_warn(&s->progress,
			"DRAY_TOKEN is not sent to " STR_FMT
			", which the project names: set DRAY_SERVER too, or put the token into ~/.npmrc",
			STR_ARG(url));
	if (!packs.registry) {
		s->install.packs_url = url;
		s->install.packs_token = token;
	}
	struct source_remote_opts o = {
		.url = url,
		.token = token,
		.ca_file = s->project.cafile.n ? s->project.cafile.p : NULL,
		.accept = s->install.packs_url.n ? PLAN_ACCEPT_PACKS : 0,
	};
	if (s->project.has_lockfile && source_remote_new(&s->verdict, &o, e) < 0)
		return e->code;
	s->install.verdict_source = s->verdict;
	return s->install.locked ? 0 : source_remote_new(&s->remote, &o, e);
}

static bool may_fall_back(const struct invocation *s, const struct install_result *r, const struct err *e)
{
	return s->remote && str_eq(str_of(r->source), STR("server")) && !source_remote_sent(s->remote) &&
	       !str_eq(server_fallback(s), STR("error")) &&
	       (e->code == ERR_NET || e->code == ERR_TIMEOUT || e->code == ERR_BUSY ||
		       source_remote_foreign(s->remote));
}

static void say_summary(struct invocation *s, const struct install_result *r)
{
	struct progress *p = &s->progress;

	progress_clear(p);
	if (p->deprecated)
		progress_warn(p, "%u deprecated package(s) in the tree", p->deprecated);
	for (size_t i = 0; i < r->ignored_builds.n; i++) {
		str name, version, at = r->ignored_builds.p[i];
		name_split(at, &name, &version);
		const char *quote = str_starts(name, STR("@")) ? "'" : ""; /* as YAML wants it */
		progress_warn(p,
			"build script of " STR_FMT " was not run: write \"%s" STR_FMT
			"%s: true\", or false, under allowBuilds in pnpm-workspace.yaml",
			STR_ARG(at), quote, STR_ARG(name), quote);
	}
	if (p->reporter == REPORTER_NDJSON) {
		account_phases(p, r);
		account_say(p, r, s->keep.taken);
		return;
	}
	if (s->opt.lockfile_only) {
		progress_say(p, "pnpm-lock.yaml %s (%llu packages, %s) in %.2f s",
			r->lockfile_written ? "written" : "is up to date", (unsigned long long)r->packages, r->source,
			(double)r->t.end / 1e6);
		return;
	}
	unsigned long long added = r->link.warm + r->link.cold;
	progress_say(p, "%llu added (%llu from the store, %llu downloaded, %.1f MB), %llu kept, %llu removed", added,
		(unsigned long long)r->link.warm, (unsigned long long)r->link.cold,
		(double)(r->fetched_bytes + r->pack_bytes) / 1e6, (unsigned long long)r->kept,
		(unsigned long long)r->pruned);
	if (s->install.packs_url.n && r->packs + r->tarballs > 0) {
		char deltas[48] = "";
		if (r->deltas)
			snprintf(deltas, sizeof(deltas), " (%llu deltas)", (unsigned long long)r->deltas);
		progress_say(p, "plan: %s%s · %llu packs%s, %llu tarballs · %.1f MB not downloaded", r->source,
			r->plan_cached ? ", cached" : "", (unsigned long long)r->packs, deltas,
			(unsigned long long)r->tarballs, (double)r->packs_saved / 1e6);
	}
	progress_say(p, "done in %.2f s (plan from %s %.2f s, files %.2f s, rest %.2f s)", (double)r->t.end / 1e6,
		r->source, (double)r->t.last_frame / 1e6,
		(double)(r->t.linked > r->t.last_frame ? r->t.linked - r->t.last_frame : 0) / 1e6,
		(double)(r->t.end - r->t.linked) / 1e6);
}

/* Which projects the command line means. *NONE: it means none, and that was said. */
static int invocation_filter(struct invocation *s, bool *none, struct err *e)
{
	struct options *o = &s->opt;
	const struct project *p = &s->project;
	struct filter_opts fo = { .all = { o->filter.p, o->filter.n },
		.prod = { o->filter_prod.p, o->filter_prod.n },
		.workspace_root = o->workspace_root,
		.base = o->workspace_root ? p->root : p->base };
	struct filter_result r;

	*none = false;
	if (!options_filtered(o))
		return 0;
	if (o->workspace_root && !p->is_workspace)
		return err_set(e, ERR_USAGE, "--workspace-root may only be used inside a workspace");
	if (filter_select(&r, p, &fo, &s->arena, e) < 0)
		return e->code;
	if (r.n == 0) {
		if (o->fail_if_no_match || p->client.fail_if_no_match)
			return err_set(e, ERR_NOTFOUND, "no project matches the filters in " STR_FMT, STR_ARG(p->root));
		progress_say(&s->progress, "No projects matched the filters in " STR_FMT, STR_ARG(p->root));
		account_nothing(&s->progress);
		*none = true;
		return 0;
	}
	/* the root is always installed along: it has what all projects may use. Source: pnpm */
	if (!r.selected[0] && str_eq(p->importer[0].path, STR("."))) {
		r.selected[0] = true;
		r.n++;
	}
	s->selected = r.n < p->req.nimporters ? r.selected : NULL;
	s->filtered = r.selected;
	return 0;
}

/* What the first step has taken although it is young is among what the second one lets in. */
static void invocation_exclude(struct invocation *s, struct str_list young)
{
	struct str_list *l = &s->req.settings.minimum_release_age_exclude;
	str *all = arena_new(&s->arena, str, l->n + young.n + 1);

	if (l->n)
		memcpy(all, l->p, l->n * sizeof(*all));
	for (size_t i = 0; i < young.n; i++)
		all[l->n + i] = arena_str(&s->arena, young.p[i]);
	*l = (struct str_list){ all, l->n + young.n };
}

/* A part of a workspace whose lockfile does not fit: first the lockfile, then the tree from it. */
static int invocation_resolve(struct invocation *s, struct err *e)
{
	struct install_opts o = s->install;
	struct request req, *asked = &req;
	struct install_result r;

	partial_request(&req, &s->req, s->selected, s->project.has_lockfile ? &s->project.lockfile : NULL, &s->arena);
	req.mode = REQUEST_LOCKFILE_ONLY;
	o.req = asked;
	o.selected = NULL;
	o.lockfile_only = o.want_lockfile = true;
	int code = install_run(&r, &o, e);
	if (code < 0 && may_fall_back(s, &r, e)) {
		progress_warn(&s->progress, "server not used, resolving here instead: %s", e->msg);
		install_result_release(&r);
		s->install.packs_url = STR_NONE;
		o.source = NULL;
		code = install_run(&r, &o, e);
	}
	if (code == 0) {
		str text = arena_str(&s->arena, r.lockfile_text);
		code = lockfile_parse(&s->resolved, text, STR("pnpm-lock.yaml"), &s->arena, e);
		s->req.lockfile_text = text;
	}
	s->install.just_written = r.lockfile_written;
	s->install.just_excluded = r.workspace_written;
	invocation_exclude(s, r.excluded);
	install_result_release(&r);
	s->req.lockfile = &s->resolved;
	s->install.locked = true;
	s->install.source = NULL;
	return code;
}

static int invocation_install(struct invocation *s, struct err *e)
{
	struct install_result r;

	if (s->selected && !s->opt.lockfile_only) {
		if (!s->install.locked && invocation_resolve(s, e) < 0)
			return e->code;
		s->install.selected = s->selected;
	} else if (s->selected) {
		struct request whole = s->req;
		partial_request(
			&s->req, &whole, s->selected, s->project.has_lockfile ? &s->project.lockfile : NULL, &s->arena);
	}
	int code = install_run(&r, &s->install, e);

	if (code < 0 && may_fall_back(s, &r, e)) {
		progress_warn(&s->progress, "server not used, resolving here instead: %s", e->msg);
		install_result_release(&r);
		s->install.source = s->install.verdict_source = NULL;
		s->install.packs_url = STR_NONE;
		code = install_run(&r, &s->install, e);
	}
	if (code == 0 || code == ERR_BUILDS)
		say_summary(s, &r);
	install_result_release(&r);
	return code;
}

/* Before the lockfile is parsed: does the store have this very tree of shared slots? 1: it stands
 * now; 0: do it the long way. */
static int invocation_image(struct invocation *s)
{
	const struct project *p = &s->project;
	struct image_input in = { .root = p->root,
		.store_dir = s->store_dir,
		.settings = settings_hash(&s->opt, environ),
		.lockfile = p->lockfile_text,
		.watch = watch_list(p, &s->arena),
		.began_ns = s->began_ns };
	uint64_t start = clock_us();
	struct image_result r;

	if (!p->client.enable_global_virtual_store || s->opt.force || s->prunes ||
		plan_keep_image(&r, &s->keep, p, &in) != 1)
		return 0;
	struct install_result done = { .source = "image", .packages = r.packages, .slots = r.slots, .kept = r.slots };
	done.t.end = clock_us() - start;
	say_summary(s, &done);
	return 1;
}

/* Where catalogPrune cannot be done, nothing is. */
static int invocation_catalogs(struct invocation *s, struct err *e)
{
	AUTO(buf_release) struct buf ignored = BUF_INIT;
	int found = s->project.client.catalog_prune ? catalog_prune(&ignored, &s->project, NULL, e) : 0;

	s->prunes = found > 0;
	return found < 0 ? found : 0;
}

/* The lockfile: from a kept plan, or parsed. *DONE: the whole tree was kept, and stands. */
static int invocation_lockfile(struct invocation *s, bool *done, struct err *e)
{
	const struct client_settings *c = &s->project.client;

	*done = false;
	s->frozen = lockfile_frozen(s);
	if (invocation_catalogs(s, e) < 0)
		return e->code;
	if (!options_filtered(&s->opt) && !s->opt.lockfile_only)
		plan_keep_open(&s->keep, &s->project, &s->req, s->store_dir, s->frozen);
	if (s->frozen || c->prefer_frozen_lockfile) {
		*done = invocation_image(s) == 1;
		if (*done || plan_keep_take(&s->keep, &s->project, s->store_dir))
			return 0;
	}
	return project_lockfile(&s->project, e);
}

/* What the command line says of settings, and what of them cannot be. */
static int invocation_settings(struct invocation *s, struct err *e)
{
	struct client_settings *c = &s->project.client;

	if (c->disallow_workspace_cycles && !c->ignore_workspace_cycles) {
		str cycle = filter_cycle(&s->project, s->selected, &s->arena);
		if (cycle.n)
			return err_set(e, ERR_USAGE,
				"there are cyclic workspace dependencies, which disallowWorkspaceCycles "
				"forbids: " STR_FMT,
				STR_ARG(cycle));
	}
	c->trust_lockfile |= s->opt.trust_lockfile;
	c->enable_global_virtual_store |= s->opt.global_virtual_store;
	if (c->enable_global_virtual_store && options_filtered(&s->opt))
		return err_set(e, ERR_UNSUPPORTED,
			"enableGlobalVirtualStore together with --filter is not supported by dray: install the whole "
			"workspace");
	return 0;
}

static enum store_verify verify_of(const struct invocation *s)
{
	str how = s->opt.verify_store;

	if (str_eq(how, STR("full")))
		return STORE_VERIFY_FULL;
	return str_eq(how, STR("none")) || (!how.n && !s->project.client.verify_store_integrity) ? STORE_VERIFY_NONE
												 : STORE_VERIFY_STAT;
}

static int invocation_run(struct invocation *s, int cancel_fd, struct err *e)
{
	struct project_opts po = command_project(&s->opt);

	po.whole_workspace = s->opt.recursive || options_filtered(&s->opt);
	po.make_workspace = po.unparsed = true;
	s->began_ns = clock_file_ns();
	if (project_load(&s->project, &po, e) < 0)
		return e->code;
	for (size_t i = 0; i < s->project.warnings.n; i++)
		progress_warn(&s->progress, STR_FMT, STR_ARG(s->project.warnings.p[i]));
	bool none;
	if (!options_filtered(&s->opt) && s->project.req.nimporters == 0) {
		progress_say(&s->progress, "No projects in " STR_FMT, STR_ARG(s->project.root));
		account_nothing(&s->progress);
		return 0;
	}
	int chosen = invocation_filter(s, &none, e);
	if (chosen < 0 || none)
		return chosen;
	if (invocation_settings(s, e) < 0)
		return e->code;
	s->req = command_request(&s->opt, &s->project);
	bool done = false;
	int code = command_store_dir(&s->store_dir, &s->opt, &s->project, &s->arena, e);
	if (code == 0)
		code = invocation_lockfile(s, &done, e);
	if (code < 0 || done)
		return code;
	s->req = command_request(&s->opt, &s->project); /* with the lockfile, which is read by now */
	struct install_opts *in = &s->install;
	*in = (struct install_opts){ .project = &s->project,
		.req = &s->req,
		.lockfile_only = s->opt.lockfile_only,
		.catalog_prune = s->prunes,
		.force = s->opt.force,
		.offline = s->opt.offline || s->project.client.offline,
		.prefer_offline = s->opt.prefer_offline || s->project.client.prefer_offline,
		.ignore_scripts = s->req.ignore_scripts,
		.store_dir = s->store_dir.p,
		.settings_hash = settings_hash(&s->opt, environ),
		.watch = watch_list(&s->project, &s->arena),
		.began_ns = s->began_ns,
		.verify = verify_of(s),
		.keep = s->keep.on ? &s->keep : NULL,
		.progress = &s->progress,
		.cancel_fd = cancel_fd };
	if (invocation_locked(s, &in->locked, e) < 0 || invocation_remote(s, e) < 0)
		return e->code;
	invocation_pin(s);
	in->source = s->remote;
	return invocation_install(s, e);
}

int command_install(const struct options *o)
{
	struct invocation s = { .opt = *o };
	struct err e = { 0 };

	progress_init(&s.progress, o->reporter);
	int cancel_fd = command_signals();
	int code = fd_budget_check(&e);
	if (code == 0)
		code = invocation_run(&s, cancel_fd, &e);
	int status = code < 0 ? command_fail(&s.progress, &e) : 0;
	if (s.remote)
		s.remote->free(s.remote);
	if (s.verdict)
		s.verdict->free(s.verdict);
	project_release(&s.project);
	plan_keep_release(&s.keep);
	arena_release(&s.arena);
	if (cancel_fd >= 0)
		close(cancel_fd);
	return status;
}
