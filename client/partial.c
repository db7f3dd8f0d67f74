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

/* One of struct lost's IM that leads somewhere, and the lead before it that leads there, too; MAP_NONE: none does. */
struct lead {
	uint32_t im, before;
};

/* Projects that the lockfile has and the disk has not, as far as they can be resolved again, and what else there is to
 * lead to. */
struct lost {
	const struct request *req;
	const struct lockfile *lf;
	struct arena *a;
	struct request_importer *im; /* N of them, sorted by path */
	size_t n;
	bool *fallen;     /* by IM */
	struct map at;    /* IM by path */
	struct map named; /* by name, how many projects are called so: on disk, and of IM those that have not fallen */
	struct map local; /* folders and tarballs that can be copied */
	/* What leads to what: the last in `leads` that leads to a folder, or to whatever project has a name. */
	struct map to_folder, to_name;
	VEC(struct lead) leads;
};

static void name_count(struct lost *x, str name, int more)
{
	uint32_t n = map_get(&x->named, name);

	if (name.n)
		map_set(&x->named, name, (uint32_t)((int)(n == MAP_NONE ? 0 : n) + more));
}

static bool is_named(const struct lost *x, str name)
{
	uint32_t n = map_get(&x->named, name);

	return n != MAP_NONE && n > 0;
}

/* Whether everything that IM refers to by workspace: is a project that there is: only then can the lockfile's word be
 * resolved again. */
static bool links_stand(const struct lost *x, const struct lock_importer *im)
{
	for (struct lock_walk at = lock_walk(im); lock_next(&at);)
		if (str_starts(at.d->specifier, STR("workspace:")) && !is_named(x, at.d->alias) &&
			str_find(str_from(at.d->specifier, 10), '@', 1) == SIZE_MAX &&
			!str_starts(at.d->specifier, STR("workspace:.")))
			return false;
	return true;
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

/* M is what D, too, asks for: the first says its name, and the highest version is the likeliest that all take. */
static void guess_more(struct manifest *m, const struct lock_direct *d)
{
	struct manifest guess = { 0 };
	struct semver mine, other;

	if (!name_from(&guess, d) || (m->name.n && !str_eq(m->name, guess.name)))
		return;
	bool higher = m->name.n && semver_parse(&mine, m->version, true) && semver_parse(&other, guess.version, true) &&
		      semver_cmp(&other, &mine) > 0;
	if (!m->name.n || higher) {
		m->name = guess.name;
		m->version = guess.version;
	}
}

/* The lockfile does not have the names of projects; those who depend on them do. */
static void names_guess(struct lost *x)
{
	AUTO(arena_release) struct arena paths = ARENA_INIT(16 * 1024);

	for (size_t i = 0; x->n && i < x->lf->nimporters; i++)
		for (struct lock_walk at = lock_walk(&x->lf->importer[i]); lock_next(&at);) {
			if (!str_starts(at.d->ref, STR("link:")))
				continue;
			uint32_t to =
				map_get(&x->at, path_join(&paths, x->lf->importer[i].path, str_from(at.d->ref, 5)));
			if (to != MAP_NONE)
				guess_more(&x->im[to].manifest, at.d);
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

static void as_locked(struct request_importer *im, const struct lock_importer *l, struct arena *a)
{
	manifest_as_locked(&im->manifest, l, a);
	meta_as_locked(&im->manifest, l, a);
	im->manifest.publish_directory = l->publish_directory;
	im->manifest.publish_link_directory = !l->publish_unlinked;
}

/* Whether all that L, which is not on disk, copies from folders and tarballs is there. */
static bool copies_stand(const struct lost *x, const struct lock_importer *l)
{
	for (struct lock_walk at = lock_walk(l); lock_next(&at);) {
		size_t from = str_find_str(at.d->ref, STR("file:"), 0);
		if (from == SIZE_MAX)
			continue;
		str path = str_from(at.d->ref, from + 5);
		size_t end = str_find(path, '(', 0);
		path = str_head(path, end == SIZE_MAX ? path.n : end);
		if (!request_importer(x->req, path) && map_get(&x->local, path) == MAP_NONE)
			return false;
	}
	return true;
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
	const struct range *rg = range_parse_apart(range, true, a);
	return rg && im->manifest.name.n && semver_parse(&v, im->manifest.version, true) && range_has(rg, &v, false);
}

/* Whether what L links to of projects that are not on disk is there as L wants it. */
static bool guesses_fit(const struct lost *x, const struct lock_importer *l)
{
	for (struct lock_walk at = lock_walk(l); lock_next(&at);) {
		if (!str_starts(at.d->ref, STR("link:")))
			continue;
		str to = path_join(x->a, l->path, str_from(at.d->ref, 5));
		uint32_t i = map_get(&x->at, to);
		if (i == MAP_NONE || x->fallen[i] ? is_lost(x->req, to) && lockfile_importer(x->lf, to)
						  : !guess_fits(&x->im[i], at.d, x->a))
			return false;
	}
	return true;
}

static void lead_add(struct lost *x, struct map *to, str key, uint32_t im)
{
	uint32_t at = (uint32_t)x->leads.n;

	*vec_add(&x->leads) = (struct lead){ im, map_get(to, key) };
	map_set(to, key, at);
}

/* By folder what guesses_fit() looks at, by name what links_stand() does. */
static void leads_collect(struct lost *x)
{
	for (uint32_t i = 0; i < x->n; i++) {
		str from = x->im[i].path;
		for (struct lock_walk at = lock_walk(lockfile_importer(x->lf, from)); lock_next(&at);) {
			if (str_starts(at.d->ref, STR("link:")))
				lead_add(x, &x->to_folder, path_join(x->a, from, str_from(at.d->ref, 5)), i);
			if (str_starts(at.d->specifier, STR("workspace:")))
				lead_add(x, &x->to_name, at.d->alias, i);
		}
	}
}

typedef VEC(uint32_t) ims;

/* Those that lead to KEY are to be looked at. */
static void leads_follow(const struct lost *x, ims *todo, const struct map *to, str key)
{
	for (uint32_t at = map_get(to, key); at != MAP_NONE; at = x->leads.p[at].before)
		*vec_add(todo) = x->leads.p[at].im;
}

/* What cannot be resolved again falls, and then what leads to it is looked at again. */
static void lost_settle(struct lost *x)
{
	ims todo = VEC_INIT;

	leads_collect(x);
	for (uint32_t i = 0; i < x->n; i++)
		*vec_add(&todo) = i;
	while (todo.n) {
		uint32_t i = todo.p[--todo.n];
		const struct request_importer *im = &x->im[i];
		const struct lock_importer *l = lockfile_importer(x->lf, im->path);
		if (x->fallen[i] || (links_stand(x, l) && copies_stand(x, l) && guesses_fit(x, l)))
			continue;
		x->fallen[i] = true;
		name_count(x, im->manifest.name, -1);
		leads_follow(x, &todo, &x->to_folder, im->path);
		if (!is_named(x, im->manifest.name))
			leads_follow(x, &todo, &x->to_name, im->manifest.name);
	}
	vec_release(&todo);
}

/* Those that X's lockfile has and its request has not, to AT on. */
static void lost_find(struct lost *x, struct request_importer *at)
{
	x->im = at;
	for (size_t i = 0; i < x->lf->nimporters; i++) {
		if (!is_lost(x->req, x->lf->importer[i].path))
			continue;
		map_add(&x->at, x->lf->importer[i].path, (uint32_t)x->n, NULL);
		x->im[x->n++] = (struct request_importer){ .path = x->lf->importer[i].path };
	}
	x->fallen = arena_new(x->a, bool, x->n + 1);
	names_guess(x);
	for (size_t i = 0; i < x->n; i++) {
		as_locked(&x->im[i], lockfile_importer(x->lf, x->im[i].path), x->a);
		name_count(x, x->im[i].manifest.name, 1);
	}
	lost_settle(x);
}

static void lost_release(struct lost *x)
{
	map_release(&x->at);
	map_release(&x->named);
	map_release(&x->local);
	map_release(&x->to_folder);
	map_release(&x->to_name);
	vec_release(&x->leads);
}

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct request_importer *)a)->path, ((const struct request_importer *)b)->path);
}

void partial_request(struct request *out, const struct request *req, const bool *selected, const struct lockfile *lf,
	struct arena *a)
{
	AUTO(lost_release) struct lost x = { .req = req, .lf = lf, .a = a };
	size_t n = req->nimporters;

	*out = *req;
	out->importer = arena_new(a, struct request_importer, n + (lf ? lf->nimporters : 0) + 1);
	memcpy(out->importer, req->importer, n * sizeof(*out->importer));
	if (!lf)
		return;
	for (size_t i = 0; i < req->nlocal; i++)
		map_add(&x.local, req->local[i].path, 1, NULL);
	for (size_t i = 0; i < n; i++)
		name_count(&x, req->importer[i].manifest.name, 1);
	lost_find(&x, out->importer + n);
	for (size_t i = 0; i < x.n; i++)
		if (!x.fallen[i])
			out->importer[out->nimporters++] = x.im[i];
	for (size_t i = 0; i < n; i++) {
		struct request_importer *im = &out->importer[i];
		const struct lock_importer *l = selected[i] ? NULL : lockfile_importer(lf, im->path);
		if (l && links_stand(&x, l))
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
