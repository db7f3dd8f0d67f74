#include "packs_wire.h"
#include "base/le.h"
#include "integrity.h"

bool packs_key(uint8_t key[PACKS_KEY], str sri)
{
	struct digest d;
	struct err e;

	if (sri.n == 0 || integrity_parse(&d, sri, &e) < 0 || d.n == 0)
		return false;
	memset(key, 0, PACKS_KEY);
	memcpy(key, d.b, d.n < PACKS_KEY ? d.n : PACKS_KEY);
	return true;
}

void packs_row_put(struct buf *out, const uint8_t digest[32], uint64_t n)
{
	char *p = buf_reserve(out, PACKS_ROW);

	memcpy(p, digest, 32);
	le_put64(p + 32, n);
	out->n += PACKS_ROW;
}

uint64_t packs_row_get(uint8_t digest[32], const void *row)
{
	memcpy(digest, row, 32);
	return le_get64((const uint8_t *)row + 32);
}

int packs_body(const uint8_t **p, size_t *n, str body, str magic, size_t width, size_t most, struct err *e)
{
	if (!str_starts(body, magic) || (body.n - magic.n) % width != 0)
		return err_set(e, ERR_PROTOCOL, "expected " STR_FMT " and rows of %zu bytes", STR_ARG(magic), width);
	if ((body.n - magic.n) / width > most)
		return err_set(
			e, ERR_TOOBIG, "%zu rows; a request takes at most %zu", (body.n - magic.n) / width, most);
	*p = (const uint8_t *)body.p + magic.n;
	*n = (body.n - magic.n) / width;
	return 0;
}
