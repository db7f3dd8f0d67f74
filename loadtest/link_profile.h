/* link_profile — what lies between client, drayd and registry during a measured run: round trips, a rate, faults.
 *
 * A link is called by the name of a known one, and after it what is other than there: "home:server=5:rate=100" has
 * drayd 5 ms away and 100 Mbit/s. Results have the whole of it as the link's name. Pure. */
#pragma once
#include "relay.h"

enum { LINK_NAME_MAX = 80 }; /* bytes, with the NUL */
struct link_profile {
	char name[LINK_NAME_MAX];
	uint32_t server_rtt_us, registry_rtt_us; /* client to drayd, client to registry */
	uint32_t upstream_rtt_us;                /* drayd to registry: 0 is co-located */
	uint64_t rate_bps;                       /* client's, each direction, shared; 0: unlimited */
	uint32_t error_ppm;                      /* of a million answers of the registry, how many are a 503 */
	struct relay_faults faults;
};
/* "home", "ci", "loopback", "bad"; NULL: there is no link of that NAME. */
const struct link_profile *link_find(const char *name);
/* SPEC: such a name and any of `:server=MS`, `:registry=MS`, `:upstream=MS` (round trips, whole milliseconds up to
 * 60,000) and `:rate=MBIT` (a second, up to 1,000,000; 0: unlimited). ERR_USAGE says what of it is wrong. */
MUST_USE int link_parse(struct link_profile *out, str spec, struct err *e);
/* Nothing is waited for between the client and anybody on L. */
bool link_is_none(const struct link_profile *l);
/* L does something wrong now and then. */
bool link_fails(const struct link_profile *l);
