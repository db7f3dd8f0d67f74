#include "tar.h"
#include "fs.h"
#include <stdlib.h>

enum {
	BLOCK = 512,
	META_MAX = 1 << 20, /* bytes of one pax header or long name */

	/* ustar header: offset and length of its fields */
	NAME_AT = 0,
	NAME_N = 100,
	MODE_AT = 100,
	SIZE_AT = 124,
	SUM_AT = 148,
	TYPE_AT = 156,
	MAGIC_AT = 257,
	PREFIX_AT = 345,
	PREFIX_N = 155,
};
enum tar_state { TAR_HEADER, TAR_FILE, TAR_META, TAR_SKIP, TAR_PAD };

struct tar {
	struct unpack_opts o;
	enum tar_state state;
	uint8_t head[BLOCK];
	size_t head_n;
	uint64_t left; /* bytes of the entry's data still to come */
	uint32_t pad;  /* bytes that fill its last block */
	uint32_t entries;
	uint64_t bytes;
	bool end;       /* two empty blocks were seen */
	bool zero;      /* the last block was empty */
	char meta_type; /* whose data META collects */
	struct buf meta, path;
	struct buf next_path; /* from a pax header or long name, for the next entry */
	bool has_path, has_size;
	uint64_t next_size;
};

#define TAR_FAIL(t, e, code, ...)                                                                                      \
	(err_set(e, code, __VA_ARGS__), err_ctx(e, "tarball of " STR_FMT, STR_ARG((t)->o.label)))

struct tar *tar_new(const struct unpack_opts *o)
{
	struct tar *t = xcalloc(1, sizeof(*t));

	t->o = *o;
	if (t->o.max_unpacked == 0)
		t->o.max_unpacked = (uint64_t)4 << 30;
	if (t->o.max_entries == 0)
		t->o.max_entries = 500000;
	return t;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	buf_release(&t->meta);
	buf_release(&t->path);
	buf_release(&t->next_path);
	free(t);
}

/* Octal, padded with spaces or NULs, or base-256 with the top bit set (GNU). False past 63 bits or on garbage. */
static bool number_read(uint64_t *out, const uint8_t *p, size_t n)
{
	uint64_t v = 0;
	size_t i = 0;

	if (p[0] & 0x80) {
		if (p[0] != 0x80)
			return false; /* negative, or more than 2^(8n-8) */
		for (i = 1; i < n; i++) {
			if (v >> 55)
				return false;
			v = v << 8 | p[i];
		}
		*out = v;
		return true;
	}
	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(p[i] - '0');
	for (; i < n; i++)
		if (p[i] != ' ' && p[i] != 0)
			return false;
	*out = v;
	return true;
}

static bool sum_ok(const uint8_t h[BLOCK])
{
	uint64_t want;
	int64_t is_signed = 0;
	uint64_t sum = 0;

	if (!number_read(&want, h + SUM_AT, 8))
		return false;
	for (size_t i = 0; i < BLOCK; i++) {
		uint8_t c = i >= SUM_AT && i < SUM_AT + 8 ? ' ' : h[i];
		sum += c;
		is_signed += (int8_t)c;
	}
	return sum == want || is_signed == (int64_t)want; /* some old writers added signed chars */
}

static str field(const uint8_t *p, size_t n)
{
	return (str){ (const char *)p, strnlen((const char *)p, n) };
}

/* One "LEN key=value\n" of a pax header. Returns its length, or 0 when it is none. */
static size_t pax_line(str *k, str *v, str s)
{
	size_t len = 0, i = 0;

	for (; i < s.n && i < 8 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
		len = len * 10 + (size_t)(s.p[i] - '0');
	if (i == 0 || i >= s.n || s.p[i] != ' ' || len > s.n || len < i + 4 || s.p[len - 1] != '\n')
		return 0;
	str line = { s.p + i + 1, len - i - 2 };
	return str_cut(line, '=', k, v) ? len : 0;
}

static int pax_take(struct tar *t, struct err *e)
{
	str s = buf_str(&t->meta), k, v;

	while (s.n > 0) {
		size_t n = pax_line(&k, &v, s);
		if (n == 0)
			return TAR_FAIL(t, e, ERR_PARSE, "a pax header is not well-formed");
		s = str_from(s, n);
		if (str_eq(k, STR("path"))) {
			buf_clear(&t->next_path);
			buf_add(&t->next_path, v);
			t->has_path = true;
		} else if (str_eq(k, STR("size"))) {
			if (!str_u64(v, &t->next_size))
				return TAR_FAIL(t, e, ERR_PARSE, "size " STR_FMT " in a pax header is no number",
					STR_ARG(str_head(v, 40)));
			t->has_size = true;
		} else if (str_starts(k, STR("GNU.sparse."))) {
			return TAR_FAIL(t, e, ERR_UNSUPPORTED, "it has sparse files");
		}
	}
	return 0;
}

static int meta_end(struct tar *t, struct err *e)
{
	if (t->meta_type == 'x')
		return pax_take(t, e);
	if (t->meta_type == 'L') {
		str name = buf_str(&t->meta);
		buf_clear(&t->next_path);
		buf_add(&t->next_path, (str){ name.p, strnlen(name.p ? name.p : "", name.n) });
		t->has_path = true;
	}
	return 0;
}

/* The entry's path below the package, in t->path. ERR_PARSE when it leads out. */
static int path_clean(struct tar *t, str raw, struct err *e)
{
	size_t parts = 0;
	str all = raw;

	buf_clear(&t->path);
	if (memchr(raw.p ? raw.p : "", 0, raw.n))
		return TAR_FAIL(t, e, ERR_PARSE, "a path has a NUL in it");
	if (raw.n > 0 && (raw.p[0] == '/' || raw.p[0] == '\\'))
		return TAR_FAIL(t, e, ERR_PARSE, "path " STR_FMT " is absolute", STR_ARG(str_head(all, 200)));
	while (raw.n > 0) {
		size_t n = 0;
		while (n < raw.n && raw.p[n] != '/' && raw.p[n] != '\\')
			n++;
		str part = str_head(raw, n);
		raw = str_from(raw, n + 1);
		if (part.n == 0 || str_eq(part, STR(".")))
			continue;
		if (str_eq(part, STR("..")))
			return TAR_FAIL(t, e, ERR_PARSE, "path " STR_FMT " leads out of the package",
				STR_ARG(str_head(all, 200)));
		if (parts == 1)
			buf_clear(&t->path); /* the root folder, now that it has something below */
		if (parts >= 2)
			buf_addc(&t->path, '/');
		buf_add(&t->path, part);
		parts++;
	}
	if (!path_safe(buf_str(&t->path)))
		return TAR_FAIL(t, e, ERR_TOOBIG,
			"path " STR_FMT
			" (%zu bytes, %zu levels) is empty, too long or too deep; the limits are 4000 bytes, "
			"255 a component, 128 levels",
			STR_ARG(str_head(all, 200)), all.n, parts);
	return 0;
}

static int file_start(struct tar *t, uint64_t size, struct err *e)
{
	str path = buf_str(&t->next_path);
	char joined[NAME_N + PREFIX_N + 1];
	uint64_t mode;

	if (!t->has_path) {
		str name = field(t->head + NAME_AT, NAME_N), prefix = STR_NONE;
		/* only POSIX archives have a prefix there; GNU's ("ustar  ") keep times in it */
		if (memcmp(t->head + MAGIC_AT, "ustar\0", 6) == 0)
			prefix = field(t->head + PREFIX_AT, PREFIX_N);
		path = name;
		if (prefix.n) {
			memcpy(joined, prefix.p, prefix.n);
			joined[prefix.n] = '/';
			memcpy(joined + prefix.n + 1, name.p, name.n);
			path = (str){ joined, prefix.n + 1 + name.n };
		}
	}
	if (str_ends(path, STR("/"))) { /* how the old format writes directories */
		t->state = TAR_SKIP;
		return 0;
	}
	if (path_clean(t, path, e) < 0)
		return e->code;
	if (!number_read(&mode, t->head + MODE_AT, 8))
		return TAR_FAIL(t, e, ERR_PARSE, "the mode of " STR_FMT " is no number", STR_ARG(buf_str(&t->path)));
	t->state = TAR_FILE;
	return t->o.sink.begin(t->o.sink.arg, buf_str(&t->path), size, (mode & 0111) != 0, e);
}

static int entry_start(struct tar *t, uint64_t size, struct err *e)
{
	char type = (char)t->head[TYPE_AT];

	t->state = TAR_SKIP;
	switch (type) {
	case 'x':
	case 'L':
		if (size > META_MAX)
			return TAR_FAIL(t, e, ERR_TOOBIG, "a header of %llu bytes; the limit is %d",
				(unsigned long long)size, META_MAX);
		t->state = TAR_META;
		t->meta_type = type;
		buf_clear(&t->meta);
		return 0;
	case 'g': /* comments of git and defaults that npm's readers ignore too */
	case 'K': /* the name that a link leads to */
		return 0;
	case '3':
	case '4':
	case '6':
		return TAR_FAIL(
			t, e, ERR_PARSE, STR_FMT " is a device or a pipe", STR_ARG(field(t->head + NAME_AT, NAME_N)));
	case 'S':
	case 'M':
		return TAR_FAIL(t, e, ERR_UNSUPPORTED, STR_FMT " is a sparse file or a continuation",
			STR_ARG(field(t->head + NAME_AT, NAME_N)));
	default:
		break;
	}
	int rc = type == '0' || type == 0 ? file_start(t, size, e) : 0;
	t->has_path = t->has_size = false;
	return rc;
}

static int header_take(struct tar *t, struct err *e)
{
	static const uint8_t empty[BLOCK];
	uint64_t size;

	if (memcmp(t->head, empty, BLOCK) == 0) {
		t->end = t->zero;
		t->zero = true;
		return 0;
	}
	t->zero = false;
	if (!sum_ok(t->head))
		return TAR_FAIL(t, e, ERR_PARSE, "header %u has a wrong checksum", t->entries + 1);
	if (!number_read(&size, t->head + SIZE_AT, 12))
		return TAR_FAIL(t, e, ERR_PARSE, "the size in header %u is no number", t->entries + 1);
	char type = (char)t->head[TYPE_AT];
	if (t->has_size && type != 'x' && type != 'L' && type != 'g' && type != 'K')
		size = t->next_size;
	/* links and directories may state a size; no data follows */
	if ((type >= '1' && type <= '6') && !(t->has_size && size > 0))
		size = 0;
	if (size > t->o.max_unpacked)
		return TAR_FAIL(t, e, ERR_TOOBIG, "an entry of %llu bytes; the limit is %llu for all",
			(unsigned long long)size, (unsigned long long)t->o.max_unpacked);
	if (++t->entries > t->o.max_entries)
		return TAR_FAIL(t, e, ERR_TOOBIG, "more than %u entries", t->o.max_entries);
	t->left = size;
	t->pad = (uint32_t)((BLOCK - size % BLOCK) % BLOCK);
	return entry_start(t, size, e);
}

static int entry_end(struct tar *t, struct err *e)
{
	enum tar_state was = t->state;

	t->state = TAR_PAD;
	if (was == TAR_FILE)
		return t->o.sink.end(t->o.sink.arg, e);
	return was == TAR_META ? meta_end(t, e) : 0;
}

static int data_take(struct tar *t, const uint8_t *p, size_t n, struct err *e)
{
	t->left -= n;
	if (t->state == TAR_FILE)
		return t->o.sink.data(t->o.sink.arg, p, n, e);
	if (t->state == TAR_META)
		buf_add(&t->meta, (str){ (const char *)p, n });
	return 0;
}

/* Of what the state counts down to, how many bytes are left. */
static uint64_t state_left(const struct tar *t)
{
	return t->state == TAR_HEADER ? BLOCK - t->head_n : t->state == TAR_PAD ? t->pad : t->left;
}

/* N bytes of that; not more. */
static int state_take(struct tar *t, const uint8_t *p, size_t n, struct err *e)
{
	if (t->state == TAR_PAD) {
		t->pad -= (uint32_t)n;
		return 0;
	}
	if (t->state != TAR_HEADER)
		return data_take(t, p, n, e);
	memcpy(t->head + t->head_n, p, n);
	t->head_n += n;
	return 0;
}

/* All of it was taken. */
static int state_end(struct tar *t, struct err *e)
{
	if (t->state == TAR_PAD) {
		t->state = TAR_HEADER;
		return 0;
	}
	if (t->state != TAR_HEADER)
		return entry_end(t, e);
	t->head_n = 0;
	return header_take(t, e);
}

int tar_feed(struct tar *t, const uint8_t *p, size_t n, struct err *e)
{
	t->bytes += n;
	if (t->bytes > t->o.max_unpacked)
		return TAR_FAIL(
			t, e, ERR_TOOBIG, "it unpacks to more than %llu bytes", (unsigned long long)t->o.max_unpacked);
	while (!t->end) {
		uint64_t left = state_left(t);
		size_t take = n < left ? n : (size_t)left;
		if (take > 0 && state_take(t, p, take, e) < 0)
			return e->code;
		if (take < left)
			return 0;
		p += take;
		n -= take;
		if (state_end(t, e) < 0)
			return e->code;
	}
	return 0;
}

int tar_end(struct tar *t, struct err *e)
{
	if (t->entries == 0)
		return TAR_FAIL(t, e, ERR_PARSE, "it is empty");
	/* many writers leave the closing blocks out, or the last entry's padding */
	bool whole = t->end || (t->state == TAR_HEADER && t->head_n == 0) || t->state == TAR_PAD;
	if (!whole)
		return TAR_FAIL(t, e, ERR_PARSE, "it ends in the middle of entry %u", t->entries);
	return 0;
}
