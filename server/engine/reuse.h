/* reuse — what the lockfile that exists already answers.
 *
 * An edge whose locked version still satisfies its specifier, and below which
 * everything is locked, is taken over without asking the registry; its children
 * come from the snapshot. An edge that must be resolved anew still keeps its locked
 * version where that satisfies the range. */
#pragma once
#include "resolve.h"

/* The versions in the prior lockfile are preferred from now on. */
void reuse_prefer(struct run *r);
/* What each project's manifest changed against the prior lockfile. Where one asks for a version that the lockfile
 * doesn't have, the peers of all on that name are chosen anew; which of the peers whose range changed stay. */
void reuse_init(struct run *r);
/* Asks for the packuments that the walk will want of what is in the lockfile: all below a dependency that is resolved
 * anew, which depends on mostly the same as before, and what depends on such a one. A guess, and bounded: it costs no
 * more than a few looks at each snapshot. */
void reuse_foresee(struct run *r);
/* The snapshot recorded for IMP's ALIAS, whatever it is now; NONE: none. */
prior reuse_direct_was(struct run *r, const struct importer *imp, atom alias);
/* The version recorded for it, if it is one of NAME; 0: none. */
atom reuse_direct_version(struct run *r, const struct importer *imp, atom alias, atom name);
/* The snapshot recorded for a direct dependency that still satisfies its specifier; NONE: none. */
prior reuse_direct(struct run *r, const struct importer *imp, const struct wanted *w);
/* The same for child ALIAS of snapshot PARENT. */
prior reuse_child(struct run *r, prior parent, atom alias, atom spec);
/* What KEY depends on under ALIAS, or as its peer; NONE: nothing of the lockfile. */
prior reuse_dep(struct run *r, prior key, atom alias);
/* Whether no peer is in KEY's dep path. */
bool reuse_plain(struct run *r, prior key);
/* Whether the package of ID is the one that snapshot KEY recorded. */
bool reuse_landed(struct run *r, prior key, const struct pkg *p);
/* Whether KEY can be taken over with everything below. */
bool reuse_subtree(struct run *r, const struct importer *imp, prior key);
/* Version pinned by KEY, or 0. */
atom reuse_version(struct run *r, prior key);
/* What asks for KEY's version under ALIAS, or 0. */
atom reuse_spec(struct run *r, atom alias, prior key);
/* W's specifier narrowed to that version, under an npm: alias too; 0: there is nothing to narrow. */
atom reuse_pin(struct run *r, const struct wanted *w, prior key);
/* Children to walk for KEY: aliases and their snapshots, sorted; peers that it resolved left out. */
struct reuse_kid {
	atom alias;
	prior key;
	bool optional;
};
/* Of P, which KEY recorded; *OUT lies in the run's arena. Their number. */
uint32_t reuse_kids(struct run *r, prior key, const struct pkg *p, struct reuse_kid **out);
/* Whether some locked package satisfies the wanted registry specifier. */
bool reuse_has_satisfying(struct run *r, const struct wanted *w);
/* The package of snapshot KEY. */
MUST_USE int reuse_package(struct run *r, uint32_t *out, prior key, bool *fresh, struct err *e);
/* What the locked dep paths of IMP's direct dependencies say of peers, of all that there are for a project that the
 * lockfile doesn't know; after its first wave. */
void reuse_lock_peers(struct run *r, struct importer *imp);
