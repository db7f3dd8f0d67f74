/* first_pick — choices that projects of a workspace share.
 *
 * Projects differ in what they prefer (prefer.h), but pnpm resolves a specifier once for the whole workspace: the first
 * project that asks decides for those after it, as long as the levels above the edge have resolved the same versions of
 * the package. It asks twice, too: ahead, as soon as it knows a package's manifest and before any level counts, and
 * once more when it walks there. Only names that some manifest has can differ between projects; nothing is kept of
 * others. Source: pnpm 12.21, observed; its resolver's cache of wanted dependencies. */
#pragma once
#include "pick.h"

/* What decides about one edge below the first level. */
struct first_key {
	atom alias, spec, above; /* versions of the name in the levels above the edge, as one text */
	int64_t cutoff;
	prior key;
	bool optional, lowest;
};
/* Whether projects can differ about NAME. */
bool first_pick_contested(struct run *r, atom name);
/* Versions of NAME in LEVEL and those above it, sorted, as a text; 0: none. */
atom first_pick_above(struct run *r, const struct level *level, atom name);
/* The version that was chosen, an index into *P; NONE: nobody asked yet. */
uint32_t first_pick_get(struct run *r, const struct first_key *k, struct packument *p, bool *young);
/* VERSION of P is the choice from now on; YOUNG: it is younger than the cutoff. */
void first_pick_put(struct run *r, const struct first_key *k, struct packument p, uint32_t version, bool young);
