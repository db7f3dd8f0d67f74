/* yaml_load — any YAML as a tree, by libyaml: for files that people write.
 *
 * Aliases and merge keys ("<<") are resolved (at most 100,000 nodes in all),
 * duplicate keys refused by name. yaml_tree.h has the node and the faster reader for the lockfile. */
#pragma once
#include "yaml_tree.h"

/* The first document of TEXT; an empty one gives kind NONE. ERR_PARSE "PATH:LINE:COL: …". Strings live in A. */
int yaml_load(struct yaml_node **out, str text, str path, struct arena *a, struct err *e);
