/* plan_keep — what an install finds kept, and what it keeps for the next: the lockfile as a binary plan, with
 * shared slots the whole tree.
 *
 * Asked when settings and manifests are known and the lockfile is read but not parsed. Everything here is optional:
 * what does not fit, is spoiled or cannot be written leaves the ordinary way. Install's thread. */
#pragma once
#include "image_install.h"
#include "plan_key.h"

struct plan_keep {
	bool on; /* this install may use and make what is kept */
	uint8_t base[32], lockfile[32];
	bool has_lockfile;    /* LOCKFILE is the SHA-256 of the project's */
	enum plan_kind image; /* of this install */
	bool taken;           /* the lockfile came from a kept plan: it fits */
	const uint8_t *mark;  /* then: source_locked_marks() of the install's request */
	struct buf bytes;     /* which lockfile and marks borrow from */
};
/* Whether P, loaded without its lockfile, may use what is kept. FROZEN: the lockfile may not change. */
void plan_keep_open(
	struct plan_keep *k, const struct project *p, const struct request *req, str store_dir, bool frozen);
/* Makes the tree of P, whose slots are shared, from an image: 1. 0: do it the long way. */
int plan_keep_image(
	struct image_result *out, const struct plan_keep *k, const struct project *p, const struct image_input *in);
/* Gives P its lockfile from a kept plan. False: it is to be parsed. */
bool plan_keep_take(struct plan_keep *k, struct project *p, str store_dir);
void plan_keep_release(struct plan_keep *k);

/* An install has gone well: keeps the lockfile that it went by, or wrote, unless it was taken from there. False:
 * it could not be written. */
struct install;
bool plan_keep_put(struct install *in);
/* That lockfile, which may lie in ROOM, and its SHA-256. */
str plan_keep_lockfile(uint8_t out[32], const struct install *in, struct buf *room);
