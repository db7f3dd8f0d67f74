#include "plan_body.h"
#include <plan.pb-c.h>

enum { VARINT = 0, BYTES = 2, VARINT32_MOST = 5, VARINT_MOST = 10, TAG_MOST = 2 };

static char *varint(char *to, uint64_t v)
{
	for (; v > 0x7F; v >>= 7)
		*to++ = (char)((v & 0x7F) | 0x80);
	*to++ = (char)v;
	return to;
}

static char *tag(char *to, unsigned field, unsigned type)
{
	return varint(to, field << 3 | type);
}

/* proto3: what is zero or empty is not written. */
static char *number(char *to, unsigned field, uint64_t v)
{
	return v ? varint(tag(to, field, VARINT), v) : to;
}

static char *bytes(char *to, unsigned field, ProtobufCBinaryData b)
{
	if (b.len == 0)
		return to;
	to = varint(tag(to, field, BYTES), b.len);
	memcpy(to, b.data, b.len);
	return to + b.len;
}

/* The length of what was written from START + 1 goes before it: one byte unless that is long. */
static char *lengthen(char *start, char *end)
{
	size_t n = (size_t)(end - start) - 1;
	char head[VARINT32_MOST];
	size_t room = (size_t)(varint(head, n) - head);

	if (room > 1)
		memmove(start + room, start + 1, n);
	memcpy(start, head, room);
	return start + room + n;
}

static char *list(char *to, unsigned field, size_t n, const uint32_t *v)
{
	if (n == 0)
		return to;
	char *start = tag(to, field, BYTES);
	to = start + 1;
	for (size_t i = 0; i < n; i++)
		to = varint(to, v[i]);
	return lengthen(start, to);
}

static uint32_t zigzag(int32_t v)
{
	return (uint32_t)v << 1 ^ (v < 0 ? UINT32_MAX : 0);
}

/* Every field of the message, in the order of their numbers; clang-format finds no form of it to stay with. */
/* clang-format off */
#define PACKAGE_FIELDS(N, B, L) \
	N(1, key) N(2, name) N(3, version) N(4, url) N(5, url_base) N(6, unpacked_size) N(7, file_count) \
	N(8, skip) N(9, has_install_script) B(10, pack) N(11, pack_size) N(12, res_kind) B(13, digest) \
	N(14, integrity) N(15, tarball) N(16, tarball_is_url) N(17, directory) N(18, repo) N(19, commit) \
	N(20, path) N(21, git_hosted) N(22, raw) N(23, lock_id) N(24, lock_name) N(25, lock_version) \
	L(26, engines) L(27, cpu) L(28, os) L(29, libc) N(30, deprecated) N(31, has_bin) N(32, prepare) \
	N(33, requires_build) N(34, bundle_all) L(35, bundled) L(36, peer_dependencies) L(37, peer_optional) \
	N(38, libc_scalar)
#define SLOT_FIELDS(N, Z, L) \
	N(1, key) Z(2, package_skip) N(3, skip) L(4, dependencies) L(5, optional_dependencies) \
	L(6, transitive_peers) N(7, optional)
/* clang-format on */

#define FIELD_MOST(...) +(TAG_MOST + VARINT_MOST)
#define BYTES_MOST(id, f) FIELD_MOST() + o->f.len
#define LIST_MOST(id, f) FIELD_MOST() + VARINT32_MOST * o->n_##f
#define NUMBER(id, f) to = number(to, id, (uint64_t)o->f);
#define SIGNED(id, f) to = number(to, id, zigzag(o->f));
#define BLOB(id, f) to = bytes(to, id, o->f);
#define LIST(id, f) to = list(to, id, o->n_##f, o->f);

static size_t package_most(const Dray__Package *o)
{
	return PACKAGE_FIELDS(FIELD_MOST, BYTES_MOST, LIST_MOST);
}

static char *package(char *to, const Dray__Package *o)
{
	PACKAGE_FIELDS(NUMBER, BLOB, LIST)
	return to;
}

static size_t slot_most(const Dray__Slot *o)
{
	return SLOT_FIELDS(FIELD_MOST, FIELD_MOST, LIST_MOST);
}

static char *slot(char *to, const Dray__Slot *o)
{
	SLOT_FIELDS(NUMBER, SIGNED, LIST)
	return to;
}

bool plan_body_put(struct buf *out, const struct Dray__Frame *o)
{
	bool is_package = o->body_case == DRAY__FRAME__BODY_PACKAGE;
	size_t most = 1 + VARINT_MOST;

	if (!is_package && o->body_case != DRAY__FRAME__BODY_SLOT)
		return false;
	for (size_t i = 0; i < o->n_str; i++)
		most += 1 + VARINT_MOST + o->str[i].len;
	most += is_package ? package_most(o->package) : slot_most(o->slot);
	char *begin = buf_reserve(out, most), *to = begin;
	for (size_t i = 0; i < o->n_str; i++) {
		to = varint(tag(to, 1, BYTES), o->str[i].len);
		memcpy(to, o->str[i].data, o->str[i].len);
		to += o->str[i].len;
	}
	char *start = tag(to, o->body_case, BYTES);
	to = lengthen(start, is_package ? package(start + 1, o->package) : slot(start + 1, o->slot));
	out->n += (size_t)(to - begin);
	return true;
}
