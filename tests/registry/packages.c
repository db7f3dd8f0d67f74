#include "packages.h"
#include "base/json.h"
#include "integrity.h"
#include "semver.h"
#include <dirent.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct tarball {
	str path;
	char *p;
	size_t n;
};
struct packages {
	struct arena a;
	VEC(struct tarball) tarball;
};
struct version {
	str text, json; /* the manifest as one object, `dist` included */
	struct semver sv;
};
struct tar {
	struct buf out;
	uint32_t files;
	uint64_t bytes;
};

static int skip_dots(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Names in DIR in byte order. */
static struct str_list entries(str dir, struct arena *a)
{
	struct dirent **list;
	struct str_list l = { 0 };
	int n = scandir(dir.p, &list, skip_dots, by_bytes);

	if (n < 0)
		return l;
	l.p = arena_new(a, str, (size_t)n + 1);
	for (int i = 0; i < n; i++) {
		l.p[l.n++] = arena_str(a, str_of(list[i]->d_name));
		free(list[i]);
	}
	free(list);
	return l;
}

/* One ustar entry, owned by nobody, with npm's fixed time. */
static int tar_file(struct tar *t, str path, str body, bool executable, struct err *e)
{
	char h[512] = { 0 };
	unsigned sum = 0;

	if (path.n > 99)
		return err_set(e, ERR_TOOBIG, STR_FMT ": longer than a tar header's 99 bytes", STR_ARG(path));
	memcpy(h, path.p, path.n);
	memcpy(h + 100, executable ? "000755 " : "000644 ", 7);
	memcpy(h + 108, "000000 ", 7);
	memcpy(h + 116, "000000 ", 7);
	snprintf(h + 124, 12, "%011o", (unsigned)body.n);
	snprintf(h + 136, 12, "%011o", 499162500u);
	memset(h + 148, ' ', 8);
	h[156] = '0';
	memcpy(h + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (uint8_t)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	buf_add(&t->out, (str){ h, sizeof(h) });
	buf_add(&t->out, body);
	while (t->out.n % 512)
		buf_addc(&t->out, 0);
	t->files++;
	t->bytes += body.n;
	return 0;
}

static int tar_folder(struct tar *t, str dir, str path, struct arena *a, struct err *e)
{
	struct str_list names = entries(dir, a);

	for (size_t i = 0; i < names.n; i++) {
		struct stat st;
		str name = str_eq(names.p[i], STR("_node_modules")) ? STR("node_modules") : names.p[i];
		str from = arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(dir), STR_ARG(names.p[i]));
		str to = arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(path), STR_ARG(name));
		AUTO(buf_release) struct buf body = BUF_INIT;
		int rc = stat(from.p, &st) == 0 ? 0 : err_os(e, "%s", from.p);
		if (rc == 0 && S_ISDIR(st.st_mode)) {
			rc = tar_folder(t, from, to, a, e);
		} else if (rc == 0) {
			rc = file_slurp(&body, from.p, e);
			if (rc == 0)
				rc = tar_file(t, to, buf_str(&body), (st.st_mode & 0100) != 0, e);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void tarball_add(struct packages *p, struct tar *t, str path)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
	static const char end[1024];

	buf_add(&t->out, (str){ end, sizeof(end) });
	if (!c)
		die_oom(0);
	struct tarball one = { .path = path };
	size_t cap = libdeflate_gzip_compress_bound(c, t->out.n);
	one.p = xmalloc(cap);
	one.n = libdeflate_gzip_compress(c, t->out.p, t->out.n, one.p, cap);
	libdeflate_free_compressor(c);
	*vec_add(&p->tarball) = one;
}

static str digest_sri(const struct tarball *t, enum digest_alg alg, struct digest *d, struct arena *a)
{
	struct hasher *h = hasher_new(alg);

	hasher_add(h, t->p, t->n);
	hasher_end(h, d);
	hasher_free(h);
	return integrity_print(d, a);
}

static bool has_install_script(const struct json *manifest)
{
	const struct json *s = json_get(manifest, "scripts");

	return json_get(s, "preinstall") || json_get(s, "install") || json_get(s, "postinstall");
}

/* The manifest in DIR, closed by `dist`. */
static int version_read(struct packages *p, struct version *v, str name, str dir, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct tar t = { .out = BUF_INIT };
	struct json *manifest;
	struct digest d;
	char hex[41];
	int rc = file_slurp(&text, arena_printf(&p->a, STR_FMT "/package.json", STR_ARG(dir)).p, e);

	if (rc == 0)
		rc = json_parse(&manifest, arena_str(&p->a, buf_str(&text)), &p->a, e);
	if (rc == 0)
		rc = tar_folder(&t, dir, STR("package"), &p->a, e);
	if (rc < 0) {
		buf_release(&t.out);
		return err_ctx(e, STR_FMT, STR_ARG(dir));
	}
	str scope, base = name;
	if (name.p[0] == '@')
		str_cut(name, '/', &scope, &base);
	str path = arena_printf(
		&p->a, "/" STR_FMT "/-/" STR_FMT "-" STR_FMT ".tgz", STR_ARG(name), STR_ARG(base), STR_ARG(v->text));
	tarball_add(p, &t, path);
	buf_release(&t.out);
	const struct tarball *ball = &p->tarball.p[p->tarball.n - 1];
	str sri = digest_sri(ball, DIGEST_SHA512, &d, &p->a);
	digest_sri(ball, DIGEST_SHA1, &d, &p->a);
	hex_print(hex, d.b, 20);
	str body = str_trim(buf_str(&text));
	v->json = arena_printf(&p->a,
		STR_FMT "%s,\"dist\":{\"integrity\":\"" STR_FMT "\",\"shasum\":\"%s\",\"tarball\":\"" STR_FMT
			"\",\"fileCount\":%u,\"unpackedSize\":%llu}}",
		STR_ARG(str_head(body, body.n - 1)), has_install_script(manifest) ? ",\"hasInstallScript\":true" : "",
		STR_ARG(sri), hex, STR_ARG(path), t.files, (unsigned long long)t.bytes);
	return 0;
}

static int tags_read(struct buf *out, str dir, const struct version *v, size_t n, struct arena *a, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	int rc = file_slurp(&text, arena_printf(a, STR_FMT "/dist-tags.json", STR_ARG(dir)).p, e);
	const struct version *latest = &v[0];

	if (rc == 0)
		buf_add(out, str_trim(buf_str(&text)));
	if (rc != ERR_NOTFOUND)
		return rc;
	for (size_t i = 1; i < n; i++) {
		if (v[i].sv.pre.n == 0 && (latest->sv.pre.n || semver_cmp(&v[i].sv, &latest->sv) > 0))
			latest = &v[i];
	}
	buf_printf(out, "{\"latest\":\"" STR_FMT "\"}", STR_ARG(latest->text));
	return 0;
}

static int package_read(struct packages *p, struct recording *into, str name, str dir, struct err *e)
{
	AUTO(buf_release) struct buf line = BUF_INIT;
	struct str_list names = entries(dir, &p->a);
	struct version *v = arena_new(&p->a, struct version, names.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < names.n; i++) {
		v[n].text = names.p[i];
		if (!semver_parse(&v[n].sv, names.p[i], false))
			continue;
		int rc = version_read(p, &v[n++], name,
			arena_printf(&p->a, STR_FMT "/" STR_FMT, STR_ARG(dir), STR_ARG(names.p[i])), e);
		if (rc < 0)
			return rc;
	}
	if (n == 0)
		return err_set(e, ERR_NOTFOUND, STR_FMT ": no version in " STR_FMT, STR_ARG(name), STR_ARG(dir));
	buf_printf(&line,
		"{\"name\":\"" STR_FMT "\",\"modified\":\"2020-02-01T00:00:00.000Z\",\"dist-tags\":", STR_ARG(name));
	int rc = tags_read(&line, dir, v, n, &p->a, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		buf_printf(&line, "%s\"" STR_FMT "\":" STR_FMT, i ? "," : ",\"versions\":{", STR_ARG(v[i].text),
			STR_ARG(v[i].json));
	for (size_t i = 0; i < n; i++)
		buf_printf(&line, "%s\"" STR_FMT "\":\"2020-01-%02zuT00:00:00.000Z\"", i ? "," : "},\"time\":{",
			STR_ARG(v[i].text), 1 + i % 28);
	buf_add(&line, STR(",\"modified\":\"2020-02-01T00:00:00.000Z\"}}"));
	return recording_add(into, buf_str(&line), e);
}

static int folder_read(struct packages *p, struct recording *into, str dir, str scope, struct err *e)
{
	struct str_list names = entries(dir, &p->a);

	for (size_t i = 0; i < names.n; i++) {
		str sub = arena_printf(&p->a, STR_FMT "/" STR_FMT, STR_ARG(dir), STR_ARG(names.p[i]));
		str name = scope.n ? arena_printf(&p->a, STR_FMT "/" STR_FMT, STR_ARG(scope), STR_ARG(names.p[i]))
				   : names.p[i];
		int rc = names.p[i].p[0] == '@' ? folder_read(p, into, sub, name, e)
						: package_read(p, into, name, sub, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int packages_read(struct packages **out, const char *dir, struct recording *into, struct err *e)
{
	struct packages *p = xcalloc(1, sizeof(*p));
	int rc = folder_read(p, into, str_of(dir), STR_NONE, e);

	if (rc == 0 && p->tarball.n == 0)
		rc = err_set(e, ERR_NOTFOUND, "%s: no packages", dir);
	if (rc < 0)
		packages_free(p);
	else
		*out = p;
	return rc;
}

str packages_tarball(const struct packages *p, str path)
{
	for (size_t i = 0; i < p->tarball.n; i++) {
		if (str_eq(p->tarball.p[i].path, path))
			return (str){ p->tarball.p[i].p, p->tarball.p[i].n };
	}
	return STR_NONE;
}

void packages_free(struct packages *p)
{
	for (size_t i = 0; p && i < p->tarball.n; i++)
		free(p->tarball.p[i].p);
	if (p) {
		vec_release(&p->tarball);
		arena_release(&p->a);
	}
	free(p);
}
