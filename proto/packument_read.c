#include "packument_format.h"

/* Where the sections of a record begin, as offsets. Loads go through memcpy, so that a record may lie anywhere. */
struct view {
	struct pk_head h;
	uint64_t tag, string, group, pool, hash, blob, size;
};

/* Inlined into every accessor, of which the compiler keeps only what is used. */
static inline struct view view_of(const void *p)
{
	struct view v;

	memcpy(&v.h, p, sizeof(v.h));
	v.tag = sizeof(v.h) + (uint64_t)v.h.nversions * sizeof(struct pk_version);
	v.string = v.tag + (uint64_t)v.h.ntags * sizeof(struct pk_tag);
	v.group = v.string + ((uint64_t)v.h.nstrings + 1) * 4;
	v.pool = v.group + ((uint64_t)v.h.ngroups + 1) * 4;
	v.hash = v.pool + (uint64_t)v.h.npool * 4;
	v.blob = v.hash + (uint64_t)v.h.nhash * 4;
	v.size = v.blob + v.h.nblob;
	return v;
}

static inline uint32_t word(const uint8_t *p, size_t i)
{
	uint32_t w;

	memcpy(&w, p + i * sizeof(w), sizeof(w));
	return w;
}

static inline str string_at(struct packument p, uint32_t id)
{
	struct view v = view_of(p.p);
	uint32_t from = word(p.p + v.string, id), to = word(p.p + v.string, id + 1);

	return (str){ (const char *)p.p + v.blob + from, to - from };
}

static inline struct pk_version version_at(struct packument p, uint32_t i)
{
	struct pk_version v;

	memcpy(&v, p.p + sizeof(struct pk_head) + (size_t)i * sizeof(v), sizeof(v));
	return v;
}

/* checking */

/* N + 1 offsets that begin with 0, never fall and end with LAST. */
static bool offsets_ok(const uint8_t *p, uint32_t n, uint32_t last)
{
	uint32_t falls = 0;

	for (uint32_t i = 0; i < n; i++)
		falls |= word(p, i) > word(p, i + 1);
	return word(p, 0) == 0 && word(p, n) == last && !falls;
}

/* Whether all of N words are below LIMIT, or PK_NONE where NONE says so. */
static bool words_ok(const uint8_t *p, uint32_t n, uint32_t limit, bool none)
{
	uint32_t bad = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t w = word(p, i);
		bad |= (uint32_t)(w >= limit) & (uint32_t) !(none && w == PK_NONE);
	}
	return !bad;
}

static bool version_ok(const struct view *view, const struct pk_version *v, const uint8_t *string)
{
	uint32_t ns = view->h.nstrings, ng = view->h.ngroups;

	if (v->text >= ns || v->integrity >= ns || (v->tarball >= ns && v->tarball != PK_USUAL) ||
		v->deprecated >= ns || v->time_text >= ns)
		return false;
	uint32_t bad = 0;
	for (unsigned i = 0; i < PACKUMENT_NMAPS; i++)
		bad |= v->map[i] >= ng;
	for (unsigned i = 0; i < PACKUMENT_NLISTS; i++)
		bad |= v->list[i] >= ng;
	uint32_t len = word(string, v->text + 1) - word(string, v->text);
	return !bad && (uint32_t)v->pre_at + v->pre_n <= len && (uint32_t)v->build_at + v->build_n <= len;
}

static bool record_ok(const uint8_t *p, size_t n)
{
	if (n < sizeof(struct pk_head))
		return false;
	struct view v = view_of(p);
	if (v.h.magic != PK_MAGIC || v.h.format != PK_FORMAT || v.size != n || v.h.size != n)
		return false;
	if (v.h.nstrings == 0 || v.h.ngroups == 0 || v.h.name >= v.h.nstrings || v.h.tarball_head >= v.h.nstrings ||
		v.h.nversions > PACKUMENT_MAX_VERSIONS || v.h.nhash == 0 || (v.h.nhash & (v.h.nhash - 1)) ||
		v.h.nhash <= v.h.nversions)
		return false;
	if (!offsets_ok(p + v.string, v.h.nstrings, v.h.nblob) || !offsets_ok(p + v.group, v.h.ngroups, v.h.npool) ||
		!words_ok(p + v.pool, v.h.npool, v.h.nstrings, false) ||
		!words_ok(p + v.hash, v.h.nhash, v.h.nversions, true))
		return false;
	struct packument rec = { p, n };
	for (uint32_t i = 0; i < v.h.nversions; i++) {
		struct pk_version one = version_at(rec, i);
		if (!version_ok(&v, &one, p + v.string))
			return false;
	}
	for (uint32_t i = 0; i < v.h.ntags; i++) {
		uint32_t version = word(p + v.tag, 2 * (size_t)i + 1);
		if (word(p + v.tag, 2 * (size_t)i) >= v.h.nstrings || (version >= v.h.nversions && version != PK_NONE))
			return false;
	}
	return true;
}

int packument_open(struct packument *out, const void *p, size_t n, struct err *e)
{
	if (!record_ok(p, n))
		return err_set(e, ERR_PARSE,
			"a stored packument of %zu bytes is damaged or of another format than %u; it must be fetched "
			"again",
			n, PK_FORMAT);
	*out = (struct packument){ p, n };
	return 0;
}

/* accessors */

str packument_name(struct packument p)
{
	return string_at(p, view_of(p.p).h.name);
}

bool packument_has_time(struct packument p)
{
	return view_of(p.p).h.has_time != 0;
}

int64_t packument_modified(struct packument p)
{
	return view_of(p.p).h.modified;
}

uint32_t packument_nversions(struct packument p)
{
	return view_of(p.p).h.nversions;
}

str packument_version(struct packument p, uint32_t i)
{
	return string_at(p, version_at(p, i).text);
}

void packument_semver(struct packument p, uint32_t i, struct semver *out)
{
	struct pk_version v = version_at(p, i);
	const char *text = string_at(p, v.text).p;

	*out = (struct semver){ .major = v.major,
		.minor = v.minor,
		.patch = v.patch,
		.pre = { text + v.pre_at, v.pre_n },
		.build = { text + v.build_at, v.build_n } };
}

uint32_t packument_find(struct packument p, str version)
{
	struct view v = view_of(p.p);

	/* Fewer versions than cells: an honest table has a free one, a forged one may not. */
	for (uint32_t h = pk_hash(version), n = 0; n < v.h.nhash; h++, n++) {
		uint32_t i = word(p.p + v.hash, h & (v.h.nhash - 1));
		if (i == PK_NONE)
			break;
		if (str_eq(packument_version(p, i), version))
			return i;
	}
	return UINT32_MAX;
}

uint32_t packument_ntags(struct packument p)
{
	return view_of(p.p).h.ntags;
}

void packument_tag_at(struct packument p, uint32_t i, str *tag, uint32_t *version)
{
	struct pk_tag t;

	memcpy(&t, p.p + view_of(p.p).tag + (size_t)i * sizeof(t), sizeof(t));
	*tag = string_at(p, t.tag);
	*version = t.version;
}

uint32_t packument_tag(struct packument p, str tag)
{
	uint32_t n = packument_ntags(p), version;
	str name;

	for (uint32_t i = 0; i < n; i++) {
		packument_tag_at(p, i, &name, &version);
		if (str_eq(name, tag))
			return version;
	}
	return UINT32_MAX;
}

int64_t packument_time(struct packument p, uint32_t i)
{
	return version_at(p, i).time;
}

str packument_time_text(struct packument p, uint32_t i)
{
	return string_at(p, version_at(p, i).time_text);
}

str packument_integrity(struct packument p, uint32_t i)
{
	return string_at(p, version_at(p, i).integrity);
}

str packument_tarball(struct packument p, uint32_t i, struct arena *a)
{
	struct pk_version v = version_at(p, i);

	if (v.tarball != PK_USUAL)
		return string_at(p, v.tarball);
	str part[] = { string_at(p, view_of(p.p).h.tarball_head), string_at(p, v.text), STR(".tgz") };
	return arena_cat(a, part, 3);
}

str packument_deprecated(struct packument p, uint32_t i)
{
	uint32_t id = version_at(p, i).deprecated;

	return id ? string_at(p, id) : STR_NONE; /* hardly any is: that much costs no look at the strings */
}

uint64_t packument_unpacked_size(struct packument p, uint32_t i)
{
	return version_at(p, i).unpacked_size;
}

uint32_t packument_file_count(struct packument p, uint32_t i)
{
	return version_at(p, i).file_count;
}

bool packument_has_install_script(struct packument p, uint32_t i)
{
	return version_at(p, i).flags & PK_INSTALL_SCRIPT;
}

bool packument_has_bin(struct packument p, uint32_t i)
{
	return version_at(p, i).flags & PK_HAS_BIN;
}

bool packument_bundle_all(struct packument p, uint32_t i)
{
	return version_at(p, i).flags & PK_BUNDLE_ALL;
}

bool packument_libc_scalar(struct packument p, uint32_t i)
{
	return version_at(p, i).flags & PK_LIBC_SCALAR;
}

int packument_trust(struct packument p, uint32_t i)
{
	return (int)(version_at(p, i).flags >> PK_TRUST_SHIFT & 3);
}

/* Members of group G, and the string that is its K-th. */
static inline uint32_t group_n(struct packument p, uint32_t g)
{
	const uint8_t *at = p.p + view_of(p.p).group;

	return word(at, g + 1) - word(at, g);
}

static inline str group_at(struct packument p, uint32_t g, uint32_t k)
{
	struct view v = view_of(p.p);

	return string_at(p, word(p.p + v.pool, word(p.p + v.group, g) + k));
}

uint32_t packument_map_n(struct packument p, uint32_t i, enum packument_map m)
{
	return group_n(p, version_at(p, i).map[m]) / 2;
}

void packument_map_at(struct packument p, uint32_t i, enum packument_map m, uint32_t k, str *key, str *value)
{
	uint32_t g = version_at(p, i).map[m];

	*key = group_at(p, g, 2 * k);
	*value = group_at(p, g, 2 * k + 1);
}

uint32_t packument_list_n(struct packument p, uint32_t i, enum packument_list l)
{
	return group_n(p, version_at(p, i).list[l]);
}

str packument_list_at(struct packument p, uint32_t i, enum packument_list l, uint32_t k)
{
	return group_at(p, version_at(p, i).list[l], k);
}
