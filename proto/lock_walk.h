/* lock_walk — a project's direct dependencies in the lockfile, group by group, in one loop.
 *
 *	for (struct lock_walk at = lock_walk(im); lock_next(&at);)
 *		use(at.d, at.group);
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
