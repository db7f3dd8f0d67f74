#include "blobs.h"
#include "fs.h"
#include "integrity.h"
#include "log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { FRESH_S = 60, TOUCH_S = 3600, YOUNG_S = 86400 };
struct blob {
	uint8_t key[32];
	uint64_t size;
	int64_t used_s;
	bool gone;
};
struct blobs {
	int dir, tmp;
	uint64_t max;
	pthread_mutex_t lock; /* all below */
	VEC(struct blob *) all;
	struct map by_key;
	uint64_t serial;
	bool stop;
	struct blobs_counts n;
};

static int64_t now_s(void)
{
	return (int64_t)time(NULL);
}

static void blob_path(char out[66], const uint8_t key[32])
{
	char hex[65];

	hex_print(hex, key, 32);
	snprintf(out, 66, "%.2s/%s", hex, hex + 2);
}

int blobs_new(struct blobs **out, const char *dir, uint64_t max_bytes, struct err *e)
{
	struct blobs *b = xcalloc(1, sizeof(*b));

	b->max = max_bytes;
	b->tmp = -1;
	pthread_mutex_init(&b->lock, NULL);
	int rc = fs_mkdir_p(AT_FDCWD, dir, 0755, e);
	b->dir = rc < 0 ? -1 : fs_open_dir(AT_FDCWD, dir);
	if (rc == 0 && b->dir < 0)
		rc = err_os(e, "open %s", dir);
	if (rc == 0)
		rc = fs_remove_tree(b->dir, "tmp", e); /* of a run that did not end well */
	if (rc == 0)
		rc = fs_mkdir_p(b->dir, "tmp", 0755, e);
	if (rc == 0 && (b->tmp = fs_open_dir(b->dir, "tmp")) < 0)
		rc = err_os(e, "open %s/tmp", dir);
	for (int i = 0; i < 256 && rc == 0; i++) {
		char sub[3];
		snprintf(sub, sizeof(sub), "%02x", (unsigned)i);
		if (fs_mkdir(b->dir, sub, 0755) < 0 && errno != EEXIST)
			rc = err_os(e, "mkdir %s/%s", dir, sub);
	}
	if (rc < 0)
		blobs_free(b);
	else
		*out = b;
	return rc;
}

void blobs_free(struct blobs *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->all.n; i++)
		free(b->all.p[i]);
	vec_release(&b->all);
	map_release(&b->by_key);
	fs_close(b->tmp);
	fs_close(b->dir);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* Under the lock: KEY's row, made when there is none. */
static struct blob *row_of(struct blobs *b, const uint8_t key[32])
{
	uint32_t at = map_get(&b->by_key, (str){ (const char *)key, 32 });

	if (at != MAP_NONE)
		return b->all.p[at];
	struct blob *o = xcalloc(1, sizeof(*o));
	memcpy(o->key, key, 32);
	o->gone = true;
	map_set(&b->by_key, (str){ (const char *)o->key, 32 }, (uint32_t)b->all.n);
	*vec_add(&b->all) = o;
	return o;
}

/* Under the lock. */
static void set_row(struct blobs *b, const uint8_t key[32], uint64_t size, int64_t used_s)
{
	struct blob *o = row_of(b, key);

	b->n.bytes -= o->gone ? 0 : o->size;
	b->n.files += o->gone;
	b->n.bytes += size;
	o->size = size;
	o->used_s = used_s;
	o->gone = false;
}

static void unset_row(struct blobs *b, struct blob *o)
{
	if (o->gone)
		return;
	b->n.bytes -= o->size;
	b->n.files--;
	o->gone = true;
}

/* ---- eviction ---- */

static int older_first(const void *x, const void *y)
{
	const struct blob *a = *(struct blob *const *)x, *c = *(struct blob *const *)y;

	return (a->used_s > c->used_s) - (a->used_s < c->used_s);
}

/* One pass: under the lock the rows are chosen, without it their files go. */
static void evict(struct blobs *b)
{
	VEC(struct blob *) out = VEC_INIT;
	int64_t now = now_s();
	uint64_t left;

	pthread_mutex_lock(&b->lock);
	left = b->n.bytes;
	for (size_t i = 0; left > b->max && i < b->all.n; i++) {
		if (!b->all.p[i]->gone && now - b->all.p[i]->used_s > FRESH_S)
			*vec_add(&out) = b->all.p[i];
	}
	size_t n = 0;
	if (out.n)
		qsort(out.p, out.n, sizeof(*out.p), older_first);
	for (; n < out.n && left > b->max / 10 * 9; n++) {
		left -= out.p[n]->size;
		b->n.evicted++;
		b->n.evicted_young += now - out.p[n]->used_s < YOUNG_S;
		unset_row(b, out.p[n]);
	}
	pthread_mutex_unlock(&b->lock);
	for (size_t i = 0; i < n; i++) {
		char path[66];
		blob_path(path, out.p[i]->key);
		/* Who has it open reads on; who asks now does not find it. */
		if (fs_unlink(b->dir, path, 0) < 0 && errno != ENOENT)
			log_warn("blobs", "file=%s cannot be removed", path);
	}
	vec_release(&out);
}

/* ---- stock ---- */

static void scan_dir(struct blobs *b, const char *sub)
{
	int fd = fs_open_dir(b->dir, sub);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;

	if (!d) {
		fs_close(fd);
		return;
	}
	while ((ent = readdir(d))) {
		char hex[65];
		uint8_t key[32];
		struct stat st;
		int n = snprintf(hex, sizeof(hex), "%.2s%.62s", sub, ent->d_name);
		if (n != 64 || strlen(ent->d_name) != 62 || !hex_read(key, 32, (str){ hex, 64 }) ||
			fs_stat(dirfd(d), ent->d_name, &st) < 0)
			continue;
		pthread_mutex_lock(&b->lock);
		if (row_of(b, key)->gone)
			set_row(b, key, (uint64_t)st.st_size, (int64_t)st.st_mtim.tv_sec);
		pthread_mutex_unlock(&b->lock);
	}
	closedir(d);
}

void blobs_scan(struct blobs *b)
{
	for (unsigned i = 0; i < 256; i++) {
		char sub[3];
		pthread_mutex_lock(&b->lock);
		bool stop = b->stop;
		pthread_mutex_unlock(&b->lock);
		if (stop)
			return;
		snprintf(sub, sizeof(sub), "%02x", i);
		scan_dir(b, sub);
	}
	evict(b);
}

void blobs_stop(struct blobs *b)
{
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_mutex_unlock(&b->lock);
}

/* ---- use ---- */

int blobs_open(struct blobs *b, const uint8_t key[32], uint64_t *size)
{
	int64_t now = now_s();
	struct stat st;
	char path[66];

	blob_path(path, key);
	int fd = fs_open(b->dir, path, O_RDONLY, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fs_close(fd);
		return -1;
	}
	*size = (uint64_t)st.st_size;
	if (now - (int64_t)st.st_mtim.tv_sec > TOUCH_S && fs_set_mtime(fd, now) < 0)
		log_debug("blobs", "file=%s touched=0", path); /* its order is lost at a restart, nothing else */
	pthread_mutex_lock(&b->lock);
	set_row(b, key, *size, now);
	pthread_mutex_unlock(&b->lock);
	return fd;
}

int blobs_temp(struct blobs *b, int *fd, char name[32], struct err *e)
{
	pthread_mutex_lock(&b->lock);
	unsigned long long serial = b->serial++;
	pthread_mutex_unlock(&b->lock);
	snprintf(name, 32, "%llu", serial);
	*fd = fs_open(b->tmp, name, O_RDWR | O_CREAT | O_EXCL, 0644);
	return *fd < 0 ? err_os(e, "tmp/%s", name) : 0;
}

int blobs_keep(struct blobs *b, const uint8_t key[32], int fd, const char *name, struct err *e)
{
	struct stat st;
	char path[66];

	blob_path(path, key);
	if (fdatasync(fd) < 0 || fstat(fd, &st) < 0 || fs_rename(b->tmp, name, b->dir, path) < 0) {
		err_os(e, "keep %s", path);
		blobs_drop(b, name);
		return e->code;
	}
	pthread_mutex_lock(&b->lock);
	set_row(b, key, (uint64_t)st.st_size, now_s());
	bool over = b->n.bytes > b->max;
	pthread_mutex_unlock(&b->lock);
	if (over)
		evict(b);
	return 0;
}

void blobs_drop(struct blobs *b, const char *name)
{
	if (fs_unlink(b->tmp, name, 0) < 0 && errno != ENOENT)
		log_warn("blobs", "file=tmp/%s cannot be removed", name);
}

int blobs_put(struct blobs *b, const uint8_t key[32], str bytes, struct err *e)
{
	char name[32];
	int fd;

	if (blobs_temp(b, &fd, name, e) < 0)
		return e->code;
	int rc = 0;
	if (fs_write_all(fd, bytes.p, bytes.n) < 0) {
		rc = err_os(e, "write tmp/%s", name);
		blobs_drop(b, name);
	} else {
		rc = blobs_keep(b, key, fd, name, e);
	}
	fs_close(fd);
	return rc;
}

void blobs_remove(struct blobs *b, const uint8_t key[32])
{
	char path[66];

	blob_path(path, key);
	pthread_mutex_lock(&b->lock);
	unset_row(b, row_of(b, key));
	pthread_mutex_unlock(&b->lock);
	if (fs_unlink(b->dir, path, 0) < 0 && errno != ENOENT)
		log_warn("blobs", "file=%s cannot be removed", path);
}

struct blobs_counts blobs_counts(struct blobs *b)
{
	pthread_mutex_lock(&b->lock);
	struct blobs_counts n = b->n;
	pthread_mutex_unlock(&b->lock);
	return n;
}
