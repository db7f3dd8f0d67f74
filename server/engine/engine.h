/* engine — turns a request into a plan: one resolver, for the daemon and for a direct install.
 *
 * Does no I/O of its own and knows no HTTP: it is given struct engine_io. Runs
 * on the caller's thread, blocking in io->wait while packuments are on their
 * way. Same request, same registry content, same clock: same frames and the
 * same lockfile bytes, whatever order packuments arrive in. */
#pragma once
#include "packument.h"
#include "plan.h"
#include "request.h"

/* What it took to have it: nothing, a 304, a fetch. For the counts in the last frame. */
enum packument_origin { PACKUMENT_KEPT = 0, PACKUMENT_REVALIDATED, PACKUMENT_FETCHED };

/* A packument that has arrived, or why it did not. Owned by the io; valid until engine_run() returns. */
struct engine_packument {
	struct packument rec; /* p == NULL: failed, see err */
	enum packument_origin origin;
	const struct err *err; /* ERR_NOTFOUND for a 404; NULL where there is a record */
};

struct engine_io {
	void *ctx;
	int64_t now_ms; /* the clock is an input: milliseconds since 1970 */
	/* Packages are sent as soon as they are found while packuments are waited for, so that downloads
	 * start during the resolution (see plan.h): for a plan that is used once. A plan that is kept has
	 * the final order instead. */
	bool early;
	/* Ask for a packument; never blocks; a name and form is asked at most once a run. Fetching, revalidating,
	 * parsing and compiling happen elsewhere, on all cores. REGISTRY has a trailing slash. */
	void (*want)(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form);
	/* What is kept of a packument, however old, without asking anybody; valid as long as what is handed out.
	 * *CHECKED_MS: when the registry last confirmed it, as now_ms; 0: its age proves nothing. False: nothing is
	 * kept. NULL: nothing ever is. */
	bool (*kept)(void *ctx, struct packument *out, int64_t *checked_ms, str registry, str name,
		enum packument_form form);
	/* Blocks until at least one wanted packument is there, then hands out all that are: fills up to CAP tickets and
	 * results, returns how many (0 never, except after cancel: then a negative code with *e). */
	int (*wait)(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e);
	/* Same, without blocking: 0 when nothing is there. */
	int (*poll)(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e);
	/* Size, manifest and integrity of a tarball URL or git ref that is no registry package; NULL:
	 * refused by name. Blocks. */
	int (*remote_tarball)(void *ctx, str url, struct request_local *out, struct arena *a, struct err *e);
	/* Where the client finds the tarball that a packument of NAME says is at URL (a server whose clients know
	 * REGISTRY by another URL than it does itself; NULL: there). Borrowed or in A. */
	str (*tarball_url)(void *ctx, str registry, str name, str url, struct arena *a);
};

/* Resolves REQ and sends the plan to SINK. On failure a FRAME_FAILURE has been sent (unless the sink itself failed) and
 * the code is returned with *e. */
MUST_USE int engine_run(
	const struct request *req, const struct engine_io *io, frame_sink *sink, void *ctx, struct err *e);
