/* trust — trustPolicy: no-downgrade. A version may not be vouched for less than one that was published before it.
 *
 * What vouches for a version: a staged publish that somebody approved, a trusted publisher together with a provenance
 * attestation, a provenance attestation alone, or nothing, in falling order; the order of versions is that of their
 * publish dates, not semver's. Prereleases count only against prereleases. A version without a date is neither judged
 * nor counted. Source: pnpm 12.21, by running it (tests/e2e/policy-expected.json). Pure. */
#pragma once
#include "packument.h"
#include "settings.h"

/* Whether version I of P may be taken. NOW is the clock; BEFORE and HAS (packument_trust() ranks; may be NULL) are set
 * when not. P must be the full form. */
bool trust_allows(const struct settings *s, int64_t now_ms, struct packument p, uint32_t i, int *before, int *has);
/* "a provenance attestation", for messages. */
const char *trust_word(int rank);
/* Whether LIST ("name", "name@1.0.0 || 2.0.0", "@scope/" and a star, "!name") has this version of NAME; *WHOLE: all of
 * its versions. The form of minimumReleaseAgeExclude and trustPolicyExclude. */
bool version_listed(struct str_list list, str name, str version, bool *whole);
