/* lock_walk — what a project depends on in the lockfile, group by group, or what a snapshot does, in one loop.
 *
 *	for (struct lock_walk at = lock_walk(im); lock_next(&at);)
 *		use(at.d, at.group);
 *	for (struct lock_deps_walk at = lock_deps_walk(s); lock_deps_next(&at);)
 *		use(at.d, at.optional);
 *
 * Pure. */
#pragma once
#include "lockfile.h"

struct lock_walk {
	const struct lock_importer *im;
	const struct lock_direct *d;
	int group; /* of D: an enum lock_dep_type */
	size_t n;  /* of the group, how many were given */
};
/* IM may be NULL: it has none. */
static inline struct lock_walk lock_walk(const struct lock_importer *im)
{
	return (struct lock_walk){ .im = im };
}
/* Whether there is one more, which is D then. */
static inline bool lock_next(struct lock_walk *w)
{
	for (; w->im && w->group < LOCK_NTYPES; w->group++, w->n = 0) {
		if (w->n < w->im->deps[w->group].n) {
			w->d = &w->im->deps[w->group].p[w->n++];
			return true;
		}
	}
	return false;
}

struct lock_deps_walk {
	const struct lock_snapshot *s;
	const struct lock_dep *d;
	bool optional; /* D is; those come last */
	size_t n;      /* how many were given */
};
static inline struct lock_deps_walk lock_deps_walk(const struct lock_snapshot *s)
{
	return (struct lock_deps_walk){ .s = s };
}
/* Whether there is one more, which is D then. */
static inline bool lock_deps_next(struct lock_deps_walk *w)
{
	size_t at = w->n++, required = w->s->dependencies.n;

	w->optional = at >= required;
	if (!w->optional)
		w->d = &w->s->dependencies.p[at];
	else if (at - required < w->s->optional_dependencies.n)
		w->d = &w->s->optional_dependencies.p[at - required];
	else
		return false;
	return true;
}
