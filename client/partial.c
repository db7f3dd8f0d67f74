#include "partial.h"
#include <stdlib.h>

#include "base/path.h"
#include "dependencies_meta.h"
#include "lock_walk.h"
#include "semver.h"

static struct str_map specifiers(struct lock_directs d, struct arena *a)
{
	struct str_map m = { .p = arena_new(a, struct str_kv, d.n + 1), .n = d.n };

	for (size_t i = 0; i < d.n; i++)
		m.p[i] = (struct str_kv){ d.p[i].alias, d.p[i].specifier };
	return m;
}

/* Whether everything that IM refers to by workspace: is a project of the request: only then can the
 * lockfile's word be resolved again. */
static bool links_stand(const struct request *req, const struct lock_importer *im)
{
	for (struct lock_walk at = lock_walk(im); lock_next(&at);) {
		bool found = !str_starts(at.d->specifier, STR("workspace:"));
		for (size_t k = 0; k < req->nimporters && !found; k++)
			found = str_eq(req->importer[k].manifest.name, at.d->alias) ||
				str_find(str_from(at.d->specifier, 10), '@', 1) != SIZE_MAX ||
				str_starts(at.d->specifier, STR("workspace:."));
		if (!found)
			return false;
	}
	return true;
}

static void manifest_as_locked(struct manifest *m, const struct lock_importer *l, struct arena *a)
{
	m->dependencies = specifiers(l->deps[LOCK_PROD], a);
	m->dev_dependencies = specifiers(l->deps[LOCK_DEV], a);
	m->optional_dependencies = specifiers(l->deps[LOCK_OPTIONAL], a);
	/* those that were installed by themselves are among the dependencies */
	m->peer_dependencies = (struct str_map){ 0 };
}

/* --- projects that are not on disk --- */

static bool is_lost(const struct request *req, str path)
{
	return !str_eq(path, STR(".")) && !request_importer(req, path);
}

bool partial_lost(const struct request *req, const struct lockfile *lf)
{
	for (size_t i = 0; i < lf->nimporters; i++)
		if (is_lost(req, lf->importer[i].path))
			return true;
	return false;
}

/* M is what D, which links to it, asks for: its name, and some version that D takes. */
static bool name_from(struct manifest *m, const struct lock_direct *d)
{
	bool ws = str_starts(d->specifier, STR("workspace:"));
	str range = ws ? str_from(d->specifier, 10) : d->specifier, name = d->alias, head, tail;
	struct semver v;

	if (str_starts(range, STR(".")) || str_find(range, ':', 0) != SIZE_MAX)
		return false; /* it says where the project is, not what */
	if (ws && range.n > 1 && str_rcut(str_from(range, 1), '@', &head, &tail)) {
		name = str_head(range, head.n + 1);
		range = tail;
	}
	while (range.n && (range.p[0] < '0' || range.p[0] > '9'))
		range = str_from(range, 1);
	m->name = name;
	m->version = semver_parse(&v, range, true) ? range : STR("0.0.0");
	return true;
}

/* The lockfile does not have the names of projects; those who depend on them do. */
static void name_lost(struct manifest *m, const struct lockfile *lf, str path, struct arena *a)
{
	for (size_t i = 0; i < lf->nimporters; i++)
		for (int g = 0; g < LOCK_NTYPES; g++)
			for (size_t k = 0; k < lf->importer[i].deps[g].n; k++) {
				const struct lock_direct *d = &lf->importer[i].deps[g].p[k];
				if (str_starts(d->ref, STR("link:")) &&
					str_eq(path_join(a, lf->importer[i].path, str_from(d->ref, 5)), path) &&
					name_from(m, d))
					return;
			}
}

static void meta_as_locked(struct manifest *m, const struct lock_importer *l, struct arena *a)
{
	const struct str_list *list[] = {
		[META_EMPTY] = &l->meta_empty, [META_INJECTED] = &l->injected, [META_NOT_INJECTED] = &l->not_injected
	};
	const str *text = str_map_get(l->extra, STR(DEPENDENCIES_META_KEY));
	size_t n = l->meta_empty.n + l->injected.n + l->not_injected.n;

	m->dependencies_meta = arena_new(a, struct manifest_dep_meta, n + 1);
	for (int k = META_EMPTY; k <= META_NOT_INJECTED; k++)
		for (size_t i = 0; i < list[k]->n; i++)
			m->dependencies_meta[m->ndependencies_meta++] =
				(struct manifest_dep_meta){ list[k]->p[i], (enum dep_meta)k };
	if (text)
		m->meta_text = *text;
}

static struct request_importer lost_project(const struct lockfile *lf, const struct lock_importer *l, struct arena *a)
{
	struct request_importer im = { .path = l->path };

	name_lost(&im.manifest, lf, l->path, a);
	manifest_as_locked(&im.manifest, l, a);
	meta_as_locked(&im.manifest, l, a);
	im.manifest.publish_directory = l->publish_directory;
	im.manifest.publish_link_directory = !l->publish_unlinked;
	return im;
}

/* Whether all that L, which is not on disk, copies from folders and tarballs is there. */
static bool copies_stand(const struct request *req, const struct lock_importer *l)
{
	for (int g = 0; g < LOCK_NTYPES; g++)
		for (size_t i = 0; i < l->deps[g].n; i++) {
			str ref = l->deps[g].p[i].ref;
			size_t at = str_find_str(ref, STR("file:"), 0);
			if (at == SIZE_MAX)
				continue;
			str path = str_from(ref, at + 5);
			size_t end = str_find(path, '(', 0);
			path = str_head(path, end == SIZE_MAX ? path.n : end);
			bool found = request_importer(req, path) != NULL;
			for (size_t k = 0; k < req->nlocal && !found; k++)
				found = str_eq(req->local[k].path, path);
			if (!found)
				return false;
		}
	return true;
}

static const struct request_importer *lost_at(const struct request *out, size_t from, str path)
{
	for (size_t i = from; i < out->nimporters; i++)
		if (str_eq(out->importer[i].path, path))
			return &out->importer[i];
	return NULL;
}

/* Whether D, which leads to IM by name, takes what IM is guessed to be. */
static bool guess_fits(const struct request_importer *im, const struct lock_direct *d, struct arena *a)
{
	bool ws = str_starts(d->specifier, STR("workspace:"));
	str range = ws ? str_from(d->specifier, 10) : d->specifier, head, tail;
	struct semver v;

	if (str_starts(d->specifier, STR("link:")) || str_starts(range, STR(".")))
		return true; /* by its folder */
	if (ws && range.n > 1 && str_rcut(str_from(range, 1), '@', &head, &tail))
		range = tail;
	if (ws && (!range.n || str_eq(range, STR("*")) || str_eq(range, STR("^")) || str_eq(range, STR("~"))))
		return im->manifest.name.n > 0;
	const struct range *rg = range_parse(range, true, a);
	return rg && im->manifest.name.n && semver_parse(&v, im->manifest.version, true) && range_has(rg, &v, false);
}

/* Whether what L links to of projects that are not on disk is in OUT as L wants it. */
static bool guesses_fit(const struct request *out, const struct request *req, const struct lockfile *lf,
	const struct lock_importer *l, struct arena *a)
{
	for (int g = 0; g < LOCK_NTYPES; g++)
		for (size_t i = 0; i < l->deps[g].n; i++) {
			const struct lock_direct *d = &l->deps[g].p[i];
			if (!str_starts(d->ref, STR("link:")))
				continue;
			str to = path_join(a, l->path, str_from(d->ref, 5));
			const struct request_importer *im = lost_at(out, req->nimporters, to);
			if (im ? !guess_fits(im, d, a) : is_lost(req, to) && lockfile_importer(lf, to))
				return false;
		}
	return true;
}

/* What OUT still has of projects that are not on disk, and that cannot be resolved again, goes. One that goes may be
 * what another one links to. */
static void drop_fallen(struct request *out, const struct request *req, const struct lockfile *lf, struct arena *a)
{
	for (bool again = true; again;) {
		size_t n = req->nimporters;
		for (size_t i = n; i < out->nimporters; i++) {
			const struct lock_importer *l = lockfile_importer(lf, out->importer[i].path);
			if (links_stand(out, l) && copies_stand(req, l) && guesses_fit(out, req, lf, l, a))
				out->importer[n++] = out->importer[i];
		}
		again = n < out->nimporters;
		out->nimporters = n;
	}
}

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct request_importer *)a)->path, ((const struct request_importer *)b)->path);
}

void partial_request(struct request *out, const struct request *req, const bool *selected, const struct lockfile *lf,
	struct arena *a)
{
	*out = *req;
	out->importer = arena_new(a, struct request_importer, req->nimporters + (lf ? lf->nimporters : 0) + 1);
	memcpy(out->importer, req->importer, req->nimporters * sizeof(*out->importer));
	for (size_t i = 0; lf && i < lf->nimporters; i++)
		if (is_lost(req, lf->importer[i].path))
			out->importer[out->nimporters++] = lost_project(lf, &lf->importer[i], a);
	if (lf)
		drop_fallen(out, req, lf, a);
	for (size_t i = 0; i < req->nimporters; i++) {
		struct request_importer *im = &out->importer[i];
		const struct lock_importer *l = selected[i] || !lf ? NULL : lockfile_importer(lf, im->path);
		if (l && links_stand(out, l))
			manifest_as_locked(&im->manifest, l, a);
	}
	qsort(out->importer, out->nimporters, sizeof(*out->importer), by_path);
}

void partial_check(struct lockfile *lf_out, struct request *req_out, const struct request *req, const bool *selected,
	const struct lockfile *lf, struct arena *a)
{
	*lf_out = *lf;
	*req_out = *req;
	lf_out->importer = arena_new(a, struct lock_importer, req->nimporters + 1);
	req_out->importer = arena_new(a, struct request_importer, req->nimporters + 1);
	lf_out->nimporters = req_out->nimporters = 0;
	for (size_t i = 0; i < req->nimporters; i++) {
		if (!selected[i])
			continue;
		req_out->importer[req_out->nimporters++] = req->importer[i];
		const struct lock_importer *l = lockfile_importer(lf, req->importer[i].path);
		if (l)
			lf_out->importer[lf_out->nimporters++] = *l;
	}
}

/* Two sorted lists as one; what both have is WANTED's. */
static void merge_packages(
	struct lockfile *out, const struct lockfile *wanted, const struct lockfile *current, struct arena *a)
{
	out->package = arena_new(a, struct lock_package, wanted->npackages + current->npackages + 1);
	out->npackages = 0;
	for (size_t w = 0, c = 0; w < wanted->npackages || c < current->npackages;) {
		int order = w == wanted->npackages    ? 1
			    : c == current->npackages ? -1
						      : str_cmp(wanted->package[w].key, current->package[c].key);
		out->package[out->npackages++] = order <= 0 ? wanted->package[w] : current->package[c];
		w += order <= 0;
		c += order >= 0;
	}
	out->snapshot = arena_new(a, struct lock_snapshot, wanted->nsnapshots + current->nsnapshots + 1);
	out->nsnapshots = 0;
	for (size_t w = 0, c = 0; w < wanted->nsnapshots || c < current->nsnapshots;) {
		int order = w == wanted->nsnapshots    ? 1
			    : c == current->nsnapshots ? -1
						       : str_cmp(wanted->snapshot[w].key, current->snapshot[c].key);
		out->snapshot[out->nsnapshots++] = order <= 0 ? wanted->snapshot[w] : current->snapshot[c];
		w += order <= 0;
		c += order >= 0;
	}
}

void partial_lockfile(struct lockfile *out, const struct project *p, const bool *selected,
	const struct lockfile *wanted, const struct lockfile *current, struct arena *a)
{
	*out = *wanted;
	out->importer = arena_new(a, struct lock_importer, p->req.nimporters + 1);
	out->nimporters = 0;
	for (size_t i = 0; i < p->req.nimporters; i++) {
		const struct lockfile *from = selected[i] ? wanted : current;
		const struct lock_importer *l = from ? lockfile_importer(from, p->importer[i].path) : NULL;
		if (l)
			out->importer[out->nimporters++] = *l;
	}
	if (current)
		merge_packages(out, wanted, current, a);
}
