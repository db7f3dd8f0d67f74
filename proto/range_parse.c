/* The reading half of ranges. node-semver rewrites a range step by step as text until only plain comparators are left,
 * and what it accepts follows from those steps ("1.2.3*" is 1.2.3). So the steps are the same here: blanks, "||", build
 * metadata, hyphen ranges, blanks after operators, then each word by itself. */
#include "range.h"
#include <stdio.h>
#include <stdlib.h>

#define SAFE SEMVER_MAX_NUMBER

struct reader {
	bool loose, pre; /* pre: read for prereleases, lower bounds get "-0" */
	bool apart;      /* what shares no version with what stands before it is an alternative */
	bool bad;
	struct buf one, two; /* a part before and after a step */
	VEC(struct comparator) cmp;
	VEC(struct alternative) alt;
	struct arena *a;
};

static bool is_x(str id)
{
	return id.n == 0 || (id.n == 1 && (id.p[0] == 'x' || id.p[0] == 'X' || id.p[0] == '*'));
}

static void put(struct buf *b, const char *s)
{
	buf_add(b, str_of(s));
}

/* ID + 1 as JavaScript prints the number. Past the safe integers any digits do, since no version can be so large; from
 * 1e21 on the exponent's letter and plus take part in the next steps. */
static void put_next(struct buf *b, str id)
{
	char text[300];
	double d;

	snprintf(text, sizeof(text), STR_FMT, STR_ARG(id));
	d = strtod(text, NULL);
	if (d <= (double)SAFE) {
		buf_printf(b, "%llu", strtoull(text, NULL, 10) + 1);
	} else if (d < 1e21) {
		buf_printf(b, "%.0f", d + 1);
	} else {
		for (int digits = 0; digits < 18; digits++) {
			snprintf(text, sizeof(text), "%.*e", digits, d);
			if (strtod(text, NULL) >= d && strtod(text, NULL) <= d)
				break;
		}
		put(b, text);
	}
}

/* OP, then the ids as they are; the first NFIXED of them, "0" for the rest. */
static void put_bound(struct buf *b, const char *op, const struct semver_core *c, unsigned nfixed, const char *tail)
{
	put(b, op);
	for (unsigned i = 0; i < 3; i++) {
		if (i)
			buf_addc(b, '.');
		buf_add(b, i < nfixed ? c->id[i] : STR("0"));
	}
	put(b, tail);
}

/* The same with the id at BUMP one higher and zeros behind it. */
static void put_above(struct buf *b, const char *op, const struct semver_core *c, unsigned bump, const char *tail)
{
	put(b, op);
	for (unsigned i = 0; i < 3; i++) {
		if (i)
			buf_addc(b, '.');
		if (i < bump)
			buf_add(b, c->id[i]);
		else if (i == bump)
			put_next(b, c->id[i]);
		else
			put(b, "0");
	}
	put(b, tail);
}

static size_t skip_prefix(str s, size_t at)
{
	while (at < s.n && (s.p[at] == 'v' || s.p[at] == '=' || s.p[at] == ' '))
		at++;
	return at;
}

static const char *pre0(const struct reader *r)
{
	return r->pre ? "-0" : "";
}

static void strip_builds(struct buf *out, str s)
{
	for (size_t i = 0; i < s.n;) {
		size_t n = semver_build_len(s, i);
		if (n == 0)
			buf_addc(out, s.p[i]);
		i += n ? n : 1;
	}
}

/* One side of a hyphen range: TEXT with its prefix, the core in it, AT moves behind. */
static bool hyphen_side(const struct reader *r, str s, size_t *at, str *text, struct semver_core *c)
{
	size_t core = skip_prefix(s, *at), end = str_find(s, ' ', core);

	if (end == SIZE_MAX)
		end = s.n;
	*text = (str){ s.p + *at, end - *at };
	*at = end;
	return semver_core(c, (str){ s.p + core, end - core }, r->loose, true);
}

static void put_from(const struct reader *r, struct buf *out, str text, const struct semver_core *c)
{
	if (is_x(c->id[0]))
		return;
	if (is_x(c->id[1]) || is_x(c->id[2])) {
		put_bound(out, ">=", c, is_x(c->id[1]) ? 1 : 2, pre0(r));
	} else {
		put(out, ">=");
		buf_add(out, text);
		put(out, c->pre.n ? "" : pre0(r));
	}
}

static void put_to(const struct reader *r, struct buf *out, str text, const struct semver_core *c)
{
	if (is_x(c->id[0]))
		return;
	buf_addc(out, ' ');
	if (is_x(c->id[1]) || is_x(c->id[2])) {
		put_above(out, "<", c, is_x(c->id[1]) ? 0 : 1, "-0");
	} else if (c->pre.n) {
		put_bound(out, "<=", c, 3, "-");
		buf_add(out, c->pre);
	} else if (r->pre) {
		put_above(out, "<", c, 2, "-0");
	} else {
		put(out, "<=");
		buf_add(out, text);
	}
}

/* "1.2 - 3" becomes ">=1.2.0 <4.0.0-0"; anything else stays, and false. */
static bool hyphen(const struct reader *r, struct buf *out, str s)
{
	struct semver_core from, to;
	str from_text, to_text;
	size_t at = s.n && s.p[0] == ' ' ? 1 : 0;

	if (str_find_str(s, STR(" - "), 0) == SIZE_MAX || !hyphen_side(r, s, &at, &from_text, &from) ||
		!str_starts(str_from(s, at), STR(" - "))) {
		buf_add(out, s);
		return false;
	}
	at += 3;
	if (!hyphen_side(r, s, &at, &to_text, &to) || s.n - at > 1) {
		buf_add(out, s);
		return false;
	}
	put_from(r, out, from_text, &from);
	put_to(r, out, to_text, &to);
	if (out->n && out->p[0] == ' ')
		memmove(out->p, out->p + 1, --out->n);
	return true;
}

/* "> 1.2.3" becomes ">1.2.3": one blank goes, where a version follows. */
static void trim_comparators(struct buf *out, str s)
{
	for (size_t i = 0; i < s.n;) {
		size_t at = i + (s.p[i] == ' '), blank;
		if (at < s.n && (s.p[at] == '<' || s.p[at] == '>'))
			at++;
		if (at < s.n && s.p[at] == '=')
			at++;
		blank = at;
		size_t core = skip_prefix(s, at), end = semver_core_end(s, core);
		if (end == core) {
			buf_addc(out, s.p[i++]);
			continue;
		}
		buf_add(out, (str){ s.p + i, blank - i });
		blank += blank < end && s.p[blank] == ' ';
		buf_add(out, (str){ s.p + blank, end - blank });
		i = end;
	}
}

/* "~> 1" and "~ 1" become "~1", "^ 1" becomes "^1". */
static void trim_operator(struct buf *out, str s, char op)
{
	for (size_t i = 0; i < s.n;) {
		size_t n = s.p[i] == op ? 1 : 0;
		if (n && op == '~' && i + 1 < s.n && s.p[i + 1] == '>')
			n = 2;
		if (n && i + n < s.n && s.p[i + n] == ' ') {
			buf_addc(out, op);
			i += n + 1;
		} else {
			buf_addc(out, s.p[i++]);
		}
	}
}

/* ^1.2.3 and ~1.2.3: from what is written up to where the number at BUMP changes. */
static void put_span(const struct reader *r, struct buf *out, const struct semver_core *c, unsigned bump)
{
	unsigned fixed = is_x(c->id[1]) ? 1 : is_x(c->id[2]) ? 2 : 3;

	if (c->pre.n && fixed == 3) {
		put_bound(out, ">=", c, 3, "-");
		buf_add(out, c->pre);
	} else {
		put_bound(out, ">=", c, fixed, fixed < 3 ? pre0(r) : "");
	}
	put_above(out, " <", c, bump, "-0");
}

/* A caret or tilde range, in words that are one; false otherwise. */
static bool put_caret_tilde(const struct reader *r, struct buf *out, str w)
{
	struct semver_core c;
	bool caret = w.n && w.p[0] == '^';

	if (!caret && (w.n == 0 || w.p[0] != '~'))
		return false;
	size_t at = skip_prefix(w, !caret && w.n > 1 && w.p[1] == '>' ? 2 : 1);
	if (!semver_core(&c, str_from(w, at), r->loose, true))
		return false;
	if (is_x(c.id[0]))
		return true;
	if (is_x(c.id[1]))
		put_span(r, out, &c, 0);
	else if (!caret)
		put_span(r, out, &c, 1);
	else if (!str_eq(c.id[0], STR("0")))
		put_span(r, out, &c, 0);
	else if (is_x(c.id[2]) || !str_eq(c.id[1], STR("0")))
		put_span(r, out, &c, 1);
	else
		put_span(r, out, &c, 2);
	return true;
}

/* >1.x, <=1.2, …: a comparator of an x-range whose first WITH ids are numbers. */
static void put_x_bound(const struct reader *r, struct buf *out, str op, const struct semver_core *c, unsigned with)
{
	if (str_eq(op, STR(">")))
		put_above(out, ">=", c, with - 1, pre0(r));
	else if (str_eq(op, STR("<=")))
		put_above(out, "<", c, with - 1, "-0");
	else
		put_bound(out, str_eq(op, STR("<")) ? "<" : ">=", c, with, str_eq(op, STR("<")) ? "-0" : pre0(r));
}

static size_t op_len(str w)
{
	size_t n = w.n && (w.p[0] == '<' || w.p[0] == '>') ? 1 : 0;

	return n + (n < w.n && w.p[n] == '=');
}

/* "1.x", ">=1", "*"; false for words that are none or stay as they are. */
static bool put_xrange(const struct reader *r, struct buf *out, str w)
{
	struct semver_core c;
	str op = str_head(w, op_len(w));

	if (!semver_core(&c, str_from(w, skip_prefix(w, op.n)), r->loose, true))
		return false;
	bool x0 = is_x(c.id[0]), x1 = is_x(c.id[1]), x2 = is_x(c.id[2]);
	if ((x0 && !x1) || (x1 && c.id[2].n && !x2) || !(x0 || x1 || x2))
		return false;
	if (str_eq(op, STR("=")))
		op.n = 0;
	if (x0) {
		if (op.n == 1)
			put(out, "<0.0.0-0"); /* nothing */
		return true;
	}
	if (op.n) {
		put_x_bound(r, out, op, &c, x1 ? 1 : 2);
		return true;
	}
	put_bound(out, ">=", &c, x1 ? 1 : 2, pre0(r));
	put_above(out, " <", &c, x1 ? 0 : 1, "-0");
	return true;
}

/* The first star of a word that is no x-range goes, with an operator before it. */
static void put_without_star(struct buf *out, str w)
{
	size_t star = str_find(w, '*', 0), from = star;

	if (star == SIZE_MAX) {
		buf_add(out, w);
		return;
	}
	if (from > 0 && w.p[from - 1] == '=')
		from--;
	if (from > 0 && (w.p[from - 1] == '<' || w.p[from - 1] == '>'))
		from--;
	buf_add(out, str_head(w, from));
	buf_add(out, str_from(w, star + 1));
}

static void put_word(const struct reader *r, struct buf *out, str w)
{
	AUTO(buf_release) struct buf bare = BUF_INIT;
	size_t plus = str_find(w, '+', 0);

	/* Only the exponent of a number from the hyphen step can still look like build metadata. */
	while (plus != SIZE_MAX && semver_build_len(w, plus) == 0)
		plus = str_find(w, '+', plus + 1);
	if (plus != SIZE_MAX) {
		buf_add(&bare, str_head(w, plus));
		buf_add(&bare, str_from(w, plus + semver_build_len(w, plus)));
		w = buf_str(&bare);
	}
	if (!put_caret_tilde(r, out, w) && !put_xrange(r, out, w))
		put_without_star(out, w);
}

static bool same_value(const struct comparator *a, const struct comparator *b)
{
	return a->op == b->op && (a->op == OP_ANY || semver_same(&a->v, &b->v));
}

static bool is_null(const struct comparator *c)
{
	return c->op == OP_LT && c->v.major == 0 && c->v.minor == 0 && c->v.patch == 0 && str_eq(c->v.pre, STR("0"));
}

/* One plain comparator. A loose reader drops what is none; past the limits of a version the whole range is bad. */
static void add_comparator(struct reader *r, str w, uint32_t from)
{
	struct comparator c = { .op = OP_ANY };
	struct semver_core core;
	size_t n = op_len(w);

	if (w.n > 0 && !str_eq(w, r->pre ? STR(">=0.0.0-0") : STR(">=0.0.0"))) {
		str version = str_from(w, n);
		size_t at = r->loose ? skip_prefix(version, 0) : (version.n && version.p[0] == 'v');
		if (!semver_core(&core, str_from(version, at), r->loose, false)) {
			r->bad = r->bad || !r->loose;
			return;
		}
		if (version.n > SEMVER_MAX_LENGTH || !semver_from_core(&c.v, &core)) {
			r->bad = true;
			return;
		}
		bool eq = n && w.p[n - 1] == '=';
		c.op = n == 0 || w.p[0] == '=' ? OP_EQ : w.p[0] == '>' ? (eq ? OP_GE : OP_GT) : (eq ? OP_LE : OP_LT);
	}
	for (size_t i = from; i < r->cmp.n; i++) {
		if (same_value(&r->cmp.p[i], &c))
			return;
	}
	c.v.build = STR_NONE;
	c.v.pre = c.v.pre.n ? arena_str(r->a, c.v.pre) : STR_NONE;
	*vec_add(&r->cmp) = c;
}

/* Splits at runs of blanks; blanks at an end make an empty word there, which is "any". */
static void add_words(struct reader *r, str s, uint32_t from)
{
	size_t at = 0;

	for (;;) {
		size_t end = str_find(s, ' ', at);
		add_comparator(r, str_head(str_from(s, at), (end == SIZE_MAX ? s.n : end) - at), from);
		if (end == SIZE_MAX)
			return;
		for (at = end; at < s.n && s.p[at] == ' ';)
			at++;
	}
}

/* Null is all there is, and "any" is nothing beside another. */
static void tidy(struct reader *r, uint32_t from)
{
	size_t n = from;

	for (size_t i = from; i < r->cmp.n; i++) {
		if (is_null(&r->cmp.p[i])) {
			r->cmp.p[from] = r->cmp.p[i];
			r->cmp.n = from + 1;
			return;
		}
	}
	if (r->cmp.n - from < 2)
		return;
	for (size_t i = from; i < r->cmp.n; i++) {
		if (r->cmp.p[i].op != OP_ANY)
			r->cmp.p[n++] = r->cmp.p[i];
	}
	r->cmp.n = n;
}

static void swap(struct reader *r)
{
	struct buf b = r->one;

	r->one = r->two;
	r->two = b;
	buf_clear(&r->two);
}

/* A number of at most nine digits at AT, as a version writes it; AT moves behind. */
static bool plain_number(str s, size_t *at, uint64_t *out)
{
	size_t from = *at;
	uint64_t n = 0;

	for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9' && *at - from < 10; ++*at)
		n = n * 10 + (uint64_t)(s.p[*at] - '0');
	*out = n;
	return *at > from && *at - from < 10 && (s.p[from] != '0' || *at - from == 1);
}

static bool plain_version(str s, size_t at, struct semver *out)
{
	*out = (struct semver){ 0 };
	return plain_number(s, &at, &out->major) && at < s.n && s.p[at++] == '.' && plain_number(s, &at, &out->minor) &&
	       at < s.n && s.p[at++] == '.' && plain_number(s, &at, &out->patch) && at == s.n;
}

/* What the steps below make of "1.2.3", ">=1.2.3", "^1.2.3" and "~1.2.3", without the steps:
 * nearly all ranges are so. */
static bool add_plain(struct reader *r, str part)
{
	struct comparator low = { .op = OP_GE }, high = { .op = OP_LT };
	char op = part.n ? part.p[0] : 0;
	bool span = op == '^' || op == '~';
	size_t at = span ? 1 : op == '>' && part.n > 1 && part.p[1] == '=' ? 2 : 0;

	if (!plain_version(part, at, &low.v))
		return false;
	bool zero = !low.v.major && !low.v.minor;
	if (at && zero && !low.v.patch)
		return false; /* ">=0.0.0" is "any" in one of the readings */
	if (!at)
		low.op = OP_EQ;
	struct alternative alt = { .from = (uint32_t)r->cmp.n, .n = 1 };
	*vec_add(&r->cmp) = low;
	if (span) {
		high.v = (struct semver){ .major = low.v.major, .pre = STR("0") };
		if (op == '^' && low.v.major)
			high.v.major++;
		else if (op == '~' || low.v.minor)
			high.v.minor = low.v.minor + 1;
		else
			high.v.patch = low.v.patch + 1;
		*vec_add(&r->cmp) = high;
		alt.n = 2;
		alt.names_pre = true;
	}
	*vec_add(&r->alt) = alt;
	return true;
}

/* The comparators from FROM on are one. */
static void end_alternative(struct reader *r, uint32_t from)
{
	struct alternative alt = { .from = from };

	if (r->bad || r->cmp.n == from)
		return;
	tidy(r, from);
	alt.n = (uint32_t)(r->cmp.n - from);
	for (size_t i = from; i < r->cmp.n; i++)
		alt.names_pre = alt.names_pre || r->cmp.p[i].v.pre.n > 0;
	*vec_add(&r->alt) = alt;
}

/* Ends the alternative that begins at FROM before AT, where the word is that shares nothing with it. */
static uint32_t end_before(struct reader *r, uint32_t from, uint32_t at)
{
	size_t n = r->cmp.n - at;
	struct comparator *word = arena_new(r->a, struct comparator, n);

	memcpy(word, r->cmp.p + at, n * sizeof(*word));
	r->cmp.n = at;
	end_alternative(r, from);
	from = (uint32_t)r->cmp.n;
	for (size_t i = 0; i < n; i++)
		*vec_add(&r->cmp) = word[i];
	return from;
}

static void add_apart(struct reader *r, str words)
{
	uint32_t from = (uint32_t)r->cmp.n;

	for (bool more = true; more && !r->bad;) {
		uint32_t at = (uint32_t)r->cmp.n;
		str w;
		more = str_cut(words, ' ', &w, &words);
		buf_clear(&r->two);
		put_word(r, &r->two, w);
		add_words(r, buf_str(&r->two), at);
		if (at > from && r->cmp.n > at && !comparators_satisfiable(r->cmp.p + from, r->cmp.n - from, true))
			from = end_before(r, from, at);
	}
	end_alternative(r, from);
}

static void add_together(struct reader *r, str words)
{
	uint32_t from = (uint32_t)r->cmp.n;

	for (str w;;) {
		bool more = str_cut(words, ' ', &w, &words);
		put_word(r, &r->two, w);
		if (!more)
			break;
		buf_addc(&r->two, ' ');
	}
	add_words(r, buf_str(&r->two), from);
	end_alternative(r, from);
}

static void add_alternative(struct reader *r, str part)
{
	if (add_plain(r, part))
		return;
	buf_clear(&r->one);
	strip_builds(&r->one, part);
	buf_clear(&r->two);
	bool is_hyphen = hyphen(r, &r->two, buf_str(&r->one));
	swap(r);
	trim_comparators(&r->two, buf_str(&r->one));
	swap(r);
	trim_operator(&r->two, buf_str(&r->one), '~');
	swap(r);
	trim_operator(&r->two, buf_str(&r->one), '^');
	swap(r);
	if (r->apart && !is_hyphen) /* 2 - 1 is nothing */
		add_apart(r, buf_str(&r->one));
	else
		add_together(r, buf_str(&r->one));
}

/* Drops alternatives that nothing satisfies, unless all are so; one that takes all stands for the rest. */
static void reduce(struct reader *r)
{
	size_t n = 0;

	if (r->alt.n < 2)
		return;
	struct alternative first = r->alt.p[0];
	for (size_t i = 0; i < r->alt.n; i++) {
		if (!is_null(&r->cmp.p[r->alt.p[i].from]))
			r->alt.p[n++] = r->alt.p[i];
	}
	if (n == 0)
		r->alt.p[n++] = first;
	for (size_t i = 0; n > 1 && i < n; i++) {
		if (r->alt.p[i].n == 1 && r->cmp.p[r->alt.p[i].from].op == OP_ANY) {
			r->alt.p[0] = r->alt.p[i];
			n = 1;
		}
	}
	r->alt.n = n;
}

/* TEXT has its blanks collapsed. */
static struct comparators read_all(str text, struct reader r)
{
	struct comparators out = { 0 };

	for (size_t at = 0; !r.bad;) {
		size_t bar = str_find_str(text, STR("||"), at);
		str part = str_head(str_from(text, at), (bar == SIZE_MAX ? text.n : bar) - at);
		add_alternative(&r, str_trim(part));
		if (bar == SIZE_MAX)
			break;
		at = bar + 2;
	}
	if (!r.bad && r.alt.n) {
		reduce(&r);
		out.nalt = (uint32_t)r.alt.n;
		out.alt = arena_new(r.a, struct alternative, r.alt.n);
		memcpy(out.alt, r.alt.p, r.alt.n * sizeof(*out.alt));
		out.cmp = arena_new(r.a, struct comparator, r.cmp.n);
		memcpy(out.cmp, r.cmp.p, r.cmp.n * sizeof(*out.cmp));
	}
	vec_release(&r.cmp);
	vec_release(&r.alt);
	buf_release(&r.one);
	buf_release(&r.two);
	return out;
}

/* Runs of white space, JavaScript's, become one blank; none at the ends. */
static void collapse(struct buf *out, str s)
{
	for (size_t i = 0, n; i < s.n; i += n) {
		n = semver_blank(str_from(s, i));
		if (n == 0) {
			buf_addc(out, s.p[i]);
			n = 1;
		} else if (out->n && out->p[out->n - 1] != ' ') {
			buf_addc(out, ' ');
		}
	}
	if (out->n && out->p[out->n - 1] == ' ')
		out->n--;
}

static const struct range *parse(str s, struct reader r)
{
	AUTO(buf_release) struct buf text = BUF_INIT;

	if (s.n > RANGE_MAX_LENGTH)
		return NULL;
	collapse(&text, s);
	struct comparators plain = read_all(buf_str(&text), r);
	if (plain.nalt == 0)
		return NULL;
	struct range *out = arena_new(r.a, struct range, 1);
	out->reading[0] = plain;
	r.pre = true;
	out->reading[1] = read_all(buf_str(&text), r);
	return out;
}

const struct range *range_parse(str s, bool loose, struct arena *a)
{
	return parse(s, (struct reader){ .loose = loose, .a = a });
}

const struct range *range_parse_apart(str s, bool loose, struct arena *a)
{
	return parse(s, (struct reader){ .loose = loose, .apart = true, .a = a });
}
