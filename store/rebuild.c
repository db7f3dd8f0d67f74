#include "rebuild.h"
#include "fs.h"
#include "integrity.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

enum { DIGEST = 32, RECORD_MAX = 256 << 20 };

int store_record_write(int fd, struct pkg p, struct err *e)
{
	uint8_t digest[DIGEST];
	AUTO(fs_close_auto) int out = fs_open(fd, STORE_RECORD, O_WRONLY | O_CREAT | O_EXCL, 0644);

	sha256(digest, p.p, p.n);
	if (out < 0 || fs_write_all(out, digest, DIGEST) != 0 || fs_write_all(out, p.p, p.n) != 0)
		return err_os(e, "write the record");
	return 0;
}

/* Whether B is a digest and the record that it is of, of the package in the directory ID. */
static bool record_take(struct pkg *out, struct buf *b, const uint8_t id[PKG_ID])
{
	uint8_t digest[DIGEST];
	struct err e;

	if (b->n <= DIGEST)
		return false;
	struct pkg p = { (const uint8_t *)b->p + DIGEST, b->n - DIGEST };
	sha256(digest, p.p, p.n);
	if (memcmp(digest, b->p, DIGEST) != 0 || pkg_check(p, &e) < 0 || memcmp(pkg_id(p), id, PKG_ID) != 0)
		return false;
	*out = p;
	return true;
}

static void package_take(size_t *packages, struct store *s, const char *shard, const char *name)
{
	char hex[PKG_ID * 2 + 1], path[PKG_ID * 2 + 2 + sizeof("/" STORE_RECORD)], dir[PKG_ID * 2 + 2];
	AUTO(buf_release) struct buf b = BUF_INIT;
	uint8_t id[PKG_ID];
	struct pkg p;
	struct err e;

	snprintf(hex, sizeof(hex), "%.2s%.30s", shard, name);
	if (strlen(name) != PKG_ID * 2 - 2 || !hex_read(id, PKG_ID, str_of(hex)))
		return;
	store_pkg_path(dir, id);
	snprintf(path, sizeof(path), "%s/" STORE_RECORD, dir);
	if (fs_read_file(&b, s->pkgs_fd, path, RECORD_MAX, &e) < 0 || !record_take(&p, &b, id))
		return; /* torn, or of a time before records: fetched again when it is needed */
	pkg_mark_unproven((uint8_t *)(uintptr_t)p.p, true);
	kv_put(s->kv, STORE_PKG_TABLE, pkg_key(p), (str){ (const char *)p.p, p.n }, true);
	(*packages)++;
}

int store_rebuild(size_t *packages, struct store *s, struct err *e)
{
	DIR *top = fs_list(s->pkgs_fd, ".");

	*packages = 0;
	if (!top)
		return err_os(e, "read %s/pkgs", s->dir);
	for (struct dirent *de; (de = readdir(top));) {
		DIR *d = de->d_name[0] == '.' || strlen(de->d_name) != 2 ? NULL : fs_list(s->pkgs_fd, de->d_name);
		for (struct dirent *sub; d && (sub = readdir(d));)
			package_take(packages, s, de->d_name, sub->d_name);
		if (d)
			closedir(d);
	}
	closedir(top);
	return kv_flush(s->kv, e);
}
