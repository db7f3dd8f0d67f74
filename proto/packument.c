#include "integrity.h"
#include "packument_format.h"
#include "packument_scan.h"
#include <stdlib.h>

/* Kinds of raw text that are remembered, because the next version mostly repeats them. */
enum memo { MEMO_MAP, MEMO_LIST = MEMO_MAP + PACKUMENT_NMAPS, MEMO_N = MEMO_LIST + PACKUMENT_NLISTS };
enum { MEMO_WAYS = 4, MAX_VERSION = 256, TIME_EMPTY = 0 };

struct memo_entry {
	str raw;
	uint32_t group;
};
struct source { /* one version while it is read */
	struct pk_version v;
	struct semver sv;
	str text;
	bool ok;
};
struct compile {
	struct scan s;
	struct arena a;
	str name;
	VEC(str) string;
	VEC(uint32_t) mark;  /* by string: place + 1 in the map being read, see map_read() */
	VEC(uint32_t) group; /* starts */
	VEC(uint32_t) pool;
	VEC(uint32_t) scratch;
	VEC(struct source) version;
	VEC(struct pk_tag) tag; /* .version is a string id until the versions are sorted */
	uint32_t *scell, smask; /* string id + 1 by hash of its bytes */
	uint32_t *gcell, gmask; /* group id + 1 by hash of its members */
	struct map by_text;     /* version text -> index in .version */
	struct memo_entry memo[MEMO_N][MEMO_WAYS];
	unsigned memo_at[MEMO_N];
	str time_raw; /* the `time` object, read when the versions are known */
	bool has_time, time_seen;
	int64_t modified, time_modified;
	struct err *e;
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
	vec_release(&c->tag);
	free(c->scell);
	free(c->gcell);
	map_release(&c->by_text);
}

/* strings and groups */

/* A string that is not expected to occur again: no look-up. */
static uint32_t string_push(struct compile *c, str s)
{
	if (s.n == 0 && c->string.n)
		return 0;
	*vec_add(&c->string) = s;
	*vec_add(&c->mark) = 0;
	return (uint32_t)(c->string.n - 1);
}

static void string_rehash(struct compile *c)
{
	uint32_t n = c->scell ? (c->smask + 1) * 2 : 256, *cell = xcalloc(n, sizeof(*cell));

	for (uint32_t i = 0; c->scell && i <= c->smask; i++) {
		if (!c->scell[i])
			continue;
		uint32_t h = (uint32_t)str_hash(c->string.p[c->scell[i] - 1]);
		while (cell[h & (n - 1)])
			h++;
		cell[h & (n - 1)] = c->scell[i];
	}
	free(c->scell);
	c->scell = cell;
	c->smask = n - 1;
}

static uint32_t string_id(struct compile *c, str s)
{
	if (s.n == 0)
		return 0;
	if (c->string.n * 2 > c->smask)
		string_rehash(c);
	uint32_t h = (uint32_t)str_hash(s);
	for (;; h++) {
		uint32_t id = c->scell[h & c->smask];
		if (id == 0)
			break;
		if (str_eq(c->string.p[id - 1], s))
			return id - 1;
	}
	uint32_t id = string_push(c, s);
	c->scell[h & c->smask] = id + 1;
	return id;
}

static str group_bytes(const struct compile *c, uint32_t g)
{
	return (str){ (const char *)(c->pool.p + c->group.p[g]),
		(c->group.p[g + 1] - c->group.p[g]) * sizeof(uint32_t) };
}

static void group_rehash(struct compile *c)
{
	uint32_t n = c->gcell ? (c->gmask + 1) * 2 : 64, *cell = xcalloc(n, sizeof(*cell));

	for (uint32_t i = 0; c->gcell && i <= c->gmask; i++) {
		if (!c->gcell[i])
			continue;
		uint32_t h = (uint32_t)str_hash(group_bytes(c, c->gcell[i] - 1));
		while (cell[h & (n - 1)])
			h++;
		cell[h & (n - 1)] = c->gcell[i];
	}
	free(c->gcell);
	c->gcell = cell;
	c->gmask = n - 1;
}

/* The group whose members are those in .scratch. */
static uint32_t group_id(struct compile *c)
{
	str members = { (const char *)c->scratch.p, c->scratch.n * sizeof(uint32_t) };

	if (members.n == 0)
		return 0;
	if (c->group.n * 2 > c->gmask)
		group_rehash(c);
	uint32_t h = (uint32_t)str_hash(members);
	for (;; h++) {
		uint32_t g = c->gcell[h & c->gmask];
		if (g == 0)
			break;
		if (str_eq(group_bytes(c, g - 1), members))
			return g - 1;
	}
	for (size_t i = 0; i < c->scratch.n; i++)
		*vec_add(&c->pool) = c->scratch.p[i];
	*vec_add(&c->group) = (uint32_t)c->pool.n;
	c->gcell[h & c->gmask] = (uint32_t)c->group.n - 1;
	return (uint32_t)c->group.n - 2;
}

/* Whether the value that comes next was read before, word for word: then it is consumed. A value that begins with a whole
 * value *is* that value, for objects and arrays. */
static bool memo_hit(struct compile *c, unsigned kind, uint32_t *group)
{
	scan_peek(&c->s);
	size_t left = (size_t)(c->s.end - c->s.p);
	for (unsigned i = 0; i < MEMO_WAYS; i++) {
		const struct memo_entry *m = &c->memo[kind][(c->memo_at[kind] - i) % MEMO_WAYS];
		if (m->raw.n && m->raw.n <= left && memcmp(m->raw.p, c->s.p, m->raw.n) == 0) {
			*group = m->group;
			c->s.p += m->raw.n;
			return true;
		}
	}
	return false;
}

static void memo_put(struct compile *c, unsigned kind, const char *from, uint32_t group)
{
	if (c->s.bad || (*from != '{' && *from != '['))
		return;
	c->memo[kind][++c->memo_at[kind] % MEMO_WAYS] =
		(struct memo_entry){ .raw = { from, (size_t)(c->s.p - from) }, .group = group };
}

/* fields of a version */

/* Puts KEY: VALUE into .scratch: a repeated key keeps its first place and gets the last value, as in JavaScript. The mark of a
 * string is where it stands as a key of this map; it is wiped by map_end(). */
static void map_put(struct compile *c, uint32_t key, uint32_t value)
{
	if (c->mark.p[key]) {
		c->scratch.p[c->mark.p[key]] = value;
		return;
	}
	*vec_add(&c->scratch) = key;
	*vec_add(&c->scratch) = value;
	c->mark.p[key] = (uint32_t)c->scratch.n - 1;
}

static uint32_t map_end(struct compile *c)
{
	for (size_t i = 0; i < c->scratch.n; i += 2)
		c->mark.p[c->scratch.p[i]] = 0;
	return group_id(c);
}

/* An object of strings; values of other types are dropped, as pnpm does. Another type is an empty map. */
static uint32_t map_read(struct compile *c, unsigned kind)
{
	uint32_t group;
	str key, value;

	if (memo_hit(c, kind, &group))
		return group;
	const char *from = c->s.p;
	c->scratch.n = 0;
	if (scan_open(&c->s, '{')) {
		for (bool first = true; scan_key(&c->s, &first, &key);) {
			if (scan_str(&c->s, &value))
				map_put(c, string_id(c, key), string_id(c, value));
		}
	}
	group = map_end(c);
	if (!c->s.bad)
		memo_put(c, kind, from, group);
	return group;
}

/* An array of strings, or one string. */
static uint32_t list_read(struct compile *c, unsigned kind)
{
	uint32_t group;
	str s;

	if (memo_hit(c, kind, &group))
		return group;
	const char *from = c->s.p;
	c->scratch.n = 0;
	if (scan_peek(&c->s) == '"') {
		if (scan_str(&c->s, &s) && s.n)
			*vec_add(&c->scratch) = string_id(c, s);
		return group_id(c);
	}
	if (scan_open(&c->s, '[')) {
		for (bool first = true; scan_elem(&c->s, &first);) {
			if (scan_str(&c->s, &s))
				*vec_add(&c->scratch) = string_id(c, s);
		}
	}
	group = group_id(c);
	if (!c->s.bad)
		memo_put(c, kind, from, group);
	return group;
}

/* The names that peerDependenciesMeta marks optional. */
static uint32_t peer_meta_read(struct compile *c)
{
	const unsigned kind = MEMO_LIST + PACKUMENT_PEER_OPTIONAL;
	uint32_t group;
	str name, field;

	if (memo_hit(c, kind, &group))
		return group;
	const char *from = c->s.p;
	c->scratch.n = 0;
	if (scan_open(&c->s, '{')) {
		for (bool first = true; scan_key(&c->s, &first, &name);) {
			bool optional = false;
			if (scan_open(&c->s, '{')) {
				for (bool f = true; scan_key(&c->s, &f, &field);) {
					if (str_eq(field, STR("optional")))
						optional = scan_true(&c->s);
					else
						scan_skip(&c->s);
				}
			}
			if (optional)
				*vec_add(&c->scratch) = string_id(c, name);
		}
	}
	group = group_id(c);
	memo_put(c, kind, from, group);
	return group;
}

/* A string "bin" is a command called like the package, without its scope. */
static uint32_t bin_read(struct compile *c)
{
	str path, scope, command;

	if (scan_peek(&c->s) != '"')
		return map_read(c, MEMO_MAP + PACKUMENT_BIN);
	c->scratch.n = 0;
	if (scan_str(&c->s, &path) && path.n) {
		if (c->name.n == 0 || c->name.p[0] != '@' || !str_cut(c->name, '/', &scope, &command))
			command = c->name;
		map_put(c, string_id(c, command), string_id(c, path));
	}
	return map_end(c);
}

static uint32_t bundled_read(struct compile *c, bool *all)
{
	char first = scan_peek(&c->s);

	*all = false;
	if (first == 't' || first == 'f') {
		*all = scan_true(&c->s);
		return 0;
	}
	return list_read(c, MEMO_LIST + PACKUMENT_BUNDLED);
}

static bool has_install_script(struct compile *c)
{
	bool found = false;
	str key, script;

	if (!scan_open(&c->s, '{'))
		return false;
	for (bool first = true; scan_key(&c->s, &first, &key);) {
		bool install = str_eq(key, STR("install")) || str_eq(key, STR("preinstall")) ||
			       str_eq(key, STR("postinstall"));
		if (!install)
			scan_skip(&c->s);
		else
			found |= scan_str(&c->s, &script) && script.n;
	}
	return found;
}

static bool has_bin_directory(struct compile *c)
{
	bool found = false;
	str key, path;

	if (!scan_open(&c->s, '{'))
		return false;
	for (bool first = true; scan_key(&c->s, &first, &key);) {
		if (str_eq(key, STR("bin")))
			found = scan_str(&c->s, &path) && path.n;
		else
			scan_skip(&c->s);
	}
	return found;
}

/* Whether the object that comes next has KEY with a value other than null or false. */
static bool has_member(struct compile *c, str want)
{
	bool found = false;
	str key;

	if (!scan_open(&c->s, '{'))
		return false;
	for (bool first = true; scan_key(&c->s, &first, &key);) {
		if (str_eq(key, want)) {
			char v = scan_peek(&c->s);
			found = v != 'n' && v != 'f';
		}
		scan_skip(&c->s);
	}
	return found;
}

/* "sha1-…" from dist.shasum, for packages older than SRI. */
static str shasum_sri(struct compile *c, str hex)
{
	uint8_t raw[20];

	if (hex.n != 40 || !hex_read(raw, 20, hex))
		return STR_NONE;
	str b64 = base64_print(raw, 20, &c->a);
	return arena_printf(&c->a, "sha1-" STR_FMT, STR_ARG(b64));
}

static void dist_read(struct compile *c, struct pk_version *v, bool *provenance)
{
	str key, s, integrity = STR_NONE, shasum = STR_NONE;

	if (!scan_open(&c->s, '{'))
		return;
	for (bool first = true; scan_key(&c->s, &first, &key);) {
		if (str_eq(key, STR("integrity"))) {
			if (scan_str(&c->s, &s))
				integrity = s;
		} else if (str_eq(key, STR("shasum"))) {
			if (scan_str(&c->s, &s))
				shasum = s;
		} else if (str_eq(key, STR("tarball"))) {
			if (scan_str(&c->s, &s))
				v->tarball = string_push(c, s);
		} else if (str_eq(key, STR("unpackedSize"))) {
			v->unpacked_size = scan_u64(&c->s);
		} else if (str_eq(key, STR("fileCount"))) {
			uint64_t n = scan_u64(&c->s);
			v->file_count = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
		} else if (str_eq(key, STR("attestations"))) {
			*provenance = has_member(c, STR("provenance"));
		} else {
			scan_skip(&c->s);
		}
	}
	v->integrity = string_push(c, integrity.n ? integrity : shasum_sri(c, shasum));
}

/* Whether _npmUser names who approved a staged publish, and a trusted publisher. */
static void user_read(struct compile *c, bool *approved, bool *trusted)
{
	str key;

	if (!scan_open(&c->s, '{'))
		return;
	for (bool first = true; scan_key(&c->s, &first, &key);) {
		char v = scan_peek(&c->s);
		bool set = v != 'n' && v != 'f';
		*approved |= set && str_eq(key, STR("approver"));
		*trusted |= set && str_eq(key, STR("trustedPublisher"));
		scan_skip(&c->s);
	}
}

/* What is known only when a version has been read to its end. */
struct pending {
	uint32_t bundled, bundle;
	bool bundled_seen, bundled_all, bundle_all, install, bin_dir, provenance, trusted, approved;
};

static void field_set(struct compile *c, struct pk_version *v, struct pending *p, str k)
{
	static const struct {
		str key;
		unsigned map;
	} maps[] = {
		{ STR_INIT("dependencies"), PACKUMENT_DEPS },
		{ STR_INIT("optionalDependencies"), PACKUMENT_OPTIONAL },
		{ STR_INIT("peerDependencies"), PACKUMENT_PEERS },
		{ STR_INIT("engines"), PACKUMENT_ENGINES },
	}, lists[] = {
		{ STR_INIT("os"), PACKUMENT_OS },
		{ STR_INIT("cpu"), PACKUMENT_CPU },
		{ STR_INIT("libc"), PACKUMENT_LIBC },
	};
	str s;

	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++) {
		if (str_eq(k, maps[i].key)) {
			v->map[maps[i].map] = map_read(c, MEMO_MAP + maps[i].map);
			return;
		}
	}
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		if (str_eq(k, lists[i].key)) {
			v->list[lists[i].map] = list_read(c, MEMO_LIST + lists[i].map);
			return;
		}
	}
	if (str_eq(k, STR("dist"))) {
		dist_read(c, v, &p->provenance);
	} else if (str_eq(k, STR("bin"))) {
		v->map[PACKUMENT_BIN] = bin_read(c);
	} else if (str_eq(k, STR("peerDependenciesMeta"))) {
		v->list[PACKUMENT_PEER_OPTIONAL] = peer_meta_read(c);
	} else if (str_eq(k, STR("deprecated"))) {
		v->deprecated = scan_str(&c->s, &s) ? string_id(c, s) : 0;
	} else if (str_eq(k, STR("hasInstallScript"))) {
		p->install |= scan_true(&c->s);
	} else if (str_eq(k, STR("scripts"))) {
		p->install |= has_install_script(c);
	} else if (str_eq(k, STR("directories"))) {
		p->bin_dir = has_bin_directory(c);
	} else if (str_eq(k, STR("bundledDependencies"))) {
		p->bundled_seen = scan_peek(&c->s) != 'n';
		p->bundled = bundled_read(c, &p->bundled_all);
	} else if (str_eq(k, STR("bundleDependencies"))) {
		p->bundle = bundled_read(c, &p->bundle_all);
	} else if (str_eq(k, STR("_npmUser"))) {
		user_read(c, &p->approved, &p->trusted);
	} else {
		scan_skip(&c->s);
	}
}

static void version_body(struct compile *c, struct pk_version *v)
{
	struct pending p = { 0 };
	str key;

	for (bool first = true; scan_key(&c->s, &first, &key);)
		field_set(c, v, &p, key);
	v->list[PACKUMENT_BUNDLED] = p.bundled_seen ? p.bundled : p.bundle;
	unsigned trust = p.approved ? 3 : !p.provenance ? 0 : p.trusted ? 2 : 1;
	v->flags = (p.install ? PK_INSTALL_SCRIPT : 0u) |
		   ((p.bundled_seen ? p.bundled_all : p.bundle_all) ? PK_BUNDLE_ALL : 0u) |
		   (p.bin_dir || v->map[PACKUMENT_BIN] ? PK_HAS_BIN : 0u) | trust << PK_TRUST_SHIFT;
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

static int versions_read(struct compile *c)
{
	str text;

	c->version.n = 0;
	map_release(&c->by_text);
	if (!scan_open(&c->s, '{'))
		return 0;
	for (bool first = true; scan_key(&c->s, &first, &text);) {
		bool fresh;
		if (c->version.n == PACKUMENT_MAX_VERSIONS)
			return err_set(c->e, ERR_TOOBIG, STR_FMT ": more than %u versions in the packument",
				STR_ARG(c->name), PACKUMENT_MAX_VERSIONS);
		uint32_t i = map_add(&c->by_text, text, (uint32_t)c->version.n, &fresh);
		if (fresh)
			vec_add(&c->version);
		c->version.p[i] = (struct source){ .text = text };
		if (!scan_open(&c->s, '{')) /* null: unpublished */
			continue;
		struct pk_version v = { 0 };
		version_body(c, &v);
		c->version.p[i].v = v;
		c->version.p[i].ok = version_parse(&c->version.p[i]);
		c->version.p[i].v.text = c->version.p[i].ok ? string_push(c, text) : 0;
	}
	return 0;
}

static int source_cmp(const void *pa, const void *pb)
{
	const struct source *a = pa, *b = pb;
	int d = (int)b->ok - (int)a->ok; /* those to be left out come last */

	if (d || !a->ok)
		return d;
	d = semver_cmp(&a->sv, &b->sv);
	return d ? d : str_cmp(a->text, b->text); /* they differ in build metadata: any order, but one */
}

/* Ascending, without those that are no versions; .by_text follows. */
static void versions_sort(struct compile *c)
{
	bool sorted = true;

	for (size_t i = 1; i < c->version.n && sorted; i++)
		sorted = source_cmp(&c->version.p[i - 1], &c->version.p[i]) <= 0;
	if (!sorted)
		qsort(c->version.p, c->version.n, sizeof(*c->version.p), source_cmp);
	while (c->version.n && !c->version.p[c->version.n - 1].ok)
		c->version.n--;
	map_release(&c->by_text);
	for (size_t i = 0; i < c->version.n; i++)
		map_set(&c->by_text, c->version.p[i].text, (uint32_t)i);
}

/* the rest of the document */

static void tags_read(struct compile *c)
{
	str tag, version;

	c->scratch.n = 0;
	if (scan_open(&c->s, '{')) {
		for (bool first = true; scan_key(&c->s, &first, &tag);) {
			if (scan_str(&c->s, &version))
				map_put(c, string_id(c, tag), string_id(c, version));
		}
	}
	c->tag.n = 0;
	for (size_t i = 0; i < c->scratch.n; i += 2)
		*vec_add(&c->tag) = (struct pk_tag){ c->scratch.p[i], c->scratch.p[i + 1] };
	map_end(c);
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

/* ISO 8601 with seconds, an optional fraction, and Z or an offset: milliseconds since 1970, 0 when it is none. */
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
	int64_t offset = 0;
	if (p < end && (*p == '+' || *p == '-')) {
		int64_t sign = *p++ == '-' ? -1 : 1, h, m;
		if (!digits(&p, end, 2, &h) || p == end || *p++ != ':' || !digits(&p, end, 2, &m))
			return TIME_EMPTY;
		offset = sign * (h * 60 + m) * 60000;
	} else if (p == end || *p++ != 'Z') {
		return TIME_EMPTY;
	}
	if (p != end)
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
		uint32_t i = map_get(&c->by_text, key);
		if (i != MAP_NONE) {
			c->version.p[i].v.time = iso_ms(text);
			if (text.n != 24 || text.p[23] != 'Z' || text.p[19] != '.')
				c->version.p[i].v.time_text = string_id(c, text);
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

static void emit_versions(const struct compile *c, char **at)
{
	for (size_t i = 0; i < c->version.n; i++)
		put(at, &c->version.p[i].v, sizeof(struct pk_version));
	for (size_t i = 0; i < c->tag.n; i++) {
		struct pk_tag t = c->tag.p[i];
		t.version = map_get(&c->by_text, c->string.p[t.version]);
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

static void emit_hash(const struct compile *c, uint32_t n, char **at)
{
	char *cell = *at;

	memset(cell, 0xff, n * sizeof(uint32_t));
	*at += n * sizeof(uint32_t);
	for (uint32_t i = 0; i < c->version.n; i++) {
		uint32_t h = pk_hash(c->version.p[i].text), used;
		do {
			memcpy(&used, cell + (h++ & (n - 1)) * sizeof(used), sizeof(used));
		} while (used != PK_NONE);
		memcpy(cell + (--h & (n - 1)) * sizeof(i), &i, sizeof(i));
	}
}

static int emit(struct compile *c, struct buf *out)
{
	struct pk_head h = { .magic = PK_MAGIC,
		.format = PK_FORMAT,
		.has_time = c->has_time,
		.modified = c->modified ? c->modified : c->time_modified,
		.name = string_id(c, c->name),
		.nversions = (uint32_t)c->version.n,
		.ntags = (uint32_t)c->tag.n,
		.nhash = 4 };
	uint64_t blob = 0;

	while (h.nhash < h.nversions * 2)
		h.nhash *= 2;
	for (size_t i = 0; i < c->string.n; i++)
		blob += c->string.p[i].n;
	h.nstrings = (uint32_t)c->string.n;
	h.ngroups = (uint32_t)c->group.n - 1;
	h.npool = (uint32_t)c->pool.n;
	uint64_t size = sizeof(h) + c->version.n * sizeof(struct pk_version) + c->tag.n * sizeof(struct pk_tag) +
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
	emit_hash(c, h.nhash, &at);
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

int packument_compile(struct buf *out, str json, str name, struct err *e)
{
	AUTO(compile_release) struct compile c = { .name = name, .e = e };

	if (json.n > PACKUMENT_MAX_JSON)
		return err_set(e, ERR_TOOBIG, STR_FMT ": a packument of %zu bytes; at most %u are accepted",
			STR_ARG(name), json.n, PACKUMENT_MAX_JSON);
	scan_init(&c.s, json, &c.a);
	string_push(&c, STR(""));
	*vec_add(&c.group) = 0;
	*vec_add(&c.group) = 0;
	int rc = document_read(&c);
	if (rc < 0)
		return rc;
	if (c.s.bad)
		return parse_error(&c);
	versions_sort(&c);
	time_read(&c);
	return emit(&c, out);
}
