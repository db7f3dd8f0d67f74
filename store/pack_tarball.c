#include "pack_tarball.h"
#include "base/json.h"
#include "unpack.h"

/* Of a package.json whose name is looked for: its tree takes many times its bytes. */
enum { MANIFEST_MOST = 2 << 20 };

struct files {
	struct arena a;
	VEC(struct pack_file) file;
	struct map by_path;
	uint32_t cur;
	uint64_t got;
	uint8_t *to;
};

static int file_begin(void *arg, str path, uint64_t size, bool exec, struct err *e)
{
	struct files *fs = arg;

	(void)e; /* the sizes were checked against max_unpacked by unpack */
	fs->cur = map_get(&fs->by_path, path);
	if (fs->cur == MAP_NONE) {
		str own = arena_str(&fs->a, path);
		fs->cur = (uint32_t)fs->file.n;
		map_set(&fs->by_path, own, fs->cur);
		*vec_add(&fs->file) = (struct pack_file){ .path = own };
	}
	struct pack_file *f = &fs->file.p[fs->cur];
	fs->to = arena_new(&fs->a, uint8_t, (size_t)size + 1);
	fs->got = 0;
	f->p = fs->to;
	f->n = size;
	f->exec = exec;
	return 0;
}

static int file_data(void *arg, const uint8_t *p, size_t n, struct err *e)
{
	struct files *fs = arg;

	if (n > fs->file.p[fs->cur].n - fs->got)
		return err_set(e, ERR_PARSE, "more bytes than the file has");
	memcpy(fs->to + fs->got, p, n);
	fs->got += n;
	return 0;
}

static int file_end(void *arg, struct err *e)
{
	struct files *fs = arg;

	return fs->got == fs->file.p[fs->cur].n ? 0 : err_set(e, ERR_PARSE, "fewer bytes than the file has");
}

/* S, a word that fits, or nothing. */
static void word_keep(char *to, size_t most, str s)
{
	bool ok = s.n < most;

	for (size_t i = 0; i < s.n && ok; i++)
		ok = (uint8_t)s.p[i] > ' ' && s.p[i] != 0x7f;
	if (ok && s.n)
		memcpy(to, s.p, s.n);
	to[ok ? s.n : 0] = '\0';
}

void pack_named_read(struct pack_named *out, str package_json)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(16 * 1024);
	struct json *j = NULL;
	struct err ignored; /* no JSON names nothing */

	if (package_json.n > MANIFEST_MOST || json_parse(&j, package_json, &a, &ignored) < 0)
		j = NULL;
	word_keep(out->name, sizeof(out->name), json_str(json_get(j, "name")));
	word_keep(out->version, sizeof(out->version), json_str(json_get(j, "version")));
}

/* Who may have a package is decided by its name, so the bytes have to be of that name. */
static int name_check(const struct files *fs, const struct pack_tarball_opts *o, struct err *e)
{
	uint32_t at = map_get(&fs->by_path, STR("package.json"));
	struct pack_named own = { .name = "" }, *named = o->named ? o->named : &own;
	str text = { 0 };

	if (at != MAP_NONE)
		text = (str){ (const char *)fs->file.p[at].p, (size_t)fs->file.p[at].n };
	pack_named_read(named, text);
	if (!o->name.n || str_eq(str_of(named->name), o->name))
		return 0;
	return err_set(e, ERR_POLICY, STR_FMT ": the tarball is of package \"%s\"", STR_ARG(o->label), named->name);
}

int pack_tarball(struct buf *out, uint8_t digest[32], uint64_t *raw, const struct pack_tarball_opts *o, const void *p,
	size_t n, struct err *e)
{
	struct files fs = { .a = ARENA_INIT(1 << 16) };
	struct unpack_opts uo = { .sink = { &fs, file_begin, file_data, file_end },
		.sri = o->sri,
		.label = o->label,
		.max_unpacked = o->max_unpacked ? o->max_unpacked : 512u << 20 };
	uint64_t sum = 0;

	int rc = o->sri.n ? unpack_tarball(&uo, p, n, e)
			  : err_set(e, ERR_USAGE, STR_FMT ": no integrity to verify", STR_ARG(o->label));
	if (rc == 0)
		rc = name_check(&fs, o, e);
	struct pack_opts po = o->pack;
	po.tarball = n <= UINT32_MAX ? (uint32_t)n : 0;
	if (rc == 0)
		rc = pack_build(out, digest, fs.file.p, (uint32_t)fs.file.n, &po, e);
	for (size_t i = 0; i < fs.file.n; i++)
		sum += fs.file.p[i].n;
	if (rc == 0 && raw)
		*raw = sum;
	vec_release(&fs.file);
	map_release(&fs.by_path);
	arena_release(&fs.a);
	return rc;
}
