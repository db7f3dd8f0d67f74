/* prefer — which versions of a name a choice prefers.
 *
 * What the lockfile has is marked by 1,000,000 (a choice heeds it last, see pick.h), what a manifest asks for directly
 * by 1,000. A project's tree, and what is hoisted into it for peers, follow the lockfile and its own manifest; which
 * version is hoisted, and peers that a project declares itself, follow every manifest of the workspace. Filled before
 * the walk, read-only from then on. Source: pnpm 12.21 with autoDedupe off. */
#pragma once
#include "graph.h"

/* Weights of selectors; a version that both prefer has their sum. */
enum { PREFER_DIRECT = 1000, PREFER_LOCKED = 1000000 };

/* Of the lockfile and of all importers; NULL: nothing is preferred. Lives as long as the run. */
const struct selectors *preferred_of(struct run *r, atom name);
/* Of the lockfile and of IMP alone. */
const struct selectors *preferred_for(struct run *r, const struct importer *imp, atom name);
/* For the choice of W, a dependency of IMP or of a package below it, whose package is NAME: a peer that IMP declares
 * itself follows all importers, and what the lockfile has for it there counts as not locked, also where others have it.
 * Source: pnpm 12.21's behaviour. */
const struct selectors *preferred_to_choose(
	struct run *r, const struct importer *imp, const struct wanted *w, atom name);
/* Whether IMP's own manifest prefers VERSION of NAME; *EXACT: it says that very version. */
bool preferred_own(struct run *r, const struct importer *imp, atom name, atom version, bool *exact);
/* IMP asks for NAME directly. */
void preferred_direct(struct run *r, struct importer *imp, atom name, atom spec, enum selector_kind kind);
/* The lockfile has VERSION of NAME; a second time is ignored. */
void preferred_locked(struct run *r, atom name, atom version);
/* All that it has is told, once: projects prefer it, too. */
void preferred_locked_end(struct run *r);
void preferred_release(struct run *r);
