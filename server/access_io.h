/* access_io — the packuments of one plan, without those that its client may not see.
 *
 * Wraps the engine's io: a name that is kept from who asks is answered with
 * ERR_POLICY and nothing of it is fetched, so that neither the plan nor an
 * error's text tells of its versions. One plan, the engine's thread. */
#pragma once
#include "auth.h"
#include "io_denied.h"

struct access_io {
	struct engine_io io; /* for engine_run() */
	const struct engine_io *inner;
	const struct identity *who;
	struct io_denied denied;
};
/* P stays where it is, INNER and WHO outlive it. */
void access_io_init(struct access_io *p, const struct engine_io *inner, const struct identity *who);
void access_io_release(struct access_io *p);
