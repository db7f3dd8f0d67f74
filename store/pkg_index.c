#include "pkg_index.h"
#include "base/le.h"
#include "fs.h"
#include <stdlib.h>

/* Header, then files, directories, bins, scripts (in that order, fixed-size rows), then strings. */
enum {
	MAGIC = 0x31504b44, /* "DKP1" */
	H_MAGIC = 0,
	H_SIZE = 4, /* of the record */
	H_FLAGS = 8,
	H_FILES = 12,
	H_DIRS = 16,
	H_BINS = 20,
	H_SCRIPTS = 24,
	H_KEY = 32, /* strings: offset, length */
	H_NAME = 40,
	H_VERSION = 48,
	H_BYTES = 56,
	H_MTIME = 64,
	H_ID = 72,
	HEADER = H_ID + PKG_ID,

	F_PATH = 0,
	F_SIZE = 8,
	F_NUM = 16,
	F_EXEC = 20,
	F_SHA = 24,
	FILE_ROW = 56,
	DIR_ROW = 8,
	PAIR_ROW = 16,
};

static str get_str(struct pkg p, size_t at)
{
	return (str){ (const char *)p.p + le_get32(p.p + at), le_get32(p.p + at + 4) };
}

/* -- reading ------------------------------------------------------------- */

static size_t dirs_at(struct pkg p)
{
	return HEADER + (size_t)pkg_nfiles(p) * FILE_ROW;
}

static size_t bins_at(struct pkg p)
{
	return dirs_at(p) + (size_t)pkg_ndirs(p) * DIR_ROW;
}

static size_t scripts_at(struct pkg p)
{
	return bins_at(p) + (size_t)pkg_nbins(p) * PAIR_ROW;
}

str pkg_key(struct pkg p)
{
	return get_str(p, H_KEY);
}

str pkg_name(struct pkg p)
{
	return get_str(p, H_NAME);
}

str pkg_version(struct pkg p)
{
	return get_str(p, H_VERSION);
}

uint32_t pkg_flags(struct pkg p)
{
	return le_get32(p.p + H_FLAGS);
}

void pkg_mark_unproven(uint8_t *p, bool unproven)
{
	uint32_t flags = le_get32(p + H_FLAGS) & ~(uint32_t)PKG_UNPROVEN;

	le_put32(p + H_FLAGS, flags | (unproven ? (uint32_t)PKG_UNPROVEN : 0));
}

uint32_t pkg_nfiles(struct pkg p)
{
	return le_get32(p.p + H_FILES);
}

uint32_t pkg_ndirs(struct pkg p)
{
	return le_get32(p.p + H_DIRS);
}

uint32_t pkg_nbins(struct pkg p)
{
	return le_get32(p.p + H_BINS);
}

uint64_t pkg_bytes(struct pkg p)
{
	return le_get64(p.p + H_BYTES);
}

const uint8_t *pkg_id(struct pkg p)
{
	return p.p + H_ID;
}

int64_t pkg_mtime(struct pkg p)
{
	return (int64_t)le_get64(p.p + H_MTIME);
}

struct pkg_file_row pkg_file_row(struct pkg p, uint32_t i)
{
	size_t at = HEADER + (size_t)i * FILE_ROW;

	return (struct pkg_file_row){ .path = get_str(p, at + F_PATH),
		.size = le_get64(p.p + at + F_SIZE),
		.num = le_get32(p.p + at + F_NUM),
		.exec = le_get32(p.p + at + F_EXEC) != 0,
		.sha256 = p.p + at + F_SHA };
}

void pkg_set_sha256(uint8_t *rec, uint32_t i, const uint8_t sha[32])
{
	memcpy(rec + HEADER + (size_t)i * FILE_ROW + F_SHA, sha, 32);
}

void pkg_set_flags(uint8_t *rec, uint32_t flags)
{
	le_put32(rec + H_FLAGS, flags);
}

void pkg_file(struct pkg p, uint32_t i, str *path, uint64_t *size, bool *exec, const uint8_t **sha)
{
	struct pkg_file_row f = pkg_file_row(p, i);

	*path = f.path;
	*size = f.size;
	*exec = f.exec;
	*sha = f.sha256;
}

str pkg_dir(struct pkg p, uint32_t i)
{
	return get_str(p, dirs_at(p) + (size_t)i * DIR_ROW);
}

struct pkg_bin pkg_bin(struct pkg p, uint32_t i)
{
	size_t at = bins_at(p) + (size_t)i * PAIR_ROW;

	return (struct pkg_bin){ get_str(p, at), get_str(p, at + 8) };
}

str pkg_script(struct pkg p, const char *stage)
{
	uint32_t n = le_get32(p.p + H_SCRIPTS);

	for (uint32_t i = 0; i < n; i++) {
		size_t at = scripts_at(p) + (size_t)i * PAIR_ROW;
		if (str_eq(get_str(p, at), str_of(stage)))
			return get_str(p, at + 8);
	}
	return STR_NONE;
}

static bool str_ok(struct pkg p, size_t at, size_t strings)
{
	uint64_t off = le_get32(p.p + at), n = le_get32(p.p + at + 4);

	return off >= strings && off + n < p.n && p.p[off + n] == 0;
}

static bool path_ok(struct pkg p, size_t at, size_t strings)
{
	return str_ok(p, at, strings) && path_safe(get_str(p, at));
}

int pkg_check(struct pkg p, struct err *e)
{
	if (p.n < HEADER || le_get32(p.p + H_MAGIC) != MAGIC || le_get32(p.p + H_SIZE) != p.n)
		return err_set(e, ERR_PARSE, "package record of %zu bytes has no valid header", p.n);
	uint32_t nfiles = pkg_nfiles(p), ndirs = pkg_ndirs(p), npairs = pkg_nbins(p);
	uint64_t pairs = (uint64_t)npairs + le_get32(p.p + H_SCRIPTS);
	uint64_t strings = HEADER + (uint64_t)nfiles * FILE_ROW + (uint64_t)ndirs * DIR_ROW + pairs * PAIR_ROW;
	if (strings > p.n)
		return err_set(e, ERR_PARSE, "package record of %zu bytes is shorter than its tables", p.n);
	bool ok = str_ok(p, H_KEY, strings) && str_ok(p, H_NAME, strings) && str_ok(p, H_VERSION, strings);
	for (uint32_t i = 0; ok && i < nfiles; i++)
		ok = path_ok(p, HEADER + (size_t)i * FILE_ROW + F_PATH, strings);
	for (uint32_t i = 0; ok && i < ndirs; i++)
		ok = path_ok(p, dirs_at(p) + (size_t)i * DIR_ROW, strings);
	for (uint64_t i = 0; ok && i < pairs * 2; i++)
		ok = str_ok(p, bins_at(p) + (size_t)i * 8, strings);
	return ok ? 0 : err_set(e, ERR_PARSE, "package record of %zu bytes has a string outside itself", p.n);
}

/* -- building ------------------------------------------------------------ */

typedef VEC(str) str_vec;

static int by_path(const void *a, const void *b)
{
	const struct pkg_entry *x = a, *y = b;

	return str_cmp(x->path, y->path);
}

/* All directories above the files, sorted: parents come first, as they are their children's prefixes. */
static int dirs_collect(str_vec *dirs, const struct pkg_entry *file, uint32_t n, struct err *e)
{
	AUTO(map_release) struct map files = MAP_INIT, seen = MAP_INIT;
	bool fresh;

	for (uint32_t i = 0; i < n; i++) {
		map_add(&files, file[i].path, i, &fresh);
		if (!fresh)
			return err_set(e, ERR_PARSE, "two files are called " STR_FMT, STR_ARG(file[i].path));
	}
	for (uint32_t i = 0; i < n; i++) {
		str dir = file[i].path, base;
		while (str_rcut(dir, '/', &dir, &base)) {
			if (map_get(&files, dir) != MAP_NONE)
				return err_set(e, ERR_PARSE, STR_FMT " is a file and also the directory of " STR_FMT,
					STR_ARG(dir), STR_ARG(file[i].path));
			map_add(&seen, dir, 0, &fresh);
			if (!fresh)
				break;
			*vec_add(dirs) = dir;
		}
	}
	if (dirs->n > 1)
		qsort(dirs->p, dirs->n, sizeof(str), strs_order);
	return 0;
}

struct writer {
	uint8_t *p;
	size_t at; /* where the next string goes */
};

static void put_str(struct writer *w, size_t row, str s)
{
	le_put32(w->p + row, (uint32_t)w->at);
	le_put32(w->p + row + 4, (uint32_t)s.n);
	if (s.n)
		memcpy(w->p + w->at, s.p, s.n);
	w->p[w->at + s.n] = 0;
	w->at += s.n + 1;
}

static uint64_t strings_size(const struct pkg_info *info, const struct pkg_entry *file, uint32_t n, const str_vec *dirs)
{
	uint64_t size = info->key.n + info->name.n + info->version.n + 3;

	for (uint32_t i = 0; i < n; i++)
		size += file[i].path.n + 1;
	for (size_t i = 0; i < dirs->n; i++)
		size += dirs->p[i].n + 1;
	for (uint32_t i = 0; i < info->nbin; i++)
		size += info->bin[i].command.n + info->bin[i].path.n + 2;
	for (uint32_t i = 0; i < info->nscript; i++)
		size += info->script[i].k.n + info->script[i].v.n + 2;
	return size;
}

static void header_write(struct writer *w, const struct pkg_info *info, uint32_t nfiles, uint32_t ndirs, size_t size)
{
	le_put32(w->p + H_MAGIC, MAGIC);
	le_put32(w->p + H_SIZE, (uint32_t)size);
	le_put32(w->p + H_FLAGS, info->flags);
	le_put32(w->p + H_FILES, nfiles);
	le_put32(w->p + H_DIRS, ndirs);
	le_put32(w->p + H_BINS, info->nbin);
	le_put32(w->p + H_SCRIPTS, info->nscript);
	le_put64(w->p + H_MTIME, (uint64_t)info->mtime);
	memcpy(w->p + H_ID, info->id, PKG_ID);
	put_str(w, H_KEY, info->key);
	put_str(w, H_NAME, info->name);
	put_str(w, H_VERSION, info->version);
}

static uint64_t files_write(struct writer *w, const struct pkg_entry *file, uint32_t n)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < n; i++) {
		size_t row = HEADER + (size_t)i * FILE_ROW;
		put_str(w, row + F_PATH, file[i].path);
		le_put64(w->p + row + F_SIZE, file[i].size);
		le_put32(w->p + row + F_NUM, file[i].num);
		le_put32(w->p + row + F_EXEC, file[i].exec);
		memcpy(w->p + row + F_SHA, file[i].sha256, 32);
		bytes += file[i].size;
	}
	return bytes;
}

int pkg_build(struct pkg *out, const struct pkg_info *info, struct pkg_entry *file, uint32_t n, struct err *e)
{
	str_vec dirs = VEC_INIT;

	if (n > 1)
		qsort(file, n, sizeof(*file), by_path);
	if (dirs_collect(&dirs, file, n, e) < 0) {
		vec_release(&dirs);
		return e->code;
	}
	uint64_t tables =
		HEADER + (uint64_t)n * FILE_ROW + dirs.n * DIR_ROW + ((uint64_t)info->nbin + info->nscript) * PAIR_ROW;
	uint64_t size = tables + strings_size(info, file, n, &dirs);
	if (size > UINT32_MAX) {
		vec_release(&dirs);
		return err_set(e, ERR_TOOBIG, "the record of %u files needs %llu bytes, more than 4 GiB", n,
			(unsigned long long)size);
	}
	struct writer w = { xcalloc(1, size), tables };
	header_write(&w, info, n, (uint32_t)dirs.n, size);
	le_put64(w.p + H_BYTES, files_write(&w, file, n));
	struct pkg p = { w.p, size };
	for (size_t i = 0; i < dirs.n; i++)
		put_str(&w, dirs_at(p) + i * DIR_ROW, dirs.p[i]);
	for (uint32_t i = 0; i < info->nbin; i++) {
		put_str(&w, bins_at(p) + (size_t)i * PAIR_ROW, info->bin[i].command);
		put_str(&w, bins_at(p) + (size_t)i * PAIR_ROW + 8, info->bin[i].path);
	}
	for (uint32_t i = 0; i < info->nscript; i++) {
		put_str(&w, scripts_at(p) + (size_t)i * PAIR_ROW, info->script[i].k);
		put_str(&w, scripts_at(p) + (size_t)i * PAIR_ROW + 8, info->script[i].v);
	}
	vec_release(&dirs);
	*out = p;
	return 0;
}
