/* lockfile_text — the text of a pnpm-lock.yaml before it is parsed: its encoding, merge conflicts,
 * the documents in it. Pure. */
#pragma once
#include "base/base.h"

struct lockfile_text {
	str environment; /* the document before the lockfile's, its "---" lines included; absent: there is none */
	str lockfile;    /* may be empty: an environment document alone */
	uint32_t line;   /* of the text, on which the lockfile begins; from 1 */
};
/* TEXT without byte order mark and with LF, taken apart; slices borrow from TEXT or live in A. ERR_PARSE, naming PATH
 * and the line: no UTF-8, conflict markers. */
MUST_USE int lockfile_text_split(struct lockfile_text *out, str text, str path, struct arena *a, struct err *e);
/* Whether a merge left its conflict markers in TEXT: two people's work, not a broken file. */
bool lockfile_conflicted(str text);
