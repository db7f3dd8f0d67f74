/* tgz — tarballs made in memory for tests, well-formed or not. */
#pragma once
#include "base/base.h"
#include "integrity.h"
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>

static inline void tar_sum(char h[512])
{
	unsigned sum = 0;

	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
}

/* A header of TYPE and SIZE as stated, followed by DATA (padded). */
static inline void tar_put(struct buf *t, const char *name, char type, unsigned mode, uint64_t size, str data)
{
	char h[512] = { 0 };

	snprintf(h, 100, "%.99s", name);
	snprintf(h + 100, 8, "%07o", mode);
	snprintf(h + 124, 12, "%011llo", (unsigned long long)(size & 077777777777)); /* as many digits as fit */
	h[156] = type;
	memcpy(h + 257, "ustar\00000", 8);
	tar_sum(h);
	buf_add(t, (str){ h, 512 });
	buf_add(t, data);
	while (t->n % 512)
		buf_addc(t, 0);
}

static inline void tar_file(struct buf *t, const char *name, const char *text)
{
	tar_put(t, name, '0', 0644, strlen(text), str_of(text));
}

static inline void tar_close(struct buf *t)
{
	static const char zero[1024];

	buf_add(t, (str){ zero, sizeof(zero) });
}

/* T gzipped; T is emptied. */
static inline struct buf tgz(struct buf *t)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
	struct buf z = BUF_INIT;
	size_t room = libdeflate_gzip_compress_bound(c, t->n);
	char *to = buf_reserve(&z, room);

	z.n = libdeflate_gzip_compress(c, t->p ? t->p : "", t->n, to, room);
	libdeflate_free_compressor(c);
	buf_release(t);
	return z;
}

static inline str tgz_sri(const struct buf *z, struct arena *a)
{
	struct hasher *h = hasher_new(DIGEST_SHA512);
	struct digest d;

	hasher_add(h, z->p, z->n);
	hasher_end(h, &d);
	hasher_free(h);
	return integrity_print(&d, a);
}
