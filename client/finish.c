#include "finish.h"
#include "fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "age_exclude.h"
#include "base/json.h"
#include "catalog_prune.h"
#include "dep_path.h"
#include "file_put.h"
#include "pnpm_state.h"
#include "policy.h"
#include "project_local.h"
#include "prune.h"
#include "scripts.h"
#include "slots_made.h"
#include "state.h"

/* The member KEY of the file, and what parts it from the next one. */
static void put_list(struct buf *b, const char *key, struct str_list l)
{
	buf_printf(b, "  \"%s\": [", key);
	for (size_t i = 0; i < l.n; i++) {
		buf_add(b, i ? STR(",\n    ") : STR("\n    "));
		json_put_str(b, l.p[i]);
	}
	buf_add(b, l.n ? STR("\n  ],\n") : STR("],\n"));
}

/* What of a hoist is of one slot: its first name, its last, and by name the next one; each +1. */
struct names {
	uint32_t *first, *last; /* by slot */
	uint32_t *next;         /* by name */
};

static struct names names_by_slot(const struct hoist *h, size_t nslots)
{
	struct names n = { xcalloc(nslots, sizeof(*n.first)), xcalloc(nslots, sizeof(*n.last)),
		xcalloc(h->n, sizeof(*n.next)) };

	for (size_t i = 0; i < h->n; i++) {
		const struct slot *to = h->p[i].to;
		if (!to)
			continue;
		if (n.last[to->id])
			n.next[n.last[to->id] - 1] = (uint32_t)i + 1;
		else
			n.first[to->id] = (uint32_t)i + 1;
		n.last[to->id] = (uint32_t)i + 1;
	}
	return n;
}

/* Dependencies in the order in which they were hoisted; one that has several names is listed once. */
static void put_hoisted(struct buf *b, const struct hoist *h, size_t nslots)
{
	struct names n = names_by_slot(h, nslots);
	bool any = false;

	for (size_t i = 0; i < h->n; i++) {
		const struct slot *to = h->p[i].to;
		if (to && n.first[to->id] != i + 1)
			continue;
		buf_printf(b, "%s\n    ", any ? "," : "");
		any = true;
		json_put_str(b, to ? to->snap->key : h->p[i].folder);
		buf_add(b, STR(": {"));
		for (size_t k = i + 1; k; k = n.next[k - 1]) {
			buf_printf(b, "%s\n      ", k == i + 1 ? "" : ",");
			json_put_str(b, h->p[k - 1].alias);
			buf_printf(b, ": \"%s\"", h->p[k - 1].is_public ? "public" : "private");
		}
		buf_add(b, STR("\n    }"));
	}
	if (any)
		buf_add(b, STR("\n  "));
	free(n.first);
	free(n.last);
	free(n.next);
}

static struct str_list skipped_list(const struct tree *t, struct arena *a)
{
	struct str_list l = { .p = arena_new(a, str, t->nslots + 1) };

	for (size_t i = 0; i < t->nslots; i++) {
		const struct slot *s = t->slot[i];
		if (s->state == SLOT_SKIPPED && s->reached && s->snap->optional)
			l.p[l.n++] = s->snap->key;
	}
	qsort(l.p, l.n, sizeof(str), strs_order);
	return l;
}

/* Folders outside the store, and the slots that are made of each. */
static void put_injected(struct buf *b, const struct tree *t)
{
	bool any = false;

	for (size_t i = 0; i < t->npackages; i++) {
		const struct tree_package *p = t->package[i];
		bool first = true;
		if (p->f->meta.resolution.kind != LOCK_RES_DIRECTORY)
			continue;
		for (const struct slot *s = p->slots; s; s = s->next) {
			if (!slot_wanted(s))
				continue;
			if (first) {
				buf_add(b, any ? STR(",\n    ") : STR("\"injectedDeps\": {\n    "));
				json_put_str(b, p->f->meta.resolution.directory);
				buf_add(b, STR(": ["));
			}
			buf_printf(b, "%s\n      \"" STR_FMT "/%s/node_modules/" STR_FMT "\"", first ? "" : ",",
				STR_ARG(t->shared.n ? t->shared : STR("node_modules/.pnpm")), s->dir, STR_ARG(s->name));
			first = false;
			any = true;
		}
		if (!first)
			buf_add(b, STR("\n    ]"));
	}
	if (any)
		buf_add(b, STR("\n  },\n  "));
}

static const char *tf(bool b)
{
	return b ? "true" : "false";
}

/* Slots that may build and did not, because --ignore-scripts was given. */
static struct str_list pending_list(const struct finish_opts *o, struct arena *a)
{
	const struct tree *t = o->tree;
	struct str_list l = { .p = arena_new(a, str, t->nslots + 1) };

	for (size_t i = 0; o->ignore_scripts && i < t->nslots; i++) {
		const struct slot *s = t->slot[i];
		if (slot_wanted(s) && scripts_wanted(s->package) &&
			scripts_allowed(s->package, &o->project->client) != BUILD_DENIED)
			l.p[l.n++] = s->snap->key;
	}
	qsort(l.p, l.n, sizeof(str), strs_order);
	return l;
}

/* Where pnpm keeps its store. pnpm takes a tree with another storeDir apart and links it anew; the files themselves are
 * in no need of that: who made them is said by packageManager. What an earlier install of pnpm's wrote stays. */
static str pnpm_store(const struct finish_opts *o, struct arena *a)
{
	const char *home = getenv("HOME"), *pnpm = getenv("PNPM_HOME"), *data = getenv("XDG_DATA_HOME");
	str set = o->project->client.store_dir;
	struct json *old;
	struct stat st;
	struct err e;

	AUTO(fs_close_auto)
	int fd = openat(o->root_fd, "node_modules/.modules.yaml", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size < 64 * 1024 * 1024) {
		char *text = arena_new(a, char, (size_t)st.st_size);
		ssize_t n = read(fd, text, (size_t)st.st_size);
		if (n > 0 && json_parse(&old, (str){ text, (size_t)n }, a, &e) == 0 &&
			json_str(json_get(old, "storeDir")).n)
			return json_str(json_get(old, "storeDir"));
	}
	if (set.n)
		return arena_printf(a, STR_FMT "/v11", STR_ARG(set));
	if (pnpm && *pnpm)
		return arena_printf(a, "%s/store/v11", pnpm);
	if (data && *data)
		return arena_printf(a, "%s/pnpm/store/v11", data);
	return arena_printf(a, "%s/.local/share/pnpm/store/v11", home ? home : "");
}

/* JSON is YAML; pnpm writes it so, too. */
static int write_modules(const struct finish_opts *o, struct arena *a, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	const struct client_settings *c = &o->project->client;
	char when[64];
	struct tm tm;
	time_t now = time(NULL);

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buf_add(&b, STR("{\n  \"hoistedDependencies\": {"));
	put_hoisted(&b, o->hoist, o->tree->nslots);
	buf_add(&b, STR("},\n"));
	if (c->hoist && c->hoist_pattern.n)
		put_list(&b, "hoistPattern", c->hoist_pattern);
	buf_printf(&b,
		"  \"included\": {\n    \"dependencies\": %s,\n    \"devDependencies\": %s,\n    "
		"\"optionalDependencies\": %s\n  },\n",
		tf(o->req->prod), tf(o->req->dev), tf(o->req->optional));
	if (o->ignored_builds.n)
		put_list(&b, "ignoredBuilds", o->ignored_builds);
	buf_printf(&b, "  \"layoutVersion\": 5,\n  \"nodeLinker\": \"isolated\",\n  \"packageManager\": \"dray@%s\",\n",
		DRAY_VERSION);
	put_list(&b, "pendingBuilds", pending_list(o, a));
	buf_printf(&b, "  \"prunedAt\": \"%s\",\n", when);
	put_list(&b, "publicHoistPattern", c->public_hoist_pattern);
	put_list(&b, "skipped", skipped_list(o->tree, a));
	buf_add(&b, STR("  \"storeDir\": "));
	json_put_str(&b, pnpm_store(o, a));
	buf_add(&b, STR(",\n  \"virtualStoreDir\": "));
	json_put_str(&b, o->tree->shared.n ? arena_printf(a, "../" STR_FMT, STR_ARG(o->tree->shared)) : STR(".pnpm"));
	buf_printf(&b, ",\n  \"virtualStoreDirMaxLength\": %u,\n  ", c->virtual_store_dir_max_length);
	put_injected(&b, o->tree);
	buf_add(&b, STR("\"allowBuilds\": {"));
	for (size_t i = 0; i < c->nallow_build; i++) {
		buf_printf(&b, "%s\n    ", i ? "," : "");
		json_put_str(&b, c->allow_build[i].key);
		buf_printf(&b, ": %s", tf(c->allow_build[i].allow));
	}
	buf_printf(&b, "%s}\n}", c->nallow_build ? "\n  " : "");
	return file_put(o->root_fd, "node_modules/.modules.yaml", buf_str(&b), false, e);
}

struct lockfile current_lockfile(
	const struct lockfile *lockfile, const struct tree *tree, const struct request *req, struct arena *a)
{
	struct lockfile lf = *lockfile;
	const bool on[LOCK_NTYPES] = {
		[LOCK_PROD] = req->prod, [LOCK_DEV] = req->dev, [LOCK_OPTIONAL] = req->optional
	};
	AUTO(map_release) struct map packages = MAP_INIT;

	lf.env_document = STR_NONE;
	lf.importer = arena_new(a, struct lock_importer, lf.nimporters + 1);
	lf.nimporters = 0;
	for (size_t i = 0; i < lockfile->nimporters; i++) {
		struct lock_importer *im = &lf.importer[lf.nimporters];
		if (!request_importer(req, lockfile->importer[i].path))
			continue; /* a frozen lockfile may know projects that are gone */
		*im = lockfile->importer[i];
		for (int g = 0; g < LOCK_NTYPES; g++) {
			if (!on[g])
				im->deps[g].n = 0;
		}
		lf.nimporters++;
	}
	lf.snapshot = arena_new(a, struct lock_snapshot, lf.nsnapshots + 1);
	lf.nsnapshots = 0;
	for (size_t i = 0; i < lockfile->nsnapshots; i++) {
		const struct slot *s = tree_slot(tree, lockfile->snapshot[i].key);
		if (!s || !s->reached)
			continue; /* what is reached and skipped is for another platform: pnpm keeps it in */
		lf.snapshot[lf.nsnapshots++] = lockfile->snapshot[i];
		map_set(&packages, dep_path_package_key(s->snap->key), 1);
	}
	lf.package = arena_new(a, struct lock_package, lf.npackages + 1);
	lf.npackages = 0;
	for (size_t i = 0; i < lockfile->npackages; i++) {
		if (map_get(&packages, lockfile->package[i].key) != MAP_NONE)
			lf.package[lf.npackages++] = lockfile->package[i];
	}
	return lf;
}

static int write_current(const struct finish_opts *o, struct arena *a, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	if (o->current)
		return staged_put(o->current, o->root_fd, "node_modules/.pnpm/lock.yaml", e);
	struct lockfile lf = current_lockfile(o->lockfile, o->tree, o->req, a);
	lockfile_print(&b, &lf);
	return file_put(o->root_fd, "node_modules/.pnpm/lock.yaml", buf_str(&b), false, e);
}

/* There is a record of the tree again: what was set aside of earlier ones is of no more use. */
static int forget_aside(const struct finish_opts *o, struct err *e)
{
	static const char *const was[] = { "node_modules/.pnpm/" ASIDE_LOCK, "node_modules/.pnpm/" ASIDE_WAS };

	for (size_t i = 0; i < 2; i++) {
		if (unlinkat(o->root_fd, was[i], 0) != 0 && errno != ENOENT)
			return err_os(e, "remove %s", was[i]);
	}
	return 0;
}

static int write_lockfile(bool *written, const struct finish_opts *o, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	str text = o->staged ? staged_text(o->staged) : STR_NONE;

	if (!o->staged) {
		lockfile_print(&b, o->lockfile);
		text = buf_str(&b);
	}
	policy_key(o->policy_key, &o->req->settings, text);
	int put = o->staged ? staged_put(o->staged, o->root_fd, "pnpm-lock.yaml", e)
			    : file_put(o->root_fd, "pnpm-lock.yaml", text, true, e);
	if (put < 0)
		return put;
	*written = put == 1;
	return 0;
}

/* PATH is FOLDER/NAME/.., and in FOLDER, the root or a project's own, an install makes node_modules. */
static bool holds_modules(const struct project *p, str path)
{
	size_t n = path.n - strlen("/..");

	while (n && path.p[n - 1] != '/')
		n--;
	if (n > 1 && str_eq(p->root, str_head(path, n - 1)))
		return true;
	for (size_t i = 0; n && i < p->req.nimporters; i++) {
		if (str_eq(p->importer[i].dir, str_head(path, n - 1)))
			return true;
	}
	return false;
}

/* Whether this install itself may have changed what is watched at PATH. */
static bool own(const struct finish_opts *o, const struct written *w, str path)
{
	return (w->lockfile && str_eq(path, STR("pnpm-lock.yaml"))) ||
	       (w->workspace && str_eq(path, STR("pnpm-workspace.yaml"))) || str_ends(path, STR("/node_modules")) ||
	       (str_ends(path, STR("/..")) && holds_modules(o->project, path));
}

/* What is watched, as it is now; W is what the command has written. */
struct look {
	const struct finish_opts *o;
	const struct written *w;
	struct state_watch *now;
	int manifests; /* whether they have the bytes that were read, asked after NOW was: 1, -1; 0: not asked yet */
};

static struct look look(const struct finish_opts *o, const struct written *w, struct arena *a)
{
	struct look l = { .o = o, .w = w, .now = arena_new(a, struct state_watch, o->nwatched + 1) };

	for (size_t i = 0; i < o->nwatched; i++) {
		l.now[i].path = o->watched[i].path;
		state_stat(&l.now[i], o->root_fd, INT64_MAX);
	}
	return l;
}

static bool is_manifest(const struct project *p, str path)
{
	str name = STR("/package.json");

	for (size_t i = 0; str_ends(path, name) && i < p->req.nimporters; i++) {
		if (str_eq(p->importer[i].dir, str_head(path, path.n - name.n)))
			return true;
	}
	return false;
}

/* A project's script may write its package.json in each install: what counts is what stands there. */
static bool manifest_same(struct look *l, str path)
{
	if (!is_manifest(l->o->project, path))
		return false;
	if (!l->manifests)
		l->manifests = project_manifests_same(l->o->project) ? 1 : -1;
	return l->manifests > 0;
}

/* What is watched counts as it was when it was read: the tree is what it asked for then. */
static struct state_watch seen(struct look *l, size_t i, bool *edited)
{
	const struct state_watch *was = &l->o->watched[i], *now = &l->now[i];

	if ((now->mtime_ns == was->mtime_ns && now->size == was->size) || own(l->o, l->w, now->path) ||
		manifest_same(l, now->path))
		return *now;
	*edited = true;
	return *was;
}

/* Whether a file was edited while this install ran: the tree is not what it asks for, then, and
 * nobody may take it for that. */
static bool edited_meanwhile(const struct finish_opts *o, const struct written *w, struct arena *a)
{
	struct look l = look(o, w, a);
	bool edited = false;

	for (size_t i = 0; i < o->nwatched && !edited; i++)
		(void)seen(&l, i, &edited);
	return edited;
}

/* The state has the slots now. What cannot be removed says nothing that is wrong. */
static void made_forget(int root)
{
	unlinkat(root, "node_modules/.pnpm/" SLOTS_MADE_FILE, 0);
}

static int write_state(const struct finish_opts *o, const struct written *w, struct arena *a, struct err *e)
{
	const struct tree *t = o->tree;
	struct state s = { .settings = o->settings_hash };
	bool edited = false;

	struct str_list files = { .p = arena_new(a, str, o->nwatched + 1) };
	for (; files.n < o->nwatched; files.n++)
		files.p[files.n] = o->watched[files.n].path;
	if (o->stamp.n)
		files.p[files.n++] = o->stamp;
	struct str_list watch = state_watch_list(files, o->root_fd, a);
	s.watch = arena_new(a, struct state_watch, watch.n + 1);
	for (; s.nwatch < watch.n; s.nwatch++)
		s.watch[s.nwatch].path = watch.p[s.nwatch];
	s.slot = arena_new(a, struct state_slot, t->nslots + 1);
	for (size_t i = 0; i < t->nslots; i++) {
		const struct slot *x = t->slot[i];
		if (!t->shared.n && (x->state == SLOT_LINKED || x->state == SLOT_KEPT))
			s.slot[s.nslots++] = (struct state_slot){ str_of(x->dir), x->wiring, x->modules_ns,
				x->package_ns, 0, false };
	}
	/* Ignored builds are said again by every install until allowBuilds settles them: there is something to do. */
	bool unsettled = o->ignored_builds.n > 0 && o->project->client.strict_dep_builds;
	if (unsettled || project_copies_folders(&o->project->req) || !o->project->client.optimistic_repeat_install)
		s.nwatch = 0;
	/* Written twice: making the file changes node_modules itself, and that time belongs into it. */
	if (state_write(&s, o->root_fd, e) < 0)
		return e->code;
	made_forget(o->root_fd);
	struct look l = look(o, w, a);
	for (size_t i = 0; i < s.nwatch; i++) {
		if (i < o->nwatched)
			s.watch[i] = seen(&l, i, &edited);
		else
			state_stat(&s.watch[i], o->root_fd, INT64_MAX);
	}
	return state_update(&s, o->root_fd, e);
}

void finish_failed(const struct tree *t, int root)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(64 * 1024);
	struct state s = { .slot = arena_new(&a, struct state_slot, t->nslots + 1) };
	struct err ignored;

	for (int begun = 0; begun < 2; begun++) {
		for (size_t i = 0; i < t->nslots; i++) {
			const struct slot *x = t->slot[i];
			bool kept = x->state == SLOT_KEPT && !x->bins_due;
			/* what is to be built may have been in part */
			if ((x->state != SLOT_KEPT && x->state != SLOT_LINKED) || kept == begun ||
				(x->state == SLOT_LINKED && x->builds && scripts_wanted(x->package)))
				continue;
			s.slot[s.nslots++] = (struct state_slot){ str_of(x->dir), x->wiring, x->modules_ns,
				x->package_ns, 0, begun };
		}
	}
	if (state_write(&s, root, &ignored) == 0)
		made_forget(root);
	else
		state_forget(root); /* as it was when this install began */
}

/* Source: pnpm, when minimumReleaseAge is loose. */
static int write_age_exclude(const struct finish_opts *o, bool *written, struct err *e)
{
	AUTO(buf_release) struct buf yaml = BUF_INIT, out = BUF_INIT, names = BUF_INIT;
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	str path = arena_printf(&a, STR_FMT "/pnpm-workspace.yaml", STR_ARG(o->project->root));
	struct err why;

	if (!o->young.n)
		return 0;
	qsort(o->young.p, o->young.n, sizeof(str), strs_order);
	for (size_t i = 0; i < o->young.n; i++)
		buf_printf(&names, "%s" STR_FMT, i ? ", " : "", STR_ARG(o->young.p[i]));
	int code = project_read_file(&yaml, path.p, 16 << 20, &why);
	if (code < 0 && code != ERR_NOTFOUND)
		return *e = why, code;
	if (age_exclude_edit(&out, buf_str(&yaml), o->young, &why) < 0) {
		progress_warn(o->progress,
			"younger than minimumReleaseAge and taken, because nothing older fits: " STR_FMT
			"; add them to minimumReleaseAgeExclude by hand (%s)",
			STR_ARG(buf_str(&names)), why.msg);
		return 0;
	}
	if (file_put(o->root_fd, "pnpm-workspace.yaml", buf_str(&out), true, e) < 0)
		return e->code;
	*written = true;
	progress_warn(o->progress,
		"added to minimumReleaseAgeExclude in pnpm-workspace.yaml, because nothing older fits: " STR_FMT
		"; minimumReleaseAgeStrict: true makes that an error",
		STR_ARG(buf_str(&names)));
	return 0;
}

static int write_catalogs(const struct finish_opts *o, bool *written, struct err *e)
{
	AUTO(buf_release) struct buf out = BUF_INIT;
	int found = o->catalog_prune ? catalog_prune(&out, o->project, o->lockfile, e) : 0;

	if (found <= 0)
		return found;
	if (file_put(o->root_fd, "pnpm-workspace.yaml", buf_str(&out), true, e) < 0)
		return e->code;
	*written = true;
	progress_say(o->progress, "catalog entries that no project uses were removed from pnpm-workspace.yaml");
	return 0;
}

/* What pnpm-workspace.yaml says by now. */
static int read_workspace(struct workspace_yaml *out, const struct finish_opts *o, struct arena *a, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	str path = arena_printf(a, STR_FMT "/pnpm-workspace.yaml", STR_ARG(o->project->root));

	workspace_yaml_init(out);
	if (project_read_file(&text, path.p, 16 << 20, e) < 0)
		return e->code;
	return workspace_yaml_parse(out, buf_str(&text), path, a, e);
}

/* Only for a tree to which nothing is left to do: what has still to be built keeps pnpm looking. */
static int write_pnpm_state(const struct finish_opts *o, const struct written *w, struct arena *a, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct pnpm_state s = { .project = o->project, .req = o->req, .filtered = o->filtered, .old = o->pnpm_state };
	struct workspace_yaml yaml;

	if (o->catalog_prune) {
		if (read_workspace(&yaml, o, a, e) < 0)
			return e->code;
		s.catalogs = &yaml.settings;
	}
	if (o->ignored_builds.n || pending_list(o, a).n || edited_meanwhile(o, w, a) || !pnpm_state_print(&b, &s, a))
		return 0;
	return file_put(o->root_fd, "node_modules/.pnpm-workspace-state-v1.json", buf_str(&b), false, e);
}

int finish_write(struct written *out, const struct finish_opts *o, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(64 * 1024);
	struct written w = { .workspace = o->project->made_workspace };

	if (!o->lockfile_only && (write_modules(o, &a, e) < 0 || write_current(o, &a, e) < 0 || forget_aside(o, e) < 0))
		return e->code;
	if (write_age_exclude(o, &out->workspace, e) < 0 || write_catalogs(o, &out->workspace, e) < 0)
		return e->code;
	if (o->write_lockfile && write_lockfile(&out->lockfile, o, e) < 0)
		return e->code;
	w.lockfile = out->lockfile || o->just_written.lockfile;
	w.workspace |= out->workspace || o->just_written.workspace;
	if (o->lockfile_only)
		return 0;
	if (write_pnpm_state(o, &w, &a, e) < 0)
		return e->code;
	return write_state(o, &w, &a, e);
}
