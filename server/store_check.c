#include "store_check.h"
#include "fs.h"
#include "integrity.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <string.h>

#define MOST_FILE ((size_t)1 << 30)       /* what a tarball may have */
#define MOST_UNPACKED ((uint32_t)1 << 30) /* past it nothing is said of a file */

struct check {
	struct buf *out;
	struct libdeflate_decompressor *gz;
	uint64_t files, bytes, bad, unknown;
};
/* What FILE, whose name is HEX (64 digits), holds. */
enum verdict { WHOLE, DAMAGED, UNKNOWN };
typedef enum verdict judge(struct check *k, str file, const char *hex);

static enum verdict judge_pack(struct check *k, str file, const char *hex)
{
	uint8_t sha[32];
	char got[65];

	(void)k;
	sha256(sha, file.p, file.n);
	hex_print(got, sha, 32);
	return strcmp(got, hex) == 0 ? WHOLE : DAMAGED;
}

/* A tarball as it came, or a packument: its validator, a line break, and gzip. */
static enum verdict judge_kept(struct check *k, str file, const char *hex)
{
	AUTO(buf_release) struct buf plain = BUF_INIT;
	str head, z = file;

	(void)hex;
	if (!str_starts(z, STR("\x1f\x8b")) && (!str_cut(file, '\n', &head, &z) || !str_starts(z, STR("\x1f\x8b"))))
		return file.n ? UNKNOWN : DAMAGED; /* a tarball that is not compressed */
	if (z.n < 18)
		return DAMAGED;
	const uint8_t *t = (const uint8_t *)z.p + z.n - 4;
	uint32_t size = t[0] | (uint32_t)t[1] << 8 | (uint32_t)t[2] << 16 | (uint32_t)t[3] << 24;
	if (size > MOST_UNPACKED || size / 1100 > z.n) /* deflate makes it no smaller: the size itself is wrong */
		return size > MOST_UNPACKED && size / 1100 <= z.n ? UNKNOWN : DAMAGED;
	size_t used, made;
	enum libdeflate_result rc = libdeflate_gzip_decompress_ex(
		k->gz, z.p, z.n, buf_reserve(&plain, (size_t)size + 1), (size_t)size + 1, &used, &made);
	if (rc == LIBDEFLATE_SUCCESS && used < z.n)
		return UNKNOWN; /* several members */
	return rc == LIBDEFLATE_SUCCESS && made == size ? WHOLE : DAMAGED;
}

static int check_file(
	struct check *k, int dir, const char *kind, const char *sub, const char *name, judge *j, struct err *e)
{
	AUTO(buf_release) struct buf file = BUF_INIT;
	char path[66], hex[65];

	snprintf(path, sizeof(path), "%.2s/%.62s", sub, name);
	snprintf(hex, sizeof(hex), "%.2s%.62s", sub, name);
	int rc = fs_read_file(&file, dir, path, MOST_FILE, e);
	if (rc == ERR_NOTFOUND)
		return 0; /* a running drayd has removed it */
	if (rc < 0)
		return err_ctx(e, "%s", kind);
	k->files++;
	k->bytes += file.n;
	enum verdict v = j(k, buf_str(&file), hex);
	k->unknown += v == UNKNOWN;
	if (v != DAMAGED)
		return 0;
	k->bad++;
	if (fs_unlink(dir, path, 0) < 0 && errno != ENOENT)
		return err_os(e, "remove %s/%s, which is damaged", kind, path);
	buf_printf(k->out, "damaged, removed: %s/%s\n", kind, path);
	return 0;
}

static int check_dir(struct check *k, int store, const char *kind, judge *j, struct err *e)
{
	AUTO(fs_close_auto) int dir = fs_open_dir(store, kind);
	int rc = 0;

	if (dir < 0)
		return errno == ENOENT ? 0 : err_os(e, "open %s", kind);
	for (unsigned i = 0; i < 256 && rc == 0; i++) {
		char sub[3];
		uint8_t key[31];
		snprintf(sub, sizeof(sub), "%02x", i);
		DIR *d = fs_list(dir, sub);
		for (struct dirent *ent; d && rc == 0 && (ent = readdir(d));) {
			if (strlen(ent->d_name) == 62 && hex_read(key, 31, (str){ ent->d_name, 62 }))
				rc = check_file(k, dir, kind, sub, ent->d_name, j, e);
		}
		if (d)
			closedir(d);
	}
	return rc;
}

int store_check(struct buf *out, const struct config *c, struct err *e)
{
	struct check k = { .out = out, .gz = libdeflate_alloc_decompressor() };

	if (!k.gz)
		die_oom(0);
	AUTO(fs_close_auto) int store = fs_open_dir(AT_FDCWD, c->store_dir.p);
	int rc = store < 0 ? err_os(e, "open store-dir " STR_FMT, STR_ARG(c->store_dir)) : 0;
	if (rc == 0)
		rc = check_dir(&k, store, "packs", judge_pack, e);
	if (rc == 0)
		rc = check_dir(&k, store, "registry", judge_kept, e);
	libdeflate_free_decompressor(k.gz);
	if (rc < 0)
		return rc;
	buf_printf(out, STR_FMT ": %llu files, %.1f MB: %llu damaged, %llu without a checksum\n", STR_ARG(c->store_dir),
		(unsigned long long)k.files, (double)k.bytes / 1e6, (unsigned long long)k.bad,
		(unsigned long long)k.unknown);
	if (!k.bad)
		return 0;
	return err_set(e, ERR_INTEGRITY,
		"%llu damaged files were removed and will be made or fetched again; look after the disk",
		(unsigned long long)k.bad);
}
