#include "image_install.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs.h"
#include "kept.h"
#include "link.h"
#include "pool.h"
#include "shared.h"
#include "state.h"

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
	str to_shared; /* from the project */
	str lockfile;
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
		const struct image_slot *was = &c->im->slot[i];
		struct slot s = { .dir = was->dir.p, .name = was->name, .modules_ns = was->modules_ns };
		c->whole = slot_stands_still(c->slots, &s);
	}
}

static void check_done(struct job *job, void *ctx)
{
	(void)job;
	(void)ctx;
}

static bool file_make(struct making *m, const struct image_item *it)
{
	str text = it->lockfile ? m->lockfile : image_text(&m->im, it, m->to_shared, &m->a);
	AUTO(fs_close_auto)
	int fd = openat(
		m->root, it->path.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, it->exec ? 0755 : 0666);

	/* a command's mode is not the umask's, see bin_dir.c */
	return fd >= 0 && text.p && fs_write_all(fd, text.p, text.n) == 0 && (!it->exec || fchmod(fd, 0755) == 0);
}

static bool link_make(struct making *m, const struct image_item *it)
{
	str text = image_text(&m->im, it, m->to_shared, &m->a);

	return text.p && symlinkat(text.p, m->root, it->path.p) == 0;
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
			made = link_make(m, it);
			break;
		case IMAGE_FILE:
			made = is_modules_yaml(it) || file_make(m, it);
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

/* Hoisted names have a folder of their own among the slots: it goes when no project leads there, though
 * others keep all of the slots. */
static bool hoisted_stands(const struct making *m)
{
	static const char hoisted[] = "node_modules/.pnpm/node_modules";
	struct stat st;

	for (size_t i = 0; i < m->im.nitems; i++) {
		if (str_eq(m->im.item[i].path, str_of(hoisted)))
			return fstatat(m->root, hoisted, &st, 0) == 0 && S_ISDIR(st.st_mode);
	}
	return true;
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
		return it->kind == IMAGE_FILE && file_make(m, it);
	}
	return false;
}

static bool state_make(struct making *m, const struct image_input *in)
{
	struct str_list files = { .p = arena_new(&m->a, str, in->watch.n + 1), .n = in->watch.n };
	struct state s = { .settings = in->settings };
	struct err e;

	memcpy(files.p, in->watch.p, files.n * sizeof(str));
	files.p[files.n++] = shared_stamp(m->shared);
	struct str_list watch = state_watch_list(files, m->root, &m->a);
	s.nwatch = watch.n;
	s.watch = arena_new(&m->a, struct state_watch, s.nwatch + 1);
	for (size_t i = 0; i < s.nwatch; i++)
		s.watch[i].path = watch.p[i];
	if (state_write(&s, m->root, &e) < 0)
		return false;
	for (size_t i = 0; i < s.nwatch; i++)
		state_stat(&s.watch[i], m->root, i < in->watch.n ? in->began_ns : INT64_MAX);
	return state_update(&s, m->root, &e) == 0;
}

/* Opens the image and what it leads to. False where there is none, or none that is whole. */
static bool making_open(struct making *m, const struct image_input *in, const uint8_t key[32])
{
	struct err e;

	if (!kept_get(&m->bytes, in->store_dir.p, key) || image_parse(&m->im, buf_str(&m->bytes), &m->a, &e) < 0)
		return false;
	m->root = open(in->root.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->root < 0 || shared_open(&m->shared, in->store_dir.p, &e) < 0)
		return false;
	m->lockfile = in->lockfile;
	m->to_shared = path_between(&m->a, in->root, shared_path(m->shared));
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
	if (!made || !m.check.whole || !hoisted_stands(&m) || shared_record_end(m.shared, in->root, &e) < 0 ||
		!modules_yaml_make(&m) || !state_make(&m, in))
		return 0;
	*out = (struct image_result){ m.im.packages, m.im.nslots };
	return 1;
}

/* ---- keeping ---- */

int image_keep(const struct image *im, const char *store_dir, const uint8_t key[32], struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	image_print(&b, im);
	return kept_put(store_dir, key, buf_str(&b), e);
}
