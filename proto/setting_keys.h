/* setting_keys — the table of pnpm's settings: what each key is called, how its value is read and where it goes.
 *
 * Private to workspace_yaml. Pure, static; callable from any thread. Source: pnpm 12. */
#pragma once
#include "setting_value.h"
#include <stddef.h>

typedef int setting_set(struct setting_ctx *c, const struct yaml_node *n);

/* What a key is. BOOL to ENUM are stored at an offset in struct workspace_yaml. */
enum setting_shape {
	KIND_BOOL,
	KIND_U32,
	KIND_U64,
	KIND_STR,
	KIND_LIST,
	KIND_MAP,
	KIND_ENUM,   /* one of NAMES, as its place among them */
	KIND_CALL,   /* a function of its own */
	KIND_OTHER,  /* pnpm knows it, an install does not depend on it */
	KIND_REFUSE, /* changes the result and is not implemented: only OK (its default) passes; NULL: nothing does */
};
struct setting_key {
	const char *name;
	enum setting_shape kind;
	size_t at;
	const char *const *names; /* up to a NULL */
	setting_set *set;
	const char *ok, *fix; /* of KIND_REFUSE: FIX is what the user can do instead */
	bool tree;            /* of KIND_REFUSE: the lockfile does not depend on it */
};

/* NAME in camelCase; NULL: not known. */
const struct setting_key *setting_key_find(str name);
/* Whether the machine's config.yaml may hold K, too. */
bool setting_key_machine(const struct setting_key *k);
/* The table's row I, or NULL behind its end. */
const struct setting_key *setting_key_at(size_t i);
