#include "kept.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "content_sum.h"
#include "fs.h"
#include "integrity.h"

#define KEPT_MAX 64u
#define KEPT_ALL_MAX (256u << 20)
enum { HALF_WRITTEN_S = 3600 };

/* ---- one file's bytes ---- */

size_t kept_begin(struct buf *out, uint64_t magic)
{
	size_t head = out->n;
	uint64_t words[3] = { magic, 0, 0 };

	buf_add(out, (str){ (const char *)words, sizeof(words) });
	return head;
}

void kept_end(struct buf *out, size_t head)
{
	const char *body = out->p + head + KEPT_HEAD;
	uint64_t n = out->n - head - KEPT_HEAD;
	uint64_t words[2] = { n, content_crc(0, (const uint8_t *)body, n) };

	memcpy(out->p + head + 8, words, sizeof(words));
}

bool kept_body(str *out, str bytes, uint64_t magic)
{
	uint64_t words[3];

	if (bytes.n < KEPT_HEAD)
		return false;
	memcpy(words, bytes.p, sizeof(words));
	str body = { bytes.p + KEPT_HEAD, bytes.n - KEPT_HEAD };
	if (words[0] != magic || words[1] != body.n || words[2] != content_crc(0, (const uint8_t *)body.p, body.n))
		return false;
	*out = body;
	return true;
}

/* ---- the folder ---- */

static int plans_open(const char *store_dir, bool make)
{
	char path[PATH_MAX + 16];

	if (strlen(store_dir) >= PATH_MAX)
		return -1;
	snprintf(path, sizeof(path), "%s/plans", store_dir);
	if (make && fs_mkdir(AT_FDCWD, path, 0755) != 0 && errno != EEXIST)
		return -1;
	return fs_open_dir(AT_FDCWD, path);
}

bool kept_get(struct buf *out, const char *store_dir, const uint8_t key[32])
{
	AUTO(fs_close_auto) int plans = plans_open(store_dir, false);
	char name[65];
	struct stat st;
	struct err e;

	hex_print(name, key, 32);
	if (plans >= 0 && fs_stat(plans, name, &st) == 0 && st.st_size > 0 && (uint64_t)st.st_size <= KEPT_BYTES_MAX)
		buf_reserve(out, (size_t)st.st_size + 65536); /* all at once: growing would move it */
	if (plans < 0 || fs_read_file(out, plans, name, KEPT_BYTES_MAX, &e) < 0)
		return false;
	utimensat(plans, name, NULL, 0); /* the least used ones go first */
	return true;
}

struct kept {
	char name[65];
	int64_t used;
	uint64_t bytes;
};
struct kept_list {
	VEC(struct kept) all;
	uint64_t half; /* left half-written long ago, removed unless this is a dry run */
};

static int kept_cmp(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return (x->used < y->used) - (x->used > y->used);
}

/* The most recently used first. */
static void kept_list(struct kept_list *out, int plans, bool dry_run)
{
	DIR *d = fs_list(plans, ".");

	*out = (struct kept_list){ .all = VEC_INIT };
	for (struct dirent *en; d && (en = readdir(d));) {
		struct stat st;
		if (en->d_name[0] == '.' || strlen(en->d_name) > 128 || fs_stat(plans, en->d_name, &st) != 0)
			continue;
		if (strlen(en->d_name) != 64) {
			if (time(NULL) - st.st_mtim.tv_sec <= HALF_WRITTEN_S)
				continue;
			out->half++;
			if (!dry_run)
				fs_unlink(plans, en->d_name, 0);
			continue;
		}
		struct kept *k = vec_add(&out->all);
		*k = (struct kept){ .used = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
			.bytes = (uint64_t)st.st_size };
		snprintf(k->name, sizeof(k->name), "%.64s", en->d_name);
	}
	if (d)
		closedir(d);
	if (out->all.n)
		qsort(out->all.p, out->all.n, sizeof(*out->all.p), kept_cmp);
}

int kept_put(const char *store_dir, const uint8_t key[32], str bytes, struct err *e)
{
	AUTO(fs_close_auto) int plans = plans_open(store_dir, true);
	struct kept_list l;
	uint64_t sum = 0;
	char name[65];

	if (bytes.n > KEPT_BYTES_MAX)
		return err_set(e, ERR_TOOBIG, "a plan of %zu bytes is not kept: more than %u", bytes.n, KEPT_BYTES_MAX);
	if (plans < 0)
		return err_os(e, "open %s/plans", store_dir);
	hex_print(name, key, 32);
	if (fs_write_file(plans, name, bytes, 0644, e) < 0)
		return e->code;
	kept_list(&l, plans, false);
	for (size_t i = 0; i < l.all.n; i++) {
		sum += l.all.p[i].bytes;
		if (i >= KEPT_MAX || sum > KEPT_ALL_MAX)
			fs_unlink(plans, l.all.p[i].name, 0);
	}
	vec_release(&l.all);
	return 0;
}

uint64_t kept_prune(const char *store_dir, int64_t unused_s, bool dry_run)
{
	AUTO(fs_close_auto) int plans = plans_open(store_dir, false);
	int64_t limit = ((int64_t)time(NULL) - unused_s) * 1000000000;
	struct kept_list l;

	if (plans < 0)
		return 0;
	kept_list(&l, plans, dry_run);
	uint64_t n = l.half;
	for (size_t i = 0; i < l.all.n; i++) {
		if (l.all.p[i].used >= limit)
			continue;
		n++;
		if (!dry_run)
			fs_unlink(plans, l.all.p[i].name, 0);
	}
	vec_release(&l.all);
	return n;
}
