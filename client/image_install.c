#include "image_install.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs.h"
#include "integrity.h"
#include "link.h"
#include "pool.h"
#include "project_local.h"
#include "shared.h"
#include "state.h"

#define IMAGES_MAX 64u
#define IMAGES_BYTES_MAX (256u << 20)
#define IMAGE_BYTES_MAX (96u << 20)

/* ---- the key ---- */

static void add_bytes(struct hasher *h, const void *p, size_t n)
{
	uint64_t len = n;

	hasher_add(h, &len, sizeof(len));
	hasher_add(h, p, n);
}

/* The file's bytes, or that there is none. */
static bool add_file(struct hasher *h, const char *dir, const char *name, bool needed)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	char path[PATH_MAX + 64];
	struct err e;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int rc = project_read_file(&b, path, 64u << 20, &e);
	add_bytes(h, rc < 0 ? "absent" : "there", rc < 0 ? 6 : 5);
	add_bytes(h, b.p, b.n);
	return rc == 0 || (rc == ERR_NOTFOUND && !needed);
}

/* Which node it is decides which packages fit and what is built for it. */
static void add_node(struct hasher *h)
{
	const char *env = getenv("PATH");
	str path = str_of(env ? env : ""), dir;
	char file[PATH_MAX], real[PATH_MAX];
	struct stat st;

	while (path.n) {
		str_cut(path, ':', &dir, &path);
		if (!dir.n || dir.n > PATH_MAX - 8)
			continue;
		snprintf(file, sizeof(file), STR_FMT "/node", STR_ARG(dir));
		if (!realpath(file, real) || stat(real, &st) != 0)
			continue;
		int64_t id[] = { (int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec, (int64_t)st.st_mtim.tv_nsec };
		add_bytes(h, real, strlen(real));
		add_bytes(h, id, sizeof(id));
		return;
	}
}

/* A pnpm-workspace.yaml of its own makes it the root; one further up would make another folder that. */
static bool is_root(str root)
{
	char path[PATH_MAX + 64];

	for (str up = root, name;; str_rcut(up, '/', &up, &name)) {
		snprintf(path, sizeof(path), STR_FMT "/pnpm-workspace.yaml", STR_ARG(up));
		if (access(path, F_OK) == 0)
			return str_eq(up, root);
		if (!up.n)
			return true;
	}
}

bool image_key(uint8_t out[32], const struct image_input *in, bool without_lockfile)
{
	static const char *const never[] = { ".pnpmfile.cjs", ".pnpmfile.mjs", "pnpmfile.js", "binding.gyp" };
	const char *home = getenv("HOME");
	char path[PATH_MAX + 64];
	struct digest d;

	if (in->root.n >= PATH_MAX || !is_root(in->root))
		return false;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", in->root.p, never[i]);
		if (access(path, F_OK) == 0)
			return false;
	}
	struct hasher *h = hasher_new(DIGEST_SHA256);
	add_bytes(h, "dray image 1 " DRAY_VERSION, strlen("dray image 1 " DRAY_VERSION));
	add_bytes(h, in->root.p, in->root.n);
	add_bytes(h, in->store_dir.p, in->store_dir.n);
	add_bytes(h, &in->settings, sizeof(in->settings));
	add_node(h);
	bool ok = add_file(h, in->root.p, "package.json", true) &&
		  (without_lockfile || add_file(h, in->root.p, "pnpm-lock.yaml", true)) &&
		  add_file(h, in->root.p, "pnpm-workspace.yaml", false) && add_file(h, in->root.p, ".npmrc", false) &&
		  (!home || add_file(h, home, ".npmrc", false));
	hasher_end(h, &d);
	hasher_free(h);
	memcpy(out, d.b, 32);
	return ok;
}

/* ---- making the tree ---- */

struct check {
	struct job job;
	int slots;
	const struct image *im;
	bool whole;
};
struct making {
	struct image im;
	struct arena a;
	struct buf bytes;
	int root, lock;
	struct shared_slots *shared;
	struct pool *pool;
	struct check check;
};

static void making_release(struct making *m)
{
	while (m->pool && pool_live(m->pool) > 0) {
		struct pollfd fd = { .fd = pool_fd(m->pool), .events = POLLIN };
		poll(&fd, 1, -1);
		pool_drain(m->pool);
	}
	pool_free(m->pool);
	shared_close(m->shared);
	fs_close_auto(&m->lock);
	fs_close_auto(&m->root);
	buf_release(&m->bytes);
	arena_release(&m->a);
}

static void check_run(struct job *job)
{
	struct check *c = (struct check *)job;

	c->whole = true;
	for (size_t i = 0; i < c->im->nslots && c->whole; i++) {
		struct slot s = { .dir = c->im->slot[i].dir.p, .name = c->im->slot[i].name };
		c->whole = slot_stands(c->slots, &s);
	}
}

static void check_done(struct job *job, void *ctx)
{
	(void)job;
	(void)ctx;
}

static bool file_make(int root, const struct image_item *it)
{
	AUTO(fs_close_auto)
	int fd = openat(root, it->path.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, it->exec ? 0777 : 0666);

	return fd >= 0 && fs_write_all(fd, it->text.p, it->text.n) == 0;
}

static bool is_modules_yaml(const struct image_item *it)
{
	return str_eq(it->path, STR("node_modules/.modules.yaml"));
}

/* All but .modules.yaml, which says that the rest is there. */
static bool tree_make(struct making *m)
{
	for (size_t i = 0; i < m->im.nitems; i++) {
		const struct image_item *it = &m->im.item[i];
		bool made = false;
		switch (it->kind) {
		case IMAGE_DIR:
			made = mkdirat(m->root, it->path.p, 0777) == 0;
			break;
		case IMAGE_LINK:
			made = symlinkat(it->text.p, m->root, it->path.p) == 0;
			break;
		case IMAGE_FILE:
			made = is_modules_yaml(it) || file_make(m->root, it);
			break;
		case IMAGE_KINDS:
			break;
		}
		if (!made)
			return false;
		if (it->kind == IMAGE_DIR && str_eq(it->path, STR("node_modules/.pnpm"))) {
			m->lock = openat(m->root, it->path.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (m->lock < 0 || flock(m->lock, LOCK_EX | LOCK_NB) != 0)
				return false;
		}
	}
	return m->lock >= 0;
}

/* prunedAt is the time of this install; it has the same length always. */
static bool modules_yaml_make(struct making *m)
{
	static const char key[] = "\"prunedAt\": \"";
	char when[64];
	struct tm tm;
	time_t now = time(NULL);

	gmtime_r(&now, &tm);
	size_t n = strftime(when, sizeof(when), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	for (size_t i = 0; i < m->im.nitems; i++) {
		struct image_item *it = &m->im.item[i];
		if (!is_modules_yaml(it))
			continue;
		size_t at = str_find_str(it->text, str_of(key), 0);
		if (at != SIZE_MAX && at + sizeof(key) - 1 + n < it->text.n)
			memcpy((char *)(uintptr_t)it->text.p + at + sizeof(key) - 1, when, n);
		return it->kind == IMAGE_FILE && file_make(m->root, it);
	}
	return false;
}

static bool state_make(struct making *m, uint64_t settings)
{
	struct state s = { .settings = settings, .nwatch = m->im.watch.n };
	struct err e;

	s.watch = arena_new(&m->a, struct state_watch, s.nwatch + 1);
	for (size_t i = 0; i < s.nwatch; i++)
		s.watch[i].path = m->im.watch.p[i];
	if (state_write(&s, m->root, &e) < 0)
		return false;
	for (size_t i = 0; i < s.nwatch; i++)
		state_stat(&s.watch[i], m->root);
	return state_update(&s, m->root, &e) == 0;
}

static void image_name(char out[65], const uint8_t key[32])
{
	hex_print(out, key, 32);
}

/* Opens the image and what it leads to. False where there is none, or none that is whole. */
static bool making_open(struct making *m, const struct image_input *in, const uint8_t key[32])
{
	char path[PATH_MAX + 80], name[65];
	struct err e;

	if (in->store_dir.n >= PATH_MAX)
		return false;
	image_name(name, key);
	snprintf(path, sizeof(path), "%s/plans/%s", in->store_dir.p, name);
	if (project_read_file(&m->bytes, path, IMAGE_BYTES_MAX, &e) < 0 ||
		image_parse(&m->im, buf_str(&m->bytes), &m->a, &e) < 0)
		return false;
	m->root = open(in->root.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->root < 0 || shared_open(&m->shared, in->store_dir.p, &e) < 0)
		return false;
	utimensat(AT_FDCWD, path, NULL, 0); /* the least used ones go first */
	return true;
}

static bool making_record(struct making *m, str root)
{
	str *dir = arena_new(&m->a, str, m->im.nslots + 1);
	struct err e;

	for (size_t i = 0; i < m->im.nslots; i++)
		dir[i] = m->im.slot[i].dir;
	return shared_record(m->shared, root, m->im.record, dir, m->im.nslots, &e) == 0;
}

int image_install(struct image_result *out, const struct image_input *in, const uint8_t key[32])
{
	AUTO(making_release)
	struct making m = { .root = -1, .lock = -1, .a = ARENA_INIT(256 * 1024), .bytes = BUF_INIT };
	struct stat st;
	struct err e;

	if (!making_open(&m, in, key) || fstatat(m.root, "node_modules", &st, AT_SYMLINK_NOFOLLOW) == 0 ||
		!making_record(&m, in->root) || pool_new(&m.pool, 1, &e) < 0)
		return 0;
	m.check = (struct check){
		.job = { .run = check_run, .done = check_done }, .slots = shared_fd(m.shared), .im = &m.im
	};
	pool_submit(m.pool, &m.check.job);
	bool made = tree_make(&m);
	while (pool_live(m.pool) > 0) {
		struct pollfd fd = { .fd = pool_fd(m.pool), .events = POLLIN };
		poll(&fd, 1, -1);
		pool_drain(m.pool);
	}
	if (!made || !m.check.whole || shared_record_end(m.shared, in->root, &e) < 0 || !modules_yaml_make(&m) ||
		!state_make(&m, in->settings))
		return 0;
	*out = (struct image_result){ m.im.packages, m.im.nslots };
	return 1;
}

/* ---- keeping ---- */

struct kept {
	char name[65];
	int64_t used;
	uint64_t bytes;
};

static int kept_cmp(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return (x->used < y->used) - (x->used > y->used);
}

/* What is used most recently stays, as far as the bounds reach; what a killed process left half-written goes with the rest. */
static void images_trim(int plans)
{
	VEC(struct kept) all = VEC_INIT;
	int fd = fs_open_dir(plans, ".");
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	uint64_t bytes = 0;

	for (struct dirent *en; d && (en = readdir(d));) {
		struct stat st;
		if (en->d_name[0] == '.' || strlen(en->d_name) > 128 || fs_stat(plans, en->d_name, &st) != 0)
			continue;
		if (strlen(en->d_name) != 64) {
			if (time(NULL) - st.st_mtim.tv_sec > 3600)
				fs_unlink(plans, en->d_name, 0);
			continue;
		}
		struct kept *k = vec_add(&all);
		*k = (struct kept){ .used = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
			.bytes = (uint64_t)st.st_size };
		snprintf(k->name, sizeof(k->name), "%.64s", en->d_name);
	}
	if (d)
		closedir(d);
	if (all.n)
		qsort(all.p, all.n, sizeof(*all.p), kept_cmp);
	for (size_t i = 0; i < all.n; i++) {
		bytes += all.p[i].bytes;
		if (i >= IMAGES_MAX || bytes > IMAGES_BYTES_MAX)
			fs_unlink(plans, all.p[i].name, 0);
	}
	vec_release(&all);
}

int image_keep(const struct image *im, const char *store_dir, const uint8_t key[32], struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	char path[PATH_MAX + 16], name[65];

	image_print(&b, im);
	if (b.n > IMAGE_BYTES_MAX)
		return 0;
	snprintf(path, sizeof(path), "%.4000s/plans", store_dir);
	if (fs_mkdir(AT_FDCWD, path, 0755) != 0 && errno != EEXIST)
		return err_os(e, "make directory %s", path);
	AUTO(fs_close_auto) int plans = fs_open_dir(AT_FDCWD, path);
	if (plans < 0)
		return err_os(e, "open %s", path);
	image_name(name, key);
	if (fs_write_file(plans, name, buf_str(&b), 0644, e) < 0)
		return e->code;
	images_trim(plans);
	return 0;
}
