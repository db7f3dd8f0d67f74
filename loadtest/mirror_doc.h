/* mirror_doc — a recorded packument as the mirror serves it: abbreviated, with its tarballs behind
 * the mirror, with a date.
 *
 * Not every registry abbreviates when it is asked to, nor says when a packument changed; npm's does both, and all
 * subjects are to see what that would serve. Pure. */
#pragma once
#include "base/base.h"

/* Appends JSON, a packument in its full form, in npm's abbreviated one (application/vnd.npm.install-v1+json). False
 * when it is no packument. */
bool mirror_doc_abbreviate(struct buf *out, str json);
/* Appends JSON with every "tarball": "scheme://host/…" behind BASE, which ends in a slash. */
void mirror_doc_rebase(struct buf *out, str json, str base);
enum { MIRROR_DOC_DATE = 32 };
/* When JSON says that it changed, as Last-Modified has it ("Fri, 20 Nov 2026 06:28:16 GMT");
 * empty where it says nothing. */
void mirror_doc_modified(char out[MIRROR_DOC_DATE], str json);
