#include "wire_table.h"
#include "plan_wire.h"
#include <stdlib.h>

void enc_release(struct enc *en)
{
	arena_release(&en->keep);
	arena_release(&en->tmp);
	map_release(&en->ref);
	vec_release(&en->fresh);
}

void enc_begin(struct enc *en)
{
	arena_rewind(&en->tmp);
	en->fresh.n = 0;
	en->before = en->ref.n;
}

/* New strings get small odd numbers, the same in every message; known ones keep theirs: both compress. */
static uint32_t ref_of(const struct enc *en, uint32_t at)
{
	return at > en->before ? 2 * (at - en->before) - 1 : 2 * at;
}

uint32_t enc_known(const struct enc *en, str s)
{
	uint32_t at = map_get(&en->ref, s);

	return at == MAP_NONE ? 0 : ref_of(en, at);
}

uint32_t enc_str(struct enc *en, str s)
{
	bool fresh;

	if (s.n == 0)
		return 0;
	uint32_t at = map_add_copy(&en->ref, &s, en->ref.n + 1, &en->keep, &fresh);
	if (fresh) {
		*vec_add(&en->fresh) = pb_bytes(s);
		en->bytes += s.n;
	}
	return ref_of(en, at);
}

uint32_t *enc_room(struct enc *en, size_t n, size_t *n_out, uint32_t **out)
{
	*n_out = n;
	*out = n ? arena_new(&en->tmp, uint32_t, n) : NULL;
	return *out;
}

void enc_list(struct enc *en, struct str_list l, size_t *n, uint32_t **out)
{
	uint32_t *p = enc_room(en, l.n, n, out);

	for (size_t i = 0; i < l.n; i++)
		p[i] = enc_str(en, l.p[i]);
}

void enc_map(struct enc *en, struct str_map m, size_t *n, uint32_t **out)
{
	uint32_t *p = enc_room(en, m.n * 2, n, out);

	for (size_t i = 0; i < m.n; i++) {
		p[2 * i] = enc_str(en, m.p[i].k);
		p[2 * i + 1] = enc_str(en, m.p[i].v);
	}
}

void enc_rows(struct enc *en, const void *rows, size_t nrows, size_t cols, size_t *n, uint32_t **out)
{
	const str *s = rows;
	uint32_t *p = enc_room(en, nrows * cols, n, out);

	for (size_t i = 0; i < nrows * cols; i++)
		p[i] = enc_str(en, s[i]);
}

int dec_fail(struct dec *d, int code, const char *what)
{
	if (d->code == 0)
		d->code = err_set(d->e, code, "%s", what);
	return d->code;
}

static void *dec_alloc(void *ctx, size_t n)
{
	struct dec *d = ctx;

	if (n > PLAN_MAX_MEMORY || d->allocated > PLAN_MAX_MEMORY - n) {
		dec_fail(d, ERR_TOOBIG, "message needs more than 256 MiB to decode");
		return NULL;
	}
	d->allocated += n;
	return arena_alloc(d->tmp, n, 1, _Alignof(max_align_t));
}

static void dec_free(void *ctx, void *p)
{
	(void)ctx;
	(void)p;
}

ProtobufCAllocator dec_allocator(struct dec *d)
{
	return (ProtobufCAllocator){ dec_alloc, dec_free, d };
}

bool dec_array(struct dec *d, size_t n, size_t size)
{
	if (d->allocated > PLAN_MAX_MEMORY || n > (PLAN_MAX_MEMORY - d->allocated) / size) {
		dec_fail(d, ERR_TOOBIG, "message needs more than 256 MiB to decode");
		return false;
	}
	d->allocated += n * size;
	return true;
}

void dec_strings(struct dec *d, size_t n, const ProtobufCBinaryData *p)
{
	d->before = d->str.n;
	for (size_t i = 0; i < n && d->code == 0; i++) {
		if (p[i].len == 0)
			dec_fail(d, ERR_PROTOCOL, "an empty string in the table");
		else if (p[i].len > PLAN_MAX_STRING)
			dec_fail(d, ERR_TOOBIG, "a string of more than 1 MiB");
		else if (memchr(p[i].data, 0, p[i].len))
			dec_fail(d, ERR_PROTOCOL, "a NUL in a string");
		else if (d->str.n >= PLAN_MAX_STRINGS)
			dec_fail(d, ERR_TOOBIG, "more than 4,000,000 strings");
		else if (d->bytes + p[i].len > PLAN_MAX_STRING_BYTES)
			dec_fail(d, ERR_TOOBIG, "more than 128 MiB of strings");
		else {
			*vec_add(&d->str) = arena_str(d->keep, (str){ (char *)p[i].data, p[i].len });
			d->bytes += p[i].len;
		}
	}
}

str dec_str(struct dec *d, uint32_t ref)
{
	if (ref == 0)
		return STR_NONE;
	size_t at = ref & 1 ? d->before + ref / 2 + 1 : ref / 2;
	if (at > d->str.n) {
		dec_fail(d, ERR_PROTOCOL, "reference to a string that was not announced");
		return STR_NONE;
	}
	return d->str.p[at - 1];
}

str dec_bytes(struct dec *d, ProtobufCBinaryData b)
{
	if (b.len == 0)
		return STR_NONE;
	if (b.len > PLAN_MAX_STRING) {
		dec_fail(d, ERR_TOOBIG, "a text of more than 1 MiB");
		return STR_NONE;
	}
	return arena_str(d->tmp, (str){ (char *)b.data, b.len });
}

void dec_digest(struct dec *d, uint8_t out[32], ProtobufCBinaryData b)
{
	if (b.len == 32)
		memcpy(out, b.data, 32);
	else if (b.len != 0)
		dec_fail(d, ERR_PROTOCOL, "a SHA-256 that has not 32 bytes");
}

struct str_list dec_list(struct dec *d, size_t n, const uint32_t *p)
{
	str *s = dec_new(d, str, &n);

	for (size_t i = 0; i < n; i++)
		s[i] = dec_str(d, p[i]);
	return (struct str_list){ s, n };
}

struct str_map dec_map(struct dec *d, size_t n, const uint32_t *p)
{
	if (n % 2)
		dec_fail(d, ERR_PROTOCOL, "a map with an odd number of strings");
	n /= 2;
	struct str_kv *kv = dec_new(d, struct str_kv, &n);
	for (size_t i = 0; i < n; i++)
		kv[i] = (struct str_kv){ dec_str(d, p[2 * i]), dec_str(d, p[2 * i + 1]) };
	return (struct str_map){ kv, n };
}

/* The rows that enc_rows() wrote; *nrows of them. */
void *dec_rows(struct dec *d, size_t n, const uint32_t *p, size_t cols, size_t *nrows)
{
	if (n % cols)
		dec_fail(d, ERR_PROTOCOL, "a table with an incomplete row");
	n -= n % cols;
	*nrows = n / cols;
	str *s = dec_new(d, str, &n);
	for (size_t i = 0; i < n; i++)
		s[i] = dec_str(d, p[i]);
	if (n == 0)
		*nrows = 0;
	return s;
}

uint32_t dec_enum(struct dec *d, uint32_t v, uint32_t last, const char *what)
{
	if (v <= last)
		return v;
	dec_fail(d, ERR_PARSE, what);
	return 0;
}
