#include "overrides.h"
#include "base/vec.h"
#include "catalog.h"
#include "match.h"
#include "name.h"
#include "package.h"
#include "pick.h"
#include "workspace.h"

static const struct {
	const char *name, *range;
	char kind;
	const char *dep, *spec;
} compat[] = {
#include "extensions_data.h"
};

struct extension {
	atom name, range; /* range 0: any */
	char kind;
	atom dep, spec;
	uint32_t group; /* entries of one selector merge as one */
	bool general;   /* of the compatibility database, which is about published packages */
};
struct extender {
	VEC(struct extension) all;
	uint32_t *first; /* by atom of the name: index + 1 of its first entry; entries of a name are adjacent */
	size_t nfirst;
};
enum group { GROUP_ANY, GROUP_PROD, GROUP_OPTIONAL, GROUP_PEER, GROUP_DEV };
struct override {
	atom parent, parent_range, name, range; /* ranges 0: any */
	bool converge, parents, names;          /* PARENT, NAME is a pattern */
	enum group group;
	atom spec;
	str scheme, local; /* a folder: how it is written, and where it is from the workspace root; absent: none */
};
struct overrides {
	VEC(struct override) all;
	struct map names; /* names that some override targets */
	bool patterns;    /* some override targets all names like it */
	struct str_map resolved;
};

/* --- reading --- */

static int extension_order(const void *a, const void *b)
{
	const struct extension *x = a, *y = b;
	if (x->name != y->name)
		return x->name < y->name ? -1 : 1;
	return x->group < y->group ? -1 : x->group > y->group;
}

static void extension_put(
	struct run *r, atom name, atom range, char kind, str dep, str spec, uint32_t group, bool general)
{
	*vec_add(&r->extender->all) = (struct extension){ name, range, kind, atom_of(&r->t, dep),
		spec.p ? atom_of(&r->t, spec) : 0, group, general };
}

static void extension_map(struct run *r, atom name, atom range, char kind, struct str_map m, uint32_t group)
{
	for (size_t i = 0; i < m.n; i++)
		extension_put(r, name, range, kind, m.p[i].k, m.p[i].v, group, false);
}

static int extender_init(struct run *r, struct err *e)
{
	struct extender *x = r->extender = xcalloc(1, sizeof(*x));
	uint32_t group = 0;
	const size_t ncompat = sizeof compat / sizeof *compat;
	for (size_t i = 0; i < ncompat && !r->set->ignore_compatibility_db; i++) {
		if (i && (strcmp(compat[i].name, compat[i - 1].name) != 0 ||
				 strcmp(compat[i].range, compat[i - 1].range) != 0))
			group++;
		extension_put(r, atom_of(&r->t, str_of(compat[i].name)), atom_of(&r->t, str_of(compat[i].range)),
			compat[i].kind, str_of(compat[i].dep), str_of(compat[i].spec), group, true);
	}
	for (size_t i = 0; i < r->set->nextension; i++) {
		const struct package_extension *s = &r->set->extension[i];
		str n, range;
		name_split(s->selector, &n, &range);
		atom name = atom_of(&r->t, n), rg = range.n ? atom_of(&r->t, range) : 0;
		if (rg && !valid_range(r, rg))
			return err_set(e, ERR_USAGE,
				"packageExtensions: '" STR_FMT "' is no version range in \"" STR_FMT "\"",
				STR_ARG(range), STR_ARG(s->selector));
		group++;
		extension_map(r, name, rg, 'D', s->dependencies, group);
		extension_map(r, name, rg, 'O', s->optional_dependencies, group);
		extension_map(r, name, rg, 'P', s->peer_dependencies, group);
		for (size_t k = 0; k < s->peer_optional.n; k++)
			extension_put(r, name, rg, 'M', s->peer_optional.p[k], STR_NONE, group, false);
	}
	if (x->all.n)
		qsort(x->all.p, x->all.n, sizeof(*x->all.p), extension_order);
	for (size_t i = x->all.n; i-- > 0;) {
		atom n = x->all.p[i].name;
		x->first = by_atom(x->first, &x->nfirst, n, sizeof(*x->first));
		x->first[n] = (uint32_t)i + 1;
	}
	return 0;
}

/* Whether N is a name, or a pattern of names. */
static bool names_something(struct run *r, str n, bool *pattern)
{
	str plain = arena_str(&r->arena, n);
	*pattern = false;
	for (size_t i = 0; i < n.n; i++)
		if (n.p[i] == '*') {
			((char *)plain.p)[i] = 'x';
			*pattern = true;
		}
	return name_valid(plain);
}

static bool selector_read(struct run *r, str s, atom *name, atom *range, bool *pattern, bool *empty)
{
	str n, rest;
	name_split(s, &n, &rest);
	*empty = rest.p && !rest.n;
	*name = atom_of(&r->t, n);
	*range = rest.n ? atom_of(&r->t, rest) : 0;
	return names_something(r, n, pattern);
}

/* Takes ":prod" and its like from the end of S. */
static enum group group_cut(str *s)
{
	static const struct {
		const char *end;
		enum group group;
	} t[] = { { ":prod", GROUP_PROD }, { ":optional", GROUP_OPTIONAL }, { ":peer", GROUP_PEER } };
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
		if (str_ends(*s, str_of(t[i].end))) {
			*s = str_head(*s, s->n - strlen(t[i].end));
			return t[i].group;
		}
	return GROUP_ANY;
}

/* The folder that O's specifier names. */
static void local_read(struct run *r, struct override *o, str spec)
{
	str path;
	if (!catalog_folder(spec, &o->scheme, &path)) {
		o->scheme = o->local = STR_NONE;
		return;
	}
	o->local = path_join(&r->arena, STR("."), path);
}

/* "$name" takes what the workspace root itself asks for. */
static int dollar(struct run *r, str *spec, str selector, struct err *e)
{
	const struct request_importer *root = NULL;
	for (size_t i = 0; i < r->req->nimporters; i++)
		if (str_eq(r->req->importer[i].path, STR(".")))
			root = &r->req->importer[i];
	str name = str_from(*spec, 1);
	const struct str_map none = { 0 };
	struct str_map maps[] = { root ? root->manifest.dev_dependencies : none,
		root ? root->manifest.dependencies : none, root ? root->manifest.optional_dependencies : none };
	bool found = false;
	for (size_t i = 0; i < 3; i++) {
		const str *v = str_map_get(maps[i], name);
		if (v) {
			*spec = *v;
			found = true;
		}
	}
	return found ? 0
		     : err_set(e, ERR_USAGE,
			       "overrides: \"" STR_FMT "\" refers to $" STR_FMT
			       ", which is no direct dependency of the workspace root",
			       STR_ARG(selector), STR_ARG(name));
}

static int override_read(struct run *r, struct override *o, str selector, str *spec, struct err *e)
{
	bool empty = false, parent_empty = false;
	size_t at = selector_split(selector);
	str target = at == SIZE_MAX ? selector : str_trim(str_from(selector, at + 1));
	bool ok = true;
	o->group = group_cut(&target);
	if (at != SIZE_MAX)
		ok = selector_read(
			r, str_trim(str_head(selector, at)), &o->parent, &o->parent_range, &o->parents, &parent_empty);
	ok = ok && selector_read(r, target, &o->name, &o->range, &o->names, &empty);
	if (!ok || (empty && (o->names || o->group != GROUP_ANY)))
		return err_set(e, ERR_USAGE, "overrides: cannot read the selector \"" STR_FMT "\"", STR_ARG(selector));
	if (str_starts(*spec, STR("$"))) {
		int rc = dollar(r, spec, selector, e);
		if (rc)
			return rc;
	}
	str written = *spec;
	int rc = catalog_resolve(
		r->set, spec, sof(r, o->name), written, &(struct catalog_user){ STR("."), &r->arena }, e);
	if (rc)
		return err_ctx(e, "overrides");
	if (catalog_name(written).n)
		*spec = *catalog_entry(r->set, sof(r, o->name), catalog_name(written));
	o->spec = atom_of(&r->t, *spec);
	o->converge = empty;
	if (parent_empty || (empty && (o->parent || !atom_semver(&r->t, o->spec))))
		return err_set(e, ERR_USAGE,
			"overrides: \"" STR_FMT "\" with an empty range needs one exact version and no parent",
			STR_ARG(selector));
	local_read(r, o, *spec);
	return 0;
}

int overrides_init(struct run *r, struct err *e)
{
	int rc = extender_init(r, e);
	if (rc)
		return rc;
	struct overrides *o = r->overrides = xcalloc(1, sizeof(*o));
	struct str_map in = r->set->overrides;
	o->resolved.p = arena_new(&r->arena, struct str_kv, in.n);
	o->resolved.n = in.n;
	for (size_t i = 0; i < in.n; i++) {
		struct override *v = vec_add(&o->all);
		*v = (struct override){ 0 };
		str spec = in.p[i].v, selector = str_trim(in.p[i].k);
		rc = override_read(r, v, selector, &spec, e);
		if (rc)
			return rc;
		o->resolved.p[i] = (struct str_kv){ selector, spec };
		o->patterns |= v->names;
		map_set(&o->names, sof(r, v->name), 1);
	}
	return 0;
}

void overrides_release(struct run *r)
{
	if (r->extender) {
		vec_release(&r->extender->all);
		free(r->extender->first);
		free(r->extender);
	}
	if (r->overrides) {
		vec_release(&r->overrides->all);
		map_release(&r->overrides->names);
		free(r->overrides);
	}
}

struct str_map overrides_resolved(struct run *r)
{
	return r->overrides->resolved;
}

struct override_selector override_selector(const struct run *r, size_t i)
{
	const struct override *o = &r->overrides->all.p[i];
	return (struct override_selector){ o->parent, o->parent_range, o->name, o->range, o->converge,
		o->names || o->parents || o->group != GROUP_ANY };
}

/* --- extensions --- */

static void kv_put(struct run *r, struct kv **p, uint32_t *n, atom k, atom v)
{
	struct kv *q = arena_new(&r->arena, struct kv, *n + 1);
	if (*n)
		memcpy(q, *p, *n * sizeof(*q));
	q[*n] = (struct kv){ k, v };
	*p = q;
	(*n)++;
}

static void extension_apply(struct run *r, struct deps *d, const struct extension *x)
{
	switch (x->kind) {
	case 'D':
		if (!kv_find(d->dep, d->ndep, x->dep))
			kv_put(r, &d->dep, &d->ndep, x->dep, x->spec);
		break;
	case 'O':
		if (!kv_find(d->opt, d->nopt, x->dep))
			kv_put(r, &d->opt, &d->nopt, x->dep, x->spec);
		break;
	case 'P':
		if (!kv_find(d->peer, d->npeer, x->dep))
			kv_put(r, &d->peer, &d->npeer, x->dep, x->spec);
		break;
	default: {
		atom *q = arena_new(&r->arena, atom, d->npeer_optional + 1);
		if (d->npeer_optional)
			memcpy(q, d->peer_optional, d->npeer_optional * sizeof(*q));
		q[d->npeer_optional++] = x->dep;
		d->peer_optional = q;
	}
	}
}

static void extend(struct run *r, struct deps *d, atom name, atom version, bool project)
{
	const struct extender *x = r->extender;
	if (name >= x->nfirst || !x->first[name])
		return;
	const struct semver *v = version ? atom_semver(&r->t, version) : NULL;
	for (size_t i = x->first[name] - 1; i < x->all.n && x->all.p[i].name == name; i++) {
		const struct extension *p = &x->all.p[i];
		if (project && p->general)
			continue;
		if (!p->range || (v && range_has(atom_range(&r->t, p->range), v, false)))
			extension_apply(r, d, p);
	}
}

/* --- ignored optional dependencies --- */

static void kv_drop(struct kv *p, uint32_t *n, atom k)
{
	uint32_t to = 0;
	for (uint32_t i = 0; i < *n; i++)
		if (p[i].k != k)
			p[to++] = p[i];
	*n = to;
}

static void ignore_optional(struct run *r, struct deps *d)
{
	for (uint32_t i = 0; i < d->nopt;) {
		atom k = d->opt[i].k;
		if (!match_list(r->set->ignored_optional, sof(r, k))) {
			i++;
			continue;
		}
		kv_drop(d->dep, &d->ndep, k);
		kv_drop(d->opt, &d->nopt, k);
	}
}

/* --- overrides --- */

/* Of a selector an empty alternative is none. Source: pnpm 12.21's behaviour */
static const struct range *selector_range(struct run *r, atom a)
{
	str s = sof(r, a);
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '|' && s.p[i] != ' ')
			return solid_range(r, a);
	return NULL;
}

static bool intersects(struct run *r, atom a, atom b)
{
	if (!a || a == b)
		return true;
	const struct range *x = selector_range(r, a), *y = solid_range(r, b);
	return x && y && range_intersects(x, y, false);
}

static bool applies(struct run *r, const struct override *o, atom name, atom version)
{
	if (!o->parent)
		return true;
	if (o->parents ? !match_one(sof(r, o->parent), sof(r, name)) : o->parent != name)
		return false;
	if (!o->parent_range)
		return true;
	const struct semver *v = version ? atom_semver(&r->t, version) : NULL;
	const struct range *rg = atom_range(&r->t, o->parent_range);
	return v && rg && range_has(rg, v, false);
}

/* Names before patterns, one group before all (pnpm 12.21); then A takes less than B. */
static bool more_specific(struct run *r, const struct override *a, const struct override *b)
{
	if (a->parents != b->parents)
		return b->parents;
	if (a->names != b->names)
		return b->names;
	if (!a->group != !b->group)
		return a->group != GROUP_ANY;
	bool b_covers = !b->range || (a->range && intersects(r, b->range, a->range));
	bool a_covers = !a->range || (b->range && intersects(r, a->range, b->range));
	return b_covers && !a_covers;
}

/* Whether O is about DEP in GROUP. */
static bool targets(struct run *r, const struct override *o, enum group group, atom dep)
{
	if (o->names ? !match_one(sof(r, o->name), sof(r, dep)) : o->name != dep)
		return false;
	return o->group == GROUP_ANY || o->group == group;
}

/* A package's dependency, in a group of its manifest. */
struct place {
	atom pkg, version;
	enum group group;
};

static const struct override *choose_of(struct run *r, struct place at, bool scoped, atom dep, atom spec)
{
	const struct override *best = NULL;
	for (size_t i = 0; i < r->overrides->all.n; i++) {
		const struct override *o = &r->overrides->all.p[i];
		if (o->converge || (o->parent != 0) != scoped || !targets(r, o, at.group, dep) ||
			!applies(r, o, at.pkg, at.version) || !intersects(r, o->range, spec))
			continue;
		if (!best || more_specific(r, o, best))
			best = o;
	}
	return best;
}

static const struct override *choose(struct run *r, struct place at, atom dep, atom spec)
{
	const struct override *o = at.pkg ? choose_of(r, at, true, dep, spec) : NULL;
	return o ? o : choose_of(r, at, false, dep, spec);
}

/* A converging override takes every range that its version satisfies. */
static atom converge(struct run *r, atom dep, atom spec)
{
	for (size_t i = 0; i < r->overrides->all.n; i++) {
		const struct override *o = &r->overrides->all.p[i];
		if (!o->converge || o->name != dep)
			continue;
		const struct range *rg = atom_range(&r->t, spec);
		const struct semver *v = atom_semver(&r->t, o->spec);
		if (rg && v && range_has(rg, v, false))
			return o->spec;
	}
	return 0;
}

static atom override_spec(struct run *r, const struct override *o, const atom *dir)
{
	if (!o->local.p || !dir)
		return o->spec;
	return atom_copy(&r->t, catalog_folder_from(o->scheme, o->local, sof(r, *dir), &r->arena));
}

/* What a selector's range is compared with: for "catalog:" what stands there, if it does (pnpm 12.20). */
static atom range_meant(struct run *r, struct kv edge)
{
	str spec = sof(r, edge.v);
	struct err ignored;
	const struct catalog_user u = { STR("."), &r->arena };
	if (catalog_name(spec).n && !catalog_resolve(r->set, &spec, sof(r, edge.k), spec, &u, &ignored))
		return atom_of(&r->t, spec);
	return edge.v;
}

/* The new specifier of an edge: 0 leaves it; *DROP removes it. */
static atom overridden(struct run *r, struct place at, struct kv edge, const atom *dir, bool *drop)
{
	*drop = false;
	if (!r->overrides->patterns && map_get(&r->overrides->names, sof(r, edge.k)) == MAP_NONE)
		return 0;
	const struct override *o = choose(r, at, edge.k, range_meant(r, edge));
	if (!o)
		return converge(r, edge.k, edge.v);
	if (str_eq(sof(r, o->spec), STR("-"))) {
		*drop = true;
		return 0;
	}
	return override_spec(r, o, dir);
}

static void override_map(struct run *r, struct kv *p, uint32_t *n, struct place at, const atom *dir)
{
	uint32_t to = 0;
	for (uint32_t i = 0; i < *n; i++) {
		bool drop;
		atom spec = overridden(r, at, p[i], dir, &drop);
		if (drop)
			continue;
		p[to] = p[i];
		if (spec)
			p[to].v = spec;
		to++;
	}
	*n = to;
}

bool deps_peer_optional(const struct deps *d, atom name)
{
	for (uint32_t i = 0; i < d->npeer_optional; i++)
		if (d->peer_optional[i] == name)
			return true;
	return false;
}

/* Forgets that peer NAME is optional. */
static void peer_required(struct deps *d, atom name)
{
	uint32_t to = 0;
	for (uint32_t i = 0; i < d->npeer_optional; i++)
		if (d->peer_optional[i] != name)
			d->peer_optional[to++] = d->peer_optional[i];
	d->npeer_optional = to;
}

/* A peer that only peerDependenciesMeta names is one of any version: "-" takes it away (pnpm 12.21). */
static void override_unlisted_peers(struct run *r, struct deps *d, struct place at, const atom *dir)
{
	uint32_t to = 0;
	for (uint32_t i = 0; i < d->npeer_optional; i++) {
		const struct kv edge = { d->peer_optional[i], atom_of(&r->t, STR("*")) };
		bool drop = false;
		if (!kv_find(d->peer, d->npeer, edge.k))
			(void)overridden(r, at, edge, dir, &drop);
		if (!drop)
			d->peer_optional[to++] = edge.k;
	}
	d->npeer_optional = to;
}

/* Whether SPEC can be what a peer is asked for. */
static bool of_peer(struct run *r, atom spec)
{
	str s = sof(r, spec);
	return (str_trim(s).n && valid_range(r, spec)) || str_find_str(s, STR("workspace:"), 0) != SIZE_MAX ||
	       str_find_str(s, STR("catalog:"), 0) != SIZE_MAX;
}

static void override_peers(struct run *r, struct deps *d, struct place at, const atom *dir)
{
	uint32_t to = 0;
	for (uint32_t i = 0; i < d->npeer; i++) {
		bool drop;
		struct kv edge = d->peer[i];
		atom spec = overridden(r, at, edge, dir, &drop);
		if (drop) {
			peer_required(d, edge.k);
			continue;
		}
		if (spec && of_peer(r, spec)) /* what else there is leaves the peer as it was (pnpm 12.21) */
			edge.v = spec;
		d->peer[to++] = edge;
	}
	d->npeer = to;
}

void deps_hooks(struct run *r, struct deps *d, struct deps *dev, atom name, atom version, const atom *dir)
{
	extend(r, d, name, version, dev != NULL);
	if (r->set->ignored_optional.n)
		ignore_optional(r, d);
	if (!r->overrides->all.n)
		return;
	override_map(r, d->dep, &d->ndep, (struct place){ name, version, GROUP_PROD }, dir);
	override_map(r, d->opt, &d->nopt, (struct place){ name, version, GROUP_OPTIONAL }, dir);
	if (dev)
		override_map(r, dev->dep, &dev->ndep, (struct place){ name, version, GROUP_DEV }, dir);
	override_unlisted_peers(r, d, (struct place){ name, version, GROUP_PEER }, dir);
	override_peers(r, d, (struct place){ name, version, GROUP_PEER }, dir);
}

bool override_local(const struct run *r, atom name, atom spec)
{
	for (size_t i = 0; i < r->overrides->all.n; i++) {
		const struct override *o = &r->overrides->all.p[i];
		if (o->local.p && o->spec == spec &&
			(o->names ? match_one(sof(r, o->name), sof(r, name)) : o->name == name))
			return true;
	}
	return false;
}

atom override_undeclared(struct run *r, atom name, atom range, const atom *dir)
{
	bool drop;
	atom spec = overridden(r, (struct place){ 0, 0, GROUP_PEER }, (struct kv){ name, range }, dir, &drop);
	return drop ? atom_of(&r->t, STR("-")) : spec;
}

/* --- what projects ask for --- */

/* Whether some project asks for something else than its package.json says. */
static bool hooked(const struct request *req)
{
	const struct settings *s = &req->settings;
	return s->overrides.n || s->nextension || s->ignored_optional.n;
}

static struct str_map map_out(const struct run *r, const struct kv *p, uint32_t n, struct arena *a)
{
	struct str_map m = { .p = arena_new(a, struct str_kv, n + 1), .n = n };
	for (uint32_t i = 0; i < n; i++)
		m.p[i] = (struct str_kv){ arena_str(a, sof(r, p[i].k)), arena_str(a, sof(r, p[i].v)) };
	return m;
}

static void manifest_hooks(struct run *r, struct request_importer *imp, struct arena *a)
{
	struct manifest *m = &imp->manifest;
	struct deps d, dev;
	atom dir = atom_of(&r->t, imp->path);
	deps_of_manifest(r, &d, &dev, m);
	deps_hooks(r, &d, &dev, m->name.n ? atom_of(&r->t, m->name) : 0, m->version.n ? atom_of(&r->t, m->version) : 0,
		&dir);
	m->dependencies = map_out(r, d.dep, d.ndep, a);
	m->optional_dependencies = map_out(r, d.opt, d.nopt, a);
	m->peer_dependencies = map_out(r, d.peer, d.npeer, a);
	m->dev_dependencies = map_out(r, dev.dep, dev.ndep, a);
}

int projects_hooks(struct projects_hooked *out, const struct request *req, struct arena *a, struct err *e)
{
	struct run r = { .req = req, .set = &req->settings };
	*out = (struct projects_hooked){ req->importer, req->settings.overrides };
	if (!hooked(req))
		return 0;
	r.arena = ARENA_INIT(64 * 1024);
	atoms_init(&r.t, &r.arena);
	int rc = overrides_init(&r, e);
	if (!rc) {
		out->importer = arena_new(a, struct request_importer, req->nimporters + 1);
		for (size_t i = 0; i < req->nimporters; i++) {
			out->importer[i] = req->importer[i];
			manifest_hooks(&r, &out->importer[i], a);
		}
		struct str_map o = overrides_resolved(&r);
		out->overrides = (struct str_map){ arena_new(a, struct str_kv, o.n + 1), o.n };
		for (size_t i = 0; i < o.n; i++)
			out->overrides.p[i] = (struct str_kv){ o.p[i].k, arena_str(a, o.p[i].v) };
	}
	overrides_release(&r);
	atoms_release(&r.t);
	arena_release(&r.arena);
	return rc;
}
