/* plan_frames — what the encoder (plan_enc.c) and the decoder (plan_dec.c) of a plan's frames have in common.
 *
 * Internal to the wire. Pure. */
#pragma once
#include "plan.h"

/* Splits "name@version" behind the scope's "@". */
bool plan_key_split(str key, str *name, str *version);
/* What follows the registry in the URL that npm's registries give a tarball; in A. */
str plan_tarball_tail(struct arena *a, str name, str version);

/* Members that have the same name in the message and in the value. */
#define PACKAGE_LISTS(X) X(cpu) X(os) X(libc) X(bundled) X(peer_optional)
#define PACKAGE_BOOLS(X) X(has_bin) X(prepare) X(requires_build) X(bundle_all) X(libc_scalar)
#define RESOLUTION_STRINGS(X) X(directory) X(repo) X(commit) X(path) X(raw)
#define HEAD_BOOLS(X)                                                                                                  \
	X(auto_install_peers) X(exclude_links_from_lockfile) X(dedupe_peers) X(inject_workspace_packages) X(has_time)
