/* Which packages a store has: its records. */
#include <unistd.h>

#include "store_admin.h"
#include "verify_impl.h"

static void on_spoiled(void *arg, struct pkg p, const struct err *why)
{
	struct verify *v = arg;
	str label = arena_printf(&v->a, STR_FMT "@" STR_FMT, STR_ARG(pkg_name(p)), STR_ARG(pkg_version(p)));

	map_set(&v->spoiled, arena_str(&v->a, (str){ (const char *)p.p, p.n }), 0);
	verify_extra(v, label, why->msg);
}

static bool is_sri(str key)
{
	return str_starts(key, STR("sha512-")) || str_starts(key, STR("sha256-")) || str_starts(key, STR("sha384-")) ||
	       str_starts(key, STR("sha1-"));
}

static int record_add(void *arg, str key, struct pkg p)
{
	struct verify *v = arg;
	struct err e;
	str name = arena_str(&v->a, pkg_name(p)), version = arena_str(&v->a, pkg_version(p));
	str label = name.n ? arena_printf(&v->a, STR_FMT "@" STR_FMT, STR_ARG(name), STR_ARG(version))
			   : arena_str(&v->a, key);

	if (!is_sri(key) || !name.n || !version.n) {
		verify_unchecked(v, label,
			str_starts(key, STR("patch:")) ? "patched"
			: name.n                       ? "not kept by a checksum"
						       : "its package.json has no name");
		return 0;
	}
	char *copy = arena_new(&v->a, char, p.n);
	memcpy(copy, p.p, p.n);
	/* a spoiled one was reported; its record may be right all the same */
	if (map_get(&v->spoiled, (str){ copy, p.n }) != MAP_NONE && pkg_flags(p) & PKG_CRC)
		return 0;
	if (store_rehash(v->store, (uint8_t *)copy, p.n, &e) < 0) {
		verify_extra(v, label, e.msg);
		return 0;
	}
	struct frame_package *f = arena_new(&v->a, struct frame_package, 1);
	*f = (struct frame_package){ .name = name, .version = version, .meta = { .key = label } };
	f->url = settings_tarball_url(&v->o->req->settings, name, version, &v->a);
	f->meta.resolution.integrity = arena_str(&v->a, key);
	struct verify_package *vp = verify_add(v, f, 1);
	vp->place[0] = (struct place){ .path = str_of(v->o->store_dir) };
	vp->kept = (struct pkg){ (const uint8_t *)copy, p.n };
	return 0;
}

int verify_store(struct verify *v, struct err *e)
{
	struct store_verify_opts o = { .full = true, .report = on_spoiled, .arg = v };
	struct store_verify_result r;
	struct store_opts so = { 0 };
	struct store *s;

	if (access(v->o->store_dir, F_OK) != 0)
		return err_set(e, ERR_NOTFOUND, "there is no store in %s", v->o->store_dir);
	if (store_open(&s, v->o->store_dir, &so, e) < 0)
		return e->code;
	int rc = store_verify(&r, s, &o, e);
	v->counts.files = r.files;
	v->counts.bytes = r.bytes;
	v->store = s;
	if (rc == 0)
		rc = store_each(s, record_add, v, e);
	v->store = NULL;
	store_close(s);
	return rc;
}

struct row {
	str path;
	uint64_t size;
	bool exec;
	const uint8_t *sha;
};

static struct row row_of(struct pkg p, uint32_t i)
{
	struct row r;

	pkg_file(p, i, &r.path, &r.size, &r.exec, &r.sha);
	return r;
}

/* Both are in path order. */
void verify_records(struct differences *out, struct pkg kept, struct pkg is)
{
	uint32_t i = 0, k = 0;

	while (i < pkg_nfiles(kept) || k < pkg_nfiles(is)) {
		struct row a = { 0 }, b = { 0 };
		if (i < pkg_nfiles(kept))
			a = row_of(kept, i);
		if (k < pkg_nfiles(is))
			b = row_of(is, k);
		int c = i == pkg_nfiles(kept) ? 1 : k == pkg_nfiles(is) ? -1 : str_cmp(a.path, b.path);
		if (c < 0)
			difference_add(out, a.path, "extra");
		else if (c > 0)
			difference_add(out, b.path, "missing");
		else if (a.size != b.size || memcmp(a.sha, b.sha, 32) != 0)
			difference_add(out, a.path, "changed");
		else if (a.exec != b.exec)
			difference_add(out, a.path, b.exec ? "mode: not executable" : "mode: executable");
		i += c <= 0;
		k += c >= 0;
	}
}
