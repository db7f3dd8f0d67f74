/* unified_diff — a patch as text, and what it makes of a file's bytes.
 *
 * Reads what `git diff` and `pnpm patch-commit` write: files that are changed,
 * made or deleted. Binary changes, renames and copies are refused by name, as
 * pnpm does. Applied with pnpm's tolerance, so that the
 * same patches fit: white space at a line's end does not count, and a hunk may
 * have moved by up to 20 lines. Paths never leave the package. Pure; slices
 * borrow the patch's text. */
#pragma once
#include "base/base.h"

enum diff_kind { DIFF_MODIFY = 0, DIFF_CREATE, DIFF_DELETE };
struct diff_line {
	char op; /* ' ', '-' or '+' */
	bool no_newline;
	str text; /* without its line feed */
};
struct diff_hunk {
	size_t start, old_lines; /* START counts from 1 */
	struct diff_line *line;
	size_t nlines;
};
struct diff_file {
	enum diff_kind kind;
	str path; /* below the package */
	int exec; /* what a mode line says: 1 executable, 0 not, -1 there is none */
	struct diff_hunk *hunk;
	size_t nhunks;
};
struct diff {
	struct diff_file *file;
	size_t nfiles;
};

/* Reads all of TEXT, at most 16 MiB. ERR_PARSE with the line; ERR_UNSUPPORTED for what is refused. */
MUST_USE int diff_parse(struct diff *out, str text, struct arena *a, struct err *e);
/* Appends to OUT what F makes of OLD (for DIFF_CREATE: empty). A file that is already as the patch makes it stays.
 * ERR_NOMATCH names the hunk. */
MUST_USE int diff_apply(struct buf *out, const struct diff_file *f, str old, struct err *e);
