/* env_document — the YAML document before a lockfile in which pnpm records the pnpm that a project pins.
 *
 * pnpm 12 writes it where the root's package.json pins a pnpm by devEngines.packageManager or packageManager and the
 * registry has that version with all its platform packages. Called by command_install.c before an install that may
 * write; not for frozen ones. */
#pragma once
#include "install.h"

/* The specifier as written, and the version to record. */
struct env_pin {
	str spec, version;
};

/* Whether ROOT pins a pnpm that HAVE, the document there is (or empty), doesn't record yet. */
bool env_document_wanted(struct env_pin *out, const struct manifest *root, str have, struct arena *a);
/* The document that O's lockfile is to have, in A: the one it has, or one for the pnpm that is pinned since. Where that
 * one cannot be made, O's user is told and what is there stays. */
str env_document_of(const struct install_opts *o, struct arena *a);
