#include "state.h"
#include "fs.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"

#define STATE_FILE "node_modules/.dray-state"
#define STATE_TMP "node_modules/.dray-state.tmp"
#define STATE_MAGIC 0x3130746179617264u /* "drayat01" */
#define STATE_MAX (256u << 20)
enum { SCOPES_MAX = 256 }; /* what is beyond is not watched */
#define HEAD_MAX (16u << 20)

struct head {
	uint64_t magic, settings;
	uint32_t nwatch, head_bytes, nslots, nbegun;
};

/* Folders of node_modules that hold the dependencies of a scope. */
static void scopes_add(struct str_list *l, int root, struct arena *a)
{
	int fd = openat(root, "node_modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (!d && fd >= 0)
		close(fd);
	size_t end = l->n + SCOPES_MAX;
	for (struct dirent *en; d && l->n < end && (en = readdir(d));) {
		if (en->d_name[0] == '@')
			l->p[l->n++] = arena_printf(a, "node_modules/%s", en->d_name);
	}
	if (d)
		closedir(d);
}

struct str_list state_watch_list(struct str_list files, int root, struct arena *a)
{
	static const char *const folders[] = { "node_modules", "node_modules/.pnpm", "node_modules/.pnpm/node_modules",
		"node_modules/.bin", "node_modules/.modules.yaml" };
	enum { NFOLDERS = sizeof(folders) / sizeof(folders[0]) };
	struct str_list l = { .p = arena_new(a, str, files.n + NFOLDERS + SCOPES_MAX) };

	for (size_t i = 0; i < files.n; i++)
		l.p[l.n++] = arena_str(a, files.p[i]);
	for (size_t i = 0; i < NFOLDERS; i++)
		l.p[l.n++] = str_of(folders[i]);
	scopes_add(&l, root, a);
	return l;
}

static int64_t nanoseconds(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void state_stat(struct state_watch *w, int root, int64_t read_ns)
{
	struct stat st;

	w->mtime_ns = -1;
	w->size = 0;
	if (fstatat(root, w->path.p, &st, 0) != 0)
		return;
	w->mtime_ns = nanoseconds(st.st_mtim);
	if (S_ISDIR(st.st_mode))
		return;
	w->size = (uint64_t)st.st_size;
	/* a time in the future was given to it, perhaps long ago; and a link to it, as a copied folder
	 * has, leaves what it holds */
	if (w->mtime_ns > read_ns && nanoseconds(st.st_ctim) > read_ns)
		w->mtime_ns = STATE_EDITED;
}

/* Whether the NWATCH entries from P to END are as they were. */
static bool watched_same(int root, const char *p, const char *end, uint32_t nwatch)
{
	struct cursor c = { p, end, false };

	for (uint32_t i = 0; i < nwatch; i++) {
		struct state_watch now = { .path = take_name(&c) };
		int64_t mtime = (int64_t)take_u64(&c);
		uint64_t size = take_u64(&c);
		if (c.bad)
			return false;
		state_stat(&now, root, INT64_MAX);
		if (now.mtime_ns != mtime || now.size != size)
			return false;
	}
	return true;
}

bool state_current(int root, uint64_t settings)
{
	char part[64 * 1024];
	struct head h;

	AUTO(fs_close_auto) int fd = openat(root, STATE_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, part, sizeof(part)) : -1;
	if (n < (ssize_t)sizeof(h))
		return false;
	memcpy(&h, part, sizeof(h));
	if (h.magic != STATE_MAGIC || h.settings != settings || h.nwatch == 0 || h.head_bytes < sizeof(h) ||
		h.head_bytes > HEAD_MAX)
		return false;
	if (h.head_bytes <= (size_t)n)
		return watched_same(root, part + sizeof(h), part + h.head_bytes, h.nwatch);
	char *whole = xmalloc(h.head_bytes); /* a workspace of hundreds of projects */
	bool same = pread(fd, whole, h.head_bytes, 0) == (ssize_t)h.head_bytes &&
		    watched_same(root, whole + sizeof(h), whole + h.head_bytes, h.nwatch);
	free(whole);
	return same;
}

static bool state_parse(struct state *s, const char *p, size_t n)
{
	struct head h;

	if (n < sizeof(h))
		return false;
	memcpy(&h, p, sizeof(h));
	if (h.magic != STATE_MAGIC || h.head_bytes < sizeof(h) || h.head_bytes > n || h.nslots > n / 32 ||
		h.nbegun > h.nslots)
		return false;
	struct cursor c = { p + h.head_bytes, p + n, false };
	s->settings = h.settings;
	s->slot = arena_new(&s->arena, struct state_slot, h.nslots + 1u);
	for (uint32_t i = 0; i < h.nslots; i++) {
		struct state_slot *x = &s->slot[i];
		x->dir = take_name(&c);
		x->wiring = take_u64(&c);
		x->modules_ns = (int64_t)take_u64(&c);
		x->package_ns = (int64_t)take_u64(&c);
		x->begun = i >= h.nslots - h.nbegun;
		if (c.bad)
			return false;
		map_set(&s->by_dir, x->dir, i);
	}
	s->nslots = h.nslots;
	return true;
}

bool state_read(struct state *out, int root)
{
	struct stat st;

	*out = (struct state){ .arena = ARENA_INIT(256 * 1024) };
	AUTO(fs_close_auto) int fd = openat(root, STATE_FILE, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > STATE_MAX)
		return false;
	char *p = arena_new(&out->arena, char, (size_t)st.st_size);
	if (read(fd, p, (size_t)st.st_size) != st.st_size || !state_parse(out, p, (size_t)st.st_size)) {
		state_release(out);
		return false;
	}
	return true;
}

void state_release(struct state *s)
{
	map_release(&s->by_dir);
	arena_release(&s->arena);
	*s = (struct state){ 0 };
}

const struct state_slot *state_slot(const struct state *s, const char *dir)
{
	uint32_t i = map_get(&s->by_dir, str_of(dir));

	return i == MAP_NONE ? NULL : &s->slot[i];
}

static void state_print(struct buf *b, const struct state *s)
{
	struct head h = { .magic = STATE_MAGIC,
		.settings = s->settings,
		.nwatch = (uint32_t)s->nwatch,
		.nslots = (uint32_t)s->nslots };

	for (size_t i = 0; i < s->nslots; i++)
		h.nbegun += s->slot[i].begun;
	buf_add(b, (str){ (const char *)&h, sizeof(h) });
	for (size_t i = 0; i < s->nwatch; i++) {
		put_name(b, s->watch[i].path);
		put_u64(b, (uint64_t)s->watch[i].mtime_ns);
		put_u64(b, s->watch[i].size);
	}
	h.head_bytes = (uint32_t)b->n;
	memcpy(b->p, &h, sizeof(h));
	for (size_t i = 0; i < s->nslots; i++) {
		put_name(b, s->slot[i].dir);
		put_u64(b, s->slot[i].wiring);
		put_u64(b, (uint64_t)s->slot[i].modules_ns);
		put_u64(b, (uint64_t)s->slot[i].package_ns);
	}
}

int state_write(const struct state *s, int root, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	state_print(&b, s);
	AUTO(fs_close_auto)
	int fd = openat(root, STATE_TMP, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0 || fs_write_all(fd, b.p, b.n) != 0)
		return err_os(e, "write " STATE_TMP);
	if (renameat(root, STATE_TMP, root, STATE_FILE) != 0)
		return err_os(e, "rename " STATE_TMP);
	return 0;
}

int state_update(const struct state *s, int root, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	state_print(&b, s);
	AUTO(fs_close_auto) int fd = openat(root, STATE_FILE, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fs_write_all(fd, b.p, b.n) != 0)
		return err_os(e, "write " STATE_FILE);
	return 0;
}

void state_forget(int root)
{
	/* The slots' part stays for the next install: it is compared with the disk anyway. */
	AUTO(fs_close_auto) int fd = openat(root, STATE_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct head h;

	if (fd < 0 || pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		return;
	h.nwatch = 0; /* never current */
	if (pwrite(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		unlinkat(root, STATE_FILE, 0);
}
