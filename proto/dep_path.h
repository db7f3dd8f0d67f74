/* dep_path — the names by which a lockfile and a virtual store know a package.
 *
 * A dep path is `name@version(patch_hash=…)(peer@v)…`; without what is in
 * parentheses it is a package id. A ref is how a dependency map spells it
 * next to an alias: the dep path without `name@` where alias and name agree.
 * Source: pnpm lockfile v9. Pure; slices borrow. */
#pragma once
#include "base/base.h"

#define DEP_PATH_INSIDE "<root>/" /* in front of a link's path that starts in the package itself */

/* Splits into name, version ("1.0.0", "file:lib", "https://…") and suffix ("(peer@v)…" with a patch hash in
 * front, or empty). Without an "@" after the first character all is name and VERSION is absent. */
void dep_path_split(str dep_path, str *name, str *version, str *suffix);
/* The next peer in *SUFFIX, nested ones in order, into *PEER: "name@version", or a hash without "@" that stands for
 * many; *SUFFIX is what follows. A patch hash is none. False at the end. */
bool dep_path_peer(str *peer, str *suffix);
/* The key under `packages:`: without patch hash and peers. */
str dep_path_package_key(str dep_path);
/* What REF under ALIAS means as dep path, in A when it must be built; absent for link: refs. */
str dep_path_from_ref(str alias, str ref, struct arena *a);
/* Where inside its own package REF, which a snapshot has, leads: "lib" of "link:<root>/lib"; absent for all others. */
str dep_path_inside(str ref);
/* The other way of dep_path_from_ref(); borrows DEP_PATH. */
str dep_path_to_ref(str dep_path, str alias);
/* Directory name under node_modules/.pnpm, in A with a NUL behind it. MAX_LEN is virtualStoreDirMaxLength (120). */
str dep_path_filename(str dep_path, size_t max_len, struct arena *a);
