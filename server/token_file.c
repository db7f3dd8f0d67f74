#include "token_file.h"
#include "fs.h"
#include "integrity.h"
#include "pattern.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FILE = 16 << 20, MAX_PATTERNS = 100, NAME_MOST = 115 /* 100, and what a login adds */ };
#define LOGIN "login:"

static bool name_ok(str name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f || name.p[i] == '#')
			return false;
	}
	return name.n > 0 && name.n <= NAME_MOST;
}

/* ---- reading ---- */

static int read_patterns(struct str_list *out, str v, struct arena *a, struct err *e)
{
	out->p = arena_new(a, str, MAX_PATTERNS);
	out->n = 0;
	for (str one, rest = v; rest.n;) {
		str_cut(rest, ',', &one, &rest);
		if (!pattern_valid(one))
			return err_set(e, ERR_USAGE, "\"" STR_FMT "\" is no pattern of package names",
				STR_ARG(str_head(one, 100)));
		if (out->n == MAX_PATTERNS)
			return err_set(e, ERR_TOOBIG, "more than %d patterns", MAX_PATTERNS);
		out->p[out->n++] = arena_str(a, one);
	}
	if (!out->n)
		return err_set(e, ERR_USAGE, "packages= without a pattern");
	return 0;
}

static int read_setting(struct token *t, str word, struct arena *a, struct err *e)
{
	str name, value;
	uint64_t n;

	if (str_eq(word, STR("read-only"))) {
		t->read_only = true;
		return 0;
	}
	str_cut(word, '=', &name, &value);
	if (str_eq(name, STR("packages")))
		return read_patterns(&t->packages, value, a, e);
	if ((str_eq(name, STR("created")) || str_eq(name, STR("expires"))) && str_u64(value, &n) &&
		n < INT32_MAX * 64ll) {
		*(name.p[0] == 'c' ? &t->created_s : &t->expires_s) = (int64_t)n;
		return 0;
	}
	/* What is not understood might have been a restriction. */
	return err_set(e, ERR_PARSE, "\"" STR_FMT "\" is no setting of a token", STR_ARG(str_head(word, 100)));
}

static int read_line(struct tokens *ts, str line, struct err *e)
{
	struct token t = { 0 };
	str name, hash, word;

	line = str_trim(line);
	if (!line.n || line.p[0] == '#')
		return 0;
	str_cut(line, ' ', &name, &line);
	str_cut(line, ' ', &hash, &line);
	if (!name_ok(name) || hash.n != 64 || !hex_read(t.sha256, 32, hash))
		return err_set(e, ERR_PARSE, "expected a name and a SHA-256");
	t.name = arena_str(&ts->a, name);
	while (line.n) {
		str_cut(line, ' ', &word, &line);
		if (word.n && read_setting(&t, word, &ts->a, e) < 0)
			return e->code;
	}
	if (ts->n == TOKENS_MOST)
		return err_set(e, ERR_TOOBIG, "more than %d tokens", TOKENS_MOST);
	*arena_add(&ts->a, ts->p, ts->n) = t;
	return 0;
}

int tokens_read(struct tokens *out, str path, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct tokens ts = { 0 };
	unsigned n = 0;
	char file[4096];

	snprintf(file, sizeof(file), STR_FMT, STR_ARG(path));
	if (fs_read_file(&text, AT_FDCWD, file, MAX_FILE, e) < 0)
		return e->code;
	for (str rest = buf_str(&text), line; rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		n++;
		if (read_line(&ts, line, e) < 0) {
			tokens_release(&ts);
			return err_ctx(e, STR_FMT ":%u", STR_ARG(path), n);
		}
	}
	*out = ts;
	return 0;
}

void tokens_release(struct tokens *t)
{
	arena_release(&t->a);
	*t = (struct tokens){ 0 };
}

/* ---- changing ---- */

static void put_token(struct buf *b, const struct token *t)
{
	char hex[65];

	hex_print(hex, t->sha256, 32);
	buf_printf(b, STR_FMT " %s created=%lld", STR_ARG(t->name), hex, (long long)t->created_s);
	if (t->read_only)
		buf_add(b, STR(" read-only"));
	if (t->expires_s)
		buf_printf(b, " expires=%lld", (long long)t->expires_s);
	for (size_t i = 0; i < t->packages.n; i++)
		buf_printf(b, "%s" STR_FMT, i ? "," : " packages=", STR_ARG(t->packages.p[i]));
	buf_addc(b, '\n');
}

/* What is made here is the daemon's, who must be able to read it: FD gets the owner, if we are root, and the mode of
 * the file PATH; the owner of its folder where there is none yet. */
static int access_set(int fd, str path, struct err *e)
{
	char file[4096];
	struct stat st;
	mode_t mode = 0600;

	snprintf(file, sizeof(file), STR_FMT, STR_ARG(path));
	if (lstat(file, &st) == 0)
		mode = S_ISREG(st.st_mode) ? st.st_mode & 0664 : mode;
	else if (errno != ENOENT || stat(dirname(file), &st) < 0)
		return err_os(e, "look at %s", file);
	if (geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) < 0)
		return err_os(e, "give %s to user %u", file, st.st_uid);
	return fchmod(fd, mode) < 0 ? err_os(e, "set the mode of %s", file) : 0;
}

static int lock_file(int *fd, str path, struct err *e)
{
	char file[4096];

	if (snprintf(file, sizeof(file), STR_FMT ".lock", STR_ARG(path)) >= (int)sizeof(file))
		return err_set(e, ERR_USAGE, "the token file's path is too long");
	*fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0 || flock(*fd, LOCK_EX) < 0)
		return err_os(e, "lock %s", file);
	struct stat st;
	if (fstat(*fd, &st) < 0)
		return err_os(e, "look at %s", file);
	/* One that is somebody else's, who let us open it, is as it should be. */
	return geteuid() == 0 || st.st_uid == geteuid() ? access_set(*fd, path, e) : 0;
}

/* The folder, too: a token that was revoked must not come back with the power. */
static int sync_folder(char *file, struct err *e)
{
	const char *folder = dirname(file);
	AUTO(fs_close_auto) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0
		       ? err_os(e, "the tokens were written, but may be lost when the power goes: sync %s", folder)
		       : 0;
}

static int write_all(str path, const struct tokens *ts, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	AUTO(fs_close_auto) int fd = -1;
	char file[4096], fresh[4096 + 8];

	buf_add(&text, STR("# drayd's tokens; `drayd token` keeps this file\n"));
	for (size_t i = 0; i < ts->n; i++)
		put_token(&text, &ts->p[i]);
	snprintf(file, sizeof(file), STR_FMT, STR_ARG(path));
	snprintf(fresh, sizeof(fresh), "%s.new", file);
	/* It is ours alone, under the lock: what is there was left by a command that was killed. */
	if ((fs_unlink(AT_FDCWD, fresh, 0) < 0 && errno != ENOENT) ||
		(fd = fs_open(AT_FDCWD, fresh, O_WRONLY | O_CREAT | O_EXCL, 0600)) < 0)
		return err_os(e, "make %s", fresh);
	int rc = access_set(fd, path, e); /* only what has its owner gets the name */
	if (rc == 0 && (fs_write_all(fd, text.p, text.n) < 0 || fsync(fd) < 0))
		rc = err_os(e, "write %s", fresh);
	if (rc == 0 && fs_rename(AT_FDCWD, fresh, AT_FDCWD, file) < 0)
		rc = err_os(e, "rename %s to %s", fresh, file);
	if (rc < 0) {
		unlink(fresh);
		return rc;
	}
	return sync_folder(file, e);
}

/* "dray_" and 43 characters of base64url. */
static int make_token(struct buf *out, uint8_t sha[32], struct arena *a, struct err *e)
{
	uint8_t random[32];

	if (RAND_bytes(random, sizeof(random)) != 1)
		return err_set(e, ERR_IO, "no random bytes are to be had");
	str text = base64_print(random, sizeof(random), a);
	size_t from = out->n;
	buf_add(out, STR("dray_"));
	for (size_t i = 0; i < text.n && text.p[i] != '='; i++)
		buf_addc(out, text.p[i] == '+' ? '-' : text.p[i] == '/' ? '_' : text.p[i]);
	sha256(sha, out->p + from, out->n - from);
	return 0;
}

int token_add(struct buf *out, str path, const struct token *t, struct err *e)
{
	AUTO(fs_close_auto) int lock = -1;
	AUTO(tokens_release) struct tokens ts = { 0 };
	struct token made = *t;

	if (!name_ok(t->name) || t->name.n > 100)
		return err_set(e, ERR_USAGE, "a token's name has 1 to 100 characters and no spaces");
	if (str_starts(t->name, STR(LOGIN)))
		return err_set(e, ERR_USAGE, "names with " LOGIN " are those of `npm login`");
	if (lock_file(&lock, path, e) < 0 || (tokens_read(&ts, path, e) < 0 && e->code != ERR_NOTFOUND))
		return e->code;
	for (size_t i = 0; i < ts.n; i++) {
		if (str_eq(ts.p[i].name, t->name))
			return err_set(e, ERR_USAGE, "there is a token " STR_FMT " already; revoke it first",
				STR_ARG(t->name));
	}
	if (ts.n == TOKENS_MOST)
		return err_set(e, ERR_TOOBIG, "there are %d tokens already; revoke some", TOKENS_MOST);
	size_t from = out->n;
	if (make_token(out, made.sha256, &ts.a, e) < 0)
		return e->code;
	*arena_add(&ts.a, ts.p, ts.n) = made;
	if (write_all(path, &ts, e) < 0) {
		out->n = from;
		return e->code;
	}
	return 0;
}

str token_owner(str name)
{
	str owner, rest;

	if (!str_starts(name, STR(LOGIN)) || !str_rcut(str_from(name, sizeof(LOGIN) - 1), ':', &owner, &rest))
		return name;
	return owner;
}

static void drop_expired(struct tokens *ts, int64_t now_s)
{
	size_t k = 0;

	for (size_t i = 0; i < ts->n; i++) {
		/* The operator's own stay, so that `drayd token list` shows what has expired. */
		if (!str_starts(ts->p[i].name, STR(LOGIN)) || !ts->p[i].expires_s || ts->p[i].expires_s > now_s)
			ts->p[k++] = ts->p[i];
	}
	ts->n = k;
}

/* The token that NAME's login is made from; counts its logins. */
static const struct token *login_base(const struct tokens *ts, str name, size_t *logins)
{
	const struct token *base = NULL;

	*logins = 0;
	for (size_t i = 0; i < ts->n; i++) {
		if (str_eq(ts->p[i].name, name))
			base = &ts->p[i];
		else
			*logins += str_eq(token_owner(ts->p[i].name), name);
	}
	return base;
}

int token_login(struct buf *out, str path, str name, int64_t now_s, unsigned days, struct err *e)
{
	AUTO(fs_close_auto) int lock = -1;
	AUTO(tokens_release) struct tokens ts = { 0 };
	size_t logins, from = out->n;

	if (lock_file(&lock, path, e) < 0 || tokens_read(&ts, path, e) < 0)
		return e->code;
	drop_expired(&ts, now_s);
	const struct token *base = login_base(&ts, name, &logins);
	if (!base)
		return err_set(e, ERR_AUTH, "token " STR_FMT " has been revoked", STR_ARG(name));
	if (ts.n >= TOKENS_MOST)
		return err_set(e, ERR_POLICY, "this server has %d tokens, and takes no more", TOKENS_MOST);
	if (logins >= TOKENS_LOGINS)
		return err_set(e, ERR_POLICY, "token " STR_FMT " has %zu logins already; `npm logout` with one of them",
			STR_ARG(name), logins);
	struct token made = *base;
	if (make_token(out, made.sha256, &ts.a, e) < 0)
		return e->code;
	made.created_s = now_s;
	made.expires_s = now_s + (int64_t)days * 86400;
	if (base->expires_s && base->expires_s < made.expires_s)
		made.expires_s = base->expires_s;
	made.name = arena_printf(&ts.a, LOGIN STR_FMT ":%02x%02x%02x%02x", STR_ARG(name), made.sha256[0],
		made.sha256[1], made.sha256[2], made.sha256[3]);
	*arena_add(&ts.a, ts.p, ts.n) = made;
	if (write_all(path, &ts, e) < 0) {
		out->n = from;
		return e->code;
	}
	return 0;
}

int token_revoke(str path, str name, const uint8_t sha[32], struct err *e)
{
	AUTO(fs_close_auto) int lock = -1;
	AUTO(tokens_release) struct tokens ts = { 0 };
	size_t k = 0;

	if (lock_file(&lock, path, e) < 0 || tokens_read(&ts, path, e) < 0)
		return e->code;
	for (size_t i = 0; i < ts.n && !name.n; i++) {
		if (memcmp(ts.p[i].sha256, sha, 32) == 0 && !str_starts(ts.p[i].name, STR(LOGIN)))
			name = ts.p[i].name; /* with its logins */
	}
	for (size_t i = 0; i < ts.n; i++) {
		str own = ts.p[i].name;
		if (name.n ? !str_eq(own, name) && !str_eq(token_owner(own), name)
			   : memcmp(ts.p[i].sha256, sha, 32) != 0)
			ts.p[k++] = ts.p[i];
	}
	if (k == ts.n)
		return err_set(e, ERR_NOTFOUND, "there is no token " STR_FMT, STR_ARG(name));
	ts.n = k;
	return write_all(path, &ts, e);
}

/* ---- the command ---- */

static int command_add(struct buf *out, str path, struct str_list args, int64_t now_s, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	struct token t = { .created_s = now_s };

	if (args.n < 2)
		return err_set(
			e, ERR_USAGE, "usage: drayd token add NAME [read-only] [expires=DAYS] [packages=PATTERN,...]");
	t.name = args.p[1];
	for (size_t i = 2; i < args.n; i++) {
		str name, value;
		uint64_t days;
		if (str_cut(args.p[i], '=', &name, &value) && str_eq(name, STR("expires"))) {
			if (!str_u64(value, &days) || days == 0 || days > 36500)
				return err_set(e, ERR_USAGE, "expires= takes a number of days");
			t.expires_s = now_s + (int64_t)days * 86400;
		} else if (str_eq(name, STR("packages")) && t.packages.n) {
			return err_set(e, ERR_USAGE, "packages= is there twice: one has them all, with commas between");
		} else if (str_eq(name, STR("created")) || read_setting(&t, args.p[i], &a, e) < 0) {
			return err_set(e, ERR_USAGE,
				"\"" STR_FMT "\": expected read-only, expires=DAYS or packages=PATTERN,...",
				STR_ARG(str_head(args.p[i], 100)));
		}
	}
	if (token_add(out, path, &t, e) < 0)
		return e->code;
	buf_addc(out, '\n');
	return 0;
}

static void put_day(struct buf *b, const char *what, int64_t at_s)
{
	struct tm tm;
	time_t t = (time_t)at_s;

	if (at_s && gmtime_r(&t, &tm))
		buf_printf(b, " %s %04d-%02d-%02d", what, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static int command_list(struct buf *out, str path, int64_t now_s, struct err *e)
{
	AUTO(tokens_release) struct tokens ts = { 0 };

	if (tokens_read(&ts, path, e) < 0)
		return e->code;
	for (size_t i = 0; i < ts.n; i++) {
		const struct token *t = &ts.p[i];
		buf_printf(out, STR_FMT, STR_ARG(t->name));
		put_day(out, "made", t->created_s);
		put_day(out, t->expires_s && t->expires_s <= now_s ? "EXPIRED" : "expires", t->expires_s);
		if (t->read_only)
			buf_add(out, STR(" read-only"));
		for (size_t k = 0; k < t->packages.n; k++)
			buf_printf(out, "%s" STR_FMT, k ? "," : " packages ", STR_ARG(t->packages.p[k]));
		buf_addc(out, '\n');
	}
	return 0;
}

int token_command(struct buf *out, str path, struct str_list args, int64_t now_s, struct err *e)
{
	str what = args.n ? args.p[0] : STR_NONE;

	if (str_eq(what, STR("add")))
		return command_add(out, path, args, now_s, e);
	if (str_eq(what, STR("list")) && args.n == 1)
		return command_list(out, path, now_s, e);
	if (str_eq(what, STR("revoke")) && args.n == 2) {
		static const uint8_t none[32];
		return token_revoke(path, args.p[1], none, e);
	}
	return err_set(e, ERR_USAGE, "usage: drayd token add NAME [...] | list | revoke NAME");
}
