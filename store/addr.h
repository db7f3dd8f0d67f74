/* addr — which network addresses a server must not be talked into visiting.
 *
 * Asked when a socket opens, after names were resolved. Pure. */
#pragma once
#include "base/base.h"
#include <netinet/in.h>

/* Whether A is not a public unicast address: loopback, private, shared (100.64/10), link-local, benchmarking,
 * multicast, reserved; the same inside IPv4-mapped, -compatible, NAT64 and 6to4 IPv6 addresses; Teredo. Other families:
 * true. Source: the IANA special-purpose address registries (RFC 6890). */
bool addr_private(const struct sockaddr *a);
