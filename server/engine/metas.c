#include "metas.h"
#include "base/vec.h"
#include "prefer.h"
#include "resolve.h"

#define BATCH 256u
#define MISSING_SHARE 64u /* see metas_look_ahead() */

struct likely {
	atom spec;
	bool full;
	uint32_t next;
};
struct meta_form {
	bool asked, judged, enough; /* judged: whether it says enough is known */
	const struct engine_packument *got;
	struct packument rec; /* got's */
	bool looked, kept_judged, kept_enough, kept_used;
	struct packument kept; /* p == NULL: nothing */
	int64_t kept_ms;       /* when it was confirmed */
};
struct meta_name {
	atom name;
	struct meta_form form[2];
	uint32_t likely; /* specifiers to look ahead from once it is here */
};
struct metas {
	struct run *r;
	VEC(struct meta_name) name;
	uint32_t *of; /* by atom: index + 1 */
	size_t nof;
	VEC(struct likely) likely;
	struct map seen; /* (name, spec) pairs already looked ahead from */
	VEC(uint32_t) todo;
	uint32_t waiting, asked, answered, missed; /* missed: was not there at once */
	uint32_t came[PACKUMENT_FETCHED + 1], failed;
};

struct metas *metas_new(struct run *r)
{
	struct metas *m = xcalloc(1, sizeof(*m));
	m->r = r;
	return m;
}

void metas_free(struct metas *m)
{
	if (!m)
		return;
	vec_release(&m->name);
	vec_release(&m->likely);
	vec_release(&m->todo);
	map_release(&m->seen);
	free(m->of);
	free(m);
}

void metas_count(const struct metas *m, struct frame_done *out)
{
	out->fetched = m->came[PACKUMENT_FETCHED];
	out->revalidated = m->came[PACKUMENT_REVALIDATED];
	out->from_cache = m->came[PACKUMENT_KEPT];
	out->failed = m->failed;
}

static struct meta_name *name_at(struct metas *m, atom name)
{
	m->of = by_atom(m->of, &m->nof, name, sizeof(*m->of));
	if (!m->of[name]) {
		*vec_add(&m->name) = (struct meta_name){ .name = name, .likely = NONE };
		m->of[name] = (uint32_t)m->name.n;
	}
	return &m->name.p[m->of[name] - 1];
}

/* Looked up before anybody is asked, so that what is kept is the same whenever an answer comes. */
static struct meta_form *kept_of(struct metas *m, struct meta_name *n, bool full)
{
	struct meta_form *f = &n->form[full];
	const struct engine_io *io = m->r->io;
	if (f->looked || !io->kept)
		return f;
	f->looked = true;
	str name = sof(m->r, n->name);
	struct packument p;
	if (io->kept(io->ctx, &p, &f->kept_ms, settings_registry(m->r->set, name), name,
		    full ? PACKUMENT_FULL : PACKUMENT_ABBREVIATED))
		f->kept = p;
	return f;
}

static void ask(struct metas *m, struct meta_name *n, bool full)
{
	if (n->form[full].asked)
		return;
	(void)kept_of(m, n, full);
	n->form[full].asked = true;
	m->waiting++;
	m->asked++;
	str name = sof(m->r, n->name);
	m->r->io->want(m->r->io->ctx, m->of[n->name] * 2 - 2 + full, settings_registry(m->r->set, name), name,
		full ? PACKUMENT_FULL : PACKUMENT_ABBREVIATED);
}

/* Whether the short form says enough: without times it must be older than every cutoff. */
static bool short_is_enough(const struct run *r, str name, struct packument p)
{
	bool whole = false;
	if (!r->cutoff || packument_has_time(p))
		return true;
	age_excluded(r, name, STR_NONE, &whole);
	int64_t modified = packument_modified(p);
	return whole || (modified && modified <= r->cutoff);
}

static void arrived(struct metas *m, const uint32_t *ticket, const struct engine_packument **got, int n)
{
	for (int i = 0; i < n; i++) {
		uint32_t at = ticket[i] / 2;
		struct meta_form *f = &m->name.p[at].form[ticket[i] & 1];
		if (f->got)
			continue;
		f->got = got[i];
		f->rec = got[i]->rec;
		if (f->rec.p)
			m->came[got[i]->origin]++;
		else
			m->failed++;
		m->waiting--;
		m->answered++;
		*vec_add(&m->todo) = at;
	}
}

/* Takes what is there without waiting: what the cache had in memory is there as soon as it is asked for. */
static int take(struct metas *m, struct err *e)
{
	uint32_t ticket[BATCH];
	const struct engine_packument *got[BATCH];
	int n;
	while ((n = m->r->io->poll(m->r->io->ctx, ticket, got, BATCH, e)) > 0)
		arrived(m, ticket, got, n);
	return n;
}

static bool wants_full(const struct run *r, bool full)
{
	return full || r->time_based || r->set->trust_policy != TRUST_OFF;
}

enum meta_state metas_get(struct metas *m, atom name, bool full, struct packument *out, const struct err **e)
{
	struct meta_name *n = name_at(m, name);
	full = wants_full(m->r, full);
	for (;;) {
		struct meta_form *f = &n->form[full];
		if (!f->asked) {
			struct err later; /* metas_wait() meets it again */
			ask(m, n, full);
			(void)take(m, &later);
			m->missed += !f->got;
		}
		if (!f->got)
			return META_WAITING;
		if (!f->rec.p) {
			*e = f->got->err;
			return META_FAILED;
		}
		if (!f->judged) {
			f->enough = full || short_is_enough(m->r, sof(m->r, name), f->rec);
			f->judged = true;
		}
		if (f->enough) {
			*out = f->rec;
			return META_HERE;
		}
		full = true;
	}
}

/* What is kept that says enough: the short form, or the full one. */
static struct meta_form *kept_enough(struct metas *m, struct meta_name *n, bool full)
{
	for (;; full = true) {
		struct meta_form *f = kept_of(m, n, full);
		if (!f->kept.p)
			return NULL;
		if (!f->kept_judged)
			f->kept_enough = full || short_is_enough(m->r, sof(m->r, n->name), f->kept);
		f->kept_judged = true;
		if (f->kept_enough)
			return f;
	}
}

enum meta_state metas_get_for(struct metas *m, const struct reg_spec *spec, const struct pick_opts *o, bool full,
	struct packument *out, const struct err **e)
{
	struct meta_name *n = name_at(m, spec->name);
	struct meta_form *f = kept_enough(m, n, wants_full(m->r, full));
	if (!f || !pick_kept(m->r, f->kept, f->kept_ms, spec, o))
		return metas_get(m, spec->name, full, out, e);
	m->came[PACKUMENT_KEPT] += !f->kept_used;
	f->kept_used = true;
	*out = f->kept;
	return META_HERE;
}

/* For what is looked ahead for: what the choice will be made of, as far as it can be known. */
static enum meta_state get_ahead(struct metas *m, const struct importer *imp, const struct reg_spec *s, bool full,
	struct packument *out, const struct err **e)
{
	static const struct importer nobody;
	struct run *r = m->r;
	struct pick_opts o = { .preferred = preferred_for(r, imp ? imp : &nobody, s->name),
		.cutoff = r->subdep_cutoff };
	return metas_get_for(m, s, &o, full, out, e);
}

static bool first_time(struct metas *m, atom name, atom spec, bool full)
{
	uint32_t *key = arena_new(&m->r->arena, uint32_t, 3);
	key[0] = name;
	key[1] = spec;
	key[2] = full;
	bool fresh;
	map_add(&m->seen, (str){ (const char *)key, 3 * sizeof(*key) }, 0, &fresh);
	return fresh;
}

static void look_ahead(struct metas *m, const struct importer *imp, atom name, atom spec, bool full)
{
	struct run *r = m->r;
	struct reg_spec s;
	if (!reg_spec_parse(r, &s, name, spec) || !first_time(m, s.name, s.fetch, full))
		return;
	struct meta_name *n = name_at(m, s.name);
	struct packument p;
	const struct err *e;
	uint32_t at = (uint32_t)(n - m->name.p);
	if (get_ahead(m, imp, &s, full, &p, &e) == META_FAILED)
		return;
	*vec_add(&m->likely) = (struct likely){ s.fetch, full, m->name.p[at].likely };
	m->name.p[at].likely = (uint32_t)m->likely.n - 1;
	*vec_add(&m->todo) = at;
}

/* What the version that SPEC of NAME is likely to be depends on. */
static void look_below(struct metas *m, struct packument p, atom name, atom spec)
{
	static const enum packument_map map[] = { PACKUMENT_DEPS, PACKUMENT_OPTIONAL };
	struct run *r = m->r;
	struct reg_spec s;
	struct pick_opts o = { .cutoff = r->cutoff };
	bool young;
	uint32_t v = reg_spec_parse(r, &s, name, spec) ? pick_version(r, p, &s, &o, &young) : NONE;
	for (size_t k = 0; v != NONE && k < sizeof(map) / sizeof(*map); k++)
		for (uint32_t i = 0; i < packument_map_n(p, v, map[k]); i++) {
			str alias, range;
			packument_map_at(p, v, map[k], i, &alias, &range);
			look_ahead(m, NULL, atom_of(&r->t, alias), atom_of(&r->t, range), map[k] == PACKUMENT_OPTIONAL);
		}
}

/* Follows what is here as far as it goes. */
static void pump(struct metas *m)
{
	while (m->todo.n) {
		struct meta_name *n = &m->name.p[m->todo.p[--m->todo.n]];
		uint32_t next = n->likely, keep = NONE;
		atom name = n->name;
		n->likely = NONE;
		while (next != NONE) {
			uint32_t at = next;
			struct packument p;
			const struct err *e;
			next = m->likely.p[at].next;
			struct reg_spec s;
			if (!reg_spec_parse(m->r, &s, name, m->likely.p[at].spec))
				continue;
			enum meta_state st = get_ahead(m, NULL, &s, m->likely.p[at].full, &p, &e);
			if (st == META_HERE)
				look_below(m, p, name, m->likely.p[at].spec);
			if (st != META_WAITING)
				continue;
			m->likely.p[at].next = keep;
			keep = at;
		}
		for (uint32_t at = keep; at != NONE; at = keep) { /* before what came meanwhile */
			keep = m->likely.p[at].next;
			n = name_at(m, name);
			m->likely.p[at].next = n->likely;
			n->likely = at;
		}
	}
}

bool metas_look_ahead(const struct metas *m)
{
	return m->missed > m->asked / MISSING_SHARE;
}

void metas_speculate(struct metas *m, const struct importer *imp, atom name, atom spec, bool full)
{
	look_ahead(m, imp, name, spec, full);
	if (metas_look_ahead(m))
		pump(m);
}

int metas_wait(struct metas *m, struct err *e)
{
	uint32_t ticket[BATCH];
	const struct engine_packument *got[BATCH];
	uint32_t answered = m->answered;
	if (metas_look_ahead(m))
		pump(m);
	if (m->answered != answered)
		return 0;
	int n = m->r->io->wait(m->r->io->ctx, ticket, got, BATCH, e);
	if (n < 0)
		return n;
	arrived(m, ticket, got, n);
	n = take(m, e);
	if (metas_look_ahead(m))
		pump(m);
	return n;
}

void metas_ask(struct metas *m, const struct importer *imp, atom alias, atom spec, bool full)
{
	struct reg_spec s;
	struct packument p;
	const struct err *e;
	if (reg_spec_parse(m->r, &s, alias, spec) && get_ahead(m, imp, &s, full, &p, &e) == META_WAITING)
		metas_speculate(m, imp, alias, spec, full);
}
