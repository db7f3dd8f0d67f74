/* npm_rewrite — a packument as this server hands it on: every tarball is asked of this server.
 *
 * Replaces versions.<version>.dist.tarball by BASE/<name>/-/<name>-<version>.tgz, and
 * copies everything else byte for byte. Where a tarball really is stays the server's business
 * (npm_tarball_version() reads the version back). Pure. */
#pragma once
#include "base/base.h"

/* Appends to OUT. BASE with trailing slash. ERR_PARSE: JSON is no object, or broken in its structure;
 * ERR_TOOBIG: nested deeper than 64. */
MUST_USE int npm_rewrite(struct buf *out, str json, str base, str name, struct err *e);
/* The version that FILE ("x-1.0.0.tgz", decoded) has for package NAME; false when it is another package's. */
bool npm_tarball_version(str *version, str name, str file);
/* Appends S with everything but [A-Za-z0-9._~+-] as %XX. */
void npm_put_escaped(struct buf *out, str s);
/* The reverse, for any %XX: *OUT lies in TO, which has room for S.n bytes. False: malformed, or a NUL in it. */
bool npm_unescape(str *out, char *to, str s);
