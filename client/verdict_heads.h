/* verdict_heads — when packuments changed last, for the check of a lockfile beside the downloads of its packages.
 *
 * Knows which versions this install fetches from their registry, and asks that registry for a time alone
 * (policy.h). Filled on the install's loop before the check starts; asked on the check's thread; answers
 * come on the fetch thread. */
#pragma once
#include "policy.h"
#include "registry.h"

struct verdict_heads;
/* R is borrowed. */
struct verdict_heads *verdict_heads_new(struct registry *r);
/* NAME@VERSION is fetched from its registry. Before the first question. */
void verdict_heads_plan(struct verdict_heads *h, str name, str version);
/* How many versions verdict_heads_plan() was told of. */
size_t verdict_heads_planned(const struct verdict_heads *h);
/* Borrowed. */
const struct policy_heads *verdict_heads_io(const struct verdict_heads *h);
/* Who waits gets ERR_CANCELLED, now and later; any thread. */
void verdict_heads_cancel(struct verdict_heads *h);
/* Waits for what is under way (http_stop() cuts that short). NULL is fine; never from a callback. */
void verdict_heads_free(struct verdict_heads *h);
