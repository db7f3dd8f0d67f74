/* parity_drayd — one drayd with the fixture registry as its upstream, for as long as the cases run.
 *
 * Owns both child processes and their folder. drayd knows the registry under the cases' own URL as an alias, so a
 * lockfile shows nothing of where it was made. One thread. */
#pragma once
#include "base/base.h"

struct parity_drayd_opts {
	const char *drayd, *fixture; /* programs */
	const char *recording;
	str alias; /* the registry as the cases know it */
};
struct parity_drayd;
/* Returns when drayd accepts connections. */
MUST_USE int parity_drayd_new(struct parity_drayd **out, const struct parity_drayd_opts *o, struct err *e);
str parity_drayd_url(const struct parity_drayd *d);
/* Stops both and removes what they wrote. Not 0: one of them did not leave in order. NULL is fine. */
int parity_drayd_free(struct parity_drayd *d);
