/* verify_impl — what verify.c (the loop, reports) and its two sources of packages share: verify_tree.c (with
 * verify_links.c), verify_store.c. */
#pragma once
#include "fetch.h"
#include "net_opts.h"
#include "tree.h"
#include "verify.h"
#include "verify_folder.h"

/* One place where a package lies. */
struct place {
	str path; /* for people: node_modules/.pnpm/…, or the store's folder */
	bool optional;
	struct differences diff;
	int code; /* negative, with err: it could not be read */
	struct err err;
};
struct verify_package {
	struct job job; /* first */
	struct verify *v;
	struct tree_package t;
	str label; /* name@version */
	struct place *place;
	size_t nplaces;
	struct pkg kept; /* verify_store: the store's record; p NULL: places are folders */
	struct verify_package *next;
};
struct verify_counts {
	uint64_t packages, same, bad, built, patched, absent, unchecked, files, bytes;
};
struct verify {
	const struct verify_opts *o;
	struct arena a;
	struct tree tree;
	struct source *locked; /* NULL: a store is audited */
	struct map spoiled;    /* records whose files are not what they say, reported already */
	struct store *store;   /* while its records are read */
	int root;
	struct shared_slots *shared; /* held against a prune while its slots are read, or NULL */
	str slots;                   /* from the lockfile's folder to where slots lie */
	struct verify_package *first, **last;
	size_t n;
	struct http *http;
	struct registry *registry;
	struct pool *pool;
	struct fetcher *fetcher;
	struct verify_counts counts;
	struct err why; /* of the first package that could not be looked at */
	bool cancelled;
};
/* A package to be looked at; its F is to be filled. */
struct verify_package *verify_add(struct verify *v, const struct frame_package *f, size_t nplaces);
/* What cannot be compared is named and counted. */
void verify_unchecked(struct verify *v, str label, const char *why);
/* Something is there that nobody asked for. */
void verify_extra(struct verify *v, str path, const char *what);

/* Adds what is to be looked at, and says what is found without the registry. */
MUST_USE int verify_tree(struct verify *v, struct err *e);
/* Of a tree that is filled: symlinks that are missing, lead elsewhere, or that nobody asked for. */
void verify_links(struct verify *v);
/* The same of a store: its packages that a registry can be asked for. ERR_NOTFOUND: there is none. */
MUST_USE int verify_store(struct verify *v, struct err *e);
/* What the store's record says against the registry's. */
void verify_records(struct differences *out, struct pkg kept, struct pkg is);
