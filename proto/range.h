/* range — how a parsed range lies in memory, and the grammar that versions and ranges share.
 *
 * Internal to semver.c, range_parse.c, range.c and range_meet.c; everybody else includes
 * semver.h. A range is read once; matching it compares integers. Asking for
 * prereleases changes how node-semver reads a range (lower bounds get "-0"),
 * so both readings are kept. */
#pragma once
#include "semver.h"

enum range_op { OP_ANY = 0, OP_EQ, OP_GT, OP_GE, OP_LT, OP_LE };
struct comparator {
	struct semver v;
	enum range_op op;
};
/* Comparators that must all hold: N of them from FROM on. */
struct alternative {
	uint32_t from, n;
	bool names_pre; /* one of its comparators has a prerelease */
};
/* One reading of a range; no alternative at all when that reading is invalid. */
struct comparators {
	struct alternative *alt;
	struct comparator *cmp;
	uint32_t nalt;
};
struct range {
	struct comparators reading[2]; /* [1]: with prereleases */
};

/* Up to three dot-separated numbers or x, and a prerelease. Absent: p is NULL. */
struct semver_core {
	str id[3];
	str pre, build;
};
/* Whether S as a whole is "1.2.3", with prerelease and build; with XRANGE also "1", "1.x", "*", … */
bool semver_core(struct semver_core *out, str s, bool loose, bool xrange);
/* Where the longest version or x-range that starts at AT ends; AT when there is none. */
size_t semver_core_end(str s, size_t at);
/* The three numbers of a core that has no x; false past SEMVER_MAX_NUMBER. Borrows. */
bool semver_from_core(struct semver *out, const struct semver_core *c);
/* Bytes of the white space (JavaScript's) at the start of S; 0 when it is none. */
size_t semver_blank(str s);
/* Length of "+build.meta" at AT, or 0. */
size_t semver_build_len(str s, size_t at);
/* Whether some version may satisfy all N comparators. */
bool comparators_satisfiable(const struct comparator *c, size_t n, bool include_prerelease);
/* Whether two versions print alike: node-semver compares their texts before anything else. */
bool semver_same(const struct semver *a, const struct semver *b);
