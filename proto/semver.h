/* semver — versions and ranges as node-semver has them.
 *
 * Pure. A parsed version borrows its source text; a parsed range lies wholly
 * in the caller's arena. The rule is node-semver 7's, loose mode included;
 * tests/unit/proto compares both on generated pairs. */
#pragma once
#include "base/base.h"

struct semver {
	uint64_t major, minor, patch;
	str pre;   /* "beta.1" without the dash; empty for a release */
	str build; /* without the plus; never compared */
};

#define SEMVER_MAX_LENGTH 256u              /* UTF-16 units of a version, blanks around it included */
#define SEMVER_MAX_NUMBER 9007199254740991u /* of major, minor and patch: JavaScript's largest safe integer */
#define RANGE_MAX_LENGTH (16u << 10)        /* bytes; a longer range is no valid one (the bound is ours) */

/* Semver 2.0 with an optional leading "v"; LOOSE also takes "=", more blanks, leading zeros and a prerelease without
 * its dash ("1.2.3beta"; then `pre` may have leading zeros in its numbers, which compare and print as numbers).
 * Blanks around S are skipped. False when it is no version. Borrows S. */
bool semver_parse(struct semver *out, str s, bool loose);
/* Precedence; <0, 0, >0. Build metadata is ignored. */
int semver_cmp(const struct semver *a, const struct semver *b);
/* As printed by node-semver: "1.2.3-beta.1", without build. */
str semver_print(const struct semver *v, struct arena *a);

/* A parsed range: alternatives ("||"), each a list of comparators that must all hold. */
struct range;
/* NULL when S is no valid range (read without includePrerelease; a range that is valid only with it is none). The empty
 * string and "*" are any version. Nothing borrows S. */
const struct range *range_parse(str s, bool loose, struct arena *a);
/* What pnpm 12.21 takes a range for: a word that shares no version with those before it is an alternative to
 * them, as in ">2 <3" (>=3.0.0 or <3.0.0) and "^1 ^2". All else is as range_parse() has it. */
const struct range *range_parse_apart(str s, bool loose, struct arena *a);
/* node-semver's satisfies(): a prerelease only matches where a comparator of its alternative names the same
 * major.minor.patch with a prerelease, unless INCLUDE_PRERELEASE. */
bool range_has(const struct range *r, const struct semver *v, bool include_prerelease);
/* Every version that R has (prereleases as asked for) lies between *LOW and *HIGH, both included; NULL: no bound. */
void range_bounds(
	const struct range *r, const struct semver **low, const struct semver **high, bool include_prerelease);
/* Whether some version satisfies both; node-semver's intersects(). */
bool range_intersects(const struct range *a, const struct range *b, bool include_prerelease);
/* Normalised text, node-semver's Range#range (">=1.2.0 <2.0.0-0||…"). */
str range_print(const struct range *r, struct arena *a);
