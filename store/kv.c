#include "kv.h"
#include "base/clock.h"
#include "cond_timed.h"
#include "integrity.h"
#include "log.h"
#include "workq.h"
#include <dirent.h>
#include <errno.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	KEY_MAX = 511, /* LMDB's, table and its NUL included */
	READERS_MAX = 1024,
	BATCH_WAIT_MS = 20,    /* a commit waits this long for company … */
	BATCH_ENOUGH = 64,     /* … unless so many are there */
	SAY_MS = 10000,        /* between two lines about lost writes */
	MAPPED_KEPT = 8 << 20, /* of the map, before its pages are let go */
	WINDOW = 64 << 10,     /* the kernel maps that much around what is touched, and as much is aligned */
	WINDOWS = 1024,        /* told apart; what lies further on shares their places */
	PAGE_HEADER = 16,      /* LMDB's */
	/* Bytes committed before they are let go: the writer looks at the pages around what it adds. */
	WRITTEN_KEPT = 1 << 20,
};
static const size_t default_map = (size_t)64 << 30, default_queued = (size_t)64 << 20;

enum op_kind { OP_PUT, OP_DEL, OP_DEL_IF };
struct op {
	struct op *next;
	enum op_kind kind;
	size_t key_n, value_n;
	char bytes[]; /* key, value */
};

struct kv {
	MDB_env *env;
	MDB_dbi dbi;
	pid_t pid;
	struct kv_opts o;
	char *path;
	pthread_t tid;
	bool running;
	atomic_size_t mapped;                       /* at most, since they were let go */
	atomic_uint_least64_t window[WINDOWS / 64]; /* which of it, where that is known */
	atomic_uintptr_t lo, hi;                    /* where values were read: part of the map */
	size_t written;                             /* since the writer let go; the writer's own */
	int64_t said_ms; /* when it last said that writes are lost, and how many it has not said; the writer's own */
	uint64_t unsaid;
	bool looked; /* for the map, once; the writer's own */
	pthread_mutex_t lock;
	pthread_cond_t more, room, committed;
	/* under the lock */
	struct op *first, **last;
	unsigned n;
	size_t bytes;
	uint64_t queued, done, commits, lost; /* operations ever */
	unsigned flushing;
	bool stop;
	struct err failed; /* of a commit, until kv_flush() tells it */
};

struct kv_read {
	struct kv *k;
	MDB_txn *txn;
};

static int kv_err(struct err *e, int rc, const struct kv *k, const char *what)
{
	if (rc == EAGAIN)
		return err_set(e, ERR_BUSY,
			"%s %s: another process with this process id, in another pid namespace, uses the same index; "
			"give each container a store of its own or share the pid namespace",
			what, k->path);
	if (rc == ENOSPC || rc == EDQUOT)
		return err_set(e, ERR_NOSPACE, "%s %s: %s", what, k->path, mdb_strerror(rc));
	if (rc == MDB_MAP_FULL)
		return err_set(e, ERR_NOSPACE, "%s %s: the index has reached its limit of %zu bytes", what, k->path,
			k->o.map_size);
	if (rc == MDB_VERSION_MISMATCH)
		return err_set(e, ERR_UNSUPPORTED, "%s %s: %s", what, k->path, mdb_strerror(rc));
	if (rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND)
		return err_set(e, ERR_PARSE, "%s %s: %s", what, k->path, mdb_strerror(rc));
	int code = err_set(e, ERR_IO, "%s %s: %s", what, k->path, mdb_strerror(rc));
	e->os = rc > 0 ? rc : 0;
	return code;
}

/* table NUL key, or table SOH sha256(key) for a key that does not fit. */
static size_t key_make(char out[KEY_MAX], const char *table, str key)
{
	size_t t = strlen(table);

	if (t > 64)
		t = 64;
	memcpy(out, table, t);
	out[t] = 0;
	if (t + 1 + key.n <= KEY_MAX && key.n > 0) {
		memcpy(out + t + 1, key.p, key.n);
		return t + 1 + key.n;
	}
	out[t] = 1;
	sha256((uint8_t *)out + t + 1, key.p, key.n);
	return t + 1 + 32;
}

/* -- writing ------------------------------------------------------------- */

static int op_apply(struct kv *k, MDB_txn *txn, struct op *op)
{
	MDB_val key = { op->key_n, op->bytes }, value = { op->value_n, op->bytes + op->key_n }, now;

	if (op->kind == OP_PUT)
		return mdb_put(txn, k->dbi, &key, &value, 0);
	if (op->kind == OP_DEL_IF) {
		int rc = mdb_get(txn, k->dbi, &key, &now);
		if (rc != 0 || now.mv_size != value.mv_size || memcmp(now.mv_data, value.mv_data, now.mv_size) != 0)
			return rc == MDB_NOTFOUND ? 0 : rc;
	}
	int rc = mdb_del(txn, k->dbi, &key, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* -- the map's pages ------------------------------------------------------- */

static void range_note(struct kv *k, uintptr_t from, uintptr_t to)
{
	uintptr_t lo = atomic_load(&k->lo), hi = atomic_load(&k->hi);

	while ((!lo || from < lo) && !atomic_compare_exchange_weak(&k->lo, &lo, from)) {
	}
	while (to > hi && !atomic_compare_exchange_weak(&k->hi, &hi, to)) {
	}
}

/* The pages stay in the page cache and come back at a touch: no reader can tell. Failing would cost memory only. */
static void range_let_go(struct kv *k)
{
	uintptr_t lo = atomic_load(&k->lo), hi = atomic_load(&k->hi);

	if (lo && lo < hi)
		(void)madvise((void *)lo, hi - lo, MADV_DONTNEED); /* NOLINT(performance-no-int-to-ptr) */
}

/* LMDB tells where its map lies only for fixed ones; who has only written has seen no address in it. */
static void map_look(struct kv *k)
{
	char line[512];
	struct stat st;
	int fd;

	if (mdb_env_get_fd(k->env, &fd) != 0 || fstat(fd, &st) != 0)
		return;
	FILE *f = fopen("/proc/self/maps", "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long from, to, inode;
		char mode[8];
		if (sscanf(line, "%lx-%lx %7s %*x %*x:%*x %lu", &from, &to, mode, &inode) == 4 && inode == st.st_ino &&
			strstr(line, "/data.mdb"))
			range_note(k, from, to);
	}
	if (f)
		(void)fclose(f);
}

/* A commit of N bytes is through. */
static void writer_let_go(struct kv *k, size_t n)
{
	k->written += n;
	if (k->written < WRITTEN_KEPT)
		return;
	k->written = 0;
	if (!k->looked)
		map_look(k);
	k->looked = true;
	range_let_go(k);
}

static int batch_commit(struct kv *k, struct op *batch, struct err *e)
{
	MDB_txn *txn = NULL;
	int rc = mdb_txn_begin(k->env, NULL, 0, &txn);

	if (rc != 0)
		return kv_err(e, rc, k, "write to");
	for (struct op *op = batch; op && rc == 0; op = op->next)
		rc = op_apply(k, txn, op);
	if (rc == 0)
		rc = mdb_txn_commit(txn);
	else
		mdb_txn_abort(txn);
	return rc == 0 ? 0 : kv_err(e, rc, k, "write to");
}

static void batch_free(struct op *batch)
{
	while (batch) {
		struct op *next = batch->next;
		free(batch);
		batch = next;
	}
}

/* Lock held. Waits for work, and a little for more of it. */
static void writer_wait(struct kv *k)
{
	struct timespec until;

	while (!k->first && !k->stop)
		pthread_cond_wait(&k->more, &k->lock);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += BATCH_WAIT_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	while (k->n < BATCH_ENOUGH && !k->stop && !k->flushing)
		if (pthread_cond_timedwait(&k->more, &k->lock, &until) == ETIMEDOUT)
			break;
}

/* A disk that is full stays so for a while, and a server writes many times a second. */
static void say_lost(struct kv *k, unsigned n, const struct err *e)
{
	int64_t now = clock_ms();

	k->unsaid += n;
	if (k->said_ms && now - k->said_ms < SAY_MS)
		return;
	log_error("index", "writes=%llu lost: %s", (unsigned long long)k->unsaid, e->msg);
	k->said_ms = now;
	k->unsaid = 0;
}

static void *writer(void *arg)
{
	struct kv *k = arg;

	pthread_mutex_lock(&k->lock);
	for (;;) {
		writer_wait(k);
		struct op *batch = k->first;
		unsigned n = k->n;
		size_t bytes = k->bytes;
		if (!batch)
			break;
		k->first = NULL;
		k->last = &k->first;
		k->n = 0;
		k->bytes = 0;
		pthread_cond_broadcast(&k->room);
		pthread_mutex_unlock(&k->lock);
		struct err e = { 0 };
		int rc = batch_commit(k, batch, &e);
		if (rc < 0)
			say_lost(k, n, &e);
		batch_free(batch);
		writer_let_go(k, bytes);
		pthread_mutex_lock(&k->lock);
		if (rc < 0)
			k->failed = e;
		k->lost += rc < 0 ? n : 0;
		k->done += n;
		k->commits++;
		pthread_cond_broadcast(&k->committed);
	}
	pthread_mutex_unlock(&k->lock);
	if (k->unsaid)
		log_error("index", "writes=%llu lost, too", (unsigned long long)k->unsaid);
	return NULL;
}

/* Lock held. The writer starts with the first write: a process that only reads has no use for it. */
static bool writer_runs(struct kv *k)
{
	if (!k->running)
		k->running = workq_thread(&k->tid, "index", writer, k, &k->failed) == 0;
	k->lost += !k->running;
	return k->running;
}

static bool op_push(struct kv *k, struct op *op, bool wait)
{
	size_t size = op->key_n + op->value_n;

	if (getpid() != k->pid) {
		log_error("index", "used after fork: %s", k->path);
		free(op);
		return false;
	}
	pthread_mutex_lock(&k->lock);
	while (wait && k->n > 0 && (k->n >= k->o.depth || k->bytes + size > k->o.max_queued))
		pthread_cond_wait(&k->room, &k->lock);
	bool ok = k->n == 0 || (k->n < k->o.depth && k->bytes + size <= k->o.max_queued);
	ok = ok && writer_runs(k);
	if (ok) {
		*k->last = op;
		k->last = &op->next;
		k->n++;
		k->bytes += size;
		k->queued++;
		if (k->n == 1 || k->n == BATCH_ENOUGH)
			pthread_cond_signal(&k->more);
	}
	pthread_mutex_unlock(&k->lock);
	if (!ok)
		free(op);
	return ok;
}

static struct op *op_new(enum op_kind kind, const char *table, str key, str value)
{
	char full[KEY_MAX];
	size_t n = key_make(full, table, key);
	struct op *op = xmalloc(sizeof(*op) + n + value.n);

	*op = (struct op){ .kind = kind, .key_n = n, .value_n = value.n };
	memcpy(op->bytes, full, n);
	if (value.n)
		memcpy(op->bytes + n, value.p, value.n);
	return op;
}

bool kv_put(struct kv *k, const char *table, str key, str value, bool wait)
{
	return op_push(k, op_new(value.p ? OP_PUT : OP_DEL, table, key, value), wait);
}

void kv_del_if(struct kv *k, const char *table, str key, str was)
{
	op_push(k, op_new(OP_DEL_IF, table, key, was), true);
}

int kv_flush(struct kv *k, struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&k->lock);
	uint64_t upto = k->queued;
	k->flushing++;
	pthread_cond_signal(&k->more);
	while (k->done < upto)
		pthread_cond_wait(&k->committed, &k->lock);
	k->flushing--;
	if (k->failed.code != 0) {
		*e = k->failed;
		k->failed.code = 0;
		rc = e->code;
	}
	pthread_mutex_unlock(&k->lock);
	return rc;
}

int kv_sync(struct kv *k, struct err *e)
{
	int rc = kv_flush(k, e);

	if (rc == 0) {
		int m = mdb_env_sync(k->env, 1);
		if (m != 0)
			rc = kv_err(e, m, k, "sync");
	}
	return rc;
}

/* -- opening ------------------------------------------------------------- */

/* LMDB's locks are the process's: a second environment on one file would release the first one's. */
static bool already_open(const char *path)
{
	char file[4096];
	struct stat want, st;

	snprintf(file, sizeof(file), "%s/data.mdb", path);
	if (stat(file, &want) != 0)
		return false;
	DIR *d = opendir("/proc/self/fd");
	bool found = false;
	for (struct dirent *de; d && !found && (de = readdir(d));) {
		found = de->d_name[0] != '.' && fstatat(dirfd(d), de->d_name, &st, 0) == 0 &&
			st.st_dev == want.st_dev && st.st_ino == want.st_ino;
	}
	if (d)
		closedir(d);
	return found;
}

static int env_open(struct kv *k, struct err *e)
{
	MDB_txn *txn = NULL;
	int dead = 0;
	int rc = mdb_env_create(&k->env);

	if (rc == 0)
		rc = mdb_env_set_mapsize(k->env, k->o.map_size);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(k->env, READERS_MAX);
	if (rc == 0)
		rc = mdb_env_open(k->env, k->path, MDB_NOSYNC | MDB_NOTLS | (k->o.readahead ? 0 : MDB_NORDAHEAD), 0644);
	if (rc == 0)
		rc = mdb_reader_check(k->env, &dead);
	if (dead > 0)
		log_debug("index", "dead_readers=%d", dead);
	if (rc == 0)
		rc = mdb_txn_begin(k->env, NULL, MDB_RDONLY, &txn);
	if (rc == 0)
		rc = mdb_dbi_open(txn, NULL, 0, &k->dbi);
	if (rc == 0)
		rc = mdb_txn_commit(txn);
	else if (txn)
		mdb_txn_abort(txn);
	return rc == 0 ? 0 : kv_err(e, rc, k, "open index");
}

int kv_open(struct kv **out, const char *path, const struct kv_opts *o, struct err *e)
{
	if (already_open(path))
		return err_set(e, ERR_USAGE, "index %s is already open in this process", path);
	struct kv *k = xcalloc(1, sizeof(*k));
	k->o = *o;
	if (k->o.map_size == 0)
		k->o.map_size = default_map;
	if (k->o.depth == 0)
		k->o.depth = 4096;
	if (k->o.max_queued == 0)
		k->o.max_queued = default_queued;
	k->pid = getpid();
	k->path = xstrndup(str_of(path));
	k->last = &k->first;
	pthread_mutex_init(&k->lock, NULL);
	cond_timed_init(&k->more);
	pthread_cond_init(&k->room, NULL);
	pthread_cond_init(&k->committed, NULL);
	if (env_open(k, e) < 0) {
		kv_close(k);
		return e->code;
	}
	*out = k;
	return 0;
}

void kv_close(struct kv *k)
{
	if (!k)
		return;
	if (k->running && getpid() == k->pid) {
		pthread_mutex_lock(&k->lock);
		k->stop = true;
		pthread_cond_signal(&k->more);
		pthread_mutex_unlock(&k->lock);
		pthread_join(k->tid, NULL);
	}
	if (k->env && getpid() == k->pid)
		mdb_env_close(k->env);
	batch_free(k->first);
	pthread_cond_destroy(&k->more);
	pthread_cond_destroy(&k->room);
	pthread_cond_destroy(&k->committed);
	pthread_mutex_destroy(&k->lock);
	free(k->path);
	free(k);
}

/* -- reading ------------------------------------------------------------- */

static int usable(const struct kv *k, struct err *e)
{
	return getpid() == k->pid ? 0 : err_set(e, ERR_USAGE, "index %s is used after fork", k->path);
}

int kv_read_begin(struct kv_read **out, struct kv *k, struct err *e)
{
	MDB_txn *txn = NULL;

	if (usable(k, e) < 0)
		return e->code;
	int rc = mdb_txn_begin(k->env, NULL, MDB_RDONLY, &txn);
	if (rc == MDB_READERS_FULL && mdb_reader_check(k->env, NULL) == 0)
		rc = mdb_txn_begin(k->env, NULL, MDB_RDONLY, &txn); /* killed readers had kept their places */
	if (rc != 0)
		return kv_err(e, rc, k, "read");
	struct kv_read *r = xcalloc(1, sizeof(*r));
	r->k = k;
	r->txn = txn;
	*out = r;
	return 0;
}

void kv_read_end(struct kv_read *r)
{
	if (!r)
		return;
	if (usable(r->k, &(struct err){ 0 }) == 0)
		mdb_txn_abort(r->txn);
	free(r);
}

/* Whether the window of AT is touched for the first time since all were let go. */
static bool window_touch(struct kv *k, uintptr_t at)
{
	size_t w = at / WINDOW % WINDOWS;
	uint64_t bit = (uint64_t)1 << (w % 64);

	return !(atomic_load(&k->window[w / 64]) & bit) && !(atomic_fetch_or(&k->window[w / 64], bit) & bit);
}

/* N bytes at P, and MORE at places that are not known. */
static void touch(struct kv *k, const void *p, size_t n, size_t more)
{
	uintptr_t from = (uintptr_t)p, end = from + n;

	for (uintptr_t at = from - from % WINDOW; n && at < end; at += WINDOW)
		more += window_touch(k, at) ? WINDOW : 0;
	if (!more || atomic_fetch_add(&k->mapped, more) + more < MAPPED_KEPT)
		return;
	for (size_t i = 0; i < WINDOWS / 64; i++)
		atomic_store(&k->window[i], 0);
	atomic_store(&k->mapped, 0);
	range_let_go(k);
}

void kv_touch(struct kv *k, const void *p, size_t n)
{
	touch(k, p, n, 0);
}

int kv_get(str *out, struct kv_read *r, const char *table, str key, struct err *e)
{
	char full[KEY_MAX];
	MDB_val k = { key_make(full, table, key), full }, v;
	int rc = mdb_get(r->txn, r->k->dbi, &k, &v);

	if (rc == MDB_NOTFOUND) {
		touch(r->k, NULL, 0, WINDOW); /* where it would be */
		return 0;
	}
	if (rc != 0)
		return kv_err(e, rc, r->k, "read");
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)v.mv_data;
	/* a small value lies beside its key, which was found elsewhere for one that has pages of its
	 * own, behind their header */
	touch(r->k, v.mv_data, v.mv_size, at % page == PAGE_HEADER ? WINDOW : 0);
	range_note(r->k, at & ~(page - 1), (at + v.mv_size + page - 1) & ~(page - 1));
	*out = (str){ v.mv_data, v.mv_size };
	return 1;
}

int kv_each(struct kv_read *r, const char *table, int (*fn)(void *arg, str key, str value), void *arg, struct err *e)
{
	char from[KEY_MAX];
	size_t t = strlen(table);
	MDB_cursor *c = NULL;

	if (t > 64)
		t = 64;
	memcpy(from, table, t);
	from[t] = 0;
	MDB_val k = { t + 1, from }, v;
	int rc = mdb_cursor_open(r->txn, r->k->dbi, &c), stop = 0;
	if (rc == 0)
		rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	while (rc == 0 && stop == 0) {
		const char *p = k.mv_data;
		if (k.mv_size <= t || memcmp(p, table, t) != 0 || (unsigned char)p[t] > 1)
			break;
		stop = fn(arg, (str){ p + t + 1, k.mv_size - t - 1 }, (str){ v.mv_data, v.mv_size });
		rc = stop ? 0 : mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	if (c)
		mdb_cursor_close(c);
	return rc != 0 && rc != MDB_NOTFOUND ? kv_err(e, rc, r->k, "read") : stop;
}

void kv_stats(struct kv *k, struct kv_stats *out)
{
	MDB_envinfo info;
	MDB_stat st;

	*out = (struct kv_stats){ .map_size = k->o.map_size };
	pthread_mutex_lock(&k->lock);
	out->commits = k->commits;
	out->lost = k->lost;
	pthread_mutex_unlock(&k->lock);
	if (mdb_env_stat(k->env, &st) == 0) {
		out->entries = st.ms_entries;
		out->used = (uint64_t)(st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) * st.ms_psize;
	}
	if (mdb_env_info(k->env, &info) == 0)
		out->bytes = (uint64_t)(info.me_last_pgno + 1) * st.ms_psize;
}
