/* absorb_impl — what the files of absorb share: absorb.c (manifests and the graph),
 * absorb_settings.c (settings and patches). */
#pragma once
#include "absorb.h"
#include "base/map.h"
#include "base/vec.h"

struct absorb {
	const struct lockfile *lf;
	const struct request *req;
	struct arena *a;
	struct lockfile *out;
	struct map projects; /* names of the workspace's projects */
	struct map peers;    /* names of peers that packages look for, optional ones included */
	bool peers_known;    /* PEERS has them */
	/* "name@version" of what edges that are gone led to; "name@" where no version is known */
	struct map severed;
	bool *cut;            /* by snapshot: it is among them */
	struct map repatched; /* "name@version" of packages with another patch, or none, or the first */
	VEC(const struct lock_snapshot *) below;
	bool regraded; /* an edge came into being or moved to or from an optional group */
};
/* One dependency that a manifest declares, in the group that counts. */
struct declared {
	str alias, spec;
	enum lock_dep_type group;
};

/* What M declares, each alias in the group that counts; OUT has room for all. */
size_t declared_of(struct declared *out, const struct manifest *m);
/* D is, or may be, a folder or a project of the workspace. */
bool names_folder(const struct absorb *b, const struct declared *d);
/* Whether it asks for peers, optional ones included. */
bool has_peers(const struct lock_package *p);
/* Whether the package of KEY stands there once, without patch, and neither it nor anything below it looks for peers. */
bool stands_alone(const struct absorb *b, str key);
/* What is cut off here, and all below it, is remembered as a peer suffix would name it: where that was somebody's peer,
 * too, it may find another one now. */
void sever(struct absorb *b, str alias, str ref);

/* ignoredOptionalDependencies has ALIAS. */
bool absorb_ignores(const struct absorb *b, str alias);
/* BASE, which is what B starts from, without the optional dependencies of packages that are ignored now; false where
 * something no longer is, which only a resolver brings back. */
bool ignored_absorb(struct absorb *b, struct lockfile *base);
/* Snapshots of packages whose patch came, went or changed get another key, and what leads to them another ref. */
bool patches_absorb(struct absorb *b);
/* Whether each patch still has a package; who can't tell them apart leaves it to a resolver. */
bool patches_stay(const struct absorb *b);
/* Settings that find nothing to act on are just written down: those for peers, and those for folders. */
bool settings_absorb(struct absorb *b);
