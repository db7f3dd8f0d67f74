/* source — where a plan comes from: the one object in which a server install and a direct one differ.
 *
 * A source is run on a thread of its own and calls the sink there; the
 * install's event loop takes the frames from a bounded queue. */
#pragma once
#include "plan.h"

struct source {
	/* Sends the whole plan to SINK; returns 0 after DONE, or a negative code with *e. */
	int (*run)(struct source *s, const struct request *req, frame_sink *sink, void *ctx, struct err *e);
	/* Makes run() return ERR_CANCELLED soon; any thread. */
	void (*cancel)(struct source *s);
	void (*free)(struct source *s);
	const char *name; /* "locked", "server", "direct" */
	bool lasting;     /* what frames point at lives as long as the source: they need no copy */
};

/* The error for a lockfile in which DEP_PATH is depended on and missing, which pnpm refuses, too
 * (ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY). */
int lockfile_no_entry(str dep_path, struct err *e);
/* Refuses such a lockfile: it is not repaired by what resolving anew would put there. Looks at what importers reach. */
MUST_USE int lockfile_whole(const struct lockfile *lf, struct err *e);
/* Whether LF satisfies REQ's manifests and settings; WHY (lives in A) lists what differs, one line each: where, what
 * the lockfile says, what stands against it. FROZEN lets pass what an install can do without: projects that are gone,
 * and optional dependencies that the lockfile doesn't have. Source: pnpm's satisfiesPackageManifest and its settings
 * check; 12.21's behaviour. */
bool lockfile_satisfies(
	const struct lockfile *lf, const struct request *req, bool frozen, struct str_list *why, struct arena *a);

/* The lockfile in REQ as a plan: no resolver, no network. REQ must outlive it and satisfy the manifests. MARK: what
 * source_locked_marks() said of the same request, or NULL. */
struct source *source_locked_new(const struct request *req, const uint8_t *mark);
/* Whether each snapshot of REQ's lockfile is installed here, skipped, or neither (0 to 2). False: something depends on
 * what the lockfile lacks. */
bool source_locked_marks(uint8_t *mark, const struct request *req);

/* The engine in this process over META; URL dependencies come through REMOTE's registry. All
 * borrowed; they must outlive it. */
struct meta;
struct remote_tarballs_opts;
struct source *source_direct_new(struct meta *meta, const struct remote_tarballs_opts *remote, int64_t now_ms);
/* What STORE has kept of packuments where that decides everything (as it would for a direct install, which then asks
 * the registry for none), else OTHER, which is borrowed like STORE. ANY_AGE: however old (--prefer-offline). */
struct store;
struct source *source_kept_new(struct store *store, bool any_age, struct source *other, int64_t now_ms);
/* Whether the frames that the sink got are not OTHER's; true before the first of them arrives. Any thread. */
bool source_kept_used(const struct source *s);
/* The policy check (policy.h) on the request's lockfile in this process. KNOWN gives packuments of any age,
 * FRESH confirmed ones; both are borrowed and may be the same; so is HEADS (verdict_heads.h), NULL:
 * packuments say everything. */
struct verdict_heads;
struct source *source_verdict_new(struct meta *known, struct meta *fresh, struct verdict_heads *heads, int64_t now_ms);
