/* resolver — what answers plans in drayd: the engine over this server's store and registry.
 *
 * Owns store, fetch thread, registry and packument cache; one preload a plan.
 * Its backend is called on the plan workers, several at once. */
#pragma once
#include "server.h"

struct resolver;
/* Opens the store; nothing is fetched yet. */
MUST_USE int resolver_new(struct resolver **out, const struct config *c, struct err *e);
/* Borrowed; lives as long as R. */
const struct backend *resolver_backend(const struct resolver *r);
/* No plan may be under way. */
void resolver_free(struct resolver *r);
