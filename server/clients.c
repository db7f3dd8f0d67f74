#include "clients.h"
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>

enum { SLOTS = 1024 };
struct address {
	struct client_key key;
	uint32_t open;
	struct address *next;
};
struct clients {
	uint64_t most, per, open;
	pthread_mutex_t lock;
	struct address *slot[SLOTS]; /* at most one address a connection, so their number has a bound */
};

void client_key_of(struct client_key *out, const struct sockaddr *sa)
{
	*out = (struct client_key){ 0 };
	if (sa->sa_family == AF_INET) {
		out->b[0] = 4;
		memcpy(out->b + 1, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		const uint8_t *a = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
		out->b[0] = mapped ? 4 : 6; /* who listens on [::] sees IPv4 so: its /64 would be everybody's */
		memcpy(out->b + 1, mapped ? a + 12 : a, mapped ? 4 : 8);
	}
}

bool client_is_near(const struct client_key *k)
{
	static const struct client_key six = { .b = { 6 } }; /* ::1; of its /64 there is no other */

	return (k->b[0] == 4 && k->b[1] == 127) || memcmp(k->b, six.b, sizeof(six.b)) == 0;
}

struct clients *clients_new(uint64_t most, uint64_t per)
{
	struct clients *c = xcalloc(1, sizeof(*c));

	c->most = most;
	c->per = per;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static struct address **address_find(struct clients *c, const struct client_key *k)
{
	uint32_t h = 2166136261u; /* FNV-1a; who wants collisions needs thousands of addresses for a chain of ten */

	for (size_t i = 0; i < sizeof(k->b); i++)
		h = (h ^ k->b[i]) * 16777619u;
	struct address **at = &c->slot[h % SLOTS];
	while (*at && memcmp((*at)->key.b, k->b, sizeof(k->b)) != 0)
		at = &(*at)->next;
	return at;
}

bool clients_enter(struct clients *c, const struct client_key *k)
{
	bool ok = false;

	pthread_mutex_lock(&c->lock);
	struct address **at = address_find(c, k);
	if (c->open < c->most && !(c->per && *at && (*at)->open >= c->per)) {
		if (!*at) {
			*at = xcalloc(1, sizeof(**at));
			(*at)->key = *k;
		}
		(*at)->open++;
		c->open++;
		ok = true;
	}
	pthread_mutex_unlock(&c->lock);
	return ok;
}

void clients_leave(struct clients *c, const struct client_key *k)
{
	pthread_mutex_lock(&c->lock);
	struct address **at = address_find(c, k), *a = *at;
	if (a) {
		c->open--;
		if (--a->open == 0) {
			*at = a->next;
			free(a);
		}
	}
	pthread_mutex_unlock(&c->lock);
}

void clients_free(struct clients *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < SLOTS; i++) {
		for (struct address *a = c->slot[i], *next; a; a = next) {
			next = a->next;
			free(a);
		}
	}
	pthread_mutex_destroy(&c->lock);
	free(c);
}
