/* rewrite_impl — what the files of rewrite share: rewrite.c (moves and overrides),
 * rewrite_catalog.c (what catalogs say). */
#pragma once
#include "base/map.h"
#include "base/vec.h"
#include "rewrite.h"

/* The one locked snapshot that serves a dependency of a move's new version, once it was looked for. */
struct only {
	prior at; /* NONE: there isn't one, or not just one */
	bool asked;
};
/* A package that settings move to another version, or remove. */
struct move {
	str name;
	atom to, from;             /* exact versions; TO 0: it is removed; FROM 0: whichever is locked */
	atom parent, parent_range; /* whose dependency; 0: everybody's */
	struct pkg pkg;            /* what the registry has under TO, once something moves there */
	struct only *only;         /* by PKG's dependencies, then its optional ones */
	size_t row;                /* where the copy has it among those that FROM lacks, + 1; 0: it hasn't */
	bool needed, packaged;     /* something moves there; the copy has its package */
};
/* A dependency of a project or snapshot. */
struct edge_at {
	str alias;
	prior to; /* NONE: a link, or not in the lockfile */
};
struct rewrite {
	struct run *r;
	const struct lockfile *from;
	struct lockfile out;
	VEC(struct move) move;
	VEC(struct edge_at) edge;
	struct map names;  /* of the moves, to their place; each has one */
	struct map peers;  /* names that something looks for as its peer */
	uint32_t *move_of; /* by snapshot of FROM: the move that its name has, + 1 */
};

/* Whether VERSION is in SPEC; false unless they are a version and a range. */
bool version_in_range(struct run *r, str version, str spec);

/* Moves what is in x->move; 0: that cannot be expressed. */
MUST_USE int moves_apply(struct rewrite *x, struct err *e);

/* 1: x->out has the catalogs of today; 0: that takes a resolution. PATCHED: packages are, so nothing moves. */
MUST_USE int catalogs_step(struct rewrite *x, bool patched, struct err *e);
