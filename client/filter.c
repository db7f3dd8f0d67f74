#include "filter.h"
#include <stdlib.h>

#include "base/vec.h"
#include "match.h"
#include "project_local.h"
#include "project_names.h"
#include "semver.h"

enum { SELECTORS_MAX = 1000, PROJECTS_MAX = 10000 };

/* ---- reading a selector ---- */

/* "!...^name{dir}[ref]^...", each part optional. Strings borrow from the text. */
struct selector {
	bool exclude, exclude_self, dependencies, dependents;
	str name, dir, since; /* dir: absolute, may have wildcards */
};

/* "{dir}", "[ref]" or nothing at the end of *S: its inside. False when there is an opening only. */
static bool take_group(str *s, char open, char close, str *inside)
{
	*inside = STR_NONE;
	if (!s->n || s->p[s->n - 1] != close)
		return true;
	size_t at = s->n;
	while (at > 0 && s->p[at - 1] != open)
		at--;
	if (at == 0 || at >= s->n - 1)
		return false;
	*inside = (str){ s->p + at, s->n - 1 - at };
	*s = str_head(*s, at - 1);
	return true;
}

static bool is_location(str s)
{
	return str_eq(s, STR(".")) || str_eq(s, STR("..")) || str_starts(s, STR("./")) || str_starts(s, STR("../"));
}

/* Folders in TEXT are seen from BASE. ERR_USAGE when it names nothing. */
static int selector_parse(struct selector *out, str text, str base, struct arena *a, struct err *e)
{
	struct selector s = { 0 };
	str rest = text, dir;

	s.exclude = str_starts(rest, STR("!"));
	if (s.exclude)
		rest = str_from(rest, 1);
	s.dependencies = str_ends(rest, STR("..."));
	if (s.dependencies) {
		rest = str_head(rest, rest.n - 3);
		s.exclude_self = str_ends(rest, STR("^"));
		rest = str_head(rest, rest.n - s.exclude_self);
	}
	s.dependents = str_starts(rest, STR("..."));
	if (s.dependents) {
		rest = str_from(rest, 3);
		bool self = str_starts(rest, STR("^"));
		rest = str_from(rest, self);
		s.exclude_self |= self;
	}
	bool whole = take_group(&rest, '[', ']', &s.since) && take_group(&rest, '{', '}', &dir);
	if (!whole || str_find(rest, '{', 0) != SIZE_MAX || str_find(rest, '[', 0) != SIZE_MAX)
		return err_set(e, ERR_USAGE,
			"--filter \"" STR_FMT
			"\": expected name, {folder} and [commit] in this order, with closed brackets",
			STR_ARG(text));
	if (is_location(rest)) {
		if (dir.n || s.since.n)
			return err_set(e, ERR_USAGE, "--filter \"" STR_FMT "\": a folder beside others goes into {}",
				STR_ARG(text));
		dir = rest;
		rest = STR_NONE;
	}
	if (dir.n)
		s.dir = path_join(a, base, dir);
	s.name = rest;
	if (!s.name.n && !s.dir.n && !s.since.n)
		return err_set(
			e, ERR_USAGE, "--filter \"" STR_FMT "\" names no project, folder or commit", STR_ARG(text));
	*out = s;
	return 0;
}

/* ---- who depends on whom ---- */

/* For each project others, ascending and each once: those of I are to[from[i]] up to to[from[i + 1]]. */
struct lists {
	uint32_t *from, *to;
};
struct graph {
	const struct project *p;
	struct arena *a;
	size_t n;
	struct project_names names;
	struct map by_dir;
	VEC(uint64_t) edge; /* as they are found: dependent << 32 | what it depends on */
	struct lists dependencies, dependents;
};

static void graph_release(struct graph *g)
{
	project_names_release(&g->names);
	map_release(&g->by_dir);
	vec_release(&g->edge);
}

static bool is_path(str s)
{
	return is_location(s) || str_starts(s, STR("/"));
}

static size_t importer_by_dir(const struct graph *g, str dir)
{
	uint32_t i = map_get(&g->by_dir, dir);

	return i == MAP_NONE ? SIZE_MAX : i;
}

static str version_of(const struct request_importer *im)
{
	return im->manifest.version.n ? im->manifest.version : STR("0.0.0");
}

/* "1.0.0-x" in RANGE itself: only then may it mean a prerelease. */
static bool range_names_prerelease(str range)
{
	for (size_t i = 1; i < range.n; i++) {
		if (range.p[i] == '-' && range.p[i - 1] >= '0' && range.p[i - 1] <= '9')
			return true;
	}
	return false;
}

/* The highest of the projects called NAME that RANGE takes. */
static size_t importer_by_range(const struct graph *g, str name, str range)
{
	bool any = !range.n || str_eq(range, STR("*")) || str_eq(range, STR("^")) || str_eq(range, STR("~"));
	const struct range *r = any ? NULL : range_parse(range, true, g->a);
	bool pre = any || range_names_prerelease(range);
	struct semver v, best = { 0 };
	size_t found = SIZE_MAX;

	for (uint32_t i = project_named(&g->names, name); i != MAP_NONE; i = g->names.next[i]) {
		if (!semver_parse(&v, version_of(&g->p->req.importer[i]), true))
			continue;
		bool fits = any || (r && range_has(r, &v, false) && (!v.pre.n || pre));
		if (fits && (found == SIZE_MAX || semver_cmp(&v, &best) > 0)) {
			found = i;
			best = v;
		}
	}
	return found;
}

/* Which project SPEC of importer FROM means, or SIZE_MAX. */
static size_t edge_target(const struct graph *g, size_t from, str name, str spec)
{
	const struct settings *s = &g->p->req.settings;
	bool ws = str_starts(spec, STR("workspace:"));
	str rest = ws ? str_from(spec, 10) : spec;

	if (!ws && (str_starts(rest, STR("file:")) || str_starts(rest, STR("link:"))))
		return importer_by_dir(g, path_join(g->a, g->p->importer[from].dir, str_from(rest, 5)));
	if (is_path(rest))
		return importer_by_dir(g, path_join(g->a, g->p->importer[from].dir, rest));
	if (ws) { /* workspace:alias@range */
		size_t at = rest.n ? str_find(rest, '@', 1) : SIZE_MAX;
		if (at != SIZE_MAX) {
			name = str_head(rest, at);
			rest = str_from(rest, at + 1);
		}
	} else if (!s->link_workspace_packages && !s->link_workspace_packages_deep) {
		return SIZE_MAX;
	}
	return importer_by_range(g, name, rest);
}

static void graph_add(struct graph *g, size_t from, struct str_map deps, const struct str_map *over, size_t nover)
{
	for (size_t i = 0; i < deps.n; i++) {
		bool hidden = false;
		for (size_t k = 0; k < nover; k++)
			hidden |= str_map_get(over[k], deps.p[i].k) != NULL;
		size_t to = hidden ? SIZE_MAX : edge_target(g, from, deps.p[i].k, deps.p[i].v);
		if (to != SIZE_MAX)
			*vec_add(&g->edge) = (uint64_t)from << 32 | to;
	}
}

static int edge_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The edges, which are in order and each there once, as lists by the end that is SHIFT bits up. */
static struct lists lists_of(const struct graph *g, unsigned shift)
{
	struct lists l = { arena_new(g->a, uint32_t, g->n + 2), arena_new(g->a, uint32_t, g->edge.n + 1) };

	for (size_t i = 0; i < g->edge.n; i++)
		l.from[(uint32_t)(g->edge.p[i] >> shift) + 2]++;
	for (size_t i = 2; i < g->n + 2; i++)
		l.from[i] += l.from[i - 1];
	for (size_t i = 0; i < g->edge.n; i++) /* from[x + 1] is where the next one of X goes, and x's end at last */
		l.to[l.from[(uint32_t)(g->edge.p[i] >> shift) + 1]++] = (uint32_t)(g->edge.p[i] >> (32 - shift));
	return l;
}

/* A name in several groups counts as dependencies have it, then optional ones, then devDependencies. */
static struct graph graph_make(const struct project *p, bool prod_only, struct arena *a)
{
	struct graph g = { .p = p, .a = a, .n = p->req.nimporters };
	size_t n = 0;

	project_names_init(&g.names, &p->req, a);
	for (size_t i = 0; i < g.n; i++)
		map_add(&g.by_dir, p->importer[i].dir, (uint32_t)i, NULL);
	for (size_t i = 0; i < g.n; i++) {
		const struct manifest *m = &p->req.importer[i].manifest;
		const struct str_map groups[] = { m->dependencies, m->optional_dependencies, m->dev_dependencies };
		for (size_t k = 0; k < (prod_only ? 2u : 3u); k++)
			graph_add(&g, i, groups[k], groups, k);
	}
	if (g.edge.n)
		qsort(g.edge.p, g.edge.n, sizeof(*g.edge.p), edge_order);
	for (size_t i = 0; i < g.edge.n; i++)
		if (!n || g.edge.p[n - 1] != g.edge.p[i])
			g.edge.p[n++] = g.edge.p[i];
	g.edge.n = n;
	g.dependencies = lists_of(&g, 32);
	g.dependents = lists_of(&g, 0);
	return g;
}

/* ---- matching ---- */

static bool dir_glob(str pattern, str dir);

/* REST stands behind a double star: whether it matches DIR, or what is left of that below any of its folders. */
static bool glob_below(str rest, str dir)
{
	str head;

	do {
		if (dir_glob(rest, dir))
			return true;
	} while (str_cut(dir, '/', &head, &dir));
	return false;
}

static bool dir_glob(str pattern, str dir)
{
	str segment, rest, head, tail;
	bool more = str_cut(pattern, '/', &segment, &rest);

	if (str_eq(segment, STR("**")))
		return !more || glob_below(rest, dir);
	bool deeper = str_cut(dir, '/', &head, &tail);
	if (!match_one(segment, head))
		return false;
	if (more != deeper) /* "a" matches a double star after "a/" with nothing left, too */
		return more && str_eq(rest, STR("**"));
	return !more || dir_glob(rest, tail);
}

/* The project that holds DIR: the nearest upwards. */
static size_t importer_above(const struct graph *g, str dir)
{
	size_t best = SIZE_MAX, most = 0;

	for (size_t i = 0; i < g->n; i++) {
		str d = g->p->importer[i].dir;
		bool inside = str_starts(dir, d) && (dir.n == d.n || dir.p[d.n] == '/');
		if (inside && (best == SIZE_MAX || d.n > most)) {
			best = i;
			most = d.n;
		}
	}
	return best;
}

static void match_names(const struct graph *g, str pattern, bool *entry)
{
	size_t found = 0, scoped = 0;

	for (size_t i = 0; i < g->n; i++)
		found += entry[i] && match_one(pattern, g->p->req.importer[i].manifest.name);
	bool other = !found && !str_starts(pattern, STR("@")) && str_find(pattern, '/', 0) == SIZE_MAX;
	str wide = other ? arena_printf(g->a, "@*/" STR_FMT, STR_ARG(pattern)) : pattern;
	for (size_t i = 0; i < g->n; i++) {
		entry[i] = entry[i] && g->p->req.importer[i].manifest.name.n &&
			   match_one(wide, g->p->req.importer[i].manifest.name);
		scoped += entry[i];
	}
	if (other && scoped != 1) /* a name without its scope must mean one project */
		memset(entry, 0, g->n);
}

/* The projects that S names itself. */
static int match_entries(const struct graph *g, const struct selector *s, bool *entry, struct err *e)
{
	memset(entry, 1, g->n);
	if (s->since.n) {
		struct str_list dirs;
		if (filter_changed_dirs(&dirs, s->dir.n ? s->dir : g->p->root, s->since, g->a, e) < 0)
			return e->code;
		memset(entry, 0, g->n);
		for (size_t i = 0; i < dirs.n; i++) {
			size_t at = importer_above(g, dirs.p[i]);
			if (at != SIZE_MAX)
				entry[at] = true;
		}
	} else if (s->dir.n) {
		for (size_t i = 0; i < g->n; i++)
			entry[i] = dir_glob(s->dir, g->p->importer[i].dir);
	}
	if (s->name.n)
		match_names(g, s->name, entry);
	return 0;
}

/* Adds to SEEN what is reached from FROM, which is itself in it only when SELF, or when something leads back to it. */
static void walk(const struct graph *g, const bool *from, bool reverse, bool self, bool *seen)
{
	const struct lists *l = reverse ? &g->dependents : &g->dependencies;
	size_t *todo = arena_new(g->a, size_t, g->n + 1), n = 0;

	for (size_t i = 0; i < g->n; i++) {
		if (!from[i] || seen[i])
			continue;
		seen[i] = self;
		todo[n++] = i;
		while (n) {
			size_t at = todo[--n];
			for (uint32_t k = l->from[at]; k < l->from[at + 1]; k++) {
				if (seen[l->to[k]])
					continue;
				seen[l->to[k]] = true;
				todo[n++] = l->to[k];
			}
		}
	}
}

static int select_one(const struct graph *g, const struct selector *s, bool *out, struct err *e)
{
	bool *entry = arena_new(g->a, bool, g->n + 1), *up = arena_new(g->a, bool, g->n + 1);

	if (match_entries(g, s, entry, e) < 0)
		return e->code;
	if (!s->dependencies && !s->dependents) {
		for (size_t i = 0; i < g->n; i++)
			out[i] |= entry[i];
		return 0;
	}
	memset(up, 0, g->n);
	if (s->dependents)
		walk(g, entry, true, !s->exclude_self, up);
	bool *down = arena_new(g->a, bool, g->n + 1);
	memset(down, 0, g->n);
	if (s->dependencies)
		walk(g, entry, false, !s->exclude_self, down);
	for (size_t i = 0; i < g->n; i++)
		out[i] |= up[i] | down[i];
	if (s->dependencies && s->dependents) { /* and what the dependents need */
		memset(down, 0, g->n);
		walk(g, up, false, false, down);
		for (size_t i = 0; i < g->n; i++)
			out[i] |= down[i];
	}
	return 0;
}

/* What the selectors without "!" take (all, when there are none), less what the others take. */
static int select_all(const struct graph *g, struct str_list texts, bool root, str base, bool *out, struct err *e)
{
	bool *take = arena_new(g->a, bool, g->n + 1), *leave = arena_new(g->a, bool, g->n + 1);
	bool any = root;

	memset(take, 0, g->n);
	memset(leave, 0, g->n);
	for (size_t i = 0; i < g->n && root; i++)
		take[i] = str_eq(g->p->importer[i].path, STR("."));
	for (size_t i = 0; i < texts.n; i++) {
		struct selector s = { 0 };
		if (selector_parse(&s, texts.p[i], base, g->a, e) < 0 ||
			select_one(g, &s, s.exclude ? leave : take, e) < 0)
			return e->code;
		any |= !s.exclude;
	}
	for (size_t i = 0; i < g->n; i++)
		out[i] |= (!any || take[i]) && !leave[i];
	return 0;
}

/* A project among LEFT that AT depends on, not itself; N: none. */
static size_t next_left(const struct graph *g, const bool *left, size_t at)
{
	const struct lists *l = &g->dependencies;

	for (uint32_t k = l->from[at]; k < l->from[at + 1]; k++)
		if (l->to[k] != at && left[l->to[k]])
			return l->to[k];
	return g->n;
}

/* Each of LEFT depends on another one of them: a circle, by folders. */
static str circle_text(const struct graph *g, const bool *left, size_t at)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < g->n; i++) /* so many steps lead into it */
		at = next_left(g, left, at);
	size_t first = at;
	do {
		buf_printf(&b, "%s" STR_FMT, b.n ? ", " : "", STR_ARG(g->p->importer[at].dir));
		at = next_left(g, left, at);
	} while (at != first);
	return arena_str(g->a, buf_str(&b));
}

str filter_cycle(const struct project *p, const bool *selected, struct arena *a)
{
	AUTO(graph_release) struct graph g = graph_make(p, false, a);
	const struct lists *down = &g.dependencies, *up = &g.dependents;
	bool *left = arena_new(a, bool, g.n + 1);
	size_t *needs = arena_new(a, size_t, g.n + 1), *ready = arena_new(a, size_t, g.n + 1), n = 0;

	for (size_t i = 0; i < g.n; i++)
		left[i] = !selected || selected[i];
	for (size_t i = 0; i < g.n; i++) {
		for (uint32_t k = down->from[i]; left[i] && k < down->from[i + 1]; k++)
			needs[i] += down->to[k] != i && left[down->to[k]];
		if (left[i] && !needs[i])
			ready[n++] = i;
	}
	while (n) { /* one that needs nobody any more goes, and those that need it may follow */
		size_t at = ready[--n];
		left[at] = false;
		for (uint32_t k = up->from[at]; k < up->from[at + 1]; k++)
			if (left[up->to[k]] && --needs[up->to[k]] == 0)
				ready[n++] = up->to[k];
	}
	for (size_t i = 0; i < g.n; i++)
		if (left[i])
			return circle_text(&g, left, i);
	return STR_NONE;
}

int filter_select(
	struct filter_result *out, const struct project *p, const struct filter_opts *o, struct arena *a, struct err *e)
{
	struct filter_result r = { .selected = arena_new(a, bool, p->req.nimporters + 1) };

	if (o->all.n + o->prod.n > SELECTORS_MAX)
		return err_set(e, ERR_TOOBIG, "more than %d filters", SELECTORS_MAX);
	if (p->req.nimporters > PROJECTS_MAX)
		return err_set(e, ERR_TOOBIG, "--filter takes workspaces of up to %d projects", PROJECTS_MAX);
	memset(r.selected, 0, p->req.nimporters);
	if (o->all.n || (o->workspace_root && !o->prod.n)) {
		AUTO(graph_release) struct graph g = graph_make(p, false, a);
		if (select_all(&g, o->all, o->workspace_root && !o->prod.n, o->base, r.selected, e) < 0)
			return e->code;
	}
	if (o->prod.n) {
		AUTO(graph_release) struct graph g = graph_make(p, true, a);
		if (select_all(&g, o->prod, o->workspace_root, o->base, r.selected, e) < 0)
			return e->code;
	}
	for (size_t i = 0; i < p->req.nimporters; i++)
		r.n += r.selected[i];
	*out = r;
	return 0;
}
