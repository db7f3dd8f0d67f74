#include "pick.h"
#include "base/vec.h"
#include "exotic.h"
#include "match.h"
#include "name.h"
#include "prefer.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()"

bool any_range(str s)
{
	for (;;) {
		size_t at = str_find_str(s, STR("||"), 0);
		str part = at == SIZE_MAX ? s : str_head(s, at);
		if (!str_trim(part).n)
			return true;
		if (at == SIZE_MAX)
			return false;
		s = str_from(s, at + 2);
	}
}

bool valid_range(struct run *r, atom x)
{
	return atom_range(&r->t, x) != NULL;
}

/* S without its empty alternatives. */
static str without_empty(struct run *r, str s)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	for (size_t at = 0; at != SIZE_MAX; s = at == SIZE_MAX ? s : str_from(s, at + 2)) {
		at = str_find_str(s, STR("||"), 0);
		str part = str_trim(at == SIZE_MAX ? s : str_head(s, at));
		if (part.n)
			buf_printf(&b, "%s" STR_FMT, b.n ? " || " : "", STR_ARG(part));
	}
	return arena_str(&r->arena, buf_str(&b));
}

const struct range *solid_range(struct run *r, atom x)
{
	str s = sof(r, x), rest = any_range(s) ? without_empty(r, s) : STR("");
	return atom_range(&r->t, rest.n ? atom_of(&r->t, rest) : x);
}

atom peer_asked(struct run *r, atom range)
{
	str s = sof(r, range);
	bool any = str_find_str(s, STR("||"), 0) != SIZE_MAX && any_range(s) && valid_range(r, range);
	return any ? atom_of(&r->t, STR("*")) : range;
}

static bool tag_text(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!s.p[i] || !strchr(NAME_CHARS, s.p[i]))
			return false;
	return true;
}

static bool spec_read(struct run *r, struct reg_spec *out, atom bare)
{
	str s = sof(r, bare);
	/* nothing at all is the tag, which npm reads as a range. Source: pnpm 12.21's behaviour */
	if (!s.n) {
		out->type = SPEC_TAG;
		out->fetch = atom_of(&r->t, STR("latest"));
		return true;
	}
	if (any_range(s)) { /* of them a manifest's own are preferred that the rest takes */
		out->type = SPEC_RANGE;
		out->fetch = atom_of(&r->t, STR("*"));
		return true;
	}
	bool capital = s.n > 1 && s.p[0] == 'V' && s.p[1] >= '0' && s.p[1] <= '9'; /* only where it is all of it */
	const struct semver *v = atom_semver(&r->t, capital ? atom_of(&r->t, str_from(s, 1)) : bare);
	if (v) {
		out->type = SPEC_VERSION;
		out->fetch = atom_of(&r->t, semver_print(v, &r->arena));
		return true;
	}
	out->fetch = bare;
	if (valid_range(r, bare)) {
		out->type = SPEC_RANGE;
		return true;
	}
	out->type = SPEC_TAG;
	return tag_text(s);
}

/* The same, read once for each text. */
static bool spec_of(struct run *r, struct reg_spec *out, atom bare)
{
	enum { SPEC_NONE = 1, SPEC_SOME };
	uint8_t known = r->t.rec[bare].spec;
	if (known == SPEC_NONE)
		return false;
	if (!known) {
		bool ok = spec_read(r, out, bare);
		r->t.rec[bare].spec = ok ? (uint8_t)(SPEC_SOME + out->type) : SPEC_NONE;
		r->t.rec[bare].spec_fetch = ok ? out->fetch : 0;
		return ok;
	}
	out->type = (enum spec_type)(known - SPEC_SOME);
	out->fetch = r->t.rec[bare].spec_fetch;
	return true;
}

static bool tarball_spec(struct run *r, struct reg_spec *out, str url)
{
	str rest = str_from(url, settings_registry(r->set, STR_NONE).n), name = rest;
	size_t cut = str_find_str(rest, STR("/-/"), 0);
	if (cut == SIZE_MAX || !cut || str_find_str(rest, STR("/-/"), cut + 3) != SIZE_MAX)
		return false;
	name = str_head(rest, cut);
	str file = str_from(rest, cut + 3), scope, base;
	if (str_ends(file, STR(".tgz")))
		file = str_head(file, file.n - 4);
	if (!str_rcut(name, '/', &scope, &base))
		base = name;
	if (!str_starts(file, base) || file.n <= base.n + 1 || file.p[base.n] != '-')
		return false;
	atom version = atom_of(&r->t, str_from(file, base.n + 1));
	if (!atom_semver(&r->t, version))
		return false;
	*out = (struct reg_spec){ atom_of(&r->t, name), version, SPEC_VERSION };
	return true;
}

bool reg_spec_parse(struct run *r, struct reg_spec *out, atom alias, atom bare_atom)
{
	str bare = sof(r, bare_atom);
	*out = (struct reg_spec){ .name = alias };
	if (str_starts(bare, STR("npm:"))) {
		bare = str_from(bare, 4);
		bare_atom = atom_of(&r->t, bare);
		/* read loosely, "x@~1 || ~2" is the range ~2 */
		bool range_only = str_find(bare, '@', 0) == SIZE_MAX && (any_range(bare) || valid_range(r, bare_atom));
		if (!alias || !range_only) {
			str name, version;
			if (bare.n > 1 && str_rcut(str_from(bare, 1), '@', &name, &version)) {
				name = str_head(bare, name.n + 1);
			} else {
				name = bare;
				version = STR("latest");
			}
			out->name = atom_of(&r->t, name);
			bare_atom = atom_of(&r->t, version);
		}
	}
	str jsr_name, jsr_version;
	if (str_starts(bare, STR("jsr:"))) {
		if (!exotic_jsr(r, &jsr_name, &jsr_version, sof(r, alias), bare))
			return false;
		out->name = atom_copy(&r->t, jsr_name);
		bare_atom = atom_copy(&r->t, jsr_version);
	}
	if (out->name && spec_of(r, out, bare_atom))
		return true;
	str registry = settings_registry(r->set, STR_NONE);
	return registry.n && str_starts(bare, registry) && tarball_spec(r, out, bare);
}

bool selector_kind_of(struct run *r, atom spec, enum selector_kind *out)
{
	struct reg_spec s = { 0 };
	if (!spec_of(r, &s, spec))
		return false;
	/* "=1.2.3" is a range of one. Source: pnpm 12.21's behaviour */
	bool range = s.type == SPEC_RANGE || (s.type == SPEC_VERSION && str_starts(sof(r, spec), STR("=")));
	*out = range ? SEL_RANGE : s.type == SPEC_VERSION ? SEL_VERSION : SEL_TAG;
	return s.type != SPEC_TAG || sof(r, spec).n > 0;
}

bool age_excluded(const struct run *r, str name, str version, bool *whole)
{
	return version_listed(r->set->minimum_release_age_exclude, name, version, whole);
}

bool range_has_peer(const struct range *range, const struct semver *v)
{
	const struct semver release = { .major = v->major, .minor = v->minor, .patch = v->patch };
	return range_has(range, v, false) || (v->pre.n && range_has(range, &release, false));
}

static str peer_range_part(struct run *r, str s)
{
	if (valid_range(r, atom_copy(&r->t, s)) || str_find_str(s, STR("workspace:"), 0) != SIZE_MAX ||
		str_find_str(s, STR("catalog:"), 0) != SIZE_MAX)
		return str_starts(s, STR("workspace:")) ? str_from(s, 10) : s;
	size_t colon = str_find(s, ':', 0);
	if (colon != SIZE_MAX && colon > 0) {
		str body = str_from(s, colon + 1), head, tail;
		if (valid_range(r, atom_copy(&r->t, body)))
			return body;
		if (str_rcut(body, '@', &head, &tail) && head.n && valid_range(r, atom_copy(&r->t, tail)))
			return tail;
	}
	return STR("*");
}

static atom peer_range_read(struct run *r, atom raw)
{
	str s = sof(r, raw);
	if (str_find_str(s, STR("||"), 0) == SIZE_MAX) {
		str p = peer_range_part(r, s);
		return str_eq(p, s) ? raw : atom_copy(&r->t, p);
	}
	AUTO(buf_release) struct buf b = BUF_INIT;
	for (bool first = true;; first = false) {
		size_t at = str_find_str(s, STR("||"), 0);
		str part = str_trim(at == SIZE_MAX ? s : str_head(s, at));
		if (!first)
			buf_add(&b, STR(" || "));
		buf_add(&b, peer_range_part(r, part));
		if (at == SIZE_MAX)
			break;
		s = str_from(s, at + 2);
	}
	return atom_copy(&r->t, buf_str(&b));
}

atom peer_range(struct run *r, atom raw)
{
	if (!r->t.rec[raw].peer_range) {
		atom x = peer_range_read(r, raw); /* may move the table */
		r->t.rec[raw].peer_range = x;
	}
	return r->t.rec[raw].peer_range;
}

/* --- the choice --- */

struct extra {
	atom version;
	bool direct; /* a project's own dependency has it */
};

/* A packument as it looks through the filters of age and trust. */
struct view {
	struct run *r;
	struct packument p;
	uint32_t n;
	int64_t cutoff; /* 0: young ones are visible */
	bool trust;     /* those that are vouched for less than earlier ones are not */
	str name;
	const struct range *range;
	bool star;
	struct extra *extra; /* versions of it that the levels above resolved and no manifest prefers */
	uint32_t nextra;
};

static bool visible(const struct view *v, uint32_t i)
{
	if (v->trust && !trust_allows(v->r->set, v->r->io->now_ms, v->p, i, NULL, NULL))
		return false;
	if (!v->cutoff)
		return true;
	int64_t t = packument_time(v->p, i);
	bool whole;
	return (t && t <= v->cutoff) || age_excluded(v->r, v->name, packument_version(v->p, i), &whole);
}

static bool deprecated(const struct view *v, uint32_t i)
{
	return packument_deprecated(v->p, i).n > 0;
}

static bool in_range(const struct view *v, uint32_t i)
{
	struct semver s;
	packument_semver(v->p, i, &s);
	return v->range && range_has(v->range, &s, false);
}

/* What stands in for a tag's version. */
struct instead {
	const struct semver *was;
	bool pre, any_major;
};

/* The best one that is visible and no higher, or NONE. */
static uint32_t instead_of(const struct view *v, struct instead want)
{
	uint32_t best = NONE;
	for (uint32_t i = 0; i < v->n; i++) { /* ascending: a later candidate is higher */
		struct semver s;
		packument_semver(v->p, i, &s);
		bool kind = (s.pre.n > 0) == want.pre && (want.any_major || s.major == want.was->major);
		if (!kind || !visible(v, i) || semver_cmp(&s, want.was) > 0)
			continue;
		if (best == NONE || !deprecated(v, i) || deprecated(v, best))
			best = i;
	}
	return best;
}

/* The version under TAG; one that is too young gives way to the best older one of its kind and major. `latest` takes a
 * prerelease of that major sooner than another major (pnpm 12.8.2). */
static uint32_t tagged(const struct view *v, str tag)
{
	uint32_t at = packument_tag(v->p, tag);
	if (at == NONE || visible(v, at))
		return at;
	struct semver was;
	packument_semver(v->p, at, &was);
	bool pre = was.pre.n > 0, latest = str_eq(tag, STR("latest"));
	uint32_t best = instead_of(v, (struct instead){ &was, pre, false });
	if (best == NONE && latest && !pre)
		best = instead_of(v, (struct instead){ &was, true, false });
	if (best == NONE && latest)
		best = instead_of(v, (struct instead){ &was, pre, true });
	return best;
}

/* How many versions are below V; with OR_EQUAL those that are V, too. */
static uint32_t versions_below(struct packument p, uint32_t n, const struct semver *v, bool or_equal)
{
	uint32_t lo = 0, hi = n;
	while (lo < hi) {
		struct semver s;
		uint32_t mid = lo + (hi - lo) / 2;
		packument_semver(p, mid, &s);
		if (semver_cmp(&s, v) < or_equal)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint32_t highest(const struct view *v, bool with_deprecated)
{
	const struct semver *low = NULL, *high = NULL;
	if (v->range)
		range_bounds(v->range, &low, &high, false);
	for (uint32_t i = high ? versions_below(v->p, v->n, high, true) : v->n; i-- > 0;)
		if (visible(v, i) && (with_deprecated || !deprecated(v, i)) && in_range(v, i))
			return i;
	return NONE;
}

struct weighed {
	uint32_t at, weight;
};

static void weigh(const struct view *v, struct weighed *w, uint32_t *n, uint32_t at, uint32_t weight)
{
	bool fresh;
	uint32_t *place = marks_meet(&v->r->weighed, at, &fresh);
	if (!fresh) {
		w[*place].weight += weight;
		return;
	}
	*place = *n;
	w[(*n)++] = (struct weighed){ at, weight };
}

/* Adds the versions that WANT and the range have to W. */
static void weigh_range(const struct view *v, struct weighed *w, uint32_t *n, const struct range *want, uint32_t weight)
{
	const struct semver *low, *high;
	range_bounds(want, &low, &high, false);
	uint32_t from = low ? versions_below(v->p, v->n, low, false) : 0;
	uint32_t to = high ? versions_below(v->p, v->n, high, true) : v->n;
	for (uint32_t i = from; i < to; i++) {
		struct semver s;
		packument_semver(v->p, i, &s);
		if (range_has(want, &s, false) && v->range && range_has(v->range, &s, false) && visible(v, i))
			weigh(v, w, n, i, weight);
	}
}

/* Adds SEL's versions that are in range to W. */
static void weigh_selector(const struct view *v, struct weighed *w, uint32_t *n, const struct selector *sel)
{
	struct run *r = v->r;
	if (sel->kind == SEL_RANGE) {
		const struct range *want = solid_range(r, sel->spec);
		if (want)
			weigh_range(v, w, n, want, sel->weight);
		return;
	}
	uint32_t at = sel->kind == SEL_TAG ? tagged(v, sof(r, sel->spec)) : packument_find(v->p, sof(r, sel->spec));
	if (at != NONE && visible(v, at) && in_range(v, at))
		weigh(v, w, n, at, sel->weight);
}

/* What a manifest, not the lockfile, gives SEL. */
static uint32_t of_manifests(const struct selector *sel)
{
	return sel->weight % PREFER_LOCKED;
}

/* Meets what is preferred already; what only the lockfile prefers still counts as resolved above. */
static void meet_preferred(struct run *r, const struct selectors *s)
{
	bool fresh;
	marks_begin(&r->met);
	for (uint32_t i = 0; s && i < s->n; i++)
		if (of_manifests(&s->p[i]))
			(void)marks_meet(&r->met, s->p[i].spec, &fresh);
}

uint32_t level_find(const struct level *l, atom name)
{
	if (!(l->mask >> (name & 63) & 1))
		return NONE;
	uint32_t i = atom_lower_bound(l->p, l->n, name);
	return i < l->n && l->p[i].k == name ? i : NONE;
}

struct preferences {
	struct weighed *w;
	uint32_t n;
	bool any; /* there were selectors at all */
};

static void extra_add(struct view *v, atom version, bool direct)
{
	bool fresh;
	(void)marks_meet(&v->r->met, version, &fresh);
	if (fresh)
		*arena_add(&v->r->arena, v->extra, v->nextra) = (struct extra){ .version = version };
	for (uint32_t i = v->nextra; direct && i-- > 0;)
		v->extra[i].direct |= v->extra[i].version == version;
}

static void extra_find(struct view *v, const struct reg_spec *spec, const struct pick_opts *o)
{
	bool any = false;
	for (const struct level *l = o->level; l; l = l->up)
		for (uint32_t i = l->shared_only ? NONE : level_find(l, spec->name);
			i < l->n && l->p[i].k == spec->name; i++) {
			if (!any)
				meet_preferred(v->r, o->preferred);
			any = true;
			extra_add(v, l->p[i].v, l->direct);
		}
}

/* Weighs what is preferred. The lockfile decides between what the manifests and the levels above prefer alike, and
 * where nothing that they prefer is in range: a package that moved takes its siblings' versions along, a project's own
 * range those below it. To a version that a manifest names it adds nothing. Source: pnpm 12.21's behaviour. */
static void prefer(
	const struct view *v, struct preferences *out, const struct reg_spec *spec, const struct pick_opts *o)
{
	enum { LOCKED = 1, OTHERS = 2, DIRECT = 4 };
	out->any = v->nextra || (o->preferred && o->preferred->n);
	out->n = 0;
	if (!out->any)
		return;
	marks_begin(&v->r->weighed);
	out->w = xmalloc((v->n + v->nextra + 1) * sizeof(*out->w));
	for (uint32_t i = 0; o->preferred && i < o->preferred->n; i++) {
		struct selector sel = o->preferred->p[i];
		sel.weight = of_manifests(&sel) ? of_manifests(&sel) * OTHERS : LOCKED;
		if (sel.spec != spec->fetch)
			weigh_selector(v, out->w, &out->n, &sel);
	}
	for (uint32_t i = 0; i < v->nextra; i++)
		if (v->extra[i].version != spec->fetch)
			weigh_selector(v, out->w, &out->n,
				&(struct selector){
					v->extra[i].version, SEL_VERSION, v->extra[i].direct ? DIRECT : OTHERS });
}

/* The best of the heaviest group; LATEST wins in its group. */
static uint32_t heaviest(const struct preferences *p, uint32_t latest, bool lowest)
{
	uint32_t weight = 0, best = NONE;
	for (uint32_t i = 0; i < p->n; i++)
		if (p->w[i].weight > weight)
			weight = p->w[i].weight;
	for (uint32_t i = 0; i < p->n; i++) {
		if (p->w[i].weight != weight)
			continue;
		if (!lowest && p->w[i].at == latest)
			return latest;
		if (best == NONE || (lowest ? p->w[i].at < best : p->w[i].at > best))
			best = p->w[i].at;
	}
	return best;
}

static uint32_t pick_highest(const struct view *v, const struct reg_spec *spec, const struct pick_opts *o)
{
	uint32_t latest = tagged(v, STR("latest"));
	struct preferences pref = { 0 };
	prefer(v, &pref, spec, o);
	uint32_t got = pref.n ? heaviest(&pref, latest, false) : NONE;
	free(pref.w);
	if (got != NONE)
		return got;
	if (latest != NONE && (in_range(v, latest) || (v->star && !pref.any)) && !deprecated(v, latest))
		return latest;
	uint32_t live = highest(v, false);
	if (live != NONE)
		return live;
	if (latest != NONE && v->star)
		return latest;
	return highest(v, true);
}

static uint32_t pick_lowest(const struct view *v, const struct reg_spec *spec, const struct pick_opts *o)
{
	struct preferences pref = { 0 };
	prefer(v, &pref, spec, o);
	uint32_t got = pref.n ? heaviest(&pref, NONE, true) : NONE;
	free(pref.w);
	for (uint32_t i = 0; got == NONE && i < v->n; i++)
		if (visible(v, i) && ((v->star && !pref.any) || in_range(v, i)))
			got = i;
	for (uint32_t i = 0; got == NONE && v->star && i < v->n; i++)
		if (visible(v, i))
			got = i;
	return got;
}

static uint32_t pick_from(const struct view *v, const struct reg_spec *spec, const struct pick_opts *o, bool lowest)
{
	uint32_t at;
	switch (spec->type) {
	case SPEC_VERSION:
		at = packument_find(v->p, sof(v->r, spec->fetch));
		return at != NONE && visible(v, at) ? at : NONE;
	case SPEC_TAG:
		return tagged(v, sof(v->r, spec->fetch));
	case SPEC_RANGE:
		return lowest ? pick_lowest(v, spec, o) : pick_highest(v, spec, o);
	}
	return NONE;
}

/* --- without asking --- */

/* Whether P has all the versions of NAME that may be young. */
static bool has_excluded(struct run *r, struct packument p, str name)
{
	struct str_list l = r->set->minimum_release_age_exclude;
	for (size_t i = 0; i < l.n; i++) {
		str of, versions, version;
		name_split(l.p[i], &of, &versions);
		while (str_eq(of, name) && versions.n) {
			size_t at = str_find_str(versions, STR("||"), 0);
			version = str_trim(at == SIZE_MAX ? versions : str_head(versions, at));
			versions = at == SIZE_MAX ? STR_NONE : str_from(versions, at + 2);
			if (packument_find(p, version) == NONE)
				return false;
		}
	}
	return true;
}

/* Whether a version that P doesn't have, or a tag that moved, could win: not against one that the lockfile or the
 * levels above have, where all that is preferred are versions that P has and one outweighs the others. */
static bool outweighed(struct view *v, const struct reg_spec *spec, const struct pick_opts *o)
{
	struct run *r = v->r;
	struct preferences pref = { 0 };
	uint32_t weight = 0, n = 0;
	v->range = atom_range(&r->t, spec->fetch);
	extra_find(v, spec, o);
	for (uint32_t i = 0; v->range && i < (o->preferred ? o->preferred->n : 0) + v->nextra; i++) {
		bool extra = !o->preferred || i >= o->preferred->n;
		atom x = extra ? v->extra[i - (o->preferred ? o->preferred->n : 0)].version : o->preferred->p[i].spec;
		if (x == spec->fetch)
			continue;
		if (!extra && o->preferred->p[i].kind != SEL_VERSION)
			return false;
		const struct semver *sv = atom_semver(&r->t, x);
		if (sv && range_has(v->range, sv, false) && packument_find(v->p, sof(r, x)) == NONE)
			return false;
	}
	prefer(v, &pref, spec, o);
	for (uint32_t i = 0; i < pref.n; i++) {
		n = pref.w[i].weight > weight ? 1 : n + (pref.w[i].weight == weight);
		weight = pref.w[i].weight > weight ? pref.w[i].weight : weight;
	}
	free(pref.w);
	return n == 1;
}

bool pick_kept(
	struct run *r, struct packument p, int64_t checked_ms, const struct reg_spec *spec, const struct pick_opts *o)
{
	struct view v = { .r = r, .p = p, .n = packument_nversions(p), .name = sof(r, spec->name) };
	bool whole = false, young;
	if (r->time_based || r->set->trust_policy != TRUST_OFF)
		return false;
	if (spec->type == SPEC_VERSION)
		return packument_find(p, sof(r, spec->fetch)) != NONE;
	if (o->cutoff)
		age_excluded(r, v.name, STR_NONE, &whole);
	if (o->cutoff && !whole)
		return checked_ms >= o->cutoff && checked_ms <= r->io->now_ms && has_excluded(r, p, v.name) &&
		       pick_version(r, p, spec, o, &young) != NONE;
	return spec->type == SPEC_RANGE && !o->lowest && outweighed(&v, spec, o);
}

/* Apart from what the levels above resolved, a choice depends on nothing but this: it is made once. The preferred
 * versions of a name stay the same as long as a walk lasts. */
struct pick_memo {
	const uint8_t *packument; /* NULL: free */
	const struct selectors *preferred;
	int64_t cutoff;
	atom fetch;
	uint32_t flags, at;
	bool young;
};

static bool memo_taken(const void *row)
{
	return ((const struct pick_memo *)row)->packument;
}

static uint64_t memo_hash(const void *row)
{
	const struct pick_memo *m = row;
	return (uint64_t)(uintptr_t)m->packument * 0x9E3779B97F4A7C15u ^ m->fetch * 0xC2B2AE3D27D4EB4Fu;
}

static bool memo_same(const void *row, const void *key)
{
	const struct pick_memo *a = row, *b = key;
	return a->packument == b->packument && a->fetch == b->fetch && a->preferred == b->preferred &&
	       a->flags == b->flags && a->cutoff == b->cutoff;
}

static const struct rows_kind memo_kind = { sizeof(struct pick_memo), 4096, memo_taken, memo_hash, memo_same };

static uint32_t pick_new(struct view *v, const struct reg_spec *spec, const struct pick_opts *o, bool *young)
{
	bool whole = false;
	*young = false;
	if (spec->type == SPEC_RANGE) {
		v->range = atom_range(&v->r->t, spec->fetch);
		v->star = str_eq(sof(v->r, spec->fetch), STR("*"));
	}
	if (o->cutoff)
		age_excluded(v->r, v->name, STR_NONE, &whole);
	if (o->cutoff && !whole && packument_has_time(v->p))
		v->cutoff = o->cutoff;
	v->trust = v->r->set->trust_policy != TRUST_OFF && !o->untrusted;
	uint32_t at = pick_from(v, spec, o, o->lowest);
	if (at == NONE && v->cutoff) {
		v->cutoff = 0;
		at = pick_from(v, spec, o, true);
		*young = at != NONE;
	}
	return at;
}

uint32_t pick_version(
	struct run *r, struct packument p, const struct reg_spec *spec, const struct pick_opts *o, bool *young)
{
	struct view v = { .r = r, .p = p, .n = packument_nversions(p), .name = sof(r, spec->name) };
	extra_find(&v, spec, o);
	if (v.nextra)
		return pick_new(&v, spec, o, young);
	struct pick_memo key = { p.p, o->preferred, o->cutoff, spec->fetch,
		(uint32_t)spec->type << 2 | (uint32_t)o->untrusted << 1 | (uint32_t)o->lowest, 0, false };
	bool fresh;
	struct pick_memo *m = rows_slot(&r->pick, &memo_kind, &key, &fresh, &r->arena);
	if (fresh)
		m->at = pick_new(&v, spec, o, &m->young);
	*young = m->young;
	return m->at;
}
