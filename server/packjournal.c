/* The journal of packs.h: a line a change. Lines are collected under the lock and written outside it, by the
 * threads behind packs, so that a disk that stalls holds up nobody who has a request in hand. What a killed process
 * had not written is made again. */
#include "fs.h"
#include "integrity.h"
#include "log.h"
#include "packs_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINES_MOST = 8 << 20, ROWS = 4096 };
#define JOURNAL_MAX ((int64_t)8 << 30)
/* A delta, in the format that this drayd makes (pack_impl.h). */
#define DELTA_WORD "delta3"
/* Packs whose tarball names the package; before, they were "warm" and "settled", and it was not asked. */
#define WARM_WORD "warm2"
#define SETTLED_WORD "settled2"

static void line_sum(char out[9], str line)
{
	uint8_t sha[32];

	sha256(sha, line.p, line.n);
	hex_print(out, sha, 4);
}

void packs_line_end(struct buf *b, size_t start)
{
	char sum[9];

	line_sum(sum, str_from(buf_str(b), start));
	buf_printf(b, " %s\n", sum);
}

static const char *ready_word(const struct pack_item *it)
{
	if (it->delta)
		return DELTA_WORD;
	if (it->state == PACK_WARM)
		return it->unproved ? "warm" : WARM_WORD;
	return it->unproved ? "settled" : SETTLED_WORD;
}

/* It failed for good. */
static const char *vain_word(const struct pack_item *it)
{
	if (it->delta)
		return "vain"; /* it would save nothing */
	return it->code == ERR_POLICY ? "other" : "unfit";
}

static void line_of(struct buf *b, const struct pack_item *it)
{
	char key[2 * PACKS_KEY + 1], digest[65];
	size_t start = b->n;

	hex_print(key, it->key, PACKS_KEY);
	hex_print(digest, it->digest, 32);
	if (packs_is_ready(it))
		buf_printf(b, "%s %s %s %llu %llu %llu %s %s", ready_word(it), key, digest,
			(unsigned long long)it->size, (unsigned long long)it->tarball, (unsigned long long)it->raw,
			it->name, it->version);
	else if (it->state == PACK_FAILED && it->vain)
		buf_printf(b, "%s %s %s %s 0 0", vain_word(it), key, it->name, it->version);
	else if (it->state == PACK_FAILED && it->code == ERR_TOOBIG)
		buf_printf(b, "big %s %s %s %s %s %llu", key, it->sri, it->url, it->name, it->version,
			(unsigned long long)it->tarball);
	else
		buf_printf(b, "want %s %s %s %s %s", key, it->sri, it->url, it->name, it->version);
	packs_line_end(b, start);
}

void packs_lines(struct packs *p, str text)
{
	if (p->lines.n < LINES_MOST)
		buf_add(&p->lines, text);
	else
		p->n.unnoted++;
}

void packs_note(struct packs *p, const struct pack_item *it)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	line_of(&b, it);
	packs_lines(p, buf_str(&b));
}

void packjournal_write(struct packs *p)
{
	pthread_mutex_lock(&p->writing);
	pthread_mutex_lock(&p->lock);
	AUTO(buf_release) struct buf lines = p->lines;
	p->lines = BUF_INIT;
	pthread_mutex_unlock(&p->lock);
	p->journal_size += lines.n;
	bool bad = false;
	if (lines.n && p->torn) /* what a full disk took of the last ones is a line of its own, and none */
		bad = fs_write_all(p->journal, "\n", 1) != 0;
	if (lines.n && !bad)
		p->torn = bad = fs_write_all(p->journal, lines.p, lines.n) != 0;
	if (bad)
		log_warn("packs", "journal=unwritten error=\"%s\": it is made again after a restart", strerror(errno));
	pthread_mutex_unlock(&p->writing);
	if (!bad)
		return;
	pthread_mutex_lock(&p->lock);
	p->n.unnoted++;
	pthread_mutex_unlock(&p->lock);
}

/* What there is to say of IT. Not of what is COLD, which was evicted or never queued, but at a start, where it is what
 * was wanted; nor of deltas that are not made yet, which are wanted anew. */
static void lines_of(struct buf *b, const struct pack_item *it, bool cold)
{
	bool vain = it->state == PACK_FAILED && it->vain;
	bool wanted = !it->delta && it->url && (cold || it->state != PACK_COLD);

	if (!packs_is_ready(it) && !vain && !wanted)
		return;
	line_of(b, it);
	packevict_line_put(b, it);
}

/* All that is known, some thousand at a time, into FD. What changes meanwhile is collected, and follows.
 * Returns its bytes, or -1. */
static int64_t all_write(struct packs *p, int fd)
{
	bool more = true;
	int64_t size = 0;

	for (size_t i = 0; more;) {
		AUTO(buf_release) struct buf b = BUF_INIT;
		pthread_mutex_lock(&p->lock);
		for (size_t end = i + ROWS; i < end && i < p->item.n; i++)
			lines_of(&b, p->item.p[i], false);
		more = i < p->item.n;
		pthread_mutex_unlock(&p->lock);
		if (fs_write_all(fd, b.p, b.n) != 0)
			return -1;
		size += (int64_t)b.n;
	}
	return size;
}

/* What FD, open as tmp-journal, has is the journal from now on. On the disk first: after a power loss it would be empty
 * else, and all packs be swept. */
static int journal_put(const struct packs *p, int fd)
{
	return fdatasync(fd) == 0 ? fs_rename(p->dir, "tmp-journal", p->dir, "journal") : -1;
}

static int journal_tmp(const struct packs *p)
{
	return fs_open(p->dir, "tmp-journal", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
}

void packjournal_shorten(struct packs *p)
{
	pthread_mutex_lock(&p->writing);
	if (p->journal_size <= 2 * p->journal_least + p->o.journal_slack) {
		pthread_mutex_unlock(&p->writing);
		return;
	}
	int fd = journal_tmp(p);
	int64_t size = fd < 0 ? -1 : all_write(p, fd);
	if (size >= 0 && journal_put(p, fd) == 0) {
		log_info("packs", "journal_bytes=%lld were=%llu", (long long)size, (unsigned long long)p->journal_size);
		fs_close(p->journal);
		p->journal = fd;
		p->journal_size = (uint64_t)size;
		p->torn = false;
	} else {
		log_warn("packs", "journal=long error=\"%s\"", strerror(errno));
		fs_close(fd);
		fs_unlink(p->dir, "tmp-journal", 0);
	}
	p->journal_least = p->journal_size; /* where it could not be done it is tried again when it is twice as long */
	pthread_mutex_unlock(&p->writing);
}

/* False: it is none. */
static bool vain_line(struct packs *p, const uint8_t key[PACKS_KEY], const str *w)
{
	bool delta = str_eq(w[0], STR("vain")), other = str_eq(w[0], STR("other"));

	if (!delta && !other && !str_eq(w[0], STR("unfit")))
		return false;
	struct pack_item *it = packs_item(p, key, true);
	packs_unready(p, it);
	it->delta = delta;
	if (delta)
		packs_made(p, it);
	it->state = PACK_FAILED;
	it->vain = true;
	it->code = other ? ERR_POLICY : ERR_TOOBIG;
	it->retry_ms = INT64_MAX;
	packs_set(&it->name, w[2]);
	packs_set(&it->version, w[3]);
	return true;
}

/* "want <key> <sri> <url> <name> <version>", or "big" and the same and the bytes past which it was not read: it is not
 * tried from there again, but where more are read now. */
static bool want_line(struct packs *p, const uint8_t key[PACKS_KEY], const str *w, size_t n)
{
	bool big = n == 7 && str_eq(w[0], STR("big"));
	uint64_t most = 0;

	if (!(n == 6 && str_eq(w[0], STR("want"))) && !(big && str_u64(w[6], &most)))
		return false;
	struct pack_item *it = packs_item(p, key, true);
	if (it->state != PACK_COLD && (it->state != PACK_FAILED || it->vain))
		return true;
	packs_set(&it->sri, w[2]);
	packs_set(&it->url, w[3]);
	packs_set(&it->name, w[4]);
	packs_set(&it->version, w[5]);
	it->state = PACK_COLD;
	if (big && most >= p->o.max_tarball) {
		it->state = PACK_FAILED;
		it->code = ERR_TOOBIG;
		it->tarball = most;
		it->retry_ms = INT64_MAX;
	}
	return true;
}

/* "<word> <key> <digest> <size> <tarball> <raw> <name> <version>": it has a pack. */
static bool ready_line(struct packs *p, const uint8_t key[PACKS_KEY], const str *w)
{
	bool delta = str_eq(w[0], STR(DELTA_WORD));
	bool unproved = str_eq(w[0], STR("warm")) || str_eq(w[0], STR("settled"));
	bool warm = str_eq(w[0], STR("warm")) || str_eq(w[0], STR(WARM_WORD));
	uint64_t size, tarball, raw;
	uint8_t digest[32];

	if (!(delta || warm || unproved || str_eq(w[0], STR(SETTLED_WORD))) || !hex_read(digest, 32, w[2]) ||
		!str_u64(w[3], &size) || !str_u64(w[4], &tarball) || !str_u64(w[5], &raw))
		return false;
	struct pack_item *it = packs_item(p, key, true);
	packs_unready(p, it); /* which an earlier line said */
	it->delta = delta;
	it->size = size;
	it->tarball = tarball;
	it->raw = raw;
	packs_ready(p, it, warm ? PACK_WARM : PACK_SETTLED);
	it->unproved = unproved || delta; /* a delta is as good as what it is made of: find_delta() */
	if (unproved) {
		*vec_add(&p->unproved) = it->at;
		p->n.unproved++;
	}
	packs_name(p, it, digest);
	packs_set(&it->name, w[6]);
	packs_set(&it->version, w[7]);
	return true;
}

/* One line without its checksum. False: it is none. */
static bool line_read(struct packs *p, str line)
{
	str w[8] = { 0 };
	uint8_t key[PACKS_KEY];
	size_t n = 0;

	for (str rest = line; rest.n && n < 8; n++)
		str_cut(rest, ' ', &w[n], &rest);
	if (packevict_line(p, w, n))
		return true;
	if (n < 6 || !hex_read(key, PACKS_KEY, w[1]))
		return false;
	if (n == 6 && vain_line(p, key, w))
		return true;
	if (want_line(p, key, w, n))
		return true;
	/* Of a format that nobody reads any more: its file is swept, and it is made anew. */
	if (n == 8 && str_eq(w[0], STR("delta")))
		return true;
	return n == 8 && ready_line(p, key, w);
}

/* What the checksums say of each line, looked at ahead on another thread: a start waits for a million of them. */
struct sums {
	str text;
	uint8_t *good;       /* a line */
	_Atomic size_t done; /* of them */
};

static void *sums_run(void *arg)
{
	struct sums *s = arg;
	str line, rest = s->text, body, sum;
	char want[9];

	for (size_t n = 0; rest.n; n++) {
		bool whole = str_cut(rest, '\n', &line, &rest) && str_rcut(line, ' ', &body, &sum);
		if (whole)
			line_sum(want, body);
		s->good[n] = whole && str_eq(sum, str_of(want));
		if (n % 256 == 255)
			atomic_store_explicit(&s->done, n + 1, memory_order_release);
	}
	atomic_store_explicit(&s->done, SIZE_MAX, memory_order_release);
	return NULL;
}

static bool sums_good(struct sums *s, size_t n)
{
	while (n >= atomic_load_explicit(&s->done, memory_order_acquire))
		nanosleep(&(struct timespec){ .tv_nsec = 50 * 1000 }, NULL);
	return s->good[n];
}

/* Whether it is as short as one that is written anew would be, about, and whole: then it can go on as it is. */
static bool journal_lines(struct packs *p, str text)
{
	str line, rest = text, body, sum;
	unsigned bad = 0;
	size_t lines = 0;
	pthread_t ahead;
	struct err e;

	for (const char *at = text.p; at && (at = memchr(at, '\n', text.n - (size_t)(at - text.p))); at++)
		lines++;
	map_reserve(&p->by_key, lines);
	map_reserve(&p->by_digest, lines);
	struct sums s = { .text = text, .good = xmalloc(lines + 1) };
	bool threaded = workq_thread(&ahead, "sums", sums_run, &s, &e) == 0;
	if (!threaded)
		sums_run(&s);
	for (lines = 0; rest.n; lines++) {
		str_cut(rest, '\n', &line, &rest);
		bad += !sums_good(&s, lines) || !str_rcut(line, ' ', &body, &sum) || !line_read(p, body);
	}
	if (threaded)
		pthread_join(ahead, NULL);
	free(s.good);
	if (bad)
		log_warn("packs", "journal_lines_skipped=%u", bad);
	return !bad && lines <= 2 * p->item.n + 1000;
}

/* A million lines are 200 MB, which are not copied. */
static int journal_read(struct packs *p, bool *keep, struct err *e)
{
	struct stat st;

	AUTO(fs_close_auto) int fd = fs_open(p->dir, "journal", O_RDONLY, 0);
	*keep = false;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) != 0)
		return err_os(e, "read %s/packs/journal", p->o.dir);
	if (st.st_size > JOURNAL_MAX)
		return err_set(e, ERR_TOOBIG, "%s/packs/journal has %lld bytes, more than %lld", p->o.dir,
			(long long)st.st_size, (long long)JOURNAL_MAX);
	*keep = true;
	if (st.st_size == 0)
		return 0;
	size_t n = (size_t)st.st_size;
	void *text = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0); /* packs/ is locked: nobody cuts it */
	if (text == MAP_FAILED)
		return err_os(e, "map %s/packs/journal", p->o.dir);
	*keep = journal_lines(p, (str){ text, n });
	munmap(text, n);
	return 0;
}

/* Reads the journal, writes it anew without what later lines replaced when that pays, and
 * leaves it open for appending. */
int packjournal_open(struct packs *p, struct err *e)
{
	AUTO(buf_release) struct buf fresh = BUF_INIT;
	struct stat st;
	bool keep;

	if (journal_read(p, &keep, e) < 0)
		return e->code;
	for (size_t i = 0; i < p->item.n && !keep; i++)
		lines_of(&fresh, p->item.p[i], true);
	p->journal = keep ? fs_open(p->dir, "journal", O_WRONLY | O_APPEND, 0) : journal_tmp(p);
	if (!keep && p->journal >= 0 &&
		(fs_write_all(p->journal, fresh.p, fresh.n) != 0 || journal_put(p, p->journal) != 0))
		return err_os(e, "write %s/packs/journal", p->o.dir);
	if (p->journal < 0 || fstat(p->journal, &st) != 0)
		return err_os(e, "open %s/packs/journal", p->o.dir);
	p->journal_size = p->journal_least = (uint64_t)st.st_size;
	return 0;
}
