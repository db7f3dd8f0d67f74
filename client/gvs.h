/* gvs — names of slots in the global virtual store: one folder in the store for all projects that want the same.
 *
 * A slot's name ends in a hash of its closure: its package and the patch on
 * it, the hashes of its dependencies' slots, and, where it may build, the
 * machine and node it builds for, which its dependants inherit. Packages that
 * depend on each other are hashed together, so a name does not depend on where
 * the walk began. What belongs to one project (file: and link: folders) is
 * hashed with that project's path. Pure, over a complete tree. */
#pragma once
#include "request.h"
#include "tree.h"

struct gvs_opts {
	str root;                        /* the lockfile's folder, absolute, without symlinks */
	const struct platform *platform; /* of builds */
	bool extend_node_path;           /* shims inside slots are made with it */
};
/* Names the slots of T that are wanted, whose `absent` and `builds` are known. KEY stands for all of the names. */
void gvs_name(struct tree *t, uint8_t key[32], const struct gvs_opts *o);
