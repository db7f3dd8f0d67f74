/* The packuments of surface.h, as documents: made of JSON, kept in memory as they are sent, and on disk as received.
 * surface_fetch.c asks for them. */
#include "base/clock.h"
#include "fs.h"
#include "integrity.h"
#include "log.h"
#include "npm_rewrite.h"
#include "surface_impl.h"
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_KEPT = 300 << 20 };

/* ---- documents ---- */

void doc_release(struct doc *d)
{
	if (!d || atomic_fetch_sub(&d->refs, 1) != 1)
		return;
	free(d->gz);
	free(d->validator);
	free(d->record);
	free(d);
}

static size_t doc_bytes(const struct doc *d)
{
	return sizeof(*d) + d->n + d->nrecord;
}

static unsigned bucket_of(const uint8_t key[32])
{
	return (key[0] | (unsigned)key[1] << 8) % DOC_BUCKETS;
}

struct doc *doc_find(struct surface *s, const uint8_t key[32])
{
	for (struct doc *d = s->bucket[bucket_of(key)]; d; d = d->next) {
		if (memcmp(d->key, key, 32) == 0)
			return d;
	}
	return NULL;
}

void doc_used(struct surface *s, struct doc *d)
{
	lru_use(&s->by_use, d);
}

void doc_remove(struct surface *s, const uint8_t key[32])
{
	struct doc **at = &s->bucket[bucket_of(key)];

	while (*at && memcmp((*at)->key, key, 32) != 0)
		at = &(*at)->next;
	struct doc *d = *at;
	if (!d)
		return;
	*at = d->next;
	lru_remove(&s->by_use, d);
	s->doc_bytes -= doc_bytes(d);
	doc_release(d);
}

void docs_add(struct surface *s, struct doc *d)
{
	doc_remove(s, d->key);
	atomic_fetch_add(&d->refs, 1);
	d->next = s->bucket[bucket_of(d->key)];
	s->bucket[bucket_of(d->key)] = d;
	lru_add(&s->by_use, d);
	s->doc_bytes += doc_bytes(d);
	while (s->doc_bytes > DOC_MEMORY && s->by_use.oldest)
		doc_remove(s, s->by_use.oldest->key);
}

void docs_free(struct surface *s)
{
	for (unsigned i = 0; i < DOC_BUCKETS; i++) {
		while (s->bucket[i])
			doc_remove(s, s->bucket[i]->key);
	}
	while (s->up) {
		struct doc_upstream *up = s->up;
		s->up = up->next;
		free(up);
	}
}

int doc_make(struct doc **out, const uint8_t key[32], str json, str validator, str name, str base, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT, record = BUF_INIT;
	uint8_t sha[32];
	char hex[65];

	if (npm_rewrite(&text, json, base, name, e) < 0 || packument_compile(&record, json, name, e) < 0)
		return err_ctx(e, "package " STR_FMT, STR_ARG(name));
	struct doc *d = xcalloc(1, sizeof(*d));
	struct libdeflate_compressor *z = libdeflate_alloc_compressor(4);
	if (!z)
		die_oom(0);
	size_t room = libdeflate_gzip_compress_bound(z, text.n);
	d->gz = xmalloc(room);
	d->n = libdeflate_gzip_compress(z, text.p, text.n, d->gz, room);
	libdeflate_free_compressor(z);
	d->gz = xrealloc(d->gz, d->n + 1);
	d->plain = text.n;
	sha256(sha, text.p, text.n);
	hex_print(hex, sha, 32);
	snprintf(d->etag, sizeof(d->etag), "\"%.32s\"", hex);
	d->validator = xstrndup(validator);
	d->nrecord = record.n;
	d->record = (uint8_t *)buf_steal(&record, &room);
	memcpy(d->key, key, 32);
	atomic_init(&d->refs, 1);
	*out = d;
	return 0;
}

/* ---- as received, on disk: validator, "\n" and the body ---- */

void kept_release(struct kept *k)
{
	buf_release(&k->file);
	buf_release(&k->plain);
}

bool kept_read(struct kept *k, struct surface *s, const uint8_t key[32])
{
	uint64_t size;
	struct err e;
	str head, body;
	int fd = blobs_open(s->blobs, key, &size);

	if (fd < 0 || size > MAX_KEPT) {
		fs_close(fd);
		return false;
	}
	char *to = buf_reserve(&k->file, (size_t)size + 1);
	while (k->file.n < size) {
		ssize_t n = pread(fd, to + k->file.n, (size_t)size - k->file.n, (off_t)k->file.n);
		if (n <= 0)
			break;
		k->file.n += (size_t)n;
	}
	fs_close(fd);
	if (k->file.n < size || !str_cut(buf_str(&k->file), '\n', &head, &body))
		return false;
	if (registry_decode(&k->plain, body, true, &e) < 0) {
		blobs_remove(s->blobs, key); /* spoiled: fetched again */
		return false;
	}
	k->validator = head;
	k->json = buf_str(&k->plain);
	return true;
}

void kept_validator(char out[MAX_VALIDATOR + 1], struct surface *s, const uint8_t key[32])
{
	char line[MAX_VALIDATOR + 1];
	uint64_t size;
	str validator, rest;
	int fd = blobs_open(s->blobs, key, &size);
	ssize_t n = fd < 0 ? 0 : pread(fd, line, sizeof(line), 0);

	out[0] = 0;
	fs_close(fd);
	if (n > 0 && str_cut((str){ line, (size_t)n }, '\n', &validator, &rest))
		snprintf(out, MAX_VALIDATOR + 1, STR_FMT, STR_ARG(validator));
}

bool kept_write(struct surface *s, const uint8_t key[32], str validator, str raw, bool gzip)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct err e;

	if (validator.n > MAX_VALIDATOR || str_find(validator, '\n', 0) != SIZE_MAX)
		validator = STR_NONE;
	buf_add(&b, validator);
	buf_addc(&b, '\n');
	if (gzip) {
		buf_add(&b, raw);
	} else {
		struct libdeflate_compressor *z = libdeflate_alloc_compressor(1);
		if (!z)
			die_oom(0);
		size_t room = libdeflate_gzip_compress_bound(z, raw.n);
		b.n += libdeflate_gzip_compress(z, raw.p, raw.n, buf_reserve(&b, room), room);
		libdeflate_free_compressor(z);
	}
	int rc = blobs_put(s->blobs, key, buf_str(&b), &e);
	if (rc < 0)
		log_debug("registry", "kept=0 message=\"%s\"", e.msg);
	return rc == 0;
}

/* ---- bases ---- */

void surface_base(str *out, struct surface *s, str base, char to[SURFACE_BASE_MAX])
{
	struct doc_host *at = NULL, *idle = NULL;
	int64_t now = clock_ms();

	lock_timed(&s->lock, s->o.lock_waits);
	for (size_t i = 0; i < HOSTS_MOST && !at; i++) {
		struct doc_host *h = &s->host[i];
		if (str_eq(str_of(h->base), base))
			at = h;
		else if (!idle && (!h->base[0] || now - h->used_ms >= HOST_MS))
			idle = h;
	}
	bool told = s->n.doc_rewritten > 0;
	if (!at && idle && base.n < HOST_MAX) {
		snprintf(idle->base, sizeof(idle->base), STR_FMT, STR_ARG(base));
		at = idle;
	}
	if (at)
		at->used_ms = now;
	else
		s->n.doc_rewritten++;
	snprintf(to, SURFACE_BASE_MAX, "%s", at ? at->base : s->host[0].base);
	pthread_mutex_unlock(&s->lock);
	*out = str_of(to);
	if (!at && !told)
		log_warn("registry",
			"hosts=%d: clients reach this server by more names than that; packuments are rewritten for each request of the others: set public-url",
			HOSTS_MOST);
}

/* ---- for who takes no gzip ---- */

static struct doc_plain *plain_unpack(const struct doc *d)
{
	struct libdeflate_decompressor *z = libdeflate_alloc_decompressor();
	struct doc_plain *p = xmalloc(sizeof(*p) + d->plain);

	if (!z)
		die_oom(0);
	p->n = p->held = d->plain;
	if (libdeflate_gzip_decompress(z, d->gz, d->n, p->p, d->plain, NULL) != LIBDEFLATE_SUCCESS)
		abort(); /* we compressed it */
	libdeflate_free_decompressor(z);
	return p;
}

/* Takes P. */
static struct doc_plain *plain_rewrite(struct doc_plain *p, str base, str name)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct err e;

	if (npm_rewrite(&text, (str){ p->p, p->n }, base, name, &e) < 0)
		abort(); /* we wrote it */
	size_t held = p->held;
	free(p);
	p = xmalloc(sizeof(*p) + text.n);
	p->n = text.n;
	p->held = held;
	memcpy(p->p, text.p, text.n);
	return p;
}

int doc_plain_new(struct doc_plain **out, struct surface *s, const struct doc *d, str base, str name, struct err *e)
{
	uint64_t others = atomic_fetch_add(&s->plain, d->plain);

	if (others && others + d->plain > PLAIN_MOST) { /* the first one may be of any size */
		atomic_fetch_sub(&s->plain, d->plain);
		return err_set(e, ERR_BUSY,
			"%llu bytes of packuments are being sent without gzip; accept it, or come later",
			(unsigned long long)others);
	}
	struct doc_plain *p = plain_unpack(d);
	if (base.n)
		p = plain_rewrite(p, base, name);
	p->s = s;
	*out = p;
	return 0;
}

void doc_plain_release(struct doc_plain *p)
{
	if (!p)
		return;
	atomic_fetch_sub(&p->s->plain, p->held);
	free(p);
}
