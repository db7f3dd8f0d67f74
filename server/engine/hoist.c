#include "base/vec.h"
#include "hoist_impl.h"
#include "overrides.h"
#include "pick.h"
#include "range_meet.h"
#include "reuse.h"
#include "sorted.h"
#include "workspace.h"

/* Where A is among IMP's aliases, or would be. */
static uint32_t alias_at(const struct importer *imp, atom a)
{
	return atom_lower_bound(imp->aliases.p, imp->aliases.n, a);
}

bool has_alias(const struct importer *imp, atom a)
{
	uint32_t i = alias_at(imp, a);
	return i < imp->aliases.n && imp->aliases.p[i] == a;
}

void alias_add(struct importer *imp, atom a)
{
	uint32_t i = alias_at(imp, a);
	if (i < imp->aliases.n && imp->aliases.p[i] == a)
		return;
	*vec_add(&imp->aliases) = a;
	memmove(imp->aliases.p + i + 1, imp->aliases.p + i, (imp->aliases.n - 1 - i) * sizeof(a));
	imp->aliases.p[i] = a;
}

/* --- ranges --- */

enum { MOST_ALTERNATIVES = 10000 }; /* of a merged range; what has more is written to take long */

static bool of_workspace(struct run *r, atom range)
{
	return str_starts(sof(r, range), STR("workspace:"));
}

static atom without_workspace(struct run *r, atom range)
{
	if (!of_workspace(r, range))
		return range;
	str s = str_from(sof(r, range), sizeof("workspace:") - 1);
	return atom_of(&r->t, workspace_any(s) ? STR("*") : s);
}

/* What RANGE brings to what several have in common; NULL: nothing, as one that is empty.
 * Source: pnpm 12.21's behaviour */
static const struct range *shared_range(struct run *r, atom range)
{
	str s = sof(r, range);
	bool any = false;
	for (size_t i = 0; i < s.n && !any; i++)
		any = s.p[i] != '|' && s.p[i] != ' ';
	return any ? solid_range(r, range) : NULL;
}

/* Narrows ACC to what RANGE takes, too; false where nothing is left, or RANGE is none. */
static bool spans_narrow(struct run *r, struct spans *acc, atom range)
{
	const struct range *rg = shared_range(r, range);
	AUTO(spans_release) struct spans mine = rg ? spans_of(rg) : (struct spans){ 0 };
	struct spans out = spans_meet(acc, &mine);
	spans_release(acc);
	*acc = out;
	return out.n > 0;
}

/* The range of SPANS, to *OUT. ERR_TOOBIG. */
static int spans_range(struct run *r, atom *out, const struct spans *s, struct err *e)
{
	str text = s->n <= MOST_ALTERNATIVES ? spans_print(s, &r->arena) : STR_NONE;
	if (s->n > MOST_ALTERNATIVES || text.n > RANGE_MAX_LENGTH)
		return err_set(e, ERR_TOOBIG,
			"what the ranges asked for have in common has %zu alternatives and does not fit into %u bytes",
			s->n, RANGE_MAX_LENGTH);
	*out = atom_of(&r->t, text);
	return 0;
}

/* What any of V takes, for autoInstallPeersFromHighestMatch, where they have nothing in common, to *OUT; 0: one is no
 * range. ERR_TOOBIG. */
static int ranges_any(struct run *r, atom *out, const atom *v, uint32_t n, struct err *e)
{
	AUTO(buf_release) struct buf t = BUF_INIT;
	*out = 0;
	marks_begin(&r->met);
	for (uint32_t i = 0; i < n; i++) {
		bool fresh;
		(void)marks_meet(&r->met, v[i], &fresh);
		if (fresh && !valid_range(r, v[i]))
			return 0;
		if (fresh)
			buf_printf(&t, "%s" STR_FMT, t.n ? " || " : "", SA(r, v[i]));
	}
	if (t.n > RANGE_MAX_LENGTH)
		return err_set(e, ERR_TOOBIG, "the ranges asked for do not fit into %u bytes", RANGE_MAX_LENGTH);
	*out = atom_copy(&r->t, buf_str(&t));
	return 0;
}

/* What all of V take, to *OUT; 0: there is nothing. Where one asks for the workspace's own, that is what all get
 * (pnpm 12.21). ERR_TOOBIG. */
static int merge_ranges(struct run *r, atom *out, const atom *v, uint32_t n, struct err *e)
{
	*out = 0;
	marks_begin(&r->met);
	const struct range *first = shared_range(r, without_workspace(r, v[0]));
	AUTO(spans_release) struct spans acc = { 0 };
	bool several = false, workspace = of_workspace(r, v[0]);
	for (uint32_t i = 0; i < n; i++) {
		bool fresh;
		(void)marks_meet(&r->met, v[i], &fresh);
		if (!fresh || i == 0)
			continue;
		if (!first)
			return 0;
		if (!several)
			acc = spans_of(first);
		several = true;
		workspace = workspace || of_workspace(r, v[i]);
		if (!spans_narrow(r, &acc, without_workspace(r, v[i])))
			return 0;
		if (acc.n > MOST_ALTERNATIVES)
			break;
	}
	*out = v[0];
	int rc = several ? spans_range(r, out, &acc, e) : 0;
	if (!rc && several && workspace)
		*out = atom_fmt(&r->t, "workspace:" STR_FMT, SA(r, *out));
	return rc;
}

/* --- one importer's round --- */

struct required {
	atom name, range;
};

bool locked_peer(const struct importer *imp, atom name, atom version)
{
	const struct kv key = { name, version };
	return imp->nlocked_peer_versions &&
	       bsearch(&key, imp->locked_peer_versions, imp->nlocked_peer_versions, sizeof(key), kv_order);
}

/* Whose locked peers count, and which of them. */
struct locked_choice {
	const struct importer *imp;
	atom name;
};

static bool is_locked_choice(const void *ctx, const struct selector *s)
{
	const struct locked_choice *c = ctx;
	return locked_peer(c->imp, c->name, s->spec);
}

static bool is_in_run(const void *ctx, const struct selector *s)
{
	(void)ctx;
	return selector_in_run(s);
}

/* Where nothing of this run can serve, a provider that was chosen once stays; 0: there is none to keep. A project that
 * the lockfile doesn't know has chosen none. Source: pnpm 12.21's behaviour. */
static atom locked_provider(
	struct run *r, const struct importer *imp, atom name, const struct bucket *b, const struct range *range)
{
	struct locked_choice c = { imp, name };
	if (!imp->prior || (r->prior && atomset_has(r->moved, name)))
		return 0;
	return bucket_best_of(r, b, range, is_locked_choice, &c);
}

static atom joined(struct run *r, atom head, const struct bucket *b)
{
	AUTO(buf_release) struct buf t = BUF_INIT;
	if (head)
		buf_add(&t, sof(r, head));
	for (uint32_t i = 0; i < b->n; i++)
		if (b->p[i].kind != SEL_VERSION)
			buf_printf(&t, "%s" STR_FMT, t.n ? " || " : "", SA(r, b->p[i].spec));
	return t.n ? atom_copy(&r->t, buf_str(&t)) : 0;
}

/* The specifier that hoists a missing required peer; 0: none. */
static atom required_spec(struct hoist *h, const struct importer *imp, struct required m)
{
	struct run *r = h->r;
	bool install = r->set->auto_install_peers;
	atom root = roots_spec(r, &h->roots, m.name);
	if (install || root) {
		atom o = override_undeclared(r, m.name, m.range, &imp->path);
		if (o)
			return str_eq(sof(r, o), STR("-")) ? 0 : o;
	}
	if (root)
		return root;
	/* whoever asks for the workspace's own gets no other of that version, nor of what a protocol leads to.
	 * Source: pnpm 12.21's behaviour */
	if (of_workspace(r, m.range) || (str_find(sof(r, m.range), ':', 0) != SIZE_MAX && !valid_range(r, m.range)))
		return install ? m.range : 0;
	struct bucket *b = &h->bucket;
	bucket_fill(b, r, NULL, m.name);
	if (!install)
		bucket_forget(b);
	if (!b->n)
		return install ? peer_asked(r, m.range) : 0;
	const struct range *range = atom_range(&r->t, peer_range(r, m.range));
	bool versions = bucket_best(r, b, NULL) != 0;
	atom fits = range ? bucket_best_of(r, b, range, is_in_run, NULL) : 0;
	if (range && !fits)
		fits = locked_provider(r, imp, m.name, b, range);
	if (range && !fits)
		fits = bucket_best(r, b, range);
	if (fits)
		return fits;
	bool any_version = false;
	for (uint32_t i = 0; i < b->n; i++)
		any_version = any_version || b->p[i].kind == SEL_VERSION;
	if (range && any_version)
		return install ? peer_asked(r, m.range) : 0;
	return joined(r, versions ? bucket_best(r, b, NULL) : 0, b);
}

static void optional_add(struct run *r, struct importer *imp, atom name, atom range)
{
	const struct kv x = { name, range };
	uint32_t at = optional_at(imp, x);
	if (at < imp->noptional_missing && kv_order(&imp->optional_missing[at], &x) == 0)
		return;
	arena_room(&r->arena, imp->optional_missing, imp->noptional_missing);
	memmove(imp->optional_missing + at + 1, imp->optional_missing + at,
		(imp->noptional_missing++ - at) * sizeof(*imp->optional_missing));
	imp->optional_missing[at] = x;
}

static int missing_order(void *run, const void *a, const void *b)
{
	const struct run *r = run;
	return atom_cmp(&r->t, ((const struct missing *)a)->name, ((const struct missing *)b)->name);
}

/* Without what IMP has by now, and by name; those of one name stay in the order in which they were found. */
static void missing_tidy(struct run *r, struct importer *imp)
{
	size_t n = 0;
	for (size_t i = 0; i < imp->missing.n; i++)
		if (!has_alias(imp, imp->missing.p[i].name))
			imp->missing.p[n++] = imp->missing.p[i];
	imp->missing.n = n;
	rows_sort(imp->missing.p, n, sizeof(*imp->missing.p), missing_order, r);
}

/* Splits what is missing: *REQUIRED peers with one range each, sorted by name; the rest is optional. ERR_TOOBIG. */
static int partition(struct run *r, struct importer *imp, struct required **required, uint32_t *n, struct err *e)
{
	missing_tidy(r, imp);
	const struct missing *m = imp->missing.p;
	struct required *out = arena_new(&r->arena, struct required, imp->missing.n + 1);
	atom *ranges = arena_new(&r->arena, atom, imp->missing.n + 1);
	*required = out;
	*n = 0;
	for (size_t i = 0, end; i < imp->missing.n; i = end) {
		uint32_t nr = 0;
		for (end = i; end < imp->missing.n && m[end].name == m[i].name; end++)
			if (!m[end].optional)
				ranges[nr++] = m[end].raw;
		for (size_t k = i; !nr && k < end; k++)
			optional_add(r, imp, m[k].name, m[k].wanted);
		atom range = 0;
		int rc = nr ? merge_ranges(r, &range, ranges, nr, e) : 0;
		if (!rc && nr && !range && r->set->auto_install_peers_from_highest_match)
			rc = ranges_any(r, &range, ranges, nr, e);
		if (rc)
			return err_ctx(e, STR_FMT ": peer " STR_FMT, STR_ARG(imp->req->path), SA(r, m[i].name));
		if (range)
			out[(*n)++] = (struct required){ m[i].name, range };
	}
	return 0;
}

static int provider_order(void *run, const void *a, const void *b)
{
	const struct run *r = run;
	return atom_cmp(&r->t, ((const struct direct *)a)->alias, ((const struct direct *)b)->alias);
}

/* Peers that some package inside the tree already resolved to become visible to the whole importer. */
static void providers_add(
	struct run *r, struct importer *imp, struct discovery *d, const struct required *req, uint32_t n)
{
	if (!r->set->auto_install_peers)
		return;
	rows_sort(d->provider.p, d->provider.n, sizeof(*d->provider.p), provider_order, r);
	for (size_t i = 0; i < d->provider.n; i++) {
		struct direct x = d->provider.p[i];
		bool wanted = false;
		for (uint32_t k = 0; k < n; k++)
			wanted = wanted || req[k].name == x.alias;
		if (wanted || has_alias(imp, x.alias) || x.node >= r->node.n)
			continue;
		x.provider = true;
		*vec_add(&imp->direct) = x;
		alias_add(imp, x.alias);
	}
}

/* --- one report per package: what its owner's walk missed --- */

/* Whether a walk of importer ME, which MET P or not, says what is missed below it: once for each owner that is ME's,
 * else until the owner's comes. */
static bool first_walk_news(struct run *r, uint32_t me, const struct pkg *p, bool met)
{
	if (p->owner.set && p->owner.importer == me)
		return !p->first_walk.owned || !owner_same(r, &p->first_walk.owner, &p->owner);
	return met && !p->first_walk.known;
}

/* Notes what D, of IMP, missed below package I, if that is news: most have been told long ago. MARK: of those below
 * which D missed something, whose place among them is their slot. */
static void first_walk_note_one(
	struct run *r, const struct importer *imp, const struct discovery *d, uint32_t i, uint32_t mark)
{
	struct pkg *p = pkg_at(r, i);
	uint32_t me = (uint32_t)(imp - r->importer);
	bool met = p->seen == mark, owned = p->owner.set && p->owner.importer == me;
	if (!first_walk_news(r, me, p, met))
		return;
	p->first_walk = (struct first_walk){ .known = true, .owned = owned, .names = &atomset_none };
	if (owned)
		p->first_walk.owner = p->owner;
	if (met)
		p->first_walk.names = atomset_dup(&r->arena, d->by_pkg.p[p->slot].names);
}

/* The same of all packages. */
static void first_walk_note(struct run *r, const struct importer *imp, const struct discovery *d)
{
	uint32_t me = (uint32_t)(imp - r->importer), mark = ++r->mark;
	for (size_t i = 0; i < d->by_pkg.n; i++) {
		struct pkg *p = pkg_at(r, d->by_pkg.p[i].pkg);
		if (p->seen == mark) {
			struct missing_of *m = &d->by_pkg.p[p->slot];
			m->names = atomset_union(&r->arena, m->names, d->by_pkg.p[i].names);
		} else if (first_walk_news(r, me, p, true)) {
			p->seen = mark;
			p->slot = (uint32_t)i;
		}
	}
	for (size_t i = 0; i < d->by_pkg.n; i++)
		if (pkg_at(r, d->by_pkg.p[i].pkg)->seen == mark)
			first_walk_note_one(r, imp, d, d->by_pkg.p[i].pkg, mark);
	for (size_t i = 0; i < imp->owned.n; i++)
		first_walk_note_one(r, imp, d, imp->owned.p[i], mark);
}

/* A miss below a package that another importer's walk covers, and found provided there, is not ours to hoist. */
static bool covered(struct run *r, const struct importer *imp, const struct missing *m)
{
	uint32_t me = (uint32_t)(imp - r->importer);
	if (imp->locked_peer_names && atomset_has(imp->locked_peer_names, m->name))
		return false;
	for (const struct chain *c = m->ancestors; c; c = c->up) {
		const struct pkg *p = pkg_at(r, c->pkg);
		if (p->owner.set && p->owner.importer != me && p->first_walk.known &&
			!atomset_has(p->first_walk.names, m->name))
			return true;
	}
	return false;
}

static void drop_covered(struct run *r, const struct importer *imp, struct discovery *d)
{
	size_t n = 0;
	for (size_t i = 0; i < d->missing.n; i++)
		if (!covered(r, imp, &d->missing.p[i]))
			d->missing.p[n++] = d->missing.p[i];
	d->missing.n = n;
}

static void discover(struct hoist *h, struct importer *imp, struct discovery *d, bool scoped)
{
	struct run *r = h->r;
	bool full = imp->walked == 0 || r->rewrites != imp->walked_rewrites;
	peers_discover(h->peers, imp, full ? 0 : imp->walked, d);
	imp->walked = (uint32_t)imp->direct.n;
	imp->walked_rewrites = r->rewrites;
	if (r->nimporter > 1) {
		if (scoped)
			drop_covered(r, imp, d);
		first_walk_note(r, imp, d);
	}
	if (full)
		imp->missing.n = 0;
}

/* --- rounds --- */

/* FIRST: what was found in IMP when all were walked, NULL: it is to be walked. Where children have found another owner
 * since, it is walked again. Source: pnpm 12.21's behaviour. */
static int complete(struct hoist *h, struct importer *imp, struct discovery *first, struct err *e)
{
	struct run *r = h->r;
	if (first && r->rewrites != imp->walked_rewrites) {
		discovery_release(first);
		first = NULL;
	}
	for (struct discovery *d = first;; d = NULL) {
		struct discovery mine = { 0 };
		if (!d) {
			discover(h, imp, &mine, true);
			d = &mine;
		}
		for (size_t i = 0; i < d->missing.n; i++)
			*vec_add(&imp->missing) = d->missing.p[i];
		uint32_t n, m = 0;
		struct required *req;
		int rc = partition(r, imp, &req, &n, e);
		if (!rc)
			providers_add(r, imp, d, req, n);
		discovery_release(d);
		if (rc)
			return rc;
		if (!n) {
			imp->converged = true;
			imp->converged_rewrites = r->rewrites;
			return 0;
		}
		struct wanted *w = arena_new(&r->arena, struct wanted, n);
		for (uint32_t i = 0; i < n; i++) {
			atom spec = required_spec(h, imp, req[i]);
			if (spec)
				w[m++] = (struct wanted){ .alias = req[i].name, .spec = spec };
		}
		if (!m)
			return 0;
		for (uint32_t i = 0; i < m; i++)
			alias_add(imp, w[i].alias);
		size_t had = imp->direct.n;
		rc = resolve_extend(r, imp, w, m, e);
		for (size_t i = had; i < imp->direct.n; i++)
			imp->direct.p[i].required = true;
		if (rc)
			return err_ctx(e, "peer dependencies of " STR_FMT, STR_ARG(imp->req->path));
	}
}

static int required_round(struct hoist *h, struct importer *imp, struct err *e)
{
	if (imp->converged && imp->converged_rewrites == h->r->rewrites)
		return 0;
	imp->noptional_missing = 0;
	return complete(h, imp, NULL, e);
}

static int rounds(struct hoist *h, struct err *e)
{
	struct run *r = h->r;
	struct discovery *first = arena_new(&r->arena, struct discovery, r->nimporter + 1);
	int rc = 0;
	for (uint32_t i = 0; i < r->nimporter; i++)
		discover(h, &r->importer[i], &first[i], false);
	for (uint32_t i = 0; r->nimporter > 1 && i < r->nimporter; i++)
		drop_covered(r, &r->importer[i], &first[i]);
	for (uint32_t i = 0; i < r->nimporter; i++)
		if (rc)
			discovery_release(&first[i]);
		else
			rc = complete(h, &r->importer[i], &first[i], e);
	for (bool again = true; again && !rc;) {
		again = false;
		for (uint32_t i = 0; i < r->nimporter && !rc; i++)
			rc = required_round(h, &r->importer[i], e);
		for (uint32_t i = 0; i < r->nimporter && !rc; i++)
			rc = optional_round(h, &r->importer[i], &again, e);
	}
	return rc;
}

int hoist_all(struct run *r, struct err *e)
{
	struct hoist h = { .r = r };
	for (uint32_t i = 0; i < r->nimporter; i++) {
		struct importer *imp = &r->importer[i];
		for (uint32_t k = 0; k < imp->nwanted; k++)
			alias_add(imp, imp->wanted[k].alias);
		int rc = resolve_extend(r, imp, imp->wanted, imp->nwanted, e);
		if (rc)
			return rc;
		reuse_lock_peers(r, imp);
		for (size_t k = 0; k < imp->direct.n; k++)
			alias_add(imp, imp->direct.p[k].alias);
		imp->subdep_rules = true;
	}
	if (!r->set->auto_install_peers && !r->set->dedupe_peer_dependents)
		return 0;
	const struct importer *root = root_importer(r);
	if (root)
		h.roots = roots_of(r, root);
	h.peers = peers_new(r, true);
	int rc = rounds(&h, e);
	peers_free(h.peers);
	free(h.bucket.p);
	return rc;
}
