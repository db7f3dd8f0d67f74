/* plan_key — what an install's result depends on, as one hash: under it plans and images are kept (kept.h).
 *
 * Settings count as they were read, wherever they were read from, and only those
 * that can change the tree or the lockfile: not registries' addresses, credentials,
 * proxies, timeouts, servers. A registry is where bytes come from; what they are,
 * the lockfile's integrities say, and a lockfile whose packages
 * lack one has no image. Pure but for the environment and node's file. */
#pragma once
#include "project.h"

/* What is kept: two things under one key must not meet. A frozen install leaves the pin of a pnpm out of the
 * lockfile, others put it in. */
enum plan_kind { PLAN_LOCKFILE = 0, PLAN_IMAGE, PLAN_IMAGE_FROZEN };
struct plan_key_input {
	const struct project *project;
	/* Its groups and ignore_scripts; settings, platform and manifests are the project's. */
	const struct request *req;
	str store_dir;
};
/* Without the lockfile, which may be written by the install itself. */
void plan_key_base(uint8_t out[32], const struct plan_key_input *in);
/* For the lockfile whose bytes have this SHA-256. */
void plan_key(uint8_t out[32], const uint8_t base[32], enum plan_kind kind, const uint8_t lockfile[32]);
