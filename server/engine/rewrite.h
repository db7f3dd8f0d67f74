/* rewrite — the lockfile that exists, brought up to the settings where that is a matter of its rows.
 *
 * Subtrees are taken over only from a lockfile that was made with the same catalogs and overrides. Two kinds of change
 * are first written into a copy of it: a catalog entry whose new range the locked version satisfies, or which moves to
 * one exact version of what nothing else depends on; and an override of a whole package. Its rows move to the new
 * version, whose own dependencies stay what the old one's were as long as they satisfy it. Anything with peers,
 * optional, patched or not from a registry is left to the walk, which then takes nothing over. Source: pnpm 12.21. */
#pragma once
#include "graph.h"

/* What R's walk may take subtrees over from: its prior lockfile, or a copy with the changes; NULL: nothing. Waits for
 * the packuments of what moves. Negative when that is cancelled. */
MUST_USE int rewrite_prior(struct run *r, const struct lockfile **out, struct err *e);
