/* hoist_impl — what the files of hoist share: hoist.c (rounds, required peers), hoist_optional.c (optional ones),
 * hoist_root.c (what the workspace's root depends on), hoist_bucket.c (the versions to choose from). */
#pragma once
#include "hoist.h"
#include "peers.h"

struct root_dep {
	atom alias, name, spec;
};
struct roots {
	struct root_dep *p;
	uint32_t n;
};
struct bucket {
	struct run *r;
	struct selector *p; /* grown as vec.h does; a weight of 1,000,000 or more: only the lockfile has it */
	uint32_t n;
	size_t cap;
};
struct hoist {
	struct run *r;
	struct peers *peers;
	struct roots roots;
	struct bucket bucket; /* of the peer at hand; one after the other */
	bool declined; /* of the optional peer at hand: some version would do, but for the peers that it has in turn */
};
/* What IMP, the root, depends on, and by which specifier; of what it has by a path, the version that
 * lies there. In R's arena. */
struct roots roots_of(struct run *r, const struct importer *imp);

/* The specifier by which the root gives PEER, by its alias, else by its name; 0: it doesn't, or
 * resolvePeersFromWorkspaceRoot is off. */
atom roots_spec(struct run *r, const struct roots *roots, atom peer);

/* What is preferred and what was resolved of NAME, by text. ONLY: by this importer, and what stands at the root; NULL:
 * by all. B is zero or was filled before: its memory is used again. */
void bucket_fill(struct bucket *b, struct run *r, const struct importer *only, atom name);

/* Where peers are not installed for anybody, what only the lockfile has left serves nobody: it is gone (pnpm 12.21). */
void bucket_forget(struct bucket *b);

/* The highest of the bucket's versions in RANGE (NULL: any), by npm's includePrerelease; 0: none. */
atom bucket_best(struct run *r, const struct bucket *b, const struct range *range);
/* The same of those that ARE, with CTX, what is looked for. */
atom bucket_best_of(struct run *r, const struct bucket *b, const struct range *range,
	bool (*are)(const void *ctx, const struct selector *s), const void *ctx);

/* Whether S is a version that this run has resolved, or that a manifest asks for as such: not one
 * that only the lockfile has. */
bool selector_in_run(const struct selector *s);

/* Whether the lockfile has IMP's peers NAME in VERSION. */
bool locked_peer(const struct importer *imp, atom name, atom version);

/* Makes a name known as one that IMP has. */
void alias_add(struct importer *imp, atom a);
/* Whether IMP has A as a direct dependency, declared or hoisted. */
bool has_alias(const struct importer *imp, atom a);

/* Where X is among IMP's optional_missing, or would be. */
uint32_t optional_at(const struct importer *imp, struct kv x);

/* Adds the optional peers that some version in the graph satisfies for all who ask; *HOISTED: there were any. */
MUST_USE int optional_round(struct hoist *h, struct importer *imp, bool *hoisted, struct err *e);
