#include "integrity.h"
#include "packument_compile.h"

/* A member of a map: its key is word AT, or KEY where that is 0. */
static void member_read(struct compile *c, struct words *t, uint32_t at, str key)
{
	str text;

	if (at && words_value(t, &c->s, at)) {
		pk_map_put(c, t->w[at].what, t->w[at].value_what);
		return;
	}
	scan_peek(&c->s);
	const char *from = c->s.p;
	if (!scan_str(&c->s, &text))
		return;
	uint32_t value = pk_string_id(c, text);
	if (at == 0) {
		pk_map_put(c, pk_string_id(c, key), value);
		return;
	}
	if (!t->w[at].what)
		t->w[at].what = pk_string_id(c, (str){ t->w[at].raw.p + 1, t->w[at].raw.n - 3 });
	pk_map_put(c, t->w[at].what, value);
	words_keep(t, &c->s, at, from, value);
}

/* An object of strings; values of other types are dropped, as pnpm does. Another type is an empty map. */
static uint32_t map_read(struct compile *c, enum packument_map m)
{
	const unsigned kind = MEMO_MAP + m;
	struct words *t = &c->map[m];
	uint32_t group;
	str key = STR_NONE;

	if (pk_memo_hit(c, kind, &group))
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
	group = pk_map_end(c);
	if (!c->s.bad)
		pk_memo_put(c, kind, from, group);
	return group;
}

/* One string, as a list. */
static uint32_t string_read(struct compile *c)
{
	str s;

	c->scratch.n = 0;
	if (scan_str(&c->s, &s) && s.n)
		*vec_add(&c->scratch) = pk_string_id(c, s);
	return pk_group_id(c);
}

/* An array of strings; anything else has none, one string neither (pnpm 12.21). */
static uint32_t list_read(struct compile *c, unsigned kind)
{
	uint32_t group;
	str s;

	if (pk_memo_hit(c, kind, &group))
		return group;
	const char *from = c->s.p;
	c->scratch.n = 0;
	if (scan_open(&c->s, '[')) {
		for (bool first = true; scan_elem(&c->s, &first);) {
			if (scan_str(&c->s, &s))
				*vec_add(&c->scratch) = pk_string_id(c, s);
		}
	}
	group = pk_group_id(c);
	if (!c->s.bad)
		pk_memo_put(c, kind, from, group);
	return group;
}

/* Whether the value that comes next, of peerDependenciesMeta, says {optional: true}. */
static bool peer_optional_read(struct compile *c)
{
	bool optional = false;
	str field;

	if (!scan_open(&c->s, '{'))
		return false;
	for (bool first = true; scan_key(&c->s, &first, &field);) {
		if (str_eq(field, STR("optional")))
			optional = scan_true(&c->s);
		else
			scan_skip(&c->s);
	}
	return optional;
}

/* The names that peerDependenciesMeta marks optional. */
static uint32_t peer_meta_read(struct compile *c)
{
	const unsigned kind = MEMO_LIST + PACKUMENT_PEER_OPTIONAL;
	uint32_t group;
	str name;

	if (pk_memo_hit(c, kind, &group))
		return group;
	const char *from = c->s.p;
	c->scratch.n = 0;
	if (scan_open(&c->s, '{')) {
		for (bool first = true; scan_key(&c->s, &first, &name);) {
			if (peer_optional_read(c))
				*vec_add(&c->scratch) = pk_string_id(c, name);
		}
	}
	group = pk_group_id(c);
	pk_memo_put(c, kind, from, group);
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
		pk_map_put(c, pk_string_id(c, command), pk_string_id(c, path));
	}
	return pk_map_end(c);
}

static uint32_t bundled_read(struct compile *c, bool *all)
{
	char first = scan_peek(&c->s);

	*all = false;
	if (first == 't' || first == 'f') {
		*all = scan_true(&c->s);
		return 0;
	}
	return scan_peek(&c->s) == '"' ? string_read(c) : list_read(c, MEMO_LIST + PACKUMENT_BUNDLED);
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

/* The field KEY, which is new behind the word PREV. Its word, 0 where it has none. */
static uint32_t field_learn(struct compile *c, struct words *t, const struct field_name *table, size_t n, uint32_t prev,
	str key, uint32_t *field)
{
	*field = field_of(table, n, key);
	return words_learn(t, &c->s, prev, key, *field);
}

/* Steps to the next field of an object. *AT is its word, 0 where it has none. */
static inline bool field_next(struct compile *c, struct words *t, const struct field_name *table, size_t n, bool *first,
	uint32_t *at, uint32_t *field)
{
	str key = STR_NONE;
	uint32_t prev = *at;

	switch (words_next(t, &c->s, at, first, &key)) {
	case WORD_KNOWN:
		*field = t->w[*at].what;
		return true;
	case WORD_NEW:
		*at = field_learn(c, t, table, n, prev, key, field);
		return true;
	case WORD_END:
		break;
	}
	return false;
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

/* S without the version in front of ".tgz", if that is what there is. */
static bool tarball_cut(const struct compile *c, str s, str *head)
{
	str version = c->version.p[c->version.n - 1].text, tail = STR(".tgz");

	*head = str_head(s, s.n > tail.n + version.n ? s.n - tail.n - version.n : 0);
	return head->n && str_ends(s, tail) && str_starts(str_from(s, head->n), version);
}

/* All tarballs of a package mostly have one head: it is kept once, and the rest follows from the version. */
static uint32_t tarball_id(struct compile *c, str s)
{
	str head;

	if (!tarball_cut(c, s, &head))
		return pk_string_push(c, s);
	if (!c->tarball_head)
		c->tarball_head = pk_string_push(c, head);
	return str_eq(head, c->string.p[c->tarball_head]) ? PK_USUAL : pk_string_push(c, s);
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
				v->tarball = tarball_id(c, s);
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
	v->integrity = pk_string_push(c, integrity.n ? integrity : shasum_sri(c, shasum));
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
	bool libc_scalar, bundled_seen, bundled_all, bundle_all, install, bin_dir, provenance, trusted, approved;
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
	case FIELD_LIST + PACKUMENT_LIBC:
		p->libc_scalar = scan_peek(&c->s) == '"';
		if (p->libc_scalar)
			v->list[PACKUMENT_LIBC] = string_read(c);
		else
			v->list[PACKUMENT_LIBC] = list_read(c, MEMO_LIST + PACKUMENT_LIBC);
		break;
	case FIELD_LIST + PACKUMENT_OS:
	case FIELD_LIST + PACKUMENT_CPU:
		v->list[field - FIELD_LIST] = list_read(c, MEMO_LIST + (field - FIELD_LIST));
		break;
	case FIELD_LIST + PACKUMENT_PEER_OPTIONAL:
		v->list[PACKUMENT_PEER_OPTIONAL] = peer_meta_read(c);
		break;
	case FIELD_DIST:
		dist_read(c, v, &p->provenance);
		break;
	case FIELD_DEPRECATED:
		v->deprecated = scan_str(&c->s, &s) ? pk_string_id(c, s) : 0;
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

void pk_version_body(struct compile *c, struct pk_version *v)
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
		   (p.bin_dir || v->map[PACKUMENT_BIN] ? PK_HAS_BIN : 0u) | (p.libc_scalar ? PK_LIBC_SCALAR : 0u) |
		   trust << PK_TRUST_SHIFT;
}
