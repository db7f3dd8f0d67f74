/* policy — whether the entries of an existing lockfile are what the project's rules let in: the
 * check beside an install.
 *
 * A lockfile may come from somebody who had other rules, or from nobody's resolver. Of each entry from a registry it
 * must hold, whatever the settings, that it has a checksum, that a tarball URL in it is the one that the registry
 * states, and that a name@version is not a folder or a git repository in disguise; with minimumReleaseAge, that it was
 * published before the cutoff; with trustPolicy: no-downgrade, what trust.h says. Packuments are asked for through
 * struct engine_io, short forms first. A verdict that is fine is kept by its owner under policy_key(): it stays true,
 * since what was old enough stays so. Source: pnpm 12.21 (tests/e2e/policy-expected.json). */
#pragma once
#include "engine.h"

/* Violations named in a verdict at most. */
enum { POLICY_SHOWN = 20 };

/* When packuments changed last, without fetching them. Of a version whose tarball this install fetches from where its
 * registry has it, that shows enough: the version is there, and nothing was published since. As pnpm 12 does. */
struct policy_heads {
	void *ctx;
	/* Whether NAME@VERSION is fetched so. */
	bool (*planned)(void *ctx, str name, str version);
	/* Asks; never blocks. */
	void (*want)(void *ctx, uint32_t ticket, str registry, str name);
	/* Blocks until one that was asked for is there; *MODIFIED in ms, 0: unknown. Negative once it is cancelled. */
	int (*wait)(void *ctx, uint32_t *ticket, int64_t *modified, struct err *e);
};
struct policy_io {
	const struct engine_io *known; /* packuments of any age: what they say of a version that they list stays true */
	const struct engine_io *fresh; /* confirmed ones, for what the known ones do not say; may be the same */
	const struct policy_heads *heads; /* NULL: none */
};
/* Whether R says that parts of its lockfile go: a direct dependency that no manifest names any more. Those are not
 * judged, so the verdict is not one on the lockfile. A request without importers is about all of it. */
bool policy_partial(const struct request *r);
/* Whether a registry must be asked about an entry of R's lockfile. What can be judged without comes out of
 * policy_check() in any case. */
bool policy_asks(const struct request *r);
/* Under which a verdict is kept: SHA-256 over the lockfile's bytes LOCKFILE, rules, lists and
 * registries, but not over the age. */
void policy_key(uint8_t key[32], const struct settings *s, str lockfile);
/* The same where the SHA-256 of the lockfile's bytes is at hand. */
void policy_key_of(uint8_t key[32], const struct settings *s, const uint8_t lockfile[32]);
/* What to keep under it: entries were published no later than minimumReleaseAge before NOW_MS. */
enum { POLICY_VALUE = 8 };
void policy_value(char value[POLICY_VALUE], const struct settings *s, int64_t now_ms);
/* Whether a kept VALUE answers for these settings at NOW_MS. */
bool policy_covers(str value, const struct settings *s, int64_t now_ms);
/* Puts to TEXT what is violated, a line each, nothing when all is fine. Negative when that cannot be found
 * out. Blocks in IO's wait. */
MUST_USE int policy_check(
	struct buf *text, const struct request *r, const struct policy_io *io, int64_t now_ms, struct err *e);
/* A verdict is a plan of its own, for a REQUEST_VERDICT: HELLO of SERVER, before anything is looked up;
 * VERDICT with TEXT; DONE. */
MUST_USE int policy_hello(const struct request *r, str server, frame_sink *sink, void *ctx, struct err *e);
/* The rest of it: the text and the end. */
MUST_USE int policy_verdict(str text, frame_sink *sink, void *ctx, struct err *e);
