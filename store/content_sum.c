#include "content_sum.h"
#include "base/le.h"
#include <isa-l/crc64.h>

uint64_t content_crc(uint64_t crc, const uint8_t *p, size_t n)
{
	return crc64_ecma_refl(crc, p, n);
}

void content_crc_put(uint8_t sum[32], uint64_t crc)
{
	memset(sum, 0, 32);
	le_put64(sum, crc);
}

void content_begin(struct content_sum *s, struct pkg p)
{
	s->crc = 0;
	s->sha = pkg_flags(p) & PKG_CRC ? NULL : hasher_new(DIGEST_SHA256);
}

void content_add(struct content_sum *s, const uint8_t *p, size_t n)
{
	if (s->sha)
		hasher_add(s->sha, p, n);
	else
		s->crc = content_crc(s->crc, p, n);
}

bool content_end(struct content_sum *s, const uint8_t sum[32])
{
	struct digest d = { 0 };

	if (s->sha) {
		hasher_end(s->sha, &d);
		hasher_free(s->sha);
	} else {
		content_crc_put(d.b, s->crc);
	}
	return memcmp(d.b, sum, 32) == 0;
}
