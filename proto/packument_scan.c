#include "packument_scan.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

void scan_init(struct scan *s, str text, struct arena *a)
{
	*s = (struct scan){ .p = text.p, .start = text.p, .end = text.p + text.n, .a = a };
	if (str_starts(text, STR("\xEF\xBB\xBF")))
		s->p += 3;
}

void scan_fail(struct scan *s, const char *at, const char *what)
{
	if (s->bad)
		return;
	s->bad = what;
	s->bad_at = (size_t)(at - s->start);
	s->p = s->end;
}

static inline char peek(struct scan *s)
{
	while (s->p < s->end) {
		char c = *s->p;
		if (c > ' ' || c < 0)
			return c;
		if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
			return c ? c : 1; /* no value starts with it, whatever its number */
		s->p++;
	}
	return 0;
}

char scan_peek(struct scan *s)
{
	return peek(s);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at P, or -1. */
static int32_t hex4(const char *p, const char *end)
{
	int32_t v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int d = hex_value(p[i]);
		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

/* Bytes of the escape sequence at P (a backslash), 0 if it is none. */
static size_t escape_len(const char *p, const char *end)
{
	if (end - p < 2)
		return 0;
	switch (p[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return 2;
	case 'u':
		return hex4(p + 2, end) < 0 ? 0 : 6;
	default:
		return 0;
	}
}

struct raw {
	str s; /* between the quotes */
	bool escaped, high;
};

/* From P to the first quote, backslash or control character; *high: a byte above 0x7f was passed. */
static inline const char *plain_end(const char *p, const char *end, bool *high)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), ctl = _mm_set1_epi8(0x1f);
	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i stop = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash));
		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_min_epu8(v, ctl), v));
		unsigned m = (unsigned)_mm_movemask_epi8(stop), h = (unsigned)_mm_movemask_epi8(v);
		if (m) {
			*high |= (h & (m ^ (m - 1))) != 0;
			return p + __builtin_ctz(m);
		}
		*high |= h != 0;
		p += 16;
	}
#endif
	for (; p < end; p++) {
		uint8_t c = (uint8_t)*p;
		if (c == '"' || c == '\\' || c < 0x20)
			break;
		*high |= c >= 0x80;
	}
	return p;
}

/* S->p is at the opening quote; leaves it after the closing one. */
static inline bool raw_string(struct scan *s, struct raw *out)
{
	const char *from = s->p + 1, *p = from;

	out->escaped = out->high = false;
	for (;;) {
		p = plain_end(p, s->end, &out->high);
		if (p >= s->end) {
			scan_fail(s, s->p, "a string without its end");
			return false;
		}
		if (*p == '"')
			break;
		size_t n = *p == '\\' ? escape_len(p, s->end) : 0;
		if (n == 0) {
			scan_fail(s, p, *p == '\\' ? "an invalid escape" : "a control character in a string");
			return false;
		}
		out->escaped = true;
		p += n;
	}
	out->s = (str){ from, (size_t)(p - from) };
	s->p = p + 1;
	return true;
}

static bool utf8_valid(str s)
{
	for (size_t i = 0, len; i < s.n; i += len) {
		len = str_utf8(s, i);
		if (len == 0)
			return false;
	}
	return true;
}

static size_t utf8_put(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* The code point of the valid escape at P; *len its bytes. A pair of surrogates is one code point. */
static uint32_t escape_read(const char *p, const char *end, size_t *len)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

	*len = 2;
	if (p[1] != 'u')
		return (uint8_t)to[strchr(from, p[1]) - from];
	*len = 6;
	uint32_t c = (uint32_t)hex4(p + 2, end);
	if (c >= 0xd800 && c < 0xdc00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
		int32_t low = hex4(p + 8, end);
		if (low >= 0xdc00 && low < 0xe000) {
			*len = 12;
			return 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
		}
	}
	return c >= 0xd800 && c < 0xe000 ? 0xfffd : c;
}

static str raw_decode(struct scan *s, const struct raw *r)
{
	if (!r->escaped && (!r->high || utf8_valid(r->s)))
		return r->s;
	char *out = arena_new(s->a, char, r->s.n * 3 + 1); /* a bad byte becomes three */
	size_t n = 0;
	for (size_t i = 0, len; i < r->s.n; i += len) {
		const char *p = r->s.p + i;
		if (*p == '\\') {
			n += utf8_put(out + n, escape_read(p, r->s.p + r->s.n, &len));
			continue;
		}
		len = str_utf8(r->s, i);
		if (len == 0) {
			n += utf8_put(out + n, 0xfffd);
			len = 1;
			continue;
		}
		memcpy(out + n, p, len);
		n += len;
	}
	return (str){ out, n };
}

bool scan_open(struct scan *s, char bracket)
{
	if (peek(s) != bracket) {
		scan_skip(s);
		return false;
	}
	s->p++;
	return true;
}

bool scan_elem(struct scan *s, bool *first)
{
	char c = peek(s);

	if (c == ']') {
		s->p++;
		return false;
	}
	if (!*first) {
		if (c != ',') {
			scan_fail(s, s->p, "expected , or ]");
			return false;
		}
		s->p++;
	}
	*first = false;
	if (peek(s) == ']')
		scan_fail(s, s->p, "a comma before ]");
	return !s->bad;
}

/* Up to the colon, which is consumed. */
static bool raw_key(struct scan *s, bool *first, struct raw *r)
{
	char c = peek(s);

	if (c == '}') {
		s->p++;
		return false;
	}
	if (!*first) {
		if (c != ',') {
			scan_fail(s, s->p, "expected , or }");
			return false;
		}
		s->p++;
		c = peek(s);
	}
	*first = false;
	if (c != '"') {
		scan_fail(s, s->p, "expected a key");
		return false;
	}
	if (!raw_string(s, r))
		return false;
	if (peek(s) != ':') {
		scan_fail(s, s->p, "expected :");
		return false;
	}
	s->p++;
	return true;
}

bool scan_key(struct scan *s, bool *first, str *key)
{
	struct raw r;

	if (!raw_key(s, first, &r))
		return false;
	*key = raw_decode(s, &r);
	return true;
}

bool scan_str(struct scan *s, str *out)
{
	struct raw r;

	if (peek(s) != '"') {
		scan_skip(s);
		return false;
	}
	if (!raw_string(s, &r))
		return false;
	*out = raw_decode(s, &r);
	return true;
}

static void skip_word(struct scan *s, str word)
{
	if (!str_starts((str){ s->p, (size_t)(s->end - s->p) }, word))
		scan_fail(s, s->p, "expected a value");
	else
		s->p += word.n;
}

bool scan_true(struct scan *s)
{
	if (peek(s) != 't') {
		scan_skip(s);
		return false;
	}
	skip_word(s, STR("true"));
	return !s->bad;
}

static bool skip_digits(struct scan *s)
{
	const char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > from;
}

/* RFC 8259 section 6. */
static void skip_number(struct scan *s)
{
	const char *from = s->p;

	if (*s->p == '-')
		s->p++;
	bool zero = s->p < s->end && *s->p == '0', ok;
	if (zero)
		s->p++;
	ok = zero || skip_digits(s);
	if (ok && s->p < s->end && *s->p == '.') {
		s->p++;
		ok = skip_digits(s);
	}
	if (ok && s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		ok = skip_digits(s);
	}
	if (!ok)
		scan_fail(s, from, "an invalid number");
}

uint64_t scan_u64(struct scan *s)
{
	char c = peek(s);
	const char *from = s->p;
	uint64_t v;

	scan_skip(s);
	if (s->bad || c < '0' || c > '9')
		return 0;
	return str_u64((str){ from, (size_t)(s->p - from) }, &v) && v <= (UINT64_C(1) << 53) ? v : 0;
}

static void skip_scalar(struct scan *s, char c)
{
	struct raw r;

	if (c == '"')
		raw_string(s, &r);
	else if (c == 't')
		skip_word(s, STR("true"));
	else if (c == 'f')
		skip_word(s, STR("false"));
	else if (c == 'n')
		skip_word(s, STR("null"));
	else if (c == '-' || (c >= '0' && c <= '9'))
		skip_number(s);
	else
		scan_fail(s, s->p, c ? "expected a value" : "the text ends here");
}

void scan_skip(struct scan *s)
{
	char c = peek(s);

	if (c != '{' && c != '[') {
		skip_scalar(s, c);
		return;
	}
	const char *close = skip_balanced(s->p, s->end);
	if (close)
		s->p = close;
	else
		scan_fail(s, s->p, "an object or array without its end");
}
