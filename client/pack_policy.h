/* pack_policy — whether package bytes may come from a drayd, and what a pack that is wrong leads to.
 *
 * From the command line, the environment and the project's settings. Pure. */
#pragma once
#include "options.h"
#include "workspace_yaml.h"

struct pack_policy {
	bool registry; /* materialization: registry. No drayd is asked for packs */
	bool stop;     /* a wrong pack ends the install; else that package's tarball is taken */
};
/* --materialization, DRAY_MATERIALIZATION, drayMaterialization: "registry" from one of them is enough, so that a
 * project that insists is not overruled. --bad-pack, DRAY_BAD_PACK, drayBadPack: the same for "stop". ENV_… may be
 * absent. ERR_USAGE names the source. */
MUST_USE int pack_policy_read(struct pack_policy *out, const struct options *o, const struct client_settings *c,
	str env_materialization, str env_bad_pack, struct err *e);
