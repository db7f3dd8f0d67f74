#include "unified_diff.h"
#include <stdlib.h>

enum { TEXT_MAX = 16 << 20, MOVED_MAX = 20 };

/* ---- reading ---- */

struct reader {
	str rest;
	size_t line; /* of the one that was read last, from 1 */
	struct arena *a;
	struct err *e;
	VEC(struct diff_file) file;
	VEC(struct diff_hunk) hunk;
	VEC(struct diff_line) body;
};

static int bad(struct reader *r, int code, const char *what)
{
	return err_set(r->e, code, "line %zu: %s", r->line, what);
}

static str chomp(str s)
{
	return str_ends(s, STR("\r")) ? str_head(s, s.n - 1) : s;
}

static str peek(const struct reader *r)
{
	str line, rest;

	str_cut(r->rest, '\n', &line, &rest);
	return line;
}

static bool next(struct reader *r, str *line)
{
	str rest;

	if (!r->rest.n)
		return false;
	if (!str_cut(r->rest, '\n', line, &rest))
		rest = STR_NONE;
	r->rest = rest;
	r->line++;
	return true;
}

/* "a/lib/x.js<TAB>date" is lib/x.js. Nothing may lead out of the package. */
static int take_path(struct reader *r, str s, str *out)
{
	str path, rest, first, part;

	str_cut(chomp(s), '\t', &path, &rest);
	if (str_starts(path, STR("\"")))
		return bad(r, ERR_UNSUPPORTED, "names in quotes are not supported");
	if (str_starts(path, STR("/")) || !str_cut(path, '/', &first, out) || !out->n)
		return bad(r, ERR_PARSE, "expected a path that starts with a/ or b/");
	for (str left = *out; left.p;) {
		bool more = str_cut(left, '/', &part, &rest);
		if (!part.n || str_eq(part, STR(".")) || str_eq(part, STR("..")) || str_find(part, 0, 0) != SIZE_MAX)
			return bad(r, ERR_PARSE, "the path leads out of the package, or is none");
		left = more ? rest : STR_NONE;
	}
	return 0;
}

/* "12,3" or "12" (one line). */
static bool take_range(str s, uint64_t *start, uint64_t *n)
{
	str a, b;

	*n = 1;
	if (!str_cut(s, ',', &a, &b))
		return str_u64(s, start) && *start <= TEXT_MAX;
	return str_u64(a, start) && str_u64(b, n) && *start <= TEXT_MAX && *n <= TEXT_MAX;
}

static int take_line(struct reader *r, uint64_t *old, uint64_t *new)
{
	str s;

	if (!next(r, &s))
		return bad(r, ERR_PARSE, "the patch ends inside a hunk");
	char op = s.n && s.p[0] != '\r' ? s.p[0] : ' '; /* editors strip the blank of an empty line */
	if (op != ' ' && op != '-' && op != '+')
		return bad(r, ERR_PARSE, "expected a line that starts with a blank, - or +");
	if ((op != '+' && *old == 0) || (op != '-' && *new == 0))
		return bad(r, ERR_PARSE, "the hunk has more lines than its head says");
	*old -= op != '+';
	*new -= op != '-';
	*vec_add(&r->body) = (struct diff_line){ .op = op, .text = s.n && s.p[0] == op ? str_from(s, 1) : s };
	if (str_starts(peek(r), STR("\\"))) {
		next(r, &s);
		r->body.p[r->body.n - 1].no_newline = true;
	}
	return 0;
}

/* LINE is "@@ -1,2 +3,4 @@ …". */
static int take_hunk(struct reader *r, str line)
{
	str old_text, new_text, rest;
	uint64_t start, old, new_start, new;

	if (!str_cut(str_from(line, 4), ' ', &old_text, &rest) || !str_starts(rest, STR("+")) ||
		!str_cut(str_from(rest, 1), ' ', &new_text, &rest) || !str_starts(rest, STR("@@")) ||
		!take_range(old_text, &start, &old) || !take_range(new_text, &new_start, &new))
		return bad(r, ERR_PARSE, "not a hunk's head");
	struct diff_hunk h = { .start = (size_t)start, .old_lines = (size_t)old };
	r->body.n = 0;
	while (old || new) {
		if (take_line(r, &old, &new) < 0)
			return r->e->code;
	}
	h.nlines = r->body.n;
	h.line = arena_new(r->a, struct diff_line, h.nlines + 1);
	if (h.nlines)
		memcpy(h.line, r->body.p, h.nlines * sizeof(*h.line));
	*vec_add(&r->hunk) = h;
	return 0;
}

static int file_add(struct reader *r, struct diff_file f)
{
	f.nhunks = r->hunk.n;
	f.hunk = arena_new(r->a, struct diff_hunk, f.nhunks + 1);
	if (f.nhunks)
		memcpy(f.hunk, r->hunk.p, f.nhunks * sizeof(*f.hunk));
	r->hunk.n = 0;
	*vec_add(&r->file) = f;
	return 0;
}

static int take_hunks(struct reader *r)
{
	str line;

	while (str_starts(peek(r), STR("@@ -"))) {
		next(r, &line);
		if (take_hunk(r, line) < 0)
			return r->e->code;
	}
	return 0;
}

/* OLD is the "--- …" line's rest; "+++ …" must follow. */
static int take_names(struct reader *r, struct diff_file *f, str old)
{
	str line;
	bool from_nothing = str_starts(old, STR("/dev/null"));

	if (!next(r, &line) || !str_starts(line, STR("+++ ")))
		return bad(r, ERR_PARSE, "expected +++ after ---");
	bool to_nothing = str_starts(str_from(line, 4), STR("/dev/null"));
	if (from_nothing && to_nothing)
		return bad(r, ERR_PARSE, "both names are /dev/null");
	f->kind = from_nothing ? DIFF_CREATE : to_nothing ? DIFF_DELETE : DIFF_MODIFY;
	return take_path(r, to_nothing ? old : str_from(line, 4), &f->path);
}

static bool is_refused(str line)
{
	static const char *const heads[] = { "rename from ", "rename to ", "copy from ", "copy to ", "GIT binary patch",
		"Binary files " };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		if (str_starts(line, str_of(heads[i])))
			return true;
	}
	return false;
}

/* HEAD is what follows "diff --git ": "a/x b/x", the same path twice. */
static int take_git_file(struct reader *r, str head)
{
	struct diff_file f = { .exec = -1 };
	str line, both = chomp(head);
	bool named = false;

	if (!(both.n & 1) || take_path(r, str_from(both, both.n / 2 + 1), &f.path) < 0)
		f.path = STR_NONE; /* two names, or quotes: the lines that follow must tell */
	while (r->rest.n && !named && !str_starts(peek(r), STR("diff --git "))) {
		next(r, &line);
		if (is_refused(line))
			return bad(r, ERR_UNSUPPORTED, "binary changes, renames and copies are not supported");
		if (str_starts(line, STR("new file mode ")) || str_starts(line, STR("new mode ")))
			f.exec = str_starts(line, STR("new file mode 100755")) ||
				 str_starts(line, STR("new mode 100755"));
		if (str_starts(line, STR("new file mode ")))
			f.kind = DIFF_CREATE;
		else if (str_starts(line, STR("deleted file mode ")))
			f.kind = DIFF_DELETE;
		named = str_starts(line, STR("--- "));
		if (named && take_names(r, &f, str_from(line, 4)) < 0)
			return r->e->code;
	}
	if (!f.path.n)
		return bad(r, ERR_PARSE, "which file is it?");
	if (named && take_hunks(r) < 0)
		return r->e->code;
	return file_add(r, f);
}

static int take_plain_file(struct reader *r, str old)
{
	struct diff_file f = { .exec = -1 };

	if (take_names(r, &f, old) < 0 || take_hunks(r) < 0)
		return r->e->code;
	return file_add(r, f);
}

static int take_all(struct reader *r)
{
	str line;
	int code = 0;

	while (code == 0 && next(r, &line)) {
		if (str_starts(line, STR("diff --git ")))
			code = take_git_file(r, str_from(line, 11));
		else if (str_starts(line, STR("--- ")))
			code = take_plain_file(r, str_from(line, 4));
		else if (str_starts(line, STR("@@ -")))
			code = bad(r, ERR_PARSE, "a hunk without a file");
		else if (is_refused(line))
			code = bad(r, ERR_UNSUPPORTED, "binary changes, renames and copies are not supported");
	}
	return code;
}

int diff_parse(struct diff *out, str text, struct arena *a, struct err *e)
{
	struct reader r = { .rest = text, .a = a, .e = e };

	if (text.n > TEXT_MAX)
		return err_set(e, ERR_TOOBIG, "the patch is larger than %d bytes", TEXT_MAX);
	int code = take_all(&r);
	if (code == 0 && r.file.n == 0)
		code = err_set(e, ERR_PARSE, "the patch changes no file");
	if (code == 0) {
		out->nfiles = r.file.n;
		out->file = arena_new(a, struct diff_file, r.file.n);
		memcpy(out->file, r.file.p, r.file.n * sizeof(*out->file));
	}
	vec_release(&r.file);
	vec_release(&r.hunk);
	vec_release(&r.body);
	return code;
}

/* ---- applying ---- */

/* A file as the pieces between its line feeds: the last one is empty when the text ends in one. */
struct lines {
	str *p;
	size_t n;
};

static struct lines split(str s)
{
	struct lines l = { .n = 1 };

	for (size_t i = 0; i < s.n; i++)
		l.n += s.p[i] == '\n';
	l.p = xcalloc(l.n, sizeof(*l.p));
	for (size_t i = 0; i < l.n; i++)
		str_cut(s, '\n', &l.p[i], &s);
	return l;
}

static str trim_end(str s)
{
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

/* Whether the lines from AT on are those that H finds (DROP '-'), or those that it leaves (DROP '+'). */
static bool hunk_fits(const struct diff_hunk *h, char drop, const struct lines *l, size_t at)
{
	for (size_t i = 0; i < h->nlines; i++) {
		if (h->line[i].op != ' ' && h->line[i].op != drop)
			continue;
		if (at >= l->n || !str_eq(trim_end(l->p[at]), trim_end(h->line[i].text)))
			return false;
		at++;
	}
	return true;
}

/* Where H fits, nearest to where it says and not before FROM; SIZE_MAX when nowhere. */
static size_t hunk_find(const struct diff_hunk *h, char drop, const struct lines *l, size_t from)
{
	for (int k = 0; k <= 2 * MOVED_MAX; k++) {
		ptrdiff_t off = k & 1 ? -(k + 1) / 2 : k / 2;
		ptrdiff_t at = (ptrdiff_t)h->start - 1 + off;
		if (at >= (ptrdiff_t)from && (size_t)at <= l->n && hunk_fits(h, drop, l, (size_t)at))
			return (size_t)at;
	}
	return SIZE_MAX;
}

static void put_line(struct buf *out, str line, bool *first)
{
	if (!*first)
		buf_addc(out, '\n');
	*first = false;
	buf_add(out, line);
}

/* Puts L, changed by the hunks, to OUT. False and *AT for the hunk that does not fit. DROP '-'
 * applies, '+' takes back. */
static bool apply_hunks(struct buf *out, const struct diff_file *f, const struct lines *l, char drop, size_t *at)
{
	size_t done = 0;
	bool first = true, push = false, pop = false;

	for (*at = 0; *at < f->nhunks; ++*at) {
		const struct diff_hunk *h = &f->hunk[*at];
		size_t pos = hunk_find(h, drop, l, done);
		if (pos == SIZE_MAX)
			return false;
		while (done < pos)
			put_line(out, l->p[done++], &first);
		for (size_t i = 0; i < h->nlines; i++) {
			const struct diff_line *x = &h->line[i];
			if (x->op == ' ')
				put_line(out, l->p[done++], &first);
			else if (x->op == drop)
				done++, push |= x->no_newline;
			else
				put_line(out, x->text, &first), pop |= x->no_newline;
		}
	}
	/* The last piece stands for the final line feed: one that goes takes it along, one that comes brings it. */
	size_t end = l->n - (pop && !push && done < l->n && l->p[l->n - 1].n == 0);
	while (done < end)
		put_line(out, l->p[done++], &first);
	if (push && !pop)
		put_line(out, STR(""), &first);
	return true;
}

int diff_apply(struct buf *out, const struct diff_file *f, str old, struct err *e)
{
	struct lines l = split(old);
	size_t had = out->n, bad_hunk, ignored;
	int code = 0;

	if (!apply_hunks(out, f, &l, '-', &bad_hunk)) {
		AUTO(buf_release) struct buf back = BUF_INIT;
		out->n = had;
		if (f->kind == DIFF_MODIFY && apply_hunks(&back, f, &l, '+', &ignored))
			buf_add(out, old);
		else
			code = err_set(e, ERR_NOMATCH, STR_FMT ": hunk %zu (line %zu) does not fit", STR_ARG(f->path),
				bad_hunk + 1, f->hunk[bad_hunk].start);
	}
	free(l.p);
	return code;
}
