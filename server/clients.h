/* clients — how many connections are open, together and for each address.
 *
 * A limit of its own for each address keeps one runaway client from taking all that there is. IPv6 addresses count by
 * their /64, which is what one host can choose from; IPv4 in IPv6 as IPv4. Any thread. */
#pragma once
#include "base/base.h"

struct client_key {
	uint8_t b[9]; /* family, address */
};
struct sockaddr;
/* Of a peer; one without an address (a Unix socket) has the zero key. */
void client_key_of(struct client_key *out, const struct sockaddr *sa);
/* Whether it is of this machine: a loopback address. */
bool client_is_near(const struct client_key *k);

struct clients;
/* MOST of all; PER of one address, 0: no limit. */
struct clients *clients_new(uint64_t most, uint64_t per);
/* False: a limit is reached, and nothing was counted. */
bool clients_enter(struct clients *c, const struct client_key *k);
/* One that clients_enter() let in is closed. */
void clients_leave(struct clients *c, const struct client_key *k);
void clients_free(struct clients *c);
