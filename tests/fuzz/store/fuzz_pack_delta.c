/* Whatever bytes a delta has, and whatever the other version holds, paths stay below the package, pieces come in order
 * and are as long as they say, and a prefix is asked for only within bounds. */
#include "accepted.h"
#include "integrity.h"
#include "pack_stream.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
	uint64_t at, n; /* of the file whose pieces come */
	uint8_t sum;
};

/* The other version: every path has 4 MiB of the same words. */
static int base_read(void *arg, str path, uint64_t at, uint8_t *to, size_t n, struct err *e)
{
	static const char words[] = "export const value = require('./value');\n";

	(void)arg;
	if (path.n == 0 || path.p[0] == '/' || n > PACK_MOST_PREFIX)
		abort();
	if (at > 4u << 20 || n > (4u << 20) - at)
		return err_set(e, ERR_INTEGRITY, "the other version has not so many bytes");
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)words[(at + i) % (sizeof(words) - 1)];
	return 0;
}

static int row(void *arg, const struct pack_row *r, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	if (r->path.n == 0 || r->path.p[0] == '/' || str_find_str(r->path, STR("../"), 0) == 0 ||
		memchr(r->path.p, 0, r->path.n))
		abort();
	if (r->at == 0)
		s->at = 0;
	if (r->at != s->at || r->len > r->n - r->at)
		abort();
	s->at += r->len;
	for (uint64_t i = 0; !r->same && i < r->len; i += 64)
		s->sum ^= r->p[i];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pack_base base = { NULL, base_read };
	struct seen s = { 0 };
	uint8_t digest[32];
	uint64_t raw;
	uint32_t files;
	struct err e;

	(void)pack_memory(data, n);
	(void)pack_is_delta(data, n);
	if (pack_claims(data, n, &raw, &files) && raw > (16u << 20))
		return 0; /* allowed, but slow to fuzz */
	sha256(digest, data, n);
	struct pack_stream_opts o = { .label = STR("fuzz"), .base = &base, .flags = PACK_PIECES, .fn = row, .arg = &s };
	int rc = pack_stream_all(&o, data, n, digest, &e);
	if (rc > 0)
		abort();
	if (rc == 0)
		accepted();
	return 0;
}
