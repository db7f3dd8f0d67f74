/* pick — one version out of a packument, as pnpm 12 chooses it.
 *
 * Preferred versions by weight (direct dependencies' 1,000, those of the levels above 1; the lockfile's decide between
 * equal ones, and where none of those is in range), then `latest` when it is in range, then the highest that is not
 * deprecated. minimumReleaseAge hides young versions and moves the dist-tags; where nothing old enough fits, the
 * lowest that fits is taken and reported. trustPolicy hides versions in the same way, but nothing makes up for it.
 * Pure but for the atom table. */
#pragma once
#include "graph.h"
#include "trust.h"

enum spec_type { SPEC_VERSION, SPEC_RANGE, SPEC_TAG };
/* What a bare specifier asks of a registry. */
struct reg_spec {
	atom name, fetch; /* version, range or tag */
	enum spec_type type;
};
/* Reads "^1", "latest", "npm:x@^1", "jsr:^1", a tarball URL of REGISTRY. False: no registry specifier. */
bool reg_spec_parse(struct run *r, struct reg_spec *out, atom alias, atom bare);

struct pick_opts {
	const struct selectors *preferred; /* of this name, or NULL */
	const struct level *level;         /* versions that the levels above resolved, or NULL */
	int64_t cutoff;                    /* 0: none */
	bool lowest;
	bool untrusted; /* trustPolicy is not asked: what a failure would have taken */
};
/* Index of the version, or NONE. *YOUNG: it is younger than the cutoff (nothing older fits). */
uint32_t pick_version(
	struct run *r, struct packument p, const struct reg_spec *spec, const struct pick_opts *o, bool *young);

/* Whether what is kept of a packument decides, so that nobody need be asked: the choice out of what the registry has
 * now would be the same. P was last confirmed at CHECKED_MS (0: who knows), and says enough of ages. So it is where it
 * has the very version; where only versions count that were published before it was confirmed; where one version of the
 * lockfile outweighs all that may have come since. Tags are then as old as P. Source: pnpm 12.21's requests */
bool pick_kept(
	struct run *r, struct packument p, int64_t checked_ms, const struct reg_spec *spec, const struct pick_opts *o);

/* First of NAME's entries in a level, or NONE. */
uint32_t level_find(const struct level *l, atom name);
/* The selector that a manifest's specifier is, for preferring it. */
bool selector_kind_of(struct run *r, atom spec, enum selector_kind *out);
/* What settings exclude from minimumReleaseAge: every version of NAME, or this VERSION. */
bool age_excluded(const struct run *r, str name, str version, bool *whole);
/* "^1 || workspace:*" of a peer dependency as a range to compare with. */
atom peer_range(struct run *r, atom raw);
/* Whether RANGE of a peer has V; a prerelease also where its release would do. Source: pnpm. */
bool range_has_peer(const struct range *range, const struct semver *v);
/* RANGE of a peer as it is asked of the registry: an empty alternative takes any version, unlike that of a dependency.
 * Source: pnpm 12.21's behaviour. */
atom peer_asked(struct run *r, atom range);
/* A range that has an empty alternative. */
bool any_range(str s);
/* Whether X is a range of semver, and no tag or URL. */
bool valid_range(struct run *r, atom x);
/* X as a range for judging a version that is there: "^1 ||" is ^1, "||" any. NULL: none. Source: pnpm 12.21 */
const struct range *solid_range(struct run *r, atom x);
