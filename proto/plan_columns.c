#include "plan_columns.h"
#include "frame.h"
#include <stdlib.h>

/* A column's number: the frame's kind (its field in Frame), a field of its body, and which part of that. */
enum {
	KINDS = 16,
	FIELDS = 64,
	COLS = KINDS * FIELDS * 2,
	COL_HEADS = 0, /* for each message: how many strings it announces, and its kind */
	KIND_COLUMNS = COLUMNS_TAG >> 3,
	PACKAGE = 3, /* the kind, and its fields that are digests */
	PACKAGE_PACK = 10,
	PACKAGE_DIGEST = 13,
};
/* Of field 0 there are the tags of each body, ended by a zero, and the strings that are announced with
 * it, each ended by a NUL. */
static unsigned col_tags(unsigned kind)
{
	return kind * FIELDS * 2;
}
static unsigned col_strings(unsigned kind)
{
	return col_tags(kind) + 1;
}
/* Numbers, or the lengths of what lies in the column behind. */
static unsigned col_values(unsigned kind, unsigned field)
{
	return (kind * FIELDS + field) * 2;
}

static bool col_is_tail(unsigned col)
{
	return col == col_values(PACKAGE, PACKAGE_PACK) + 1 || col == col_values(PACKAGE, PACKAGE_DIGEST) + 1;
}

/* Takes a varint off the front; false when there is none. Its bytes as they were: *raw. */
static bool take_varint(uint64_t *out, str *raw, str *s)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s->n && i < 10; i++) {
		unsigned char c = (unsigned char)s->p[i];
		v |= (uint64_t)(c & 0x7F) << (7 * i);
		if (c & 0x80)
			continue;
		*out = v;
		*raw = str_head(*s, i + 1);
		*s = str_from(*s, i + 1);
		return true;
	}
	return false;
}

static bool take_number(uint64_t *out, str *s)
{
	str raw;

	return take_varint(out, &raw, s);
}

static bool take_bytes(str *out, uint64_t n, str *s)
{
	if (n > s->n)
		return false;
	*out = str_head(*s, (size_t)n);
	*s = str_from(*s, (size_t)n);
	return true;
}

/* ---- writing ---- */

struct columns {
	struct buf col[COLS];
	uint32_t n; /* messages */
};

struct columns *columns_new(void)
{
	return xcalloc(1, sizeof(struct columns));
}

void columns_free(struct columns *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < COLS; i++)
		buf_release(&c->col[i]);
	free(c);
}

/* The fields of a body, each to its column. */
static bool put_body(struct columns *c, unsigned kind, str body)
{
	struct buf *tags = &c->col[col_tags(kind)];
	uint64_t tag, v;
	str raw, bytes;

	while (body.n) {
		if (!take_varint(&tag, &raw, &body) || tag >> 3 == 0 || tag >> 3 >= FIELDS)
			return false;
		buf_add(tags, raw);
		struct buf *to = &c->col[col_values(kind, (unsigned)(tag >> 3))];
		if (!take_varint(&v, &raw, &body))
			return false;
		buf_add(to, raw);
		if ((tag & 7) == 0)
			continue;
		if ((tag & 7) != 2 || !take_bytes(&bytes, v, &body))
			return false;
		buf_add(to + 1, bytes);
	}
	buf_addc(tags, 0);
	return true;
}

static bool put_message(struct columns *c, str msg)
{
	str strings = msg, s;
	uint64_t nstr = 0, tag = 0, n;

	while (msg.n && msg.p[0] == (1 << 3 | 2)) {
		msg = str_from(msg, 1);
		if (!take_number(&n, &msg) || !take_bytes(&s, n, &msg))
			return false;
		nstr++;
	}
	/* the body is all that is left */
	if (!take_number(&tag, &msg) || (tag & 7) != 2 || tag >> 3 < 2 || tag >> 3 >= KINDS ||
		tag >> 3 == KIND_COLUMNS || !take_number(&n, &msg) || n != msg.n)
		return false;
	unsigned kind = (unsigned)(tag >> 3);
	varint_put(&c->col[COL_HEADS], nstr);
	varint_put(&c->col[COL_HEADS], kind);
	for (; nstr; nstr--) {
		strings = str_from(strings, 1);
		if (!take_number(&n, &strings) || !take_bytes(&s, n, &strings) || memchr(s.p, 0, s.n))
			return false;
		buf_add(&c->col[col_strings(kind)], s);
		buf_addc(&c->col[col_strings(kind)], 0);
	}
	return put_body(c, kind, msg);
}

int columns_put(struct columns *c, str msg, struct err *e)
{
	if (!put_message(c, msg))
		return err_set(e, ERR_PROTOCOL, "a plan's message that has no columns");
	c->n++;
	return 0;
}

static void add_columns(const struct columns *c, struct buf *out, bool tail)
{
	for (unsigned i = 0; i < COLS; i++) {
		if (c->col[i].n && col_is_tail(i) == tail)
			buf_add(out, buf_str(&c->col[i]));
	}
}

/* Numbers and lengths, in the order in which the columns follow. */
static void add_table(const struct columns *c, struct buf *out)
{
	unsigned ncols = 0;

	for (unsigned i = 0; i < COLS; i++)
		ncols += c->col[i].n != 0;
	varint_put(out, c->n);
	varint_put(out, ncols);
	for (int tail = 0; tail < 2; tail++) {
		for (unsigned i = 0; i < COLS; i++) {
			if (!c->col[i].n || col_is_tail(i) != tail)
				continue;
			varint_put(out, i);
			varint_put(out, c->col[i].n);
		}
	}
}

void columns_take(struct columns *c, struct buf *out, size_t *tail)
{
	AUTO(buf_release) struct buf table = BUF_INIT;
	size_t n = 0;

	add_table(c, &table);
	*tail = 0;
	for (unsigned i = 0; i < COLS; i++) {
		n += c->col[i].n;
		*tail += col_is_tail(i) ? c->col[i].n : 0;
	}
	buf_addc(out, COLUMNS_TAG);
	varint_put(out, table.n + n);
	buf_add(out, buf_str(&table));
	add_columns(c, out, false);
	add_columns(c, out, true);
	for (unsigned i = 0; i < COLS; i++)
		buf_clear(&c->col[i]);
	c->n = 0;
}

/* ---- reading ---- */

struct columns_in {
	str col[COLS]; /* what is left of each */
	uint64_t left; /* messages */
	struct buf body, msg;
};

struct columns_in *columns_in_new(void)
{
	return xcalloc(1, sizeof(struct columns_in));
}

void columns_in_free(struct columns_in *ci)
{
	if (!ci)
		return;
	buf_release(&ci->body);
	buf_release(&ci->msg);
	free(ci);
}

static bool take_table(struct columns_in *ci, str msg)
{
	uint64_t n, ncols, col, len;

	if (!take_number(&n, &msg) || n != msg.n || !take_number(&ci->left, &msg) || !take_number(&ncols, &msg))
		return false;
	str columns = msg;
	for (uint64_t i = 0; i < ncols; i++) {
		if (!take_number(&col, &columns) || !take_number(&len, &columns))
			return false;
	}
	for (uint64_t i = 0; i < ncols; i++) {
		if (!take_number(&col, &msg) || !take_number(&len, &msg) || col >= COLS || ci->col[col].n || len == 0 ||
			!take_bytes(&ci->col[col], len, &columns))
			return false;
	}
	return columns.n == 0;
}

int columns_in_open(struct columns_in *ci, str msg, struct err *e)
{
	memset(ci->col, 0, sizeof(ci->col));
	ci->left = 0;
	if (!take_table(ci, str_from(msg, 1)))
		return err_set(e, ERR_PROTOCOL, "plan: columns that do not fit their table");
	return 0;
}

/* The fields of a body, each from its column, to ci->body. */
static bool get_body(struct columns_in *ci, unsigned kind)
{
	uint64_t tag, v;
	str raw, bytes;

	buf_clear(&ci->body);
	for (;;) {
		if (!take_varint(&tag, &raw, &ci->col[col_tags(kind)]) || tag >> 3 >= FIELDS)
			return false;
		if (tag == 0)
			return true;
		if (tag >> 3 == 0 || ((tag & 7) != 0 && (tag & 7) != 2))
			return false;
		str *from = &ci->col[col_values(kind, (unsigned)(tag >> 3))];
		buf_add(&ci->body, raw);
		if (!take_varint(&v, &raw, from))
			return false;
		buf_add(&ci->body, raw);
		if ((tag & 7) == 0)
			continue;
		if (!take_bytes(&bytes, v, from + 1))
			return false;
		buf_add(&ci->body, bytes);
	}
}

static bool get_message(struct columns_in *ci)
{
	uint64_t nstr, kind;
	str s;

	buf_clear(&ci->msg);
	if (!take_number(&nstr, &ci->col[COL_HEADS]) || !take_number(&kind, &ci->col[COL_HEADS]) || kind < 2 ||
		kind >= KINDS || kind == KIND_COLUMNS)
		return false;
	for (; nstr; nstr--) {
		if (!str_cut(ci->col[col_strings((unsigned)kind)], 0, &s, &ci->col[col_strings((unsigned)kind)]))
			return false;
		buf_addc(&ci->msg, 1 << 3 | 2);
		varint_put(&ci->msg, s.n);
		buf_add(&ci->msg, s);
	}
	if (!get_body(ci, (unsigned)kind))
		return false;
	varint_put(&ci->msg, kind << 3 | 2);
	varint_put(&ci->msg, ci->body.n);
	buf_add(&ci->msg, buf_str(&ci->body));
	return true;
}

static bool all_read(const struct columns_in *ci)
{
	for (unsigned i = 0; i < COLS; i++) {
		if (ci->col[i].n)
			return false;
	}
	return true;
}

int columns_in_next(struct columns_in *ci, str *msg, struct err *e)
{
	if (ci->left == 0)
		return all_read(ci) ? 0 : err_set(e, ERR_PROTOCOL, "plan: columns longer than their messages");
	if (!get_message(ci))
		return err_set(e, ERR_PROTOCOL, "plan: a column that ends early");
	if (ci->msg.n > FRAME_MAX)
		return err_set(e, ERR_TOOBIG, "frame of %zu bytes, at most %u", ci->msg.n, FRAME_MAX);
	ci->left--;
	*msg = buf_str(&ci->msg);
	return 1;
}
