/* request — what a plan source is asked: the whole input of a resolution except the registry.
 *
 * Built by the client's project stage, run by the embedded engine or sent to
 * drayd (plan_wire.h). Contains no credential. Strings live in the arena of
 * whoever built it. */
#pragma once
#include "lockfile.h"
#include "manifest.h"
#include "settings.h"

/* The machine the tree is for. libc: "glibc", "musl" or empty. */
struct platform {
	str os, cpu, libc; /* node's names: linux, x64 */
	str node_version;  /* without "v"; empty: unknown, engines are not checked */
};

struct request_importer {
	str path; /* from the lockfile's folder; "." for the root */
	struct manifest manifest;
};
/* A folder or tarball outside the registry that a manifest names (file:, link:, injected workspace package), collected
 * by the client with everything that it names in turn, because the engine has no file system. */
struct request_local {
	str path; /* from the lockfile's folder, "/" separated */
	bool is_dir;
	str integrity; /* of a tarball */
	struct manifest manifest;
};

enum request_mode {
	REQUEST_FULL = 0,      /* slots for materialisation and the lockfile */
	REQUEST_LOCKFILE_ONLY, /* no slots are needed */
	REQUEST_VERDICT,       /* no plan: only what the policies say of the lockfile (engine/policy.h) */
};
struct request {
	enum request_mode mode;
	struct settings settings;
	struct platform platform;
	struct request_importer *importer; /* the root first when it has a manifest, then sorted by path */
	size_t nimporters;
	struct request_local *local;
	size_t nlocal;
	const struct lockfile *lockfile; /* what exists, or NULL */
	str lockfile_text;               /* its bytes */
	bool prod, dev, optional;        /* which groups are to be materialised; all true by default */
	bool ignore_scripts;
	/* The lockfile's folder and the user's home; absent unless some specifier's path is absolute or from home. */
	str root, home;
};

/* The importer with PATH, or NULL. R is one that was made here: another process may not have sorted it. */
const struct request_importer *request_importer(const struct request *r, str path);
/* Where PATH, a specifier without its scheme, leads that is written in the folder BASE: from the lockfile's
 * folder, also where it is absolute or starts with "~/". In A. Source: pnpm 12.21. */
str request_path(const struct request *r, str base, str path, struct arena *a);
/* SHA-256 over a canonical form of the settings; the form is specified in docs/protocol.md. */
void settings_digest(uint8_t out[32], const struct settings *s);
