#include "patch_stage.h"
#include "fs.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dep_path.h"
#include "patches.h"
#include "project_local.h"
#include "prune.h"
#include "unified_diff.h"

/* The whole package is in memory twice while it is packed. */
enum { PATCH_MAX = 16 << 20 };
#define PACKAGE_MAX ((uint64_t)1 << 30)

struct patching {
	struct job job;
	struct patch_opts o;
	struct tree_package *p;
	struct arena arena;
	struct buf tar;
	struct diff diff;
	bool *used; /* by file of the diff */
	int dir;    /* the package's files */
	struct pkg rec;
	int code;
	struct err err;
	bool spoiled; /* see tree_package */
};

int patch_find(const struct patch **out, const struct settings *s, str key, struct err *e)
{
	str name, version, suffix, hash, rest, segment = STR("(patch_hash=");

	*out = NULL;
	dep_path_split(key, &name, &version, &suffix);
	if (!str_starts(suffix, segment)) /* one further in is a peer's */
		return 0;
	str_cut(str_from(suffix, segment.n), ')', &hash, &rest);
	for (size_t i = 0; i < s->npatch && !*out; i++) {
		if (str_eq(s->patch[i].hash, hash))
			*out = &s->patch[i];
	}
	if (!*out)
		return err_set(
			e, ERR_PROTOCOL, STR_FMT ": patchedDependencies has no patch with this hash", STR_ARG(key));
	return 0;
}

str patch_key(const struct tree_package *p, struct arena *a)
{
	return p->key.n ? arena_printf(a, "patch:" STR_FMT ":" STR_FMT, STR_ARG(p->patch->hash), STR_ARG(p->key))
			: STR_NONE;
}

/* ---- tar ---- */

/* N - 1 octal digits and a NUL. */
static void octal(char *to, size_t n, uint64_t v)
{
	for (to[--n] = 0; n; v >>= 3)
		to[--n] = (char)('0' + (v & 7));
}

/* One ustar header. TYPE '0' is a file, 'x' an extended header for the next. */
static void tar_head(struct buf *b, const char *name, uint64_t size, bool exec, char type)
{
	char h[512] = { 0 };
	unsigned sum = 0;

	snprintf(h, 100, "%s", name);
	octal(h + 100, 8, exec ? 0755 : 0644);
	octal(h + 124, 12, size);
	octal(h + 136, 12, 0);
	memset(h + 148, ' ', 8);
	h[156] = type;
	memcpy(h + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (uint8_t)h[i];
	octal(h + 148, 7, sum);
	buf_add(b, (str){ h, sizeof(h) });
}

static void tar_pad(struct buf *b)
{
	static const char zero[512];

	buf_add(b, (str){ zero, (512 - b->n % 512) % 512 });
}

/* The path goes into an extended header: it may be longer than the old one takes. "<length>
 * path=…\n", length included. */
static void tar_put(struct buf *b, str path, str text, bool exec)
{
	AUTO(buf_release) struct buf pax = BUF_INIT;
	size_t body = sizeof(" path=package/\n") - 1 + path.n, digits = 1;

	for (size_t total = body + 1, k = 10; total >= k; k *= 10)
		total = body + ++digits;
	buf_printf(&pax, "%zu path=package/" STR_FMT "\n", body + digits, STR_ARG(path));
	tar_head(b, "path", pax.n, false, 'x');
	buf_add(b, buf_str(&pax));
	tar_pad(b);
	tar_head(b, "package/file", text.n, exec, '0');
	buf_add(b, text);
	tar_pad(b);
}

static uint32_t crc32_of(str s)
{
	uint32_t table[256], crc = 0xffffffffu;

	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int k = 0; k < 8; k++)
			table[i] = table[i] & 1 ? 0xedb88320u ^ table[i] >> 1 : table[i] >> 1;
	}
	for (size_t i = 0; i < s.n; i++)
		crc = table[(crc ^ (uint8_t)s.p[i]) & 0xff] ^ crc >> 8;
	return ~crc;
}

static void put_le(struct buf *b, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		buf_addc(b, (char)(v >> 8 * i & 0xff));
}

/* The importer reads gzip: stored blocks are gzip without the work (RFC 1951 3.2.4, RFC 1952). */
static void gzip_stored(struct buf *out, str s)
{
	uint32_t crc = crc32_of(s), size = (uint32_t)s.n;

	buf_add(out, (str){ "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10 });
	do {
		size_t n = s.n < 65535 ? s.n : 65535;
		buf_addc(out, s.n == n);
		put_le(out, (uint32_t)n, 2);
		put_le(out, ~(uint32_t)n, 2);
		buf_add(out, str_head(s, n));
		s = str_from(s, n);
	} while (s.n);
	put_le(out, crc, 4);
	put_le(out, size, 4);
}

/* ---- the job ---- */

/* Reads the patch and holds it against its hash. */
static int read_patch(struct patching *x)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	char hex[65];
	str path = path_join(&x->arena, x->o.root, x->p->patch->path);

	if (project_read_file(&b, path.p, PATCH_MAX, &x->err) < 0)
		return x->err.code;
	patch_hash(hex, buf_str(&b));
	if (!str_eq(x->p->patch->hash, str_of(hex)))
		return err_set(&x->err, ERR_INTEGRITY, STR_FMT " changed while it was used", STR_ARG(path));
	str text = arena_str(&x->arena, buf_str(&b));
	if (diff_parse(&x->diff, text, &x->arena, &x->err) < 0)
		return err_ctx(&x->err, STR_FMT, STR_ARG(path));
	x->used = arena_new(&x->arena, bool, x->diff.nfiles + 1);
	return 0;
}

static int read_file(struct patching *x, struct buf *b, str path, uint64_t size)
{
	AUTO(fs_close_auto) int fd = openat(x->dir, arena_str(&x->arena, path).p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_os(&x->err, "open " STR_FMT, STR_ARG(path));
	while (b->n < size) {
		char part[64 * 1024];
		ssize_t n = read(fd, part, sizeof(part));
		if (n < 0)
			return err_os(&x->err, "read " STR_FMT, STR_ARG(path));
		if (n == 0)
			return err_set(&x->err, ERR_INTEGRITY, STR_FMT " is shorter than it was", STR_ARG(path));
		buf_add(b, (str){ part, (size_t)n });
	}
	return 0;
}

/* A file of the package, as all of the patch's parts about it make it. */
static int put_file(struct patching *x, str path, uint64_t size, bool exec)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	bool gone = false;

	if (read_file(x, &text, path, size) < 0)
		return x->err.code;
	for (size_t i = 0; i < x->diff.nfiles; i++) {
		const struct diff_file *f = &x->diff.file[i];
		AUTO(buf_release) struct buf made = BUF_INIT;
		if (!str_eq(f->path, path))
			continue;
		x->used[i] = true;
		if (diff_apply(&made, f, f->kind == DIFF_CREATE ? STR("") : buf_str(&text), &x->err) < 0)
			return x->err.code;
		if (f->kind == DIFF_CREATE && !str_eq(buf_str(&made), buf_str(&text)))
			return err_set(
				&x->err, ERR_NOMATCH, STR_FMT " is to be made, and is there already", STR_ARG(path));
		if (f->kind == DIFF_DELETE && made.n)
			return err_set(
				&x->err, ERR_NOMATCH, STR_FMT " is to be removed, and has more in it", STR_ARG(path));
		gone = f->kind == DIFF_DELETE;
		exec = f->exec >= 0 ? f->exec : exec;
		buf_clear(&text);
		buf_add(&text, buf_str(&made));
	}
	if (!gone)
		tar_put(&x->tar, path, buf_str(&text), exec);
	return 0;
}

/* What the patch makes anew; what it wants to change and is not there. One that is to be removed may be gone. */
static int put_new_files(struct patching *x)
{
	for (size_t i = 0; i < x->diff.nfiles; i++) {
		const struct diff_file *f = &x->diff.file[i];
		AUTO(buf_release) struct buf made = BUF_INIT;
		if (x->used[i] || f->kind == DIFF_DELETE)
			continue;
		if (f->kind == DIFF_MODIFY)
			return err_set(&x->err, ERR_NOTFOUND, STR_FMT " is to be changed, and is not in the package",
				STR_ARG(f->path));
		if (diff_apply(&made, f, STR(""), &x->err) < 0)
			return x->err.code;
		tar_put(&x->tar, f->path, buf_str(&made), f->exec == 1);
	}
	return 0;
}

static int patch_pack(struct patching *x)
{
	static const char end[1024];
	struct pkg rec = x->p->rec;

	if (pkg_bytes(rec) > PACKAGE_MAX)
		return err_set(&x->err, ERR_TOOBIG, "packages of more than 1 GiB cannot be patched");
	for (uint32_t i = 0; i < pkg_nfiles(rec); i++) {
		str path;
		uint64_t size;
		bool exec;
		const uint8_t *digest;
		pkg_file(rec, i, &path, &size, &exec, &digest);
		if (put_file(x, path, size, exec) < 0)
			return x->err.code;
	}
	if (put_new_files(x) < 0)
		return x->err.code;
	buf_add(&x->tar, (str){ end, sizeof(end) });
	return 0;
}

static int patch_import(struct patching *x)
{
	AUTO(buf_release) struct buf gz = BUF_INIT;
	const struct frame_package *f = x->p->f;
	str key = patch_key(x->p, &x->arena);
	struct import_opts o = { .key = key.n ? key
					      : arena_printf(&x->arena, "patch:" STR_FMT ":" STR_FMT,
							STR_ARG(x->p->patch->hash), STR_ARG(f->meta.key)),
		.name = f->name,
		.version = f->version };

	gzip_stored(&gz, buf_str(&x->tar));
	return import_tarball(x->o.store, &o, gz.p, gz.n, &x->rec, &x->err);
}

static int patch_make(struct patching *x, const char *tmp)
{
	struct pkg_link_stats stats = { 0 };

	if (read_patch(x) < 0)
		return x->err.code;
	if (mkdirat(x->o.vstore, tmp, 0777) != 0)
		return err_os(&x->err, "make folder %s", tmp);
	x->dir = openat(x->o.vstore, tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (x->dir < 0)
		return err_os(&x->err, "open folder %s", tmp);
	int code = store_link(x->o.store, x->p->rec, false, x->dir, PKG_HARDLINK, &stats, &x->err);
	x->spoiled = code == ERR_NOTFOUND || code == ERR_INTEGRITY;
	if (code < 0 || patch_pack(x) < 0)
		return x->err.code;
	return patch_import(x);
}

static void patch_run(struct job *job)
{
	struct patching *x = (struct patching *)job;
	char tmp[64];

	/* a name that prune takes away if this is killed */
	snprintf(tmp, sizeof(tmp), ".dray-old-patch-%u", x->p->f->id);
	remove_all(x->o.vstore, tmp);
	x->code = patch_make(x, tmp);
	if (x->code < 0)
		err_ctx(&x->err, "patch " STR_FMT " of " STR_FMT, STR_ARG(x->p->patch->path),
			STR_ARG(x->p->f->meta.key));
	if (x->dir >= 0)
		close(x->dir);
	remove_all(x->o.vstore, tmp);
}

static void patch_done(struct job *job, void *ctx)
{
	struct patching *x = (struct patching *)job;
	struct tree_package *p = x->p;
	struct patch_opts o = x->o;
	struct err err = x->err;
	int code = x->code;

	(void)ctx;
	p->state = PACKAGE_IDLE;
	p->spoiled = x->spoiled;
	if (code == 0) {
		if (p->owned)
			free((void *)(uintptr_t)p->rec.p);
		p->rec = x->rec;
		p->owned = p->cold = p->patched = true;
		p->state = PACKAGE_READY;
	}
	buf_release(&x->tar);
	arena_release(&x->arena);
	free(x);
	o.done(o.arg, p, code, &err);
}

void patch_start(struct pool *pool, const struct patch_opts *o, struct tree_package *p)
{
	struct patching *x = xcalloc(1, sizeof(*x));

	x->job = (struct job){ .run = patch_run, .done = patch_done };
	x->o = *o;
	x->p = p;
	x->dir = -1;
	x->arena = ARENA_INIT(16 * 1024);
	p->state = PACKAGE_COMING;
	pool_submit(pool, &x->job);
}
