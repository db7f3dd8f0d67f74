#include "blobs.h"
#include "age_clock.h"
#include "fs.h"
#include "integrity.h"
#include "lock_timed.h"
#include "log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FRESH_S = 60, LEASE_S = 600, TOUCH_S = 3600, YOUNG_S = 86400, PINNED_SHARE = 4, ROWS = 4096 };
/* A pass that could not free enough, since all is fresh or in use, is made again after this long, not
 * at each file that comes. */
enum { AGAIN_S = 5 };
struct blob {
	uint8_t key[32];
	uint64_t size;
	int64_t used_s, born_s; /* on the age clock; born: 0 for what an earlier run left */
	bool stock;             /* used_s is what an earlier run left, not used since */
	bool gone;
	bool leaving;    /* its file is being unlinked */
	unsigned coming; /* files that are about to get its name */
};
struct blobs {
	int dir, tmp;
	uint64_t max;
	_Atomic uint64_t *lock_waits;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t left;  /* a file has been unlinked */
	struct age_clock clock;
	VEC(struct blob *) all;
	struct map by_key;
	uint64_t serial;
	bool stop;
	bool evicting; /* a pass copies, sorts and chooses */
	int64_t again_s;
	struct blobs_counts n;
	void (*unlinking)(void *arg), (*choosing)(void *arg); /* for tests */
	void *unlinking_arg, *choosing_arg;
};

static void blob_path(char out[66], const uint8_t key[32])
{
	char hex[65];

	hex_print(hex, key, 32);
	snprintf(out, 66, "%.2s/%s", hex, hex + 2);
}

int blobs_new(struct blobs **out, const char *dir, uint64_t max_bytes, _Atomic uint64_t *lock_waits, struct err *e)
{
	struct blobs *b = xcalloc(1, sizeof(*b));

	b->max = max_bytes;
	b->lock_waits = lock_waits;
	b->tmp = -1;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->left, NULL);
	age_clock_start(&b->clock);
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
	pthread_cond_destroy(&b->left);
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
	o->gone = o->stock = false;
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

/* A file as it was when the pass began. */
struct row {
	struct blob *o;
	uint64_t size;
	int64_t used_s;
};
typedef VEC(struct row) rows;

static int older_first(const void *x, const void *y)
{
	const struct row *a = x, *c = y;

	return (a->used_s > c->used_s) - (a->used_s < c->used_s);
}

/* The next ROWS files that are not fresh, from *AT on. False: those were all. Under the lock. */
static bool rows_copy(rows *out, const struct blobs *b, size_t *at, int64_t now)
{
	for (size_t end = *at + ROWS; *at < end && *at < b->all.n; ++*at) {
		struct blob *o = b->all.p[*at];
		if (!o->gone && !o->coming && now - o->born_s > FRESH_S)
			*vec_add(out) = (struct row){ o, o->size, o->used_s };
	}
	return *at < b->all.n;
}

/* What may go, oldest first. Fresh ones never go; what was used within LEASE_S only when such ones are over a
 * quarter of the limit, and only as much as that. No lock: a tarball that is asked for does not wait until a
 * million are copied and sorted. */
static void candidates(rows *out, struct blobs *b, int64_t now)
{
	uint64_t leased = 0;
	bool more = true;
	size_t k = 0;

	for (size_t at = 0; more;) {
		lock_timed(&b->lock, b->lock_waits);
		more = rows_copy(out, b, &at, now);
		pthread_mutex_unlock(&b->lock);
	}
	if (out->n)
		qsort(out->p, out->n, sizeof(*out->p), older_first);
	for (size_t i = 0; i < out->n; i++)
		leased += now - out->p[i].used_s <= LEASE_S ? out->p[i].size : 0;
	for (size_t i = 0; i < out->n; i++) {
		bool pinned = now - out->p[i].used_s <= LEASE_S;
		if (pinned && leased <= b->max / PINNED_SHARE)
			continue;
		leased -= pinned ? out->p[i].size : 0;
		out->p[k++] = out->p[i];
	}
	out->n = k;
}

/* Under the lock: those of FROM leave that are too much now and were not used meanwhile. */
static void choose(struct blobs *b, rows *out, const rows *from, int64_t now)
{
	for (size_t i = 0; i < from->n && b->n.bytes > b->max / 10 * 9; i++) {
		struct blob *o = from->p[i].o;
		if (o->gone || o->coming || o->used_s != from->p[i].used_s)
			continue;
		b->n.evicted++;
		b->n.evicted_young += now - o->used_s < YOUNG_S;
		unset_row(b, o);
		o->leaving = true;
		*vec_add(out) = from->p[i];
	}
}

void blobs_on_unlink(struct blobs *b, void (*fn)(void *arg), void *arg)
{
	b->unlinking = fn;
	b->unlinking_arg = arg;
}

void blobs_on_choice(struct blobs *b, void (*fn)(void *arg), void *arg)
{
	b->choosing = fn;
	b->choosing_arg = arg;
}

size_t blobs_evict(struct blobs *b, int64_t now)
{
	rows all = VEC_INIT, out = VEC_INIT;

	lock_timed(&b->lock, b->lock_waits);
	bool go = b->n.bytes > b->max && !b->evicting; /* who evicts chooses for what comes meanwhile, too */
	b->evicting |= go;
	b->n.passes += go;
	pthread_mutex_unlock(&b->lock);
	if (!go)
		return 0;
	candidates(&all, b, now);
	if (b->choosing)
		b->choosing(b->choosing_arg);
	lock_timed(&b->lock, b->lock_waits);
	choose(b, &out, &all, now);
	b->evicting = false;
	b->again_s = b->n.bytes > b->max ? age_clock_s(&b->clock) + AGAIN_S : 0;
	pthread_mutex_unlock(&b->lock);
	vec_release(&all);
	for (size_t i = 0; i < out.n; i++) {
		char path[66];
		blob_path(path, out.p[i].o->key);
		if (b->unlinking)
			b->unlinking(b->unlinking_arg);
		/* Who has it open reads on; who asks now does not find it; who has a new one waits with its name. */
		if (fs_unlink(b->dir, path, 0) < 0 && errno != ENOENT)
			log_warn("blobs", "file=%s cannot be removed", path);
		lock_timed(&b->lock, b->lock_waits);
		out.p[i].o->leaving = false;
		pthread_cond_broadcast(&b->left);
		pthread_mutex_unlock(&b->lock);
	}
	size_t n = out.n;
	vec_release(&out);
	return n;
}

/* ---- stock ---- */

static void scan_dir(struct blobs *b, const char *sub)
{
	DIR *d = fs_list(b->dir, sub);
	struct dirent *ent;

	if (!d)
		return;
	while ((ent = readdir(d))) {
		char hex[65];
		uint8_t key[32];
		struct stat st;
		int n = snprintf(hex, sizeof(hex), "%.2s%.62s", sub, ent->d_name);
		if (n != 64 || strlen(ent->d_name) != 62 || !hex_read(key, 32, (str){ hex, 64 }) ||
			fs_stat(dirfd(d), ent->d_name, &st) < 0)
			continue;
		lock_timed(&b->lock, b->lock_waits);
		if (row_of(b, key)->gone && !row_of(b, key)->leaving) {
			set_row(b, key, (uint64_t)st.st_size, (int64_t)st.st_mtim.tv_sec);
			row_of(b, key)->stock = true;
		}
		pthread_mutex_unlock(&b->lock);
	}
	closedir(d);
}

/* That KEY's file was used then, for the next run. */
static void touch(struct blobs *b, const uint8_t key[32], int64_t used_s)
{
	char path[66];

	blob_path(path, key);
	AUTO(fs_close_auto) int fd = fs_open(b->dir, path, O_RDONLY, 0);
	if (fd >= 0 && fs_set_mtime(fd, used_s) < 0)
		log_debug("blobs", "file=%s touched=0", path);
}

/* Files that were used at a later time than it is now: the clock was put back. It is as if that had not been, and what
 * this run has used is later than they are, on disk as well. */
static void clock_catch_up(struct blobs *b)
{
	VEC(struct blob) used = VEC_INIT;
	int64_t last = 0;

	lock_timed(&b->lock, b->lock_waits);
	for (size_t i = 0; i < b->all.n; i++) {
		if (b->all.p[i]->stock && b->all.p[i]->used_s > last)
			last = b->all.p[i]->used_s;
	}
	int64_t by = age_clock_pass(&b->clock, last);
	for (size_t i = 0; i < b->all.n && by; i++) {
		struct blob *o = b->all.p[i];
		o->born_s += o->born_s ? by : 0;
		if (o->stock || o->gone)
			continue;
		o->used_s = o->used_s + by > last ? o->used_s + by : last;
		*vec_add(&used) = *o;
	}
	pthread_mutex_unlock(&b->lock);
	for (size_t i = 0; i < used.n; i++)
		touch(b, used.p[i].key, used.p[i].used_s);
	vec_release(&used);
	if (by)
		log_warn("blobs", "files=from-later seconds=%lld", (long long)by);
}

static int64_t now_s(struct blobs *b)
{
	lock_timed(&b->lock, b->lock_waits);
	int64_t now = age_clock_s(&b->clock);
	pthread_mutex_unlock(&b->lock);
	return now;
}

void blobs_scan(struct blobs *b)
{
	for (unsigned i = 0; i < 256; i++) {
		char sub[3];
		lock_timed(&b->lock, b->lock_waits);
		bool stop = b->stop;
		pthread_mutex_unlock(&b->lock);
		if (stop)
			return;
		snprintf(sub, sizeof(sub), "%02x", i);
		scan_dir(b, sub);
	}
	clock_catch_up(b);
	blobs_evict(b, now_s(b));
}

void blobs_stop(struct blobs *b)
{
	lock_timed(&b->lock, b->lock_waits);
	b->stop = true;
	pthread_mutex_unlock(&b->lock);
}

/* ---- use ---- */

int blobs_open(struct blobs *b, const uint8_t key[32], uint64_t *size)
{
	struct stat st;
	char path[66];

	blob_path(path, key);
	int fd = fs_open(b->dir, path, O_RDONLY, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fs_close(fd);
		return -1;
	}
	*size = (uint64_t)st.st_size;
	lock_timed(&b->lock, b->lock_waits);
	int64_t now = age_clock_s(&b->clock);
	const struct blob *o = row_of(b, key);
	if (!o->leaving) /* else the descriptor is all there is left of it */
		set_row(b, key, *size, now);
	pthread_mutex_unlock(&b->lock);
	if (now - (int64_t)st.st_mtim.tv_sec > TOUCH_S && fs_set_mtime(fd, now) < 0)
		log_debug("blobs", "file=%s touched=0", path); /* its order is lost at a restart, nothing else */
	return fd;
}

int blobs_temp(struct blobs *b, int *fd, char name[32], struct err *e)
{
	lock_timed(&b->lock, b->lock_waits);
	unsigned long long serial = b->serial++;
	pthread_mutex_unlock(&b->lock);
	snprintf(name, 32, "%llu", serial);
	*fd = fs_open(b->tmp, name, O_RDWR | O_CREAT | O_EXCL, 0644);
	return *fd < 0 ? err_os(e, "tmp/%s", name) : 0;
}

/* The name is ours until come(): no eviction takes what gets it. */
static struct blob *coming(struct blobs *b, const uint8_t key[32])
{
	lock_timed(&b->lock, b->lock_waits);
	struct blob *o = row_of(b, key);
	o->coming++;
	while (o->leaving)
		pthread_cond_wait(&b->left, &b->lock);
	pthread_mutex_unlock(&b->lock);
	return o;
}

/* Whether there is too much now, and something may be done about it. */
static bool come(struct blobs *b, struct blob *o, const struct stat *st)
{
	lock_timed(&b->lock, b->lock_waits);
	int64_t now = age_clock_s(&b->clock);
	o->coming--;
	if (st) {
		set_row(b, o->key, (uint64_t)st->st_size, now);
		o->born_s = now;
	}
	bool over = b->n.bytes > b->max && now >= b->again_s;
	pthread_mutex_unlock(&b->lock);
	return over;
}

int blobs_keep(struct blobs *b, const uint8_t key[32], int fd, const char *name, struct err *e)
{
	struct stat st;
	char path[66];

	blob_path(path, key);
	/* Its mtime is when it was last used, on the clock that the others have. */
	if (fs_set_mtime(fd, now_s(b)) < 0 || fdatasync(fd) < 0 || fstat(fd, &st) < 0) {
		err_os(e, "keep %s", path);
		blobs_drop(b, name);
		return e->code;
	}
	struct blob *o = coming(b, key);
	if (fs_rename(b->tmp, name, b->dir, path) < 0) {
		err_os(e, "keep %s", path);
		(void)come(b, o, NULL);
		blobs_drop(b, name);
		return e->code;
	}
	if (come(b, o, &st))
		blobs_evict(b, now_s(b));
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
	lock_timed(&b->lock, b->lock_waits);
	unset_row(b, row_of(b, key));
	pthread_mutex_unlock(&b->lock);
	if (fs_unlink(b->dir, path, 0) < 0 && errno != ENOENT)
		log_warn("blobs", "file=%s cannot be removed", path);
}

struct blobs_counts blobs_counts(struct blobs *b)
{
	lock_timed(&b->lock, b->lock_waits);
	struct blobs_counts n = b->n;
	pthread_mutex_unlock(&b->lock);
	return n;
}
