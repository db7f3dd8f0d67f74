#include "range.h"
#include <stdio.h>
#include <stdlib.h>

/* How many characters node-semver lets a number and an identifier have; versions are shorter anyway, but whether a
 * longer comparator is skipped or makes a loose range invalid depends on them. */
enum { DIGITS = 256, LETTERS = 250 };
enum { PLAIN_DIGITS = 15 }; /* as many are a safe number, whichever they are */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static size_t digits(str s, size_t at, size_t max)
{
	size_t n = 0;

	while (n < max && at + n < s.n && is_digit(s.p[at + n]))
		n++;
	return n;
}

static size_t word(str s, size_t at, size_t max)
{
	size_t n = 0;

	while (n < max && at + n < s.n && (is_digit(s.p[at + n]) || is_letter(s.p[at + n])))
		n++;
	return n;
}

size_t semver_blank(str s)
{
	static const str wide[] = { STR_INIT("\xC2\xA0"), STR_INIT("\xE1\x9A\x80"), STR_INIT("\xE2\x80\xA8"),
		STR_INIT("\xE2\x80\xA9"), STR_INIT("\xE2\x80\xAF"), STR_INIT("\xE2\x81\x9F"), STR_INIT("\xE3\x80\x80"),
		STR_INIT("\xEF\xBB\xBF") };

	if (s.n == 0)
		return 0;
	if (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r'))
		return 1;
	if ((unsigned char)s.p[0] < 0xC2)
		return 0;
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
		if (str_starts(s, wide[i]))
			return wide[i].n;
	}
	/* U+2000 to U+200A */
	return str_starts(s, STR("\xE2\x80")) && s.n > 2 && (unsigned char)s.p[2] >= 0x80 &&
			       (unsigned char)s.p[2] <= 0x8A
		       ? 3
		       : 0;
}

size_t semver_build_len(str s, size_t at)
{
	if (at >= s.n || s.p[at] != '+' || word(s, at + 1, SIZE_MAX) == 0)
		return 0;
	size_t end = at + 1 + word(s, at + 1, SIZE_MAX);
	while (end < s.n && s.p[end] == '.' && word(s, end + 1, SIZE_MAX) > 0)
		end += 1 + word(s, end + 1, SIZE_MAX);
	return end - at;
}

/* Length of a number: strict ones have no leading zero. */
static size_t number_len(str s, size_t at, bool loose)
{
	if (loose)
		return digits(s, at, DIGITS);
	return at < s.n && s.p[at] == '0' ? 1 : digits(s, at, DIGITS + 1);
}

/* Length of a number, or of x, X, * where XRANGE. */
static size_t id_len(str s, size_t at, bool loose, bool xrange)
{
	if (xrange && at < s.n && (s.p[at] == 'x' || s.p[at] == 'X' || s.p[at] == '*'))
		return 1;
	return number_len(s, at, loose);
}

/* Length of the prerelease identifier at AT, as a regular expression would take it from there. */
static size_t pre_id_len(str s, size_t at, bool loose)
{
	size_t d = digits(s, at, DIGITS);

	if (at + d < s.n && is_letter(s.p[at + d]))
		return d + 1 + word(s, at + d + 1, LETTERS);
	return number_len(s, at, loose);
}

static size_t pre_ids_len(str s, size_t at, bool loose)
{
	size_t n = pre_id_len(s, at, loose), more;

	while (n && at + n < s.n && s.p[at + n] == '.' && (more = pre_id_len(s, at + n + 1, loose)) > 0)
		n += 1 + more;
	return n;
}

/* What follows the last number: nothing, a prerelease, a build, or both, up to the end. */
static bool read_tail(struct semver_core *out, str s, size_t at, bool loose)
{
	size_t end = str_find(s, '+', at);

	out->pre = out->build = STR_NONE;
	if (end != SIZE_MAX) {
		if (semver_build_len(s, end) != s.n - end)
			return false;
		out->build = str_from(s, end + 1);
		s.n = end;
	}
	if (at == s.n)
		return true;
	bool dash = s.p[at] == '-';
	if (dash && pre_ids_len(s, at + 1, loose) == s.n - at - 1 && at + 1 < s.n) {
		out->pre = str_from(s, at + 1);
		return true;
	}
	if (!loose || pre_ids_len(s, at, true) != s.n - at)
		return false;
	out->pre = str_from(s, at);
	return true;
}

bool semver_core(struct semver_core *out, str s, bool loose, bool xrange)
{
	size_t at = 0, n = 0;

	*out = (struct semver_core){ 0 };
	for (unsigned i = 0; i < 3; i++) {
		if (i > 0) {
			if (xrange && at == s.n)
				return true;
			if (at >= s.n || s.p[at++] != '.')
				return false;
		}
		n = id_len(s, at, loose, xrange);
		if (n == 0)
			return false;
		out->id[i] = (str){ s.p + at, n };
		at += n;
	}
	if (read_tail(out, s, at, loose))
		return true;
	/* Loose: the last number gives up digits if a prerelease without dash can use them: 1.2.34.5 is 1.2.3-4.5. */
	while (loose && n > 1) {
		out->id[2].n = --n;
		if (read_tail(out, s, --at, true))
			return true;
	}
	return false;
}

size_t semver_core_end(str s, size_t from)
{
	for (unsigned loose = 2; loose-- > 0;) {
		size_t at = from, ids = 0, n;
		while (ids < 3 && (n = id_len(s, ids ? at + 1 : at, loose, !loose)) > 0 &&
			(ids == 0 || s.p[at] == '.')) {
			at += n + (ids ? 1 : 0);
			ids++;
		}
		if (loose ? ids < 3 : ids == 0)
			continue;
		if (ids < 3)
			return at;
		n = at < s.n && s.p[at] == '-' ? pre_ids_len(s, at + 1, loose) : 0;
		if (n)
			return at + 1 + n;
		return at + (loose ? pre_ids_len(s, at, true) : 0);
	}
	return from;
}

static bool number(uint64_t *out, str s)
{
	while (s.n > 1 && s.p[0] == '0')
		s = str_from(s, 1);
	return s.n <= 16 && str_u64(s, out) && *out <= SEMVER_MAX_NUMBER;
}

bool semver_from_core(struct semver *out, const struct semver_core *c)
{
	struct semver v = { .pre = c->pre, .build = c->build };

	if (!number(&v.major, c->id[0]) || !number(&v.minor, c->id[1]) || !number(&v.patch, c->id[2]))
		return false;
	*out = v;
	return true;
}

/* UTF-16 units that the UTF-8 text S has. */
static size_t utf16_len(str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		n += (c & 0xC0) != 0x80;
		n += c >= 0xF0;
	}
	return n;
}

static str trim_end(str s)
{
	for (size_t i = s.n; i > 0;) {
		size_t n = i >= 3 && semver_blank((str){ s.p + i - 3, 3 }) == 3 ? 3
			   : i >= 2 && semver_blank((str){ s.p + i - 2, 2 }) == 2
				   ? 2
				   : semver_blank((str){ s.p + i - 1, 1 });
		if (n == 0)
			return str_head(s, i);
		i -= n;
	}
	return str_head(s, 0);
}

/* The number at *AT, which is moved past it: without leading zeros, and too short to be too large. */
static bool plain_number(uint64_t *out, str s, size_t *at)
{
	size_t from = *at, end = s.n - from > PLAIN_DIGITS ? from + PLAIN_DIGITS : s.n, i = from;
	uint64_t v = 0;

	for (; i < end && is_digit(s.p[i]); i++)
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	*out = v;
	*at = i;
	return i > from && (s.p[from] != '0' || i == from + 1);
}

/* Whether S has identifiers that are valid everywhere. */
static bool plain_pre(str s)
{
	size_t from = 0;
	bool number = true;

	for (size_t i = 0; i <= s.n; i++) {
		if (i == s.n || s.p[i] == '.') {
			if (i == from || (number && s.p[from] == '0' && i > from + 1))
				return false;
			from = i + 1;
			number = true;
		} else if (is_letter(s.p[i])) {
			number = false;
		} else if (!is_digit(s.p[i])) {
			return false;
		}
	}
	return s.n <= LETTERS;
}

/* "1.2.3" and "1.2.3-beta.4", as most are, in one go; false: S has to be looked at more closely. */
static bool plain(struct semver *out, str s)
{
	struct semver v = { 0 };
	size_t at = 0;

	if (!plain_number(&v.major, s, &at) || at == s.n || s.p[at++] != '.' || !plain_number(&v.minor, s, &at) ||
		at == s.n || s.p[at++] != '.' || !plain_number(&v.patch, s, &at))
		return false;
	if (at < s.n) {
		v.pre = str_from(s, at + 1);
		if (s.p[at] != '-' || !plain_pre(v.pre))
			return false;
	}
	*out = v;
	return true;
}

bool semver_parse(struct semver *out, str s, bool loose)
{
	struct semver_core c;
	size_t n;

	if (s.n > SEMVER_MAX_LENGTH && utf16_len(s) > SEMVER_MAX_LENGTH)
		return false;
	if (plain(out, s))
		return true;
	while ((n = semver_blank(s)) > 0)
		s = str_from(s, n);
	s = trim_end(s);
	if (loose) {
		while (s.n && (n = s.p[0] == 'v' || s.p[0] == '=' ? 1 : semver_blank(s)) > 0)
			s = str_from(s, n);
	} else if (s.n && s.p[0] == 'v') {
		s = str_from(s, 1);
	}
	return semver_core(&c, s, loose, false) && semver_from_core(out, &c);
}

static bool all_digits(str s)
{
	return digits(s, 0, SIZE_MAX) == s.n;
}

/* A number past JavaScript's safe integers, as the double that it compares as. */
static double big(str s)
{
	char text[SEMVER_MAX_LENGTH + 1];

	snprintf(text, sizeof(text), STR_FMT, STR_ARG(s));
	return strtod(text, NULL);
}

/* Identifiers: numbers by value and before words, words by bytes. *SAME: whether node-semver has them as the same value
 * and goes on to the next; two different texts of one huge number end the comparison as equal. */
static int pre_id_cmp(str a, str b, bool *same)
{
	uint64_t x = 0, y = 0;
	bool na = all_digits(a), nb = all_digits(b);

	*same = false;
	if (na != nb)
		return na ? -1 : 1;
	if (!na) {
		int d = str_cmp(a, b);
		*same = d == 0;
		return d;
	}
	if (number(&x, a) && number(&y, b) && x < SEMVER_MAX_NUMBER && y < SEMVER_MAX_NUMBER) {
		*same = x == y;
		return (x > y) - (x < y);
	}
	double p = big(a), q = big(b);
	*same = str_eq(a, b);
	return (p > q) - (p < q);
}

static int pre_cmp(str a, str b)
{
	if (a.n == 0 || b.n == 0)
		return (a.n == 0) - (b.n == 0);
	for (;;) {
		str x, y;
		bool same, more_a = str_cut(a, '.', &x, &a), more_b = str_cut(b, '.', &y, &b);
		int d = pre_id_cmp(x, y, &same);
		if (!same)
			return d;
		if (!more_a || !more_b)
			return more_a - more_b;
	}
}

int semver_cmp(const struct semver *a, const struct semver *b)
{
	if (a->major != b->major)
		return a->major < b->major ? -1 : 1;
	if (a->minor != b->minor)
		return a->minor < b->minor ? -1 : 1;
	if (a->patch != b->patch)
		return a->patch < b->patch ? -1 : 1;
	return a->pre.n || b->pre.n ? pre_cmp(a->pre, b->pre) : 0;
}

/* An identifier as JavaScript prints it: safe numbers lose leading zeros. */
static str pre_id_text(str id)
{
	uint64_t x;

	if (all_digits(id) && number(&x, id) && x < SEMVER_MAX_NUMBER) {
		while (id.n > 1 && id.p[0] == '0')
			id = str_from(id, 1);
	}
	return id;
}

bool semver_same(const struct semver *a, const struct semver *b)
{
	str p = a->pre, q = b->pre, x, y;

	if (a->major != b->major || a->minor != b->minor || a->patch != b->patch || (p.n == 0) != (q.n == 0))
		return false;
	while (p.n && q.n) {
		str_cut(p, '.', &x, &p);
		str_cut(q, '.', &y, &q);
		if (!str_eq(pre_id_text(x), pre_id_text(y)))
			return false;
	}
	return p.n == q.n;
}

str semver_print(const struct semver *v, struct arena *a)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	str rest = v->pre, id;

	buf_printf(&b, "%llu.%llu.%llu", (unsigned long long)v->major, (unsigned long long)v->minor,
		(unsigned long long)v->patch);
	for (char sep = '-'; rest.n; sep = '.') {
		str_cut(rest, '.', &id, &rest);
		buf_addc(&b, sep);
		buf_add(&b, pre_id_text(id));
	}
	return arena_str(a, buf_str(&b));
}
