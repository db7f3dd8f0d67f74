/* source_locked — the lockfile as a plan.
 *
 * A walk from the importers over the groups asked for marks what is installed
 * here; an optional package for another platform is skipped, and with it what
 * only it needs. Frames borrow from the request's lockfile. */
#include "source.h"
#include <stdatomic.h>
#include <stdlib.h>

#include "dep_path.h"
#include "installable.h"
#include "lock_walk.h"
#include "name.h"

enum mark { MARK_NONE = 0, MARK_SKIPPED, MARK_WANTED };
struct locked {
	struct source source;
	const struct request *req;
	const uint8_t *mark; /* by snapshot, where it is known already */
	atomic_bool cancelled;
	struct arena kept; /* URLs that frames point at */
};
struct walk {
	const struct request *req;
	const struct lockfile *lf;
	struct arena a;
	uint8_t *mark;  /* by snapshot */
	size_t package; /* of the snapshot before: both are sorted, so the next one's is that or the one behind it */
	VEC(uint32_t) todo;
	uint32_t *package_id; /* by package, +1 once sent */
	uint32_t packages, slots;
	str missing; /* a dep path that something depends on and the lockfile doesn't have */
};

static bool package_fits(struct walk *w, const struct lock_package *p)
{
	const str *node = str_map_get(p->engines, STR("node"));
	struct runs_on on = { .os = p->os, .cpu = p->cpu, .libc = p->libc, .node = node ? *node : STR_NONE };
	str version;

	name_split(p->key, &on.name, &version);
	return installable_on(&on, &w->req->platform, &w->req->settings, true, &w->a) == INSTALLABLE_YES;
}

int lockfile_no_entry(str dep_path, struct err *e)
{
	return err_set(e, ERR_PARSE,
		"broken pnpm-lock.yaml: something depends on " STR_FMT
		", which has no entry under snapshots. A badly resolved merge does this: restore the file, or remove "
		"it to resolve anew",
		STR_ARG(dep_path));
}

static void mark(struct walk *w, str alias, str ref, bool parent_fits)
{
	str path = dep_path_from_ref(alias, ref, &w->a);
	const struct lock_snapshot *s = path.n ? lockfile_snapshot(w->lf, path) : NULL;

	if (!s) {
		if (path.n)
			w->missing = path;
		return;
	}
	uint32_t i = (uint32_t)(s - w->lf->snapshot);
	const struct lock_package *p = lockfile_package(w->lf, dep_path_package_key(s->key));
	bool fits = parent_fits && (!s->optional || (w->req->optional && p && package_fits(w, p)));
	uint8_t m = fits ? MARK_WANTED : MARK_SKIPPED;
	if (w->mark[i] >= m)
		return;
	w->mark[i] = m;
	*vec_add(&w->todo) = i;
}

static void mark_importer(struct walk *w, const struct lock_importer *im)
{
	const bool on[LOCK_NTYPES] = {
		[LOCK_PROD] = w->req->prod, [LOCK_DEV] = w->req->dev, [LOCK_OPTIONAL] = w->req->optional
	};

	for (struct lock_walk at = lock_walk(im); lock_next(&at);) {
		if (on[at.group])
			mark(w, at.d->alias, at.d->ref, true);
	}
}

static void mark_all(struct walk *w)
{
	for (size_t i = 0; i < w->lf->nimporters; i++) {
		if (request_importer(w->req, w->lf->importer[i].path))
			mark_importer(w, &w->lf->importer[i]);
	}
	while (w->todo.n) {
		uint32_t at = w->todo.p[--w->todo.n];
		const struct lock_snapshot *s = &w->lf->snapshot[at];
		bool fits = w->mark[at] == MARK_WANTED;
		for (size_t i = 0; i < s->dependencies.n; i++)
			mark(w, s->dependencies.p[i].alias, s->dependencies.p[i].ref, fits);
		for (size_t i = 0; w->req->optional && i < s->optional_dependencies.n; i++)
			mark(w, s->optional_dependencies.p[i].alias, s->optional_dependencies.p[i].ref, fits);
	}
}

/* Where the lockfile leaves the URL out, it is the registry's usual one. */
static str tarball_url(const struct walk *w, const struct lock_package *p, str name, str version, struct arena *a)
{
	if (p->resolution.tarball.n && !str_starts(p->resolution.tarball, STR("/")))
		return p->resolution.tarball;
	return p->resolution.kind == LOCK_RES_REGISTRY ? settings_tarball_url(&w->req->settings, name, version, a)
						       : STR_NONE;
}

static const struct lock_package *package_of(struct walk *w, const struct lock_snapshot *s)
{
	str key = dep_path_package_key(s->key);

	for (size_t i = w->package; i < w->lf->npackages && i < w->package + 2; i++) {
		if (str_eq(w->lf->package[i].key, key)) {
			w->package = i;
			return &w->lf->package[i];
		}
	}
	const struct lock_package *p = lockfile_package(w->lf, key);
	w->package = p ? (size_t)(p - w->lf->package) : w->package;
	return p;
}

static int send_slot(struct walk *w, uint32_t at, frame_sink *sink, void *ctx, struct err *e)
{
	const struct lock_snapshot *s = &w->lf->snapshot[at];
	const struct lock_package *p = package_of(w, s);
	bool skip = w->mark[at] != MARK_WANTED;

	if (!p)
		return err_set(e, ERR_PARSE, "pnpm-lock.yaml: snapshot " STR_FMT " has no entry under packages",
			STR_ARG(s->key));
	size_t pi = (size_t)(p - w->lf->package);
	if (!w->package_id[pi]) {
		struct frame f = { .kind = FRAME_PACKAGE };
		str version, suffix;
		dep_path_split(s->key, &f.package.name, &version, &suffix);
		f.package.version = p->version.n ? p->version : version;
		f.package.meta = *p;
		f.package.id = w->packages;
		f.package.url = tarball_url(w, p, f.package.name, version, &w->a);
		f.package.skip = skip;
		w->package_id[pi] = ++w->packages;
		if (sink(ctx, &f, e) < 0)
			return e->code;
	}
	struct frame f = { .kind = FRAME_SLOT,
		.slot = { .id = w->slots++, .package = w->package_id[pi] - 1, .skip = skip, .snap = *s } };
	return sink(ctx, &f, e);
}

/* A package of which one slot is wanted and another is skipped is announced by the wanted one, which comes first. */
static int send_all(struct walk *w, const struct locked *l, frame_sink *sink, void *ctx, struct err *e)
{
	static const uint8_t rounds[] = { MARK_WANTED, MARK_SKIPPED };

	for (size_t r = 0; r < sizeof(rounds); r++) {
		for (uint32_t i = 0; i < w->lf->nsnapshots; i++) {
			if (atomic_load(&l->cancelled))
				return err_set(e, ERR_CANCELLED, "cancelled");
			if (w->mark[i] == rounds[r] && send_slot(w, i, sink, ctx, e) < 0)
				return e->code;
		}
	}
	for (size_t i = 0; i < w->lf->nimporters; i++) {
		struct frame f = { .kind = FRAME_IMPORTER, .importer = { w->lf->importer[i] } };
		if (!request_importer(w->req, w->lf->importer[i].path))
			continue; /* a frozen lockfile may know projects that are gone */
		if (sink(ctx, &f, e) < 0)
			return e->code;
	}
	struct frame head = { .kind = FRAME_LOCK_HEAD, .lock_head = w->lf->head };
	if (sink(ctx, &head, e) < 0)
		return e->code;
	struct frame done = { .kind = FRAME_DONE, .done = { .packages = w->packages, .slots = w->slots } };
	return sink(ctx, &done, e);
}

static int locked_run(struct source *s, const struct request *req, frame_sink *sink, void *ctx, struct err *e)
{
	struct locked *l = (struct locked *)s;
	struct walk w = { .req = req, .lf = req->lockfile, .a = ARENA_INIT(256 * 1024) };
	struct frame hello = { .kind = FRAME_HELLO, .hello = { .protocol = PLAN_PROTOCOL, .server = STR("locked") } };

	settings_digest(hello.hello.settings_digest, &req->settings);
	w.mark = xcalloc(w.lf->nsnapshots, 1);
	w.package_id = xcalloc(w.lf->npackages, sizeof(uint32_t));
	int code = sink(ctx, &hello, e);
	if (code == 0 && l->mark) {
		memcpy(w.mark, l->mark, w.lf->nsnapshots);
	} else if (code == 0) {
		mark_all(&w);
		code = w.missing.n ? lockfile_no_entry(w.missing, e) : 0;
	}
	if (code == 0) {
		code = send_all(&w, l, sink, ctx, e);
	}
	free(w.mark);
	free(w.package_id);
	vec_release(&w.todo);
	l->kept = w.a;
	return code;
}

static void locked_cancel(struct source *s)
{
	atomic_store(&((struct locked *)s)->cancelled, true);
}

static void locked_free(struct source *s)
{
	arena_release(&((struct locked *)s)->kept);
	free(s);
}

struct source *source_locked_new(const struct request *req, const uint8_t *mark)
{
	struct locked *l = xcalloc(1, sizeof(*l));

	l->source = (struct source){
		.run = locked_run, .cancel = locked_cancel, .free = locked_free, .name = "locked", .lasting = true
	};
	l->req = req;
	l->mark = mark;
	return &l->source;
}

bool source_locked_marks(uint8_t *mark, const struct request *req)
{
	struct walk w = { .req = req, .lf = req->lockfile, .a = ARENA_INIT(64 * 1024), .mark = mark };

	memset(mark, MARK_NONE, w.lf->nsnapshots);
	mark_all(&w);
	vec_release(&w.todo);
	arena_release(&w.a);
	return !w.missing.n;
}
