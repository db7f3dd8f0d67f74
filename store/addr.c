#include "addr.h"
#include <arpa/inet.h>

struct net4 {
	uint32_t net;
	unsigned bits;
};
static const struct net4 special4[] = {
	{ 0x00000000, 8 },  /* this network */
	{ 0x0a000000, 8 },  /* private */
	{ 0x64400000, 10 }, /* shared, carrier NAT */
	{ 0x7f000000, 8 },  /* loopback */
	{ 0xa9fe0000, 16 }, /* link-local, and the clouds' metadata service */
	{ 0xac100000, 12 }, /* private */
	{ 0xc0000000, 24 }, /* IETF protocols */
	{ 0xc0000200, 24 }, /* documentation */
	{ 0xc0a80000, 16 }, /* private */
	{ 0xc6120000, 15 }, /* benchmarking */
	{ 0xc6336400, 24 }, /* documentation */
	{ 0xcb007100, 24 }, /* documentation */
	{ 0xe0000000, 3 },  /* multicast, reserved, broadcast */
};

static bool private4(uint32_t a)
{
	for (size_t i = 0; i < sizeof(special4) / sizeof(special4[0]); i++) {
		if ((a ^ special4[i].net) >> (32 - special4[i].bits) == 0)
			return true;
	}
	return false;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool private6(const uint8_t *p)
{
	static const uint8_t zero[12], mapped[12] = { [10] = 0xff, [11] = 0xff },
				       nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

	if (memcmp(p, zero, 12) == 0) /* ::, ::1 and the old IPv4-compatible ones */
		return be32(p + 12) <= 1 || private4(be32(p + 12));
	if (memcmp(p, mapped, 12) == 0 || memcmp(p, nat64, 12) == 0)
		return private4(be32(p + 12));
	if (p[0] == 0x20 && p[1] == 0x02) /* 6to4 */
		return private4(be32(p + 2));
	if (be32(p) == 0x20010000 || be32(p) == 0x20010db8) /* Teredo, documentation */
		return true;
	return (p[0] & 0xe0) != 0x20; /* global unicast is 2000::/3 */
}

bool addr_private(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, a, sizeof(in));
		return private4(ntohl(in.sin_addr.s_addr));
	}
	if (a->sa_family == AF_INET6) {
		struct sockaddr_in6 in;
		memcpy(&in, a, sizeof(in));
		return private6(in.sin6_addr.s6_addr);
	}
	return true;
}
