/* seed — an edge of the walk that has its package and waits for its place in the tree.
 *
 * Internal to the walk (resolve.c). Of all occurrences of a package one owns it: what its children resolve to is
 * recorded for the package, and the others share that. The run's thread only. */
#pragma once
#include "resolve.h"

enum seed_kind { SEED_DROPPED, SEED_DONE, SEED_PENDING };
struct seed {
	enum seed_kind kind;
	bool optional_edge, optional, owns, leaf;
	atom alias;
	uint32_t pkg, node;
	const struct chain *parents, *next;
	const struct atomset *shadow; /* before the claim: its own; after: the one in force */
	int32_t depth;
	prior key;
	struct owner owner;
};

/* Makes S the owner of its package if it comes before the one that is; false otherwise. */
bool seed_claim(struct run *r, struct seed *s, const struct importer *imp);
/* One claim per package and level, by the occurrence whose path sorts first. */
void seeds_claim(struct run *r, const struct importer *imp, struct seed **all, uint32_t n);
/* Gives an occurrence its place in the tree; a shared one keeps its first children and its least depth. */
void seed_settle(struct run *r, const struct seed *s, bool lazy, struct kid *kid, uint32_t nkid);
/* Children of S from the seeds of its edges: records them and settles its node. */
void seed_settle_children(struct run *r, const struct seed *s, const struct seed *kids, uint32_t n);
/* The same where they are recorded already: S takes them over from the owner before it. */
void seed_realise(struct run *r, const struct seed *s, const struct seed *kids, uint32_t n);
