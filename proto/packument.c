#include "integrity.h"
#include "packument_format.h"
#include "packument_scan.h"
#include "packument_words.h"
#include <stdlib.h>

/* Kinds of raw text that are remembered, because the next version mostly repeats them. */
enum memo { MEMO_MAP, MEMO_LIST = MEMO_MAP + PACKUMENT_NMAPS, MEMO_N = MEMO_LIST + PACKUMENT_NLISTS };
enum { MEMO_WAYS = 4, MAX_VERSION = 256, TIME_EMPTY = 0, KEEP_STRINGS = 1 << 15 };

struct memo_entry {
	str raw;
	uint32_t group;
};
struct source { /* one version while it is read */
	struct pk_version v;
	struct semver sv;
	str text;
	bool ok;   /* its text is a version */
	bool gone; /* null: unpublished */
};
/* A version's place: compared by KEY first, which has the three numbers as far as they fit. */
struct rank {
	uint64_t key;
	struct source *v;
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
	VEC(struct rank) rank;  /* in the record's order, once all are known */
	VEC(struct pk_tag) tag; /* .version is a string id until the versions are sorted */
	uint32_t *scell, smask; /* string id + 1 by hash of its bytes */
	uint32_t *gcell, gmask; /* group id + 1 by hash of its members */
	VEC(uint32_t) hash;     /* the record's, once they are sorted */
	struct words fields, dist, map[PACKUMENT_NMAPS];
	struct memo_entry memo[MEMO_N][MEMO_WAYS];
	unsigned memo_at[MEMO_N];
	str time_raw; /* the `time` object, read when the versions are known */
	bool has_time, time_seen;
	int64_t modified, time_modified;
	struct err *e;
};
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

/* A member of a map: its key is word AT, or KEY where that is 0. */
static void member_read(struct compile *c, struct words *t, uint32_t at, str key)
{
	str text;

	if (at && words_value(t, &c->s, at)) {
		map_put(c, t->w[at].what, t->w[at].value_what);
		return;
	}
	scan_peek(&c->s);
	const char *from = c->s.p;
	if (!scan_str(&c->s, &text))
		return;
	uint32_t value = string_id(c, text);
	if (at == 0) {
		map_put(c, string_id(c, key), value);
		return;
	}
	if (!t->w[at].what)
		t->w[at].what = string_id(c, (str){ t->w[at].raw.p + 1, t->w[at].raw.n - 3 });
	map_put(c, t->w[at].what, value);
	words_keep(t, &c->s, at, from, value);
}

/* An object of strings; values of other types are dropped, as pnpm does. Another type is an empty map. */
static uint32_t map_read(struct compile *c, enum packument_map m)
{
	const unsigned kind = MEMO_MAP + m;
	struct words *t = &c->map[m];
	uint32_t group;
	str key = STR_NONE;

	if (memo_hit(c, kind, &group))
		return group;
	const char *from = c->s.p;
	c->scratch.n = 0;
	if (scan_open(&c->s, '{')) {
		enum word_step step;
		bool first = true;
		for (uint32_t at = 0, prev = 0; (step = words_next(t, &c->s, &at, &first, &key)) != WORD_END;
			prev = at) {
			if (step == WORD_NEW)
				at = words_learn(t, &c->s, prev, key, 0);
			member_read(c, t, at, key);
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
		return map_read(c, PACKUMENT_BIN);
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

/* Fields of a version that are read, and of its dist. */
enum field {
	FIELD_OTHER,
	FIELD_MAP, /* + enum packument_map */
	FIELD_LIST = FIELD_MAP + PACKUMENT_NMAPS,
	FIELD_DIST = FIELD_LIST + PACKUMENT_NLISTS,
	FIELD_DEPRECATED,
	FIELD_INSTALL,
	FIELD_SCRIPTS,
	FIELD_DIRECTORIES,
	FIELD_BUNDLED,
	FIELD_BUNDLE,
	FIELD_USER,
	FIELD_INTEGRITY,
	FIELD_SHASUM,
	FIELD_TARBALL,
	FIELD_SIZE,
	FIELD_FILES,
	FIELD_ATTESTATIONS,
};
struct field_name {
	str key;
	uint32_t field;
};

static uint32_t field_of(const struct field_name *table, size_t n, str key)
{
	for (size_t i = 0; i < n; i++) {
		if (str_eq(table[i].key, key))
			return table[i].field;
	}
	return FIELD_OTHER;
}

/* Steps to the next field of an object. *AT is its word, 0 where it has none. */
static bool field_next(struct compile *c, struct words *t, const struct field_name *table, size_t n, bool *first,
	uint32_t *at, uint32_t *field)
{
	str key = STR_NONE;
	uint32_t prev = *at;
	enum word_step step = words_next(t, &c->s, at, first, &key);

	if (step == WORD_END)
		return false;
	if (step == WORD_KNOWN) {
		*field = t->w[*at].what;
		return true;
	}
	*field = field_of(table, n, key);
	*at = words_learn(t, &c->s, prev, key, *field);
	return true;
}

/* A value that nobody reads: often the same as before. */
static void field_skip(struct compile *c, struct words *t, uint32_t at)
{
	if (at && words_value(t, &c->s, at))
		return;
	scan_peek(&c->s);
	const char *from = c->s.p;
	scan_skip(&c->s);
	words_keep(t, &c->s, at, from, 0);
}

static void dist_read(struct compile *c, struct pk_version *v, bool *provenance)
{
	static const struct field_name names[] = {
		{ STR_INIT("integrity"), FIELD_INTEGRITY },
		{ STR_INIT("shasum"), FIELD_SHASUM },
		{ STR_INIT("tarball"), FIELD_TARBALL },
		{ STR_INIT("unpackedSize"), FIELD_SIZE },
		{ STR_INIT("fileCount"), FIELD_FILES },
		{ STR_INIT("attestations"), FIELD_ATTESTATIONS },
	};
	str s, integrity = STR_NONE, shasum = STR_NONE;
	uint32_t at = 0, field;
	uint64_t n;

	if (!scan_open(&c->s, '{'))
		return;
	for (bool first = true; field_next(c, &c->dist, names, sizeof(names) / sizeof(*names), &first, &at, &field);) {
		switch (field) {
		case FIELD_INTEGRITY:
			if (scan_str(&c->s, &s))
				integrity = s;
			break;
		case FIELD_SHASUM:
			if (scan_str(&c->s, &s))
				shasum = s;
			break;
		case FIELD_TARBALL:
			if (scan_str(&c->s, &s))
				v->tarball = string_push(c, s);
			break;
		case FIELD_SIZE:
			v->unpacked_size = scan_u64(&c->s);
			break;
		case FIELD_FILES:
			n = scan_u64(&c->s);
			v->file_count = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
			break;
		case FIELD_ATTESTATIONS:
			*provenance = has_member(c, STR("provenance"));
			break;
		default:
			field_skip(c, &c->dist, at);
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

static void field_set(struct compile *c, struct pk_version *v, struct pending *p, uint32_t field, uint32_t at)
{
	str s;

	switch (field) {
	case FIELD_MAP + PACKUMENT_DEPS:
	case FIELD_MAP + PACKUMENT_OPTIONAL:
	case FIELD_MAP + PACKUMENT_PEERS:
	case FIELD_MAP + PACKUMENT_ENGINES:
		v->map[field - FIELD_MAP] = map_read(c, (enum packument_map)(field - FIELD_MAP));
		break;
	case FIELD_MAP + PACKUMENT_BIN:
		v->map[PACKUMENT_BIN] = bin_read(c);
		break;
	case FIELD_LIST + PACKUMENT_OS:
	case FIELD_LIST + PACKUMENT_CPU:
	case FIELD_LIST + PACKUMENT_LIBC:
		v->list[field - FIELD_LIST] = list_read(c, MEMO_LIST + (field - FIELD_LIST));
		break;
	case FIELD_LIST + PACKUMENT_PEER_OPTIONAL:
		v->list[PACKUMENT_PEER_OPTIONAL] = peer_meta_read(c);
		break;
	case FIELD_DIST:
		dist_read(c, v, &p->provenance);
		break;
	case FIELD_DEPRECATED:
		v->deprecated = scan_str(&c->s, &s) ? string_id(c, s) : 0;
		break;
	case FIELD_INSTALL:
		p->install |= scan_true(&c->s);
		break;
	case FIELD_SCRIPTS:
		p->install |= has_install_script(c);
		break;
	case FIELD_DIRECTORIES:
		p->bin_dir = has_bin_directory(c);
		break;
	case FIELD_BUNDLED:
		p->bundled_seen = scan_peek(&c->s) != 'n';
		p->bundled = bundled_read(c, &p->bundled_all);
		break;
	case FIELD_BUNDLE:
		p->bundle = bundled_read(c, &p->bundle_all);
		break;
	case FIELD_USER:
		user_read(c, &p->approved, &p->trusted);
		break;
	default:
		field_skip(c, &c->fields, at);
	}
}

static void version_body(struct compile *c, struct pk_version *v)
{
	static const struct field_name names[] = {
		{ STR_INIT("dependencies"), FIELD_MAP + PACKUMENT_DEPS },
		{ STR_INIT("optionalDependencies"), FIELD_MAP + PACKUMENT_OPTIONAL },
		{ STR_INIT("peerDependencies"), FIELD_MAP + PACKUMENT_PEERS },
		{ STR_INIT("engines"), FIELD_MAP + PACKUMENT_ENGINES },
		{ STR_INIT("bin"), FIELD_MAP + PACKUMENT_BIN },
		{ STR_INIT("os"), FIELD_LIST + PACKUMENT_OS },
		{ STR_INIT("cpu"), FIELD_LIST + PACKUMENT_CPU },
		{ STR_INIT("libc"), FIELD_LIST + PACKUMENT_LIBC },
		{ STR_INIT("peerDependenciesMeta"), FIELD_LIST + PACKUMENT_PEER_OPTIONAL },
		{ STR_INIT("dist"), FIELD_DIST },
		{ STR_INIT("deprecated"), FIELD_DEPRECATED },
		{ STR_INIT("hasInstallScript"), FIELD_INSTALL },
		{ STR_INIT("scripts"), FIELD_SCRIPTS },
		{ STR_INIT("directories"), FIELD_DIRECTORIES },
		{ STR_INIT("bundledDependencies"), FIELD_BUNDLED },
		{ STR_INIT("bundleDependencies"), FIELD_BUNDLE },
		{ STR_INIT("_npmUser"), FIELD_USER },
	};
	struct pending p = { 0 };
	uint32_t at = 0, field;

	for (bool first = true; field_next(c, &c->fields, names, sizeof(names) / sizeof(*names), &first, &at, &field);)
		field_set(c, v, &p, field, at);
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
			version_body(c, &v->v);
		v->ok = version_parse(v);
		v->v.text = v->ok && !v->gone ? string_push(c, text) : 0;
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
		uint32_t i = *hash_cell(c, key);
		if (i != PK_NONE) {
			struct pk_version *v = &c->rank.p[i].v->v;
			v->time = iso_ms(text);
			if (text.n != 24 || text.p[23] != 'Z' || text.p[19] != '.')
				v->time_text = string_id(c, text);
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
		.name = string_id(c, c->name),
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

/* As if nothing had been compiled before, but for memory. */
static void compile_reset(struct compile *c)
{
	arena_release(&c->a);
	c->string.n = c->mark.n = c->group.n = c->pool.n = c->scratch.n = 0;
	c->version.n = c->rank.n = c->hash.n = c->tag.n = 0;
	if (c->scell)
		memset(c->scell, 0, (c->smask + (size_t)1) * sizeof(*c->scell));
	if (c->gcell)
		memset(c->gcell, 0, (c->gmask + (size_t)1) * sizeof(*c->gcell));
	memset(c->memo, 0, sizeof(c->memo));
	c->time_raw = STR_NONE;
	c->has_time = c->time_seen = false;
	c->modified = c->time_modified = 0;
	string_push(c, STR(""));
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
