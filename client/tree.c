#include "tree.h"
#include <stdlib.h>

#include "dep_path.h"
#include "lock_walk.h"
#include "name.h"

void tree_init(struct tree *t)
{
	*t = (struct tree){ .arena = ARENA_INIT(256 * 1024), .max_dir = 120 };
}

void tree_release(struct tree *t)
{
	for (size_t i = 0; i < t->npackages; i++) {
		if (t->package[i]->owned)
			free((void *)(uintptr_t)t->package[i]->rec.p);
	}
	free(t->package);
	free(t->slot);
	free(t->importer);
	map_release(&t->by_path);
	arena_release(&t->arena);
}

static str package_key(const struct tree *t, const struct frame_package *f, struct arena *a)
{
	(void)t;
	if (f->meta.resolution.integrity.n)
		return f->meta.resolution.integrity;
	if (f->url.n)
		return f->url;
	if (f->meta.resolution.kind == LOCK_RES_GIT)
		return arena_printf(a, "git:" STR_FMT "#" STR_FMT, STR_ARG(f->meta.resolution.repo),
			STR_ARG(f->meta.resolution.commit));
	return STR_NONE;
}

int tree_add_package(struct tree_package **out, struct tree *t, const struct frame_package *f, struct err *e)
{
	if (f->id != t->npackages)
		return err_set(e, ERR_PROTOCOL, "plan: package %u where %zu was to come", f->id, t->npackages);
	if (!name_valid(f->name))
		return err_set(e, ERR_PROTOCOL, "plan: \"" STR_FMT "\" is no package name", STR_ARG(f->name));
	if (t->npackages == t->package_cap)
		t->package = vec_grow(t->package, &t->package_cap, sizeof(struct tree_package *));
	struct tree_package *p = arena_new(&t->arena, struct tree_package, 1);
	p->f = f;
	p->key = package_key(t, f, &t->arena);
	t->package[t->npackages++] = p;
	*out = p;
	return 0;
}

int tree_add_slot(struct slot **out, struct tree *t, const struct frame_slot *f, struct err *e)
{
	if (f->id != t->nslots || f->package >= t->npackages)
		return err_set(e, ERR_PROTOCOL, "plan: slot %u of package %u where slot %zu was to come", f->id,
			f->package, t->nslots);
	bool fresh;
	map_add(&t->by_path, f->snap.key, f->id, &fresh);
	if (!fresh)
		return err_set(e, ERR_PROTOCOL, "plan: two slots are called " STR_FMT, STR_ARG(f->snap.key));
	if (t->nslots == t->slot_cap)
		t->slot = vec_grow(t->slot, &t->slot_cap, sizeof(struct slot *));
	struct slot *s = arena_new(&t->arena, struct slot, 1);
	s->id = f->id;
	s->snap = &f->snap;
	s->package = t->package[f->package];
	s->name = s->package->f->name;
	/* dep_path_filename() may return a slice that has no NUL behind it */
	s->dir = arena_str(&t->arena, dep_path_filename(f->snap.key, t->max_dir, &t->arena)).p;
	if (strchr(s->dir, '/') || s->dir[0] == '.' || !s->dir[0])
		return err_set(
			e, ERR_PROTOCOL, "plan: \"" STR_FMT "\" cannot be the name of a folder", STR_ARG(f->snap.key));
	s->flat = s->dir;
	s->state = f->skip ? SLOT_SKIPPED : SLOT_WAITING;
	s->next = s->package->slots;
	s->package->slots = s;
	t->slot[t->nslots++] = s;
	*out = s;
	return 0;
}

size_t tree_used(const struct tree *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->npackages; i++)
		n += t->package[i]->slots != NULL;
	return n;
}

void tree_add_importer(struct tree *t, const struct frame_importer *f)
{
	if (t->nimporters == t->importer_cap)
		t->importer = vec_grow(t->importer, &t->importer_cap, sizeof(struct lock_importer *));
	t->importer[t->nimporters++] = &f->importer;
}

void tree_package_ready(struct tree *t, struct tree_package *p)
{
	p->flags = pkg_flags(p->rec);
	p->nbins = pkg_nbins(p->rec);
	p->work = pkg_nfiles(p->rec) + 3u * pkg_ndirs(p->rec);
	p->bin = arena_new(&t->arena, struct pkg_bin, p->nbins);
	for (uint32_t i = 0; i < p->nbins; i++) {
		struct pkg_bin b = pkg_bin(p->rec, i);
		p->bin[i] = (struct pkg_bin){ arena_str(&t->arena, b.command), arena_str(&t->arena, b.path) };
	}
}

struct slot *tree_slot(const struct tree *t, str dep_path)
{
	uint32_t id = map_get(&t->by_path, dep_path);

	return id == MAP_NONE ? NULL : t->slot[id];
}

bool tree_edge(struct tree_edge *out, const struct tree *t, str alias, str ref, struct arena *scratch)
{
	*out = (struct tree_edge){ .alias = alias };
	if (str_starts(ref, STR("link:"))) {
		out->link = str_from(ref, 5);
		return true;
	}
	str path = dep_path_from_ref(alias, ref, scratch);
	out->to = path.n ? tree_slot(t, path) : NULL;
	return out->to != NULL;
}

str tree_dir_of(const struct tree *t, str alias, str ref, str *name, struct arena *a)
{
	str version, suffix;

	if (str_starts(ref, STR("link:")))
		return STR_NONE;
	str path = dep_path_from_ref(alias, ref, a);
	if (!path.n)
		return STR_NONE;
	if (t->shared.n) {
		const struct slot *s = tree_slot(t, path);
		if (s)
			*name = s->name;
		return s ? str_of(s->dir) : STR_NONE;
	}
	dep_path_split(path, name, &version, &suffix);
	return dep_path_filename(path, t->max_dir, a);
}

struct reach {
	struct tree *t;
	struct arena a;
	VEC(struct slot *) todo;
};

static void reach(struct reach *r, str alias, str ref)
{
	struct tree_edge edge;

	if (!tree_edge(&edge, r->t, alias, ref, &r->a) || !edge.to || edge.to->reached)
		return;
	edge.to->reached = true;
	*vec_add(&r->todo) = edge.to;
}

void tree_reach(struct tree *t, bool prod, bool dev, bool optional)
{
	const bool on[LOCK_NTYPES] = { [LOCK_PROD] = prod, [LOCK_DEV] = dev, [LOCK_OPTIONAL] = optional };
	struct reach r = { .t = t, .a = ARENA_INIT(64 * 1024) };

	for (size_t i = 0; i < t->nimporters; i++) {
		for (struct lock_walk at = lock_walk(t->importer[i]); lock_next(&at);) {
			if (on[at.group])
				reach(&r, at.d->alias, at.d->ref);
		}
	}
	while (r.todo.n) {
		const struct lock_snapshot *s = r.todo.p[--r.todo.n]->snap;
		for (size_t i = 0; i < s->dependencies.n; i++)
			reach(&r, s->dependencies.p[i].alias, s->dependencies.p[i].ref);
		for (size_t i = 0; optional && i < s->optional_dependencies.n; i++)
			reach(&r, s->optional_dependencies.p[i].alias, s->optional_dependencies.p[i].ref);
	}
	vec_release(&r.todo);
	arena_release(&r.a);
}

bool tree_settle(struct tree *t, struct slot *s, bool all_known)
{
	const struct lock_deps *list[] = { &s->snap->optional_dependencies, &s->snap->dependencies };
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	size_t lists = s->snap->optional || all_known ? 2 : 1, n = 0;
	str *absent = NULL;

	for (size_t k = 0; k < lists; k++) {
		for (size_t i = 0; i < list[k]->n; i++) {
			struct tree_edge edge;
			bool known = tree_edge(&edge, t, list[k]->p[i].alias, list[k]->p[i].ref, &a);
			if (!known && !all_known)
				return false;
			if (known && (!edge.to || edge.to->state != SLOT_SKIPPED))
				continue;
			if (!absent)
				absent = arena_new(&t->arena, str, list[0]->n + list[1]->n);
			absent[n++] = list[k]->p[i].alias;
		}
	}
	s->absent = (struct str_list){ absent, n };
	return true;
}
