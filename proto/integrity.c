/* The low-level calls on purpose: they need neither libcrypto's configuration file nor its providers, which cost more
 * than hashing a small file, and they cannot fail. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "integrity.h"
#include <dlfcn.h>
#include <nettle/sha2.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const struct alg {
	str name;
	uint8_t bytes;
} algs[] = {
	[DIGEST_SHA1] = { STR_INIT("sha1"), 20 },
	[DIGEST_SHA256] = { STR_INIT("sha256"), 32 },
	[DIGEST_SHA384] = { STR_INIT("sha384"), 48 },
	[DIGEST_SHA512] = { STR_INIT("sha512"), 64 },
};

static enum digest_alg alg_of(str name)
{
	for (int i = DIGEST_SHA1; i <= DIGEST_SHA512; i++) {
		if (str_eq(algs[i].name, name))
			return (enum digest_alg)i;
	}
	return DIGEST_NONE;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int integrity_parse(struct digest *out, str sri, struct err *e)
{
	struct digest best = { 0 };
	str rest = str_trim(sri), word, name, value, options;

	while (rest.n) {
		size_t end = 0;
		while (end < rest.n && !is_blank(rest.p[end]))
			end++;
		word = str_head(rest, end);
		rest = str_trim(str_from(rest, end));
		str_cut(word, '-', &name, &value);
		str_cut(value, '?', &value, &options);
		struct digest d = { .alg = alg_of(name) };
		if (d.alg <= best.alg)
			continue; /* unknown, weaker, or an alternative to the first */
		d.n = algs[d.alg].bytes;
		/* A damaged digest is an error even where a weaker one is whole: falling back to
		 * that would be a downgrade. */
		if (base64_read(d.b, sizeof(d.b), value) != d.n)
			return err_set(e, ERR_PARSE,
				"integrity \"" STR_FMT "\": expected %u bytes of base64 after \"" STR_FMT "-\"",
				STR_ARG(str_head(sri, 300)), d.n, STR_ARG(name));
		best = d;
	}
	if (best.alg == DIGEST_NONE)
		return err_set(e, ERR_PARSE, "integrity \"" STR_FMT "\" has no sha512, sha384, sha256 or sha1 digest",
			STR_ARG(str_head(sri, 300)));
	*out = best;
	return 0;
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t base64_len(size_t n)
{
	return (n + 2) / 3 * 4;
}

/* base64_len(N) characters. */
static void base64_put(char *to, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v =
			(uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		*to++ = base64[v >> 18];
		*to++ = base64[v >> 12 & 63];
		*to++ = i + 1 < n ? base64[v >> 6 & 63] : '=';
		*to++ = i + 2 < n ? base64[v & 63] : '=';
	}
}

str integrity_print(const struct digest *d, struct arena *a)
{
	if (d->alg == DIGEST_NONE)
		return STR_NONE;
	str name = algs[d->alg].name;
	size_t n = name.n + 1 + base64_len(d->n);
	char *p = arena_new(a, char, n + 1);
	memcpy(p, name.p, name.n);
	p[name.n] = '-';
	base64_put(p + name.n + 1, d->b, d->n);
	return (str){ p, n };
}

bool integrity_plain(struct digest *out, str sri)
{
	str name, value;
	struct digest d = { 0 };
	char last[4];

	if (!str_cut(sri, '-', &name, &value) || !(d.alg = alg_of(name)))
		return false;
	d.n = algs[d.alg].bytes;
	if (value.n != base64_len(d.n) || base64_read(d.b, sizeof(d.b), value) != d.n)
		return false;
	/* The bits that the last character has too many are zero, as a printer leaves them; all before
	 * it is read one way only. */
	size_t group = (d.n - 1u) / 3 * 3;
	base64_put(last, d.b + group, d.n - group);
	if (memcmp(last, value.p + value.n - 4, 4) != 0)
		return false;
	*out = d;
	return true;
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
	return a->alg == b->alg && a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

/* libcrypto's functions. Loading the library takes two milliseconds, which only who hashes what comes over the network
 * pays. Constant once loaded. */
#define CRYPTO_FUNCTIONS(X)                                                                                            \
	X(SHA1_Init)                                                                                                   \
	X(SHA1_Update)                                                                                                 \
	X(SHA1_Final)                                                                                                  \
	X(SHA256_Init)                                                                                                 \
	X(SHA256_Update)                                                                                               \
	X(SHA256_Final)                                                                                                \
	X(SHA384_Init)                                                                                                 \
	X(SHA384_Update)                                                                                               \
	X(SHA384_Final)                                                                                                \
	X(SHA512_Init)                                                                                                 \
	X(SHA512_Update)                                                                                               \
	X(SHA512_Final)
static struct crypto {
#define CRYPTO_MEMBER(f) __typeof__(f) *f##_;
	CRYPTO_FUNCTIONS(CRYPTO_MEMBER)
#undef CRYPTO_MEMBER
} crypto;
static struct err crypto_failed;
static pthread_once_t crypto_once = PTHREAD_ONCE_INIT;

static void crypto_load(void)
{
	void *library = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE), *f;

#define CRYPTO_LOAD(name)                                                                                              \
	f = library ? dlsym(library, #name) : NULL;                                                                    \
	if (!f) {                                                                                                      \
		err_set(&crypto_failed, ERR_UNSUPPORTED, "libcrypto.so.3 cannot be loaded (%s); install OpenSSL 3",    \
			dlerror());                                                                                    \
		return;                                                                                                \
	}                                                                                                              \
	memcpy(&crypto.name##_, &f, sizeof(f)); /* ISO C has no cast from void * to a function pointer */
	CRYPTO_FUNCTIONS(CRYPTO_LOAD)
#undef CRYPTO_LOAD
}

struct hasher {
	enum digest_alg alg;
	union {
		SHA_CTX s1;
		SHA256_CTX s256;
		SHA512_CTX s512;
	} u;
};

static void hasher_start(struct hasher *h)
{
	switch (h->alg) {
	case DIGEST_SHA1:
		crypto.SHA1_Init_(&h->u.s1);
		return;
	case DIGEST_SHA256:
		crypto.SHA256_Init_(&h->u.s256);
		return;
	case DIGEST_SHA384:
		crypto.SHA384_Init_(&h->u.s512);
		return;
	case DIGEST_SHA512:
		crypto.SHA512_Init_(&h->u.s512);
		return;
	case DIGEST_NONE:
		break;
	}
	abort(); /* a caller's mistake */
}

int hasher_ready(struct err *e)
{
	pthread_once(&crypto_once, crypto_load);
	if (crypto_failed.code < 0)
		*e = crypto_failed;
	return crypto_failed.code;
}

struct hasher *hasher_new(enum digest_alg alg)
{
	struct hasher *h = xcalloc(1, sizeof(*h));
	struct err e;

	if (hasher_ready(&e) < 0) { /* who did not ask cannot go on: nothing that comes can be checked */
		fprintf(stderr, "%s: %s\n", err_name(e.code), e.msg);
		_Exit(err_exit_status(e.code));
	}
	h->alg = alg;
	hasher_start(h);
	return h;
}

void hasher_add(struct hasher *h, const void *p, size_t n)
{
	if (h->alg == DIGEST_SHA1)
		crypto.SHA1_Update_(&h->u.s1, p, n);
	else if (h->alg == DIGEST_SHA256)
		crypto.SHA256_Update_(&h->u.s256, p, n);
	else if (h->alg == DIGEST_SHA384)
		crypto.SHA384_Update_(&h->u.s512, p, n);
	else
		crypto.SHA512_Update_(&h->u.s512, p, n);
}

void hasher_end(struct hasher *h, struct digest *out)
{
	*out = (struct digest){ .alg = h->alg, .n = algs[h->alg].bytes };
	if (h->alg == DIGEST_SHA1)
		crypto.SHA1_Final_(out->b, &h->u.s1);
	else if (h->alg == DIGEST_SHA256)
		crypto.SHA256_Final_(out->b, &h->u.s256);
	else if (h->alg == DIGEST_SHA384)
		crypto.SHA384_Final_(out->b, &h->u.s512);
	else
		crypto.SHA512_Final_(out->b, &h->u.s512);
	hasher_start(h);
}

void hasher_free(struct hasher *h)
{
	free(h);
}

void sha256(uint8_t out[32], const void *p, size_t n)
{
	struct sha256_ctx c;

	sha256_init(&c);
	sha256_update(&c, n, p);
	sha256_digest(&c, SHA256_DIGEST_SIZE, out);
}

void hex_print(char *out, const uint8_t *p, size_t n)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digit[p[i] >> 4];
		out[2 * i + 1] = digit[p[i] & 15];
	}
	out[2 * n] = 0;
}

/* One more than what the character stands for; 0: it is none. A table, since a server's start
 * reads digests by the million. */
static const uint8_t hex_values[256] = { ['0'] = 1,
	['1'] = 2,
	['2'] = 3,
	['3'] = 4,
	['4'] = 5,
	['5'] = 6,
	['6'] = 7,
	['7'] = 8,
	['8'] = 9,
	['9'] = 10,
	['a'] = 11,
	['b'] = 12,
	['c'] = 13,
	['d'] = 14,
	['e'] = 15,
	['f'] = 16,
	['A'] = 11,
	['B'] = 12,
	['C'] = 13,
	['D'] = 14,
	['E'] = 15,
	['F'] = 16 };

static int hex_value(char c)
{
	return hex_values[(uint8_t)c] - 1;
}

bool hex_read(uint8_t *out, size_t n, str hex)
{
	if (hex.n / 2 != n || hex.n % 2)
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(hex.p[2 * i]), lo = hex_value(hex.p[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

str base64_print(const uint8_t *p, size_t n, struct arena *a)
{
	char *out = arena_new(a, char, base64_len(n) + 1);

	base64_put(out, p, n);
	return (str){ out, base64_len(n) };
}

/* From '+' to 'z': what the character stands for; -1: it is none of base64. */
static const int8_t base64_values['z' - '+' + 1] = { 62, -1, -1, -1, 63, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1,
	-1, -1, -1, -1, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
	25, -1, -1, -1, -1, -1, -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46,
	47, 48, 49, 50, 51 };

static int base64_value(char c)
{
	return c >= '+' && c <= 'z' ? base64_values[c - '+'] : -1;
}

/* Whole groups of four characters; how many bytes of text that is, up to the first character that is none of base64. */
static size_t base64_groups(uint8_t *out, size_t cap, str s)
{
	size_t at = 0;

	for (; s.n - at >= 4 && cap >= 3; at += 4, cap -= 3, out += 3) {
		int a = base64_value(s.p[at]), b = base64_value(s.p[at + 1]), c = base64_value(s.p[at + 2]),
		    d = base64_value(s.p[at + 3]);
		if ((a | b | c | d) < 0)
			break;
		uint32_t v = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | (uint32_t)d;
		out[0] = (uint8_t)(v >> 16);
		out[1] = (uint8_t)(v >> 8);
		out[2] = (uint8_t)v;
	}
	return at;
}

ptrdiff_t base64_read(uint8_t *out, size_t cap, str s)
{
	size_t padded = s.n;
	uint32_t v = 0;

	while (s.n && s.p[s.n - 1] == '=')
		s.n--;
	if (padded - s.n > 2 || (padded != s.n && padded % 4) || s.n % 4 == 1)
		return -1;
	size_t at = base64_groups(out, cap, s), n = at / 4 * 3;
	for (size_t i = at; i < s.n; i++) {
		int d = base64_value(s.p[i]);
		if (d < 0)
			return -1;
		v = v << 6 | (uint32_t)d;
		if (i % 4 == 0)
			continue;
		if (n == cap)
			return -1;
		out[n++] = (uint8_t)(v >> (6 - 2 * (i % 4)));
	}
	return (ptrdiff_t)n;
}
