#include "slots_made.h"
#include "fs.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "bytes.h"
#include "prune.h"

#define MADE_MAGIC 0x3230656461796172u /* "rayade02" */
enum { MADE_MAX = 64 << 20 };

struct slots_made {
	int vstore, fd; /* fd -1: not opened for writing yet */
	bool broken;    /* it cannot be written */
	uint64_t end;   /* of its last whole entry; 0: none, nor the head */
	uint64_t had;   /* that, before */
	struct state left;
	struct buf more;   /* entries to be appended */
	uint64_t wrote_us; /* when that was done last, or could have been first */
};

/* The head: what is in the file, and in which life of the machine it was written. */
static int head_make(struct buf *out, struct err *e)
{
	AUTO(buf_release) struct buf boot = BUF_INIT;

	if (fs_boot_id(&boot, e) < 0)
		return e->code;
	put_u64(out, MADE_MAGIC);
	put_name(out, buf_str(&boot));
	return 0;
}

/* Entries up to the first that is cut off, or none at all. */
static void entries_read(struct slots_made *m, str all)
{
	struct cursor c = { all.p, all.p + all.n, false };
	AUTO(buf_release) struct buf head = BUF_INIT;
	struct err e;

	if (head_make(&head, &e) < 0 || !str_starts(all, buf_str(&head)))
		return;
	(void)take(&c, head.n);
	for (;;) {
		m->end = (uint64_t)(c.p - all.p);
		struct state_slot s = { .dir = take_name(&c) };
		s.wiring = take_u64(&c);
		s.modules_ns = (int64_t)take_u64(&c);
		s.package_ns = (int64_t)take_u64(&c);
		s.modules_ino = take_u64(&c);
		if (c.bad || !s.dir.n)
			return;
		map_set(&m->left.by_dir, s.dir, (uint32_t)m->left.nslots); /* the last of a name counts */
		*arena_add(&m->left.arena, m->left.slot, m->left.nslots) = s;
	}
}

struct slots_made *slots_made_open(int vstore)
{
	struct slots_made *m = xcalloc(1, sizeof(*m));
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct stat st;
	struct err e;

	*m = (struct slots_made){
		.vstore = vstore, .fd = -1, .left = { .arena = ARENA_INIT(64 * 1024) }, .wrote_us = clock_us()
	};
	if (fs_stat(vstore, SLOTS_MADE_FILE, &st) != 0)
		return m;
	if (!S_ISREG(st.st_mode)) { /* nobody else's name */
		remove_all(vstore, SLOTS_MADE_FILE);
		return m;
	}
	if (fs_read_file(&b, vstore, SLOTS_MADE_FILE, MADE_MAX, &e) == 0)
		entries_read(m, arena_str(&m->left.arena, buf_str(&b)));
	m->had = m->end;
	return m;
}

const struct state_slot *slots_made_find(const struct slots_made *m, const char *dir)
{
	return m->left.nslots ? state_slot(&m->left, dir) : NULL;
}

void slots_made_add(struct slots_made *m, const struct slot *s)
{
	if (m->broken)
		return;
	put_name(&m->more, str_of(s->dir));
	put_u64(&m->more, s->wiring);
	put_u64(&m->more, (uint64_t)s->modules_ns);
	put_u64(&m->more, (uint64_t)s->package_ns);
	put_u64(&m->more, s->modules_ino);
}

/* Positioned where the next entry goes; what was cut off there, or is no such file, is gone. */
static bool file_open(struct slots_made *m)
{
	AUTO(buf_release) struct buf head = BUF_INIT;
	struct err e;

	m->fd = fs_open(m->vstore, SLOTS_MADE_FILE, O_WRONLY | O_CREAT | O_NONBLOCK, 0666);
	if (m->fd < 0 || ftruncate(m->fd, (off_t)m->end) != 0 || lseek(m->fd, (off_t)m->end, SEEK_SET) < 0)
		return false;
	if (m->end)
		return true;
	if (head_make(&head, &e) < 0 || fs_write_all(m->fd, head.p, head.n) != 0)
		return false;
	m->end = head.n;
	return true;
}

void slots_made_write(struct slots_made *m, bool now)
{
	if (!m->more.n || m->broken || (!now && clock_us() - m->wrote_us < SLOTS_MADE_MS * 1000u))
		return;
	m->broken = (m->fd < 0 && !file_open(m)) || fs_write_all(m->fd, m->more.p, m->more.n) != 0;
	m->end += m->more.n;
	buf_clear(&m->more);
	m->wrote_us = clock_us();
}

void slots_made_undo(struct slots_made *m)
{
	if (m->fd < 0)
		return;
	/* entries that stay would hide what they replaced, and nothing else */
	if (!m->had || ftruncate(m->fd, (off_t)m->had) != 0)
		fs_unlink(m->vstore, SLOTS_MADE_FILE, 0);
}

void slots_made_free(struct slots_made *m)
{
	if (!m)
		return;
	fs_close(m->fd);
	state_release(&m->left);
	buf_release(&m->more);
	free(m);
}
