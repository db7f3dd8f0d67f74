/* cmd_floor — `dray-bench floor TREE STORE DEST [ROUNDS [THREADS]]`: what making TREE costs if nothing but
 * the system calls is paid.
 *
 * Reads a finished node_modules and the store that its files are linked from, writes down every mkdirat, linkat and
 * symlinkat that makes it, and runs that list in a bare loop: each round once with one thread and once with two (or
 * only with THREADS), each into a new folder below DEST, which must be on the store's file system. Nothing is removed.
 * Files that are no links into STORE (shims, empty files, state) are counted and left out.
 *
 * Where STORE is "-" all files are written, as an install does that starts with nothing: openat with the file's mode,
 * its size in bytes of one block of memory, close. A file that TREE has under several names is written once and linked
 * at the end. DEST may then be anywhere. */
#include "base/base.h"
#include "cmd.h"
#include "fs.h"
#include "measure.h"
#include "workq.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_ROUNDS = 100, UNITS_AT_ONCE = 16, BLOCK = 1 << 20 };
enum op_kind { OP_MKDIR, OP_ENTER, OP_SOURCE, OP_LINK, OP_SYMLINK, OP_WRITE };
struct op {
	enum op_kind kind;
	mode_t mode; /* of WRITE */
	/* Below the folder that was entered last; of ENTER below the tree, of SOURCE below the store. */
	const char *path;
	const char *from; /* of LINK: below the last SOURCE; of SYMLINK: its text */
	uint64_t size;    /* of WRITE */
};
struct unit { /* what one thread does at a stretch: a slot */
	size_t first, n;
};
struct floor {
	struct arena a;
	VEC(struct op) op;
	VEC(struct unit) unit;
	VEC(const char *) stored;
	struct map by_inode; /* -> index in stored */
	const char *entered, *source;
	size_t links, dirs, symlinks, others, writes;
	uint64_t bytes;       /* of these writes */
	bool writing;         /* there is no store: `stored` has the tree's own files */
	VEC(struct op) again; /* LINKs, both names below the tree: what was written under another name */
	const char *block;    /* what is written */
	int store;
};
struct round {
	const struct floor *f;
	int dest;
	atomic_size_t next;
	atomic_int failed; /* errno */
};
struct entry {
	const char *name, *path;
	struct stat st;
};
struct entries {
	struct entry *p;
	size_t n;
};

static void floor_release(struct floor *f)
{
	vec_release(&f->op);
	vec_release(&f->unit);
	vec_release(&f->stored);
	vec_release(&f->again);
	map_release(&f->by_inode);
	arena_release(&f->a);
}

static str inode_key(const struct stat *st, struct arena *a)
{
	return arena_printf(a, "%llu:%llu", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
}

/* ---- writing the list ---- */

static int list_dir(struct entries *out, int at, const char *path, struct arena *a, struct err *e)
{
	DIR *d = fs_list(at, ".");
	int rc = 0;

	if (!d)
		return err_os(e, "read folder %s", path);
	for (struct dirent *en; rc == 0 && (en = readdir(d));) {
		if (strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0)
			continue;
		struct entry *x = arena_add(a, out->p, out->n);
		x->name = arena_str(a, str_of(en->d_name)).p;
		x->path = arena_printf(a, "%s%s%s", path, *path ? "/" : "", en->d_name).p;
		if (fstatat(dirfd(d), x->name, &x->st, AT_SYMLINK_NOFOLLOW) != 0)
			rc = err_os(e, "stat %s", x->path);
	}
	closedir(d);
	return rc;
}

static int store_dir_read(struct floor *f, int dirfd, const char *path, struct err *e)
{
	struct entries list = { 0 };
	bool fresh;

	if (list_dir(&list, dirfd, path, &f->a, e) < 0)
		return e->code;
	for (size_t i = 0; i < list.n; i++) {
		const struct entry *x = &list.p[i];
		if (S_ISDIR(x->st.st_mode)) {
			AUTO(fs_close_auto)
			int fd = openat(dirfd, x->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (fd < 0)
				return err_os(e, "open folder %s", x->path);
			if (store_dir_read(f, fd, x->path, e) < 0)
				return e->code;
		} else if (S_ISREG(x->st.st_mode) && strchr(x->path, '/')) {
			map_add(&f->by_inode, inode_key(&x->st, &f->a), (uint32_t)f->stored.n, &fresh);
			if (fresh)
				*vec_add(&f->stored) = x->path;
		}
	}
	return 0;
}

/* BASE is the entered folder that PATH is told from. */
static void op_add(struct floor *f, enum op_kind kind, const char *base, const char *path, const char *from)
{
	if (!f->entered || strcmp(f->entered, base) != 0)
		*vec_add(&f->op) = (struct op){ .kind = OP_ENTER, .path = *base ? base : "." };
	f->entered = base;
	*vec_add(&f->op) = (struct op){ .kind = kind, .path = *base ? path + strlen(base) + 1 : path, .from = from };
}

static void unit_end(struct floor *f)
{
	size_t first = f->unit.n ? f->unit.p[f->unit.n - 1].first + f->unit.p[f->unit.n - 1].n : 0;

	if (f->op.n > first)
		*vec_add(&f->unit) = (struct unit){ first, f->op.n - first };
	f->entered = f->source = NULL;
}

/* Without a store. */
static void write_add(struct floor *f, const struct entry *x, const char *base)
{
	bool fresh;
	uint32_t i = map_add(&f->by_inode, inode_key(&x->st, &f->a), (uint32_t)f->stored.n, &fresh);

	if (!fresh) {
		*vec_add(&f->again) = (struct op){ .kind = OP_LINK, .path = x->path, .from = f->stored.p[i] };
		f->links++;
		return;
	}
	*vec_add(&f->stored) = x->path;
	op_add(f, OP_WRITE, base, x->path, NULL);
	f->op.p[f->op.n - 1].mode = x->st.st_mode & 0777;
	f->op.p[f->op.n - 1].size = (uint64_t)x->st.st_size;
	f->writes++;
	f->bytes += (uint64_t)x->st.st_size;
}

static void file_add(struct floor *f, const struct entry *x, const char *base)
{
	if (f->writing) {
		write_add(f, x, base);
		return;
	}
	uint32_t i = map_get(&f->by_inode, inode_key(&x->st, &f->a));

	if (i == MAP_NONE) {
		f->others++;
		return;
	}
	const char *slash = strrchr(f->stored.p[i], '/');
	const char *dir = arena_str(&f->a, (str){ f->stored.p[i], (size_t)(slash - f->stored.p[i]) }).p;
	if (!f->source || strcmp(f->source, dir) != 0)
		*vec_add(&f->op) = (struct op){ .kind = OP_SOURCE, .path = dir };
	f->source = dir;
	op_add(f, OP_LINK, base, x->path, slash + 1);
	f->links++;
}

static int symlink_add(struct floor *f, int dirfd, const struct entry *x, const char *base, struct err *e)
{
	char text[PATH_MAX];

	ssize_t n = readlinkat(dirfd, x->name, text, sizeof(text));
	if (n < 0)
		return err_os(e, "read symlink %s", x->path);
	op_add(f, OP_SYMLINK, base, x->path, arena_str(&f->a, (str){ text, (size_t)n }).p);
	f->symlinks++;
	return 0;
}

/* Folders that a linker would keep open: a slot's node_modules and the package in it. */
static bool dir_entered(const char *path)
{
	str rest = str_of(path), part[6];
	size_t n = 0;

	while (rest.n && n < 6)
		str_cut(rest, '/', &part[n++], &rest);
	if (n < 3 || n > 5 || rest.n || !str_eq(part[0], STR(".pnpm")) || !str_eq(part[2], STR("node_modules")))
		return false;
	return n == 3 || str_starts(part[3], STR("@")) == (n == 5);
}

static int tree_dir_read(struct floor *f, int dirfd, const char *path, const char *base, struct err *e);

static int folder_read(struct floor *f, int dirfd, const struct entry *x, const char *base, struct err *e)
{
	AUTO(fs_close_auto) int fd = openat(dirfd, x->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_os(e, "open folder %s", x->path);
	return tree_dir_read(f, fd, x->path, dir_entered(x->path) ? x->path : base, e);
}

static void folder_add(struct floor *f, const struct entry *x, const char *base)
{
	op_add(f, OP_MKDIR, base, x->path, NULL);
	f->dirs++;
}

/* A folder's files and symlinks, then the folders in it. Each slot is a unit; all before the first
 * slot is another, run first. */
static int tree_dir_read(struct floor *f, int dirfd, const char *path, const char *base, struct err *e)
{
	struct entries list = { 0 };
	const struct entry *vstore = NULL;
	bool slots = strcmp(path, ".pnpm") == 0;

	if (list_dir(&list, dirfd, path, &f->a, e) < 0)
		return e->code;
	for (size_t i = 0; i < list.n; i++) {
		const struct entry *x = &list.p[i];
		if (S_ISLNK(x->st.st_mode) && symlink_add(f, dirfd, x, base, e) < 0)
			return e->code;
		if (S_ISREG(x->st.st_mode))
			file_add(f, x, base);
		if (S_ISDIR(x->st.st_mode) && !slots)
			folder_add(f, x, base);
		if (S_ISDIR(x->st.st_mode) && !*path && strcmp(x->name, ".pnpm") == 0)
			vstore = x;
	}
	for (size_t i = 0; i < list.n; i++) {
		const struct entry *x = &list.p[i];
		if (!S_ISDIR(x->st.st_mode) || x == vstore)
			continue;
		if (slots) {
			unit_end(f);
			folder_add(f, x, base);
		}
		if (folder_read(f, dirfd, x, base, e) < 0)
			return e->code;
	}
	if (!vstore)
		return 0;
	unit_end(f);
	return folder_read(f, dirfd, vstore, base, e);
}

/* ---- running it ---- */

static int file_write(const struct op *op, const char *block, int at)
{
	AUTO(fs_close_auto) int fd = openat(at, op->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, op->mode);

	if (fd < 0)
		return -1;
	for (uint64_t left = op->size; left > 0;) {
		ssize_t n = write(fd, block, left < BLOCK ? (size_t)left : BLOCK);
		if (n < 0)
			return -1;
		left -= (uint64_t)n;
	}
	return 0;
}

static int op_run(const struct op *op, const struct round *r, int *at, int *from)
{
	switch (op->kind) {
	case OP_MKDIR:
		return mkdirat(*at, op->path, 0777);
	case OP_SYMLINK:
		return symlinkat(op->from, *at, op->path);
	case OP_LINK:
		return linkat(*from, op->from, *at, op->path, 0);
	case OP_WRITE:
		return file_write(op, r->f->block, *at);
	case OP_ENTER:
		fs_close_auto(at);
		*at = openat(r->dest, op->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		return *at < 0 ? -1 : 0;
	case OP_SOURCE:
		fs_close_auto(from);
		*from = openat(r->f->store, op->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		return *from < 0 ? -1 : 0;
	}
	return -1;
}

static void unit_run(struct round *r, const struct unit *u)
{
	AUTO(fs_close_auto) int at = -1;
	AUTO(fs_close_auto) int from = -1;

	for (size_t i = u->first; i < u->first + u->n; i++) {
		if (op_run(&r->f->op.p[i], r, &at, &from) != 0)
			atomic_store(&r->failed, errno);
	}
}

static void *round_thread(void *arg)
{
	struct round *r = arg;
	size_t step = r->f->writing ? 1 : UNITS_AT_ONCE; /* sizes of what is written differ more */

	for (size_t i; (i = atomic_fetch_add(&r->next, step)) < r->f->unit.n;) {
		for (size_t k = i; k < i + step && k < r->f->unit.n; k++)
			unit_run(r, &r->f->unit.p[k]);
	}
	return NULL;
}

static void again_run(struct round *r)
{
	for (size_t i = 0; i < r->f->again.n; i++) {
		if (op_run(&r->f->again.p[i], r, &r->dest, &r->dest) != 0)
			atomic_store(&r->failed, errno);
	}
}

static int round_run(const struct floor *f, int dest, unsigned number, unsigned threads, struct err *e)
{
	struct round r = { .f = f, .dest = -1, .next = 1 };
	struct rusage was, is;
	pthread_t tid;
	char name[64];

	snprintf(name, sizeof(name), "floor-%ld-%u-%u", (long)getpid(), number, threads);
	if (mkdirat(dest, name, 0777) != 0)
		return err_os(e, "make folder %s", name);
	AUTO(fs_close_auto) int fd = openat(dest, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_os(e, "open folder %s", name);
	r.dest = fd;
	getrusage(RUSAGE_SELF, &was);
	double start = measure_now();
	if (f->unit.n)
		unit_run(&r, &f->unit.p[0]);
	if (threads > 1 && workq_thread(&tid, "floor", round_thread, &r, e) < 0)
		return e->code;
	round_thread(&r);
	if (threads > 1)
		pthread_join(tid, NULL);
	again_run(&r);
	double wall = measure_now() - start;
	getrusage(RUSAGE_SELF, &is);
	errno = atomic_load(&r.failed);
	if (errno)
		return err_os(e, "floor: a call failed in %s", name);
	printf("threads=%u wall_s=%.4f user_s=%.4f sys_s=%.4f switches=%ld\n", threads, wall,
		measure_seconds(is.ru_utime) - measure_seconds(was.ru_utime),
		measure_seconds(is.ru_stime) - measure_seconds(was.ru_stime), is.ru_nvcsw - was.ru_nvcsw);
	fflush(stdout);
	return 0;
}

static int dir_open(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 ? fd : err_os(e, "open folder %s", path);
}

/* Bytes of no pattern that a file system might make less of. */
static const char *block_new(struct arena *a)
{
	char *p = arena_new(a, char, BLOCK);
	uint32_t x = 2463534242u;

	for (size_t i = 0; i < BLOCK; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		p[i] = (char)x;
	}
	return p;
}

/* THREADS 0: once with one and once with two, in turns. */
static int floor_run(struct floor *f, char **argv, unsigned rounds, unsigned threads, struct err *e)
{
	f->writing = strcmp(argv[2], "-") == 0;
	AUTO(fs_close_auto) int tree = dir_open(argv[1], e);
	AUTO(fs_close_auto) int store = f->writing ? -1 : dir_open(argv[2], e);
	AUTO(fs_close_auto) int dest = dir_open(argv[3], e);

	if (tree < 0 || (store < 0 && !f->writing) || dest < 0)
		return e->code;
	f->store = store;
	if ((!f->writing && store_dir_read(f, store, "", e) < 0) || tree_dir_read(f, tree, "", "", e) < 0)
		return e->code;
	unit_end(f);
	if (f->writing)
		f->block = block_new(&f->a);
	printf("mkdirat=%zu linkat=%zu symlinkat=%zu writes=%zu bytes=%llu left_out=%zu units=%zu\n", f->dirs, f->links,
		f->symlinks, f->writes, (unsigned long long)f->bytes, f->others, f->unit.n);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned first = threads ? threads : 1 + i % 2;
		if (round_run(f, dest, i, first, e) < 0 || (!threads && round_run(f, dest, i, 3 - first, e) < 0))
			return e->code;
	}
	return 0;
}

int cmd_floor(int argc, char **argv)
{
	AUTO(floor_release) struct floor f = { .a = ARENA_INIT(1u << 20) };
	uint64_t rounds = 1, threads = 0;
	struct err e;

	if (argc < 4 || argc > 6 ||
		(argc > 4 && (!str_u64(str_of(argv[4]), &rounds) || rounds < 1 || rounds > MAX_ROUNDS)) ||
		(argc > 5 && (!str_u64(str_of(argv[5]), &threads) || threads < 1 || threads > 2))) {
		fprintf(stderr, "usage: dray-bench floor TREE STORE|- DEST [ROUNDS [THREADS: 1 or 2]]\n");
		return 2;
	}
	if (floor_run(&f, argv, (unsigned)rounds, (unsigned)threads, &e) < 0) {
		fprintf(stderr, "dray-bench: %s\n", e.msg);
		return err_exit_status(e.code);
	}
	return 0;
}
