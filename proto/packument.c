#include "packument_compile.h"
#include <stdlib.h>

struct packument_compiler {
	struct compile c;
};

static void compile_release(struct compile *c)
{
	arena_release(&c->a);
	vec_release(&c->string);
	vec_release(&c->mark);
	vec_release(&c->group);
	vec_release(&c->pool);
	vec_release(&c->scratch);
	vec_release(&c->version);
	vec_release(&c->rank);
	vec_release(&c->hash);
	vec_release(&c->tag);
	free(c->scell);
	free(c->gcell);
	c->scell = c->gcell = NULL;
	c->smask = c->gmask = 0;
}

static bool version_parse(struct source *v)
{
	const char *p = v->text.p;

	if (v->text.n == 0 || v->text.n > MAX_VERSION || !semver_parse(&v->sv, v->text, true))
		return false;
	v->v.major = v->sv.major;
	v->v.minor = v->sv.minor;
	v->v.patch = v->sv.patch;
	if (v->sv.pre.n) {
		v->v.pre_at = (uint16_t)(v->sv.pre.p - p);
		v->v.pre_n = (uint16_t)v->sv.pre.n;
	}
	if (v->sv.build.n) {
		v->v.build_at = (uint16_t)(v->sv.build.p - p);
		v->v.build_n = (uint16_t)v->sv.build.n;
	}
	return true;
}

/* The three numbers in one, in order; numbers too large for it are equal to each other. */
static uint64_t rank_key(const struct semver *v)
{
	const uint64_t most = (1u << 21) - 1;

	if (v->major > most)
		return UINT64_MAX;
	if (v->minor > most)
		return v->major << 42 | ((UINT64_C(1) << 42) - 1);
	return v->major << 42 | v->minor << 21 | (v->patch > most ? most : v->patch);
}

static int versions_read(struct compile *c)
{
	str text;

	c->version.n = 0;
	if (!scan_open(&c->s, '{'))
		return 0;
	for (bool first = true; scan_key(&c->s, &first, &text);) {
		if (c->version.n == PACKUMENT_MAX_VERSIONS)
			return err_set(c->e, ERR_TOOBIG, STR_FMT ": more than %u versions in the packument",
				STR_ARG(c->name), PACKUMENT_MAX_VERSIONS);
		struct source *v = vec_add(&c->version);
		*v = (struct source){ .text = text };
		v->gone = !scan_open(&c->s, '{');
		if (!v->gone)
			pk_version_body(c, &v->v);
		v->ok = version_parse(v);
		v->v.text = v->ok && !v->gone ? pk_string_push(c, text) : 0;
	}
	return 0;
}

/* What differs in build metadata alone in any order, but one; the same version twice as in the document. */
static int rank_cmp(const void *pa, const void *pb)
{
	const struct rank *a = pa, *b = pb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	int d = semver_cmp(&a->v->sv, &b->v->sv);
	if (d == 0)
		d = str_cmp(a->v->text, b->v->text);
	return d ? d : a->v < b->v ? -1 : 1;
}

static uint32_t *hash_cell(struct compile *c, str text)
{
	uint32_t mask = (uint32_t)c->hash.n - 1;

	for (uint32_t h = pk_hash(text);; h++) {
		uint32_t *cell = &c->hash.p[h & mask];
		if (*cell == PK_NONE || str_eq(c->rank.p[*cell].v->text, text))
			return cell;
	}
}

/* Ascending, without those that are no versions; of a text that occurs twice the last one counts, as in JavaScript. */
static void versions_sort(struct compile *c)
{
	size_t n = 0, cells = 4;

	c->rank.n = 0;
	for (size_t i = 0; i < c->version.n; i++) {
		if (c->version.p[i].ok)
			*vec_add(&c->rank) = (struct rank){ rank_key(&c->version.p[i].sv), &c->version.p[i] };
	}
	if (c->rank.n > 1)
		qsort(c->rank.p, c->rank.n, sizeof(*c->rank.p), rank_cmp);
	for (size_t i = 0; i < c->rank.n; i++) {
		bool last = i + 1 == c->rank.n || !str_eq(c->rank.p[i].v->text, c->rank.p[i + 1].v->text);
		if (last && !c->rank.p[i].v->gone)
			c->rank.p[n++] = c->rank.p[i];
	}
	c->rank.n = n;
	while (cells < n * 2)
		cells *= 2;
	c->hash.n = 0;
	for (size_t i = 0; i < cells; i++)
		*vec_add(&c->hash) = PK_NONE;
	for (size_t i = 0; i < n; i++)
		*hash_cell(c, c->rank.p[i].v->text) = (uint32_t)i;
}

/* the rest of the document */

static void tags_read(struct compile *c)
{
	str tag, version;

	c->scratch.n = 0;
	if (scan_open(&c->s, '{')) {
		for (bool first = true; scan_key(&c->s, &first, &tag);) {
			if (scan_str(&c->s, &version))
				pk_map_put(c, pk_string_id(c, tag), pk_string_id(c, version));
		}
	}
	c->tag.n = 0;
	for (size_t i = 0; i < c->scratch.n; i += 2)
		*vec_add(&c->tag) = (struct pk_tag){ c->scratch.p[i], c->scratch.p[i + 1] };
	pk_map_end(c);
}

static bool digits(const char **p, const char *end, unsigned n, int64_t *out)
{
	int64_t v = 0;

	if (end - *p < (ptrdiff_t)n)
		return false;
	for (; n; n--, ++*p) {
		if (**p < '0' || **p > '9')
			return false;
		v = v * 10 + (**p - '0');
	}
	*out = v;
	return true;
}

/* Days since 1970-01-01 of a Gregorian date. */
static int64_t days(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = y / 400, yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* Z, or an offset as +02:00, in milliseconds. */
static bool zone(const char **p, const char *end, int64_t *offset)
{
	int64_t h, m;

	if (*p == end)
		return false;
	char c = *(*p)++;
	*offset = 0;
	if (c == 'Z')
		return true;
	if ((c != '+' && c != '-') || !digits(p, end, 2, &h) || *p == end || *(*p)++ != ':' || !digits(p, end, 2, &m))
		return false;
	*offset = (c == '-' ? -1 : 1) * (h * 60 + m) * 60000;
	return true;
}

/* ISO 8601 with seconds, an optional fraction, and a zone: milliseconds since 1970, TIME_EMPTY when it is none. */
static int64_t iso_ms(str s)
{
	const char *p = s.p, *end = s.p + s.n;
	int64_t v[6], ms = 0;

	for (int i = 0; i < 6; i++) {
		if (i && (p == end || *p != "x--T::"[i]))
			return TIME_EMPTY;
		p += i > 0;
		if (!digits(&p, end, i ? 2 : 4, &v[i]))
			return TIME_EMPTY;
	}
	if (v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > 31 || v[3] > 24 || v[4] > 59 || v[5] > 60)
		return TIME_EMPTY;
	if (p < end && *p == '.') {
		int64_t scale = 100;
		for (p++; p < end && *p >= '0' && *p <= '9'; p++, scale /= 10)
			ms += (*p - '0') * scale;
	}
	int64_t offset;
	if (!zone(&p, end, &offset) || p != end)
		return TIME_EMPTY;
	return ((days(v[0], v[1], v[2]) * 24 + v[3]) * 60 + v[4]) * 60000 + v[5] * 1000 + ms - offset;
}

static void time_read(struct compile *c)
{
	str key, text;

	if (!c->time_seen)
		return;
	scan_init(&c->s, c->time_raw, &c->a);
	if (!scan_open(&c->s, '{'))
		return;
	for (bool first = true; scan_key(&c->s, &first, &key);) {
		if (!scan_str(&c->s, &text))
			continue;
		uint32_t i = *hash_cell(c, key);
		if (i != PK_NONE) {
			struct pk_version *v = &c->rank.p[i].v->v;
			v->time = iso_ms(text);
			if (text.n != 24 || text.p[23] != 'Z' || text.p[19] != '.')
				v->time_text = pk_string_id(c, text);
			c->has_time = true;
		} else if (str_eq(key, STR("modified"))) {
			c->time_modified = iso_ms(text);
		}
	}
}

static int name_check(struct compile *c)
{
	str name;

	if (scan_str(&c->s, &name) && !str_eq(name, c->name))
		return err_set(c->e, ERR_PARSE, STR_FMT ": the registry answered with the packument of \"" STR_FMT "\"",
			STR_ARG(c->name), STR_ARG(name));
	return 0;
}

static int document_read(struct compile *c)
{
	str key, text;
	int rc = 0;

	if (scan_peek(&c->s) != '{') {
		scan_fail(&c->s, c->s.p, "expected an object");
		return 0;
	}
	scan_open(&c->s, '{');
	for (bool first = true; rc == 0 && scan_key(&c->s, &first, &key);) {
		if (str_eq(key, STR("versions"))) {
			rc = versions_read(c);
		} else if (str_eq(key, STR("dist-tags"))) {
			tags_read(c);
		} else if (str_eq(key, STR("name"))) {
			rc = name_check(c);
		} else if (str_eq(key, STR("modified"))) {
			c->modified = scan_str(&c->s, &text) ? iso_ms(text) : 0;
		} else if (str_eq(key, STR("time"))) {
			scan_peek(&c->s);
			const char *from = c->s.p;
			scan_skip(&c->s);
			c->time_raw = (str){ from, c->s.bad ? 0 : (size_t)(c->s.p - from) };
			c->time_seen = true;
		} else {
			scan_skip(&c->s);
		}
	}
	if (rc == 0 && !c->s.bad && (scan_peek(&c->s) || c->s.p != c->s.end))
		scan_fail(&c->s, c->s.p, "something after the document's end");
	return rc;
}

/* the record */

static void put(char **at, const void *p, size_t n)
{
	if (n)
		memcpy(*at, p, n);
	*at += n;
}

static void emit_versions(struct compile *c, char **at)
{
	for (size_t i = 0; i < c->rank.n; i++)
		put(at, &c->rank.p[i].v->v, sizeof(struct pk_version));
	for (size_t i = 0; i < c->tag.n; i++) {
		struct pk_tag t = c->tag.p[i];
		t.version = *hash_cell(c, c->string.p[t.version]);
		put(at, &t, sizeof(t));
	}
}

static void emit_strings(const struct compile *c, char **at)
{
	uint32_t off = 0;

	for (size_t i = 0; i < c->string.n; i++) {
		put(at, &off, sizeof(off));
		off += (uint32_t)c->string.p[i].n;
	}
	put(at, &off, sizeof(off));
}

static int emit(struct compile *c, struct buf *out)
{
	struct pk_head h = { .magic = PK_MAGIC,
		.format = PK_FORMAT,
		.has_time = c->has_time,
		.modified = c->modified ? c->modified : c->time_modified,
		.name = pk_string_id(c, c->name),
		.tarball_head = c->tarball_head,
		.nversions = (uint32_t)c->rank.n,
		.ntags = (uint32_t)c->tag.n,
		.nhash = (uint32_t)c->hash.n };
	uint64_t blob = 0;

	for (size_t i = 0; i < c->string.n; i++)
		blob += c->string.p[i].n;
	h.nstrings = (uint32_t)c->string.n;
	h.ngroups = (uint32_t)c->group.n - 1;
	h.npool = (uint32_t)c->pool.n;
	uint64_t size = sizeof(h) + c->rank.n * sizeof(struct pk_version) + c->tag.n * sizeof(struct pk_tag) +
			(c->string.n + 1 + c->group.n + c->pool.n + h.nhash) * sizeof(uint32_t) + blob;
	if (size > UINT32_MAX)
		return err_set(c->e, ERR_TOOBIG, STR_FMT ": the compiled packument would have %llu bytes",
			STR_ARG(c->name), (unsigned long long)size);
	h.nblob = (uint32_t)blob;
	h.size = (uint32_t)size;
	char *at = buf_reserve(out, size);
	put(&at, &h, sizeof(h));
	emit_versions(c, &at);
	emit_strings(c, &at);
	put(&at, c->group.p, c->group.n * sizeof(uint32_t));
	put(&at, c->pool.p, c->pool.n * sizeof(uint32_t));
	put(&at, c->hash.p, c->hash.n * sizeof(uint32_t));
	for (size_t i = 0; i < c->string.n; i++)
		put(&at, c->string.p[i].p, c->string.p[i].n);
	out->n += size;
	return 0;
}

static int parse_error(const struct compile *c)
{
	return err_set(c->e, ERR_PARSE, STR_FMT ": invalid packument at byte %zu: %s", STR_ARG(c->name), c->s.bad_at,
		c->s.bad);
}

/* Tables that one large document made are not kept for the next. */
static void compile_trim(struct compile *c)
{
	if (c->string.cap > KEEP_STRINGS || c->pool.cap > KEEP_STRINGS || c->version.cap > KEEP_STRINGS / 8)
		compile_release(c);
}

/* Wiped for each document, so a large one's table is not kept for the small ones that follow. */
static void cells_reset(uint32_t **cell, uint32_t *mask)
{
	if (*mask >= KEEP_CELLS) {
		free(*cell);
		*cell = NULL;
		*mask = 0;
	} else if (*cell) {
		memset(*cell, 0, (*mask + (size_t)1) * sizeof(**cell));
	}
}

/* As if nothing had been compiled before, but for memory. */
static void compile_reset(struct compile *c)
{
	arena_release(&c->a);
	c->string.n = c->mark.n = c->group.n = c->pool.n = c->scratch.n = 0;
	c->version.n = c->rank.n = c->hash.n = c->tag.n = 0;
	cells_reset(&c->scell, &c->smask);
	cells_reset(&c->gcell, &c->gmask);
	c->nscell = 0;
	memset(c->memo, 0, sizeof(c->memo));
	c->tarball_head = 0;
	c->time_raw = STR_NONE;
	c->has_time = c->time_seen = false;
	c->modified = c->time_modified = 0;
	pk_string_push(c, STR(""));
	*vec_add(&c->group) = 0;
	*vec_add(&c->group) = 0;
	words_reset(&c->fields);
	words_reset(&c->dist);
	for (int i = 0; i < PACKUMENT_NMAPS; i++)
		words_reset(&c->map[i]);
}

struct packument_compiler *packument_compiler_new(void)
{
	return xcalloc(1, sizeof(struct packument_compiler));
}

void packument_compiler_free(struct packument_compiler *pc)
{
	if (!pc)
		return;
	compile_release(&pc->c);
	free(pc);
}

int packument_compiler_run(struct packument_compiler *pc, struct buf *out, str json, str name, struct err *e)
{
	struct compile *c = &pc->c;

	if (json.n > PACKUMENT_MAX_JSON)
		return err_set(e, ERR_TOOBIG, STR_FMT ": a packument of %zu bytes; at most %u are accepted",
			STR_ARG(name), json.n, PACKUMENT_MAX_JSON);
	compile_trim(c);
	compile_reset(c);
	c->name = name;
	c->e = e;
	scan_init(&c->s, json, &c->a);
	int rc = document_read(c);
	if (rc < 0)
		return rc;
	if (c->s.bad)
		return parse_error(c);
	versions_sort(c);
	time_read(c);
	return emit(c, out);
}

int packument_compile(struct buf *out, str json, str name, struct err *e)
{
	struct packument_compiler *pc = packument_compiler_new();
	int rc = packument_compiler_run(pc, out, json, name, e);

	packument_compiler_free(pc);
	return rc;
}
