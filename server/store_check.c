#include "store_check.h"
#include "fs.h"
#include "integrity.h"
#include "registry.h"
#include "surface.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 1 << 18, MOST_HEAD = 1024, MOST_PACKUMENT = 300 << 20 }; /* as surface_doc.c writes and reads them */

struct check {
	int out;
	char *piece; /* PIECE bytes */
	uint64_t files, bytes, damaged, left, unread;
	int os; /* the lines cannot be written any more */
};
/* What the file FD, whose name is KEY, holds. ERR_INTEGRITY: not what it should; else it could not be told. */
typedef int judge(struct check *k, int fd, const uint8_t key[32], struct err *e);

static void say(struct check *k, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(struct check *k, const char *fmt, ...)
{
	char line[1400]; /* an error's message at most, and a path */
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	size_t end = n < (int)sizeof(line) - 2 ? (size_t)n : sizeof(line) - 2;
	line[end] = '\n';
	if (!k->os && fs_write_all(k->out, line, end + 1) != 0)
		k->os = errno ? errno : EIO;
}

/* All of FD goes through the N hashers. *HEAD (may be NULL): its first bytes, MOST_HEAD at most. */
static int hash_file(struct check *k, int fd, struct hasher **h, size_t n, struct buf *head, struct err *e)
{
	for (;;) {
		ssize_t got = read(fd, k->piece, PIECE);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_os(e, "read");
		if (got == 0)
			return 0;
		k->bytes += (uint64_t)got;
		for (size_t i = 0; i < n; i++)
			hasher_add(h[i], k->piece, (size_t)got);
		if (head && head->n < MOST_HEAD) {
			size_t want = MOST_HEAD - head->n;
			buf_add(head, (str){ k->piece, (size_t)got < want ? (size_t)got : want });
		}
	}
}

static int judge_pack(struct check *k, int fd, const uint8_t key[32], struct err *e)
{
	struct hasher *h = hasher_new(DIGEST_SHA256);
	struct digest d;
	int rc = hash_file(k, fd, &h, 1, NULL, e);

	hasher_end(h, &d);
	hasher_free(h);
	if (rc == 0 && memcmp(d.b, key, 32) != 0)
		rc = err_set(e, ERR_INTEGRITY, "another digest");
	return rc;
}

/* Its validator, a line break, and gzip, which has a checksum. HEAD: how it begins. */
static int judge_packument(int fd, str head, struct err *e)
{
	AUTO(buf_release) struct buf file = BUF_INIT, plain = BUF_INIT;
	struct stat st;
	str validator, body;

	if (!str_cut(head, '\n', &validator, &body) || !str_starts(body, STR("\x1f\x8b")))
		return err_set(e, ERR_INTEGRITY, "neither the tarball of its name nor a packument");
	if (fstat(fd, &st) != 0)
		return err_os(e, "look at");
	if (st.st_size > MOST_PACKUMENT)
		return err_set(e, ERR_TOOBIG, "larger than the %d bytes of a packument", MOST_PACKUMENT);
	size_t size = (size_t)st.st_size;
	char *to = buf_reserve(&file, size + 1);
	while (file.n < size) {
		ssize_t n = pread(fd, to + file.n, size - file.n, (off_t)file.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? err_os(e, "read") : err_set(e, ERR_IO, "it became shorter");
		file.n += (size_t)n;
	}
	int rc = registry_decode(&plain, str_from(buf_str(&file), validator.n + 1), true, e);
	return rc == ERR_PARSE ? err_set(e, ERR_INTEGRITY, "gzip is broken") : rc;
}

/* A tarball, whose name says its digest in one of the algorithms, or a packument. */
static int judge_kept(struct check *k, int fd, const uint8_t key[32], struct err *e)
{
	static const enum digest_alg algs[] = { DIGEST_SHA512, DIGEST_SHA384, DIGEST_SHA256, DIGEST_SHA1 };
	enum { N = sizeof(algs) / sizeof(algs[0]) };
	AUTO(buf_release) struct buf head = BUF_INIT;
	struct hasher *h[N];
	bool whole = false;

	for (size_t i = 0; i < N; i++)
		h[i] = hasher_new(algs[i]);
	int rc = hash_file(k, fd, h, N, &head, e);
	for (size_t i = 0; i < N; i++) {
		struct digest d;
		uint8_t name[32];
		hasher_end(h[i], &d);
		hasher_free(h[i]);
		surface_tarball_name(name, &d);
		whole = whole || memcmp(name, key, 32) == 0;
	}
	return rc < 0 || whole ? rc : judge_packument(fd, buf_str(&head), e);
}

/* Named before it goes: who stops the check knows what went. */
static void remove_damaged(struct check *k, int dir, const char *kind, const char *path)
{
	k->damaged++;
	say(k, "damaged: %s/%s", kind, path);
	if (k->os || fs_unlink(dir, path, 0) == 0 || errno == ENOENT)
		return;
	k->left++;
	say(k, "cannot be removed: %s/%s: %s", kind, path, strerror(errno));
}

static void unread(struct check *k, const char *kind, const char *path, const char *why)
{
	k->unread++;
	say(k, "not read: %s/%s: %s", kind, path, why);
}

static void check_file(struct check *k, int dir, const char *kind, const char *sub, const char *name, judge *j)
{
	char path[66], hex[65];
	uint8_t key[32];
	struct stat st;
	struct err e;

	snprintf(path, sizeof(path), "%.2s/%.62s", sub, name);
	snprintf(hex, sizeof(hex), "%.2s%.62s", sub, name);
	if (strlen(name) != 62 || !hex_read(key, 32, str_of(hex)))
		return;
	AUTO(fs_close_auto) int fd = fs_open(dir, path, O_RDONLY | O_NONBLOCK, 0); /* a FIFO is not waited for */
	if (fd < 0 && errno == ENOENT)
		return; /* a running drayd has removed it */
	k->files++;
	int rc = fd < 0 || fstat(fd, &st) != 0 ? err_os(&e, "open") : 0;
	if (rc == 0)
		rc = S_ISREG(st.st_mode) ? j(k, fd, key, &e) : err_set(&e, ERR_IO, "no regular file");
	if (rc == ERR_INTEGRITY)
		remove_damaged(k, dir, kind, path);
	else if (rc < 0)
		unread(k, kind, path, e.msg);
}

static void check_sub(struct check *k, int dir, const char *kind, const char *sub, judge *j)
{
	struct dirent *ent;
	DIR *d = fs_list(dir, sub);

	if (!d && errno == ENOENT)
		return;
	while (d && !k->os && (ent = fs_readdir(d)))
		check_file(k, dir, kind, sub, ent->d_name, j);
	if (!k->os && errno)
		unread(k, kind, sub, strerror(errno));
	if (d)
		closedir(d);
}

static void check_dir(struct check *k, int store, const char *kind, judge *j)
{
	AUTO(fs_close_auto) int dir = fs_open_dir(store, kind);

	if (dir < 0 && errno != ENOENT)
		unread(k, kind, "", strerror(errno));
	for (unsigned i = 0; i < 256 && dir >= 0 && !k->os; i++) {
		char sub[3];
		snprintf(sub, sizeof(sub), "%02x", i);
		check_sub(k, dir, kind, sub, j);
	}
}

static int check_end(const struct check *k, struct err *e)
{
	if (k->os) {
		errno = k->os;
		return err_os(e, "write what was found: the check ends here");
	}
	if (k->left)
		return err_set(e, ERR_INTEGRITY, "%llu files are damaged, of which %llu cannot be removed",
			(unsigned long long)k->damaged, (unsigned long long)k->left);
	if (k->damaged)
		return err_set(e, ERR_INTEGRITY,
			"%llu damaged files were removed and will be made or fetched again; look after the disk",
			(unsigned long long)k->damaged);
	if (k->unread)
		return err_set(e, ERR_IO, "%llu files or folders could not be read: nothing is known of them",
			(unsigned long long)k->unread);
	return 0;
}

int store_check(const struct config *c, int out, struct err *e)
{
	AUTO(fs_close_auto) int store = fs_open_dir(AT_FDCWD, c->store_dir.p);

	if (store < 0)
		return err_os(e, "open store-dir " STR_FMT, STR_ARG(c->store_dir));
	struct check k = { .out = out, .piece = xmalloc(PIECE) };
	check_dir(&k, store, "packs", judge_pack);
	check_dir(&k, store, "registry", judge_kept);
	free(k.piece);
	say(&k, STR_FMT ": %llu files, %.1f MB: %llu damaged, %llu not read", STR_ARG(str_head(c->store_dir, 1000)),
		(unsigned long long)k.files, (double)k.bytes / 1e6, (unsigned long long)k.damaged,
		(unsigned long long)k.unread);
	return check_end(&k, e);
}
