/* integrity — Subresource Integrity strings, and the digests behind them.
 *
 * The strongest algorithm of a string counts (sha512, sha384, sha256, sha1);
 * several digests of the same algorithm are alternatives. Source: W3C SRI, ssri. */
#pragma once
#include "base/base.h"

enum digest_alg { DIGEST_NONE = 0, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512 };

struct digest {
	enum digest_alg alg;
	uint8_t n; /* bytes used */
	uint8_t b[64];
};

/* Reads the strongest digest of an SRI string (the first, where several are given). ERR_PARSE. */
int integrity_parse(struct digest *out, str sri, struct err *e);
/* The same where SRI is a single digest as integrity_print() writes it; false for any other text. */
bool integrity_plain(struct digest *out, str sri);
/* "sha512-<base64>". */
str integrity_print(const struct digest *d, struct arena *a);
/* Whether both are of the same algorithm, and equal. */
bool digest_eq(const struct digest *a, const struct digest *b);

/* Streaming, over libcrypto, which the first one loads. For what is whole: sha256(). */
struct hasher;
/* Whether there is a libcrypto: ERR_UNSUPPORTED. Asked by whoever will need one and can still leave off in good
 * order; else the process ends. */
MUST_USE int hasher_ready(struct err *e);
/* ALG is none of DIGEST_NONE. hasher_ready() says first whether it can be had. */
struct hasher *hasher_new(enum digest_alg alg);
void hasher_add(struct hasher *h, const void *p, size_t n);
/* Finishes; H can be used again from the start. */
void hasher_end(struct hasher *h, struct digest *out);
void hasher_free(struct hasher *h);

/* Of what lies in memory whole, without libcrypto. */
void sha256(uint8_t out[32], const void *p, size_t n);
/* Lower-case hex of N bytes into 2*N+1 bytes of OUT. */
void hex_print(char *out, const uint8_t *p, size_t n);
/* N bytes of just 2*N hex digits, of either case. */
bool hex_read(uint8_t *out, size_t n, str hex);
/* Base64 with padding. */
str base64_print(const uint8_t *p, size_t n, struct arena *a);
/* Bytes written, or -1; accepts missing padding. OUT holds CAP bytes. */
ptrdiff_t base64_read(uint8_t *out, size_t cap, str s);
