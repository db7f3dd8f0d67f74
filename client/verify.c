#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "import_stage.h"
#include "scripts.h"
#include "shared.h"
#include "source.h"
#include "verify_impl.h"

/* ---- reports ---- */

static void put_str(struct buf *b, const char *name, str v)
{
	buf_printf(b, "%s\"%s\":", b->n ? "," : "", name);
	json_put_str(b, v);
}

static void put_files(struct buf *b, const struct differences *d)
{
	buf_add(b, STR(",\"files\":["));
	for (size_t i = 0; i < d->n && i < VERIFY_LISTED; i++) {
		struct buf one = BUF_INIT;
		put_str(&one, "path", str_of(d->d[i].path));
		put_str(&one, "what", str_of(d->d[i].what));
		buf_printf(b, "%s{%.*s}", i ? "," : "", (int)one.n, one.p);
		buf_release(&one);
	}
	buf_printf(b, "],\"differences\":%llu", (unsigned long long)d->n);
}

/* STATUS: bad, built, patched, absent, unchecked, extra. */
static void say(
	struct verify *v, const char *status, str label, str path, const char *text, const struct differences *d)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct progress *p = v->o->progress;

	put_str(&b, "status", str_of(status));
	put_str(&b, "package", label);
	put_str(&b, "path", path);
	put_str(&b, "text", str_of(text));
	if (d)
		put_files(&b, d);
	progress_event(p, "verify", "%.*s", (int)b.n, b.p);
	if (p->reporter == REPORTER_NDJSON)
		return;
	progress_say(p, "%s: " STR_FMT " (" STR_FMT "): %s", status, STR_ARG(label), STR_ARG(path), text);
	for (size_t i = 0; d && i < d->n && i < VERIFY_LISTED; i++)
		progress_say(p, "  %s: %s", d->d[i].path, d->d[i].what);
	if (d && d->n > VERIFY_LISTED)
		progress_say(p, "  and %llu more", (unsigned long long)(d->n - VERIFY_LISTED));
}

void verify_unchecked(struct verify *v, str label, const char *why)
{
	v->counts.unchecked++;
	say(v, "unchecked", label, STR_NONE, why, NULL);
}

void verify_extra(struct verify *v, str path, const char *what)
{
	v->counts.bad++;
	say(v, "bad", path, path, what, NULL);
}

/* ---- one package ---- */

struct verify_package *verify_add(struct verify *v, const struct frame_package *f, size_t nplaces)
{
	struct verify_package *vp = arena_new(&v->a, struct verify_package, 1);

	vp->v = v;
	vp->t = (struct tree_package){ .f = f, .key = f->meta.resolution.integrity };
	vp->label = f->meta.key;
	vp->place = arena_new(&v->a, struct place, nplaces);
	vp->nplaces = nplaces;
	*v->last = vp;
	v->last = &vp->next;
	v->n++;
	return vp;
}

/* On the pool. */
static void package_compare(struct job *job)
{
	struct verify_package *vp = (struct verify_package *)job;

	for (size_t i = 0; i < vp->nplaces; i++) {
		struct place *pl = &vp->place[i];
		if (vp->kept.p)
			verify_records(&pl->diff, vp->kept, vp->t.rec);
		else
			pl->code = verify_folder(&pl->diff, vp->v->root, pl->path.p, vp->t.rec, &pl->err);
	}
}

static void place_judge(struct verify *v, struct verify_package *vp, struct place *pl, bool builds)
{
	const struct differences *d = &pl->diff;

	v->counts.files += d->files;
	v->counts.bytes += d->bytes;
	if (pl->code < 0) {
		v->counts.unchecked++;
		if (!v->why.code)
			v->why = pl->err;
		say(v, "unchecked", vp->label, pl->path, pl->err.msg, NULL);
	} else if (d->absent && pl->optional) {
		v->counts.absent++;
		say(v, "absent", vp->label, pl->path, "optional, and not installed", NULL);
	} else if (d->absent) {
		v->counts.bad++;
		say(v, "bad", vp->label, pl->path, "there is no such folder", NULL);
	} else if (d->n == 0) {
		v->counts.same++;
	} else if (vp->t.patch) {
		v->counts.patched++;
		say(v, "patched", vp->label, pl->path, "differs, by patchedDependencies", d);
	} else if (builds) {
		v->counts.built++;
		say(v, "built", vp->label, pl->path, "differs; its scripts may write there (allowBuilds)", d);
	} else {
		v->counts.bad++;
		say(v, "bad", vp->label, pl->path,
			import_is_local(&vp->t) ? "differs from the project's tarball"
						: "differs from the registry's tarball",
			d);
	}
}

static void package_compared(struct job *job, void *ctx)
{
	struct verify_package *vp = (struct verify_package *)job;
	struct verify *v = ctx;
	bool builds = !vp->kept.p && scripts_wanted(&vp->t) &&
		      scripts_allowed(&vp->t, &v->o->project->client) == BUILD_ALLOWED;

	for (size_t i = 0; i < vp->nplaces; i++) {
		place_judge(v, vp, &vp->place[i], builds);
		differences_release(&vp->place[i].diff);
	}
	free((void *)(uintptr_t)vp->t.rec.p);
	vp->t.rec = (struct pkg){ 0 };
}

static void on_fetched(void *arg, struct tree_package *t, int code, const struct err *e)
{
	struct verify *v = arg;
	struct verify_package *vp = (struct verify_package *)((char *)t - offsetof(struct verify_package, t));

	if (v->cancelled)
		return;
	if (code == ERR_INTEGRITY) {
		v->counts.bad++;
		say(v, "bad", vp->label, vp->place[0].path, e->msg, NULL);
		return;
	}
	if (code < 0) {
		v->counts.unchecked++;
		if (!v->why.code)
			v->why = *e;
		say(v, "unchecked", vp->label, vp->place[0].path, e->msg, NULL);
		return;
	}
	vp->t.flags = pkg_flags(vp->t.rec);
	vp->job = (struct job){ .run = package_compare, .done = package_compared, .ctx = v };
	pool_submit(v->pool, &vp->job);
}

/* ---- the loop ---- */

static int net_open(struct verify *v, struct err *e)
{
	struct net_opts no;
	struct fetcher_opts fo = { .done = on_fetched, .arg = v };

	if (net_opts_make(&no, v->o->project, &v->a, e) < 0 || http_new(&v->http, &no.http, e) < 0 ||
		registry_new(&v->registry, v->http, &no.registry, e) < 0 || pool_new(&v->pool, 0, e) < 0)
		return e->code;
	fo.http = v->http;
	fo.registry = v->registry;
	return fetcher_new(&v->fetcher, v->pool, &fo, e);
}

/* A tarball of the registry's, or one on the disk. */
static void package_start(struct verify *v, struct tree_package *t)
{
	struct local_opts lo = { .root = v->root, .done = on_fetched, .arg = v };

	if (import_is_local(t))
		import_local(v->pool, &lo, t);
	else
		fetch_package(v->fetcher, t);
}

/* Records that were taken apart and not compared yet lie in memory: no more of them than AHEAD. */
enum { AHEAD = 256 };

static int verify_loop(struct verify *v, struct err *e)
{
	struct verify_package *next = v->first;

	while (next || fetcher_pending(v->fetcher) > 0 || pool_live(v->pool) > 0) {
		struct pollfd fd[3] = { { .fd = pool_fd(v->pool), .events = POLLIN },
			{ .fd = fetcher_fd(v->fetcher), .events = POLLIN },
			{ .fd = v->o->cancel_fd, .events = POLLIN } };
		while (next && fetcher_pending(v->fetcher) + pool_live(v->pool) < AHEAD) {
			package_start(v, &next->t);
			next = next->next;
		}
		if (poll(fd, 3, 1000) < 0 && errno != EINTR)
			return err_os(e, "poll");
		if (fd[2].revents) {
			v->cancelled = true;
			return err_set(e, ERR_CANCELLED, "interrupted");
		}
		fetcher_drain(v->fetcher);
		pool_drain(v->pool);
	}
	return 0;
}

static void verify_close(struct verify *v)
{
	if (v->http)
		http_stop(v->http);
	while (v->pool && pool_live(v->pool) > 0) {
		struct pollfd fd = { .fd = pool_fd(v->pool), .events = POLLIN };
		poll(&fd, 1, -1);
		pool_drain(v->pool);
	}
	pool_free(v->pool);
	if (v->registry)
		registry_free(v->registry);
	http_free(v->http);
	fetcher_free(v->fetcher);
	for (struct verify_package *p = v->first; p; p = p->next)
		free((void *)(uintptr_t)p->t.rec.p);
	tree_release(&v->tree);
	shared_close(v->shared);
	if (v->locked)
		v->locked->free(v->locked);
	if (v->root >= 0)
		close(v->root);
	map_release(&v->spoiled);
	arena_release(&v->a);
}

static int verify_end(struct verify *v, struct err *e)
{
	const struct verify_counts *c = &v->counts;
	struct progress *p = v->o->progress;

	progress_event(p, "verified",
		"\"packages\":%llu,\"same\":%llu,\"bad\":%llu,\"built\":%llu,\"patched\":%llu,\"absent\":%llu,"
		"\"unchecked\":%llu,\"files\":%llu,\"bytes\":%llu",
		(unsigned long long)v->n, (unsigned long long)c->same, (unsigned long long)c->bad,
		(unsigned long long)c->built, (unsigned long long)c->patched, (unsigned long long)c->absent,
		(unsigned long long)c->unchecked, (unsigned long long)c->files, (unsigned long long)c->bytes);
	if (p->reporter != REPORTER_NDJSON)
		progress_say(p,
			"%zu packages compared with their tarballs, %llu files, %.1f MB: %llu bad, %llu built, %llu "
			"patched, %llu not checked",
			v->n, (unsigned long long)c->files, (double)c->bytes / 1e6, (unsigned long long)c->bad,
			(unsigned long long)c->built, (unsigned long long)c->patched, (unsigned long long)c->unchecked);
	if (c->bad)
		return err_set(e, ERR_INTEGRITY, "%llu place(s) are not what their tarballs have%s",
			(unsigned long long)c->bad,
			v->o->store_dir ? ""
			: v->o->shared_store
				? "; the store's slots are every project's that has the same: dray install "
				  "--force makes this one's anew, for all of them"
				: "; dray install --force makes them anew, dray store verify checks the store");
	if (v->why.code) {
		*e = v->why;
		return err_ctx(e, "%llu package(s) could not be looked at", (unsigned long long)c->unchecked);
	}
	return 0;
}

int verify_run(const struct verify_opts *o, struct err *e)
{
	struct verify v = { .o = o, .a = ARENA_INIT(256 * 1024) };

	v.last = &v.first;
	tree_init(&v.tree);
	v.root = open(o->project->root.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = v.root < 0 ? err_os(e, "open folder %s", o->project->root.p) : 0;
	if (rc == 0)
		rc = o->store_dir ? verify_store(&v, e) : verify_tree(&v, e);
	if (rc == 0)
		rc = net_open(&v, e);
	if (rc == 0)
		rc = verify_loop(&v, e);
	if (rc == 0)
		rc = verify_end(&v, e);
	verify_close(&v);
	return rc;
}
