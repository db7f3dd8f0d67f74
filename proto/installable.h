/* installable — whether a package can be used on a machine: os, cpu, libc, node.
 *
 * The engine leaves out what is optional and cannot, a locked install does the
 * same; with engineStrict what is not optional fails. Pure. Source: pnpm 12.21. */
#pragma once
#include "request.h"

/* What a package says of where it runs. Borrows; an empty list or range takes everything. */
struct runs_on {
	str name;
	struct str_list os, cpu, libc; /* "linux", "!win32"; ["any"] */
	str node;                      /* engines.node */
};
enum installable {
	INSTALLABLE_YES = 0,
	INSTALLABLE_OTHER_PLATFORM,
	INSTALLABLE_OTHER_NODE,
};

/* On HERE, or with supportedArchitectures on one of those ("current" is HERE). A libc or node that HERE doesn't know is
 * not checked. What an OPTIONAL package leaves out of os, cpu and libc is read from its name, as registries strip those
 * fields: "x-linux-musl". A is for the parsed range. */
enum installable installable_on(
	const struct runs_on *p, const struct platform *here, const struct settings *s, bool optional, struct arena *a);
