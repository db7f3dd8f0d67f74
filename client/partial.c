#include "partial.h"
#include "lock_walk.h"

static struct str_map specifiers(struct lock_directs d, struct arena *a)
{
	struct str_map m = { .p = arena_new(a, struct str_kv, d.n + 1), .n = d.n };

	for (size_t i = 0; i < d.n; i++)
		m.p[i] = (struct str_kv){ d.p[i].alias, d.p[i].specifier };
	return m;
}

/* Whether everything that IM refers to by link: is a project of the request: only then can the
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

void partial_request(struct request *out, const struct request *req, const bool *selected, const struct lockfile *lf,
	struct arena *a)
{
	*out = *req;
	out->importer = arena_new(a, struct request_importer, req->nimporters + 1);
	for (size_t i = 0; i < req->nimporters; i++) {
		struct request_importer *im = &out->importer[i];
		*im = req->importer[i];
		const struct lock_importer *l = selected[i] || !lf ? NULL : lockfile_importer(lf, im->path);
		if (!l || !links_stand(req, l))
			continue;
		im->manifest.dependencies = specifiers(l->deps[LOCK_PROD], a);
		im->manifest.dev_dependencies = specifiers(l->deps[LOCK_DEV], a);
		im->manifest.optional_dependencies = specifiers(l->deps[LOCK_OPTIONAL], a);
		/* those that were installed by themselves are among the dependencies */
		im->manifest.peer_dependencies = (struct str_map){ 0 };
	}
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
