/* Whatever bytes a pack has, a path that comes out stays below the package and a content is as long as it says. */
#include "accepted.h"
#include "integrity.h"
#include "pack_stream.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int row(void *arg, const struct pack_row *r, struct err *e)
{
	volatile uint8_t *sum = arg;
	(void)e;

	if (r->path.n == 0 || r->path.p[0] == '/' || str_find_str(r->path, STR("../"), 0) == 0 ||
		memchr(r->path.p, 0, r->path.n))
		abort();
	for (uint64_t i = 0; i < r->n; i += 64)
		*sum ^= r->p[i];
	*sum ^= r->sha256[31];
	return 0;
}

static int piece(void *arg, const struct pack_row *r, struct err *e)
{
	volatile uint8_t *sum = arg;
	(void)e;

	if (r->len > r->n - r->at)
		abort();
	for (uint64_t i = 0; !r->same && i < r->len; i += 64)
		*sum ^= r->p[i];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t digest[32], sum = 0;
	uint64_t raw;
	uint32_t files;
	struct err e;

	if (pack_claims(data, n, &raw, &files) && raw > (16u << 20))
		return 0; /* allowed, but slow to fuzz */
	sha256(digest, data, n);
	int rc = pack_unpack(data, n, digest, STR("fuzz"), 0, row, &sum, &e);
	if (rc > 0)
		abort();
	if (rc == 0)
		accepted();
	/* The same while it arrives. */
	struct pack_stream_opts o = { .label = STR("fuzz"), .fn = piece, .arg = &sum };
	struct pack_stream *s = pack_stream_new(&o);
	int more = pack_stream_add(s, data, n / 2, &e);
	if (more == 0)
		more = pack_stream_add(s, data + n / 2, n - n / 2, &e);
	if (more == 0)
		more = pack_stream_end(s, digest, &e);
	if ((more < 0) != (rc < 0))
		abort();
	pack_stream_free(s);
	return 0;
}
