/* Answers that consist of packs, and where they are found. The wire: proto/packs_wire.h. */
#include "base/clock.h"
#include "integrity.h"
#include "packs.h"
#include "route.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* An answer that consists of packs: one buffer, filled from their files as the client takes it, one send in flight.
 * Belongs to the request's pool; stream_dispose() runs whichever way the request ends. */
struct packs_stream {
	h2o_generator_t gen; /* first: h2o gives it back to us */
	struct loop *loop;
	struct packs_stream *next, **link; /* of the loop's */
	h2o_req_t *req;
	int64_t send_ms; /* since when its peer has something to take; 0: nothing was sent */
	struct packs *packs;
	uint8_t *ask; /* rows; NULL for one static object */
	size_t nask, at;
	int fd; /* of the pack that is being sent; -1: none */
	uint64_t from, left;
	char *buf; /* of the largest piece so far */
	size_t room;
	uint64_t sent, bytes, absent;
};
/* Bytes in a piece. Few streams: the fewer system calls the better. With many, pieces of the size of a frame: all
 * buffers together stay in the processor's cache on their way from the page cache to the socket, or each byte comes
 * from memory three times. */
enum { CHUNK = 64 * 1024, CHUNK_MANY = 16 * 1024, FEW = 4, STREAM_FAILED = -1 };

static void stream_dispose(void *arg)
{
	struct packs_stream *s = arg;

	if (s->fd >= 0)
		close(s->fd);
	free(s->buf);
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	s->loop->njobs--;
	packs_count_sent(s->packs, s->sent, s->bytes, s->absent);
}

static struct packs_stream *stream_new(h2o_req_t *req, struct packs *p)
{
	struct packs_stream *s = h2o_mem_alloc_shared(&req->pool, sizeof(*s), stream_dispose);

	memset(s, 0, sizeof(*s));
	s->loop = req_loop(req);
	s->packs = p;
	s->fd = -1;
	s->req = req;
	s->loop->njobs++; /* a drain waits for it */
	s->next = s->loop->streams;
	s->link = &s->loop->streams;
	s->loop->streams = s;
	if (s->next)
		s->next->link = &s->next;
	return s;
}

/* The next row's head into TO; opens its file. */
static void stream_next(struct packs_stream *s, struct buf *head)
{
	uint8_t digest[32];
	uint64_t from = packs_row_get(digest, s->ask + s->at++ * PACKS_ROW), size = 0;

	s->fd = packs_open(s->packs, digest, &size);
	if (s->fd >= 0 && from > size) {
		close(s->fd);
		s->fd = -1;
	}
	s->from = from;
	s->left = s->fd < 0 ? 0 : size - from;
	s->sent += s->fd >= 0;
	s->absent += s->fd < 0;
	packs_row_put(head, digest, s->fd < 0 ? PACKS_ABSENT : s->left);
}

/* How much the next piece may have; the buffer is as large. One object needs no more than itself. */
static size_t stream_room(struct packs_stream *s)
{
	size_t n = s->loop->njobs > FEW ? CHUNK_MANY : CHUNK;

	if (!s->ask && s->left < n)
		n = (size_t)s->left;
	if (n > s->room) {
		free(s->buf);
		s->buf = xmalloc(n);
		s->room = n;
	}
	return n;
}

/* As much of S as a piece takes. Negative: a file that was there cannot be read. */
static ptrdiff_t stream_fill(struct packs_stream *s)
{
	AUTO(buf_release) struct buf head = BUF_INIT;
	size_t n = 0, most = stream_room(s);

	while (n < most) {
		if (s->left == 0) {
			if (s->fd >= 0)
				close(s->fd);
			s->fd = -1;
			if (s->at == s->nask || most - n < PACKS_ROW)
				break;
			buf_clear(&head);
			stream_next(s, &head);
			memcpy(s->buf + n, head.p, head.n);
			n += head.n;
			continue;
		}
		size_t room = most - n < s->left ? most - n : (size_t)s->left;
		ssize_t got = pread(s->fd, s->buf + n, room, (off_t)s->from);
		if (got == 0 || (got < 0 && errno != EINTR)) /* 0: it became shorter */
			return STREAM_FAILED;
		s->from += got > 0 ? (uint64_t)got : 0;
		s->left -= got > 0 ? (uint64_t)got : 0;
		n += got > 0 ? (size_t)got : 0;
	}
	s->bytes += n;
	return (ptrdiff_t)n;
}

static void on_proceed(h2o_generator_t *gen, h2o_req_t *req)
{
	struct packs_stream *s = (struct packs_stream *)gen;
	ptrdiff_t n = stream_fill(s);
	bool last = s->left == 0 && s->at == s->nask;
	h2o_iovec_t v = h2o_iovec_init(s->buf, n < 0 ? 0 : (size_t)n);

	s->send_ms = clock_ms();
	if (n >= 0 && last)
		answer_whole(req, s->bytes);
	h2o_send(req, &v, v.len ? 1 : 0,
		n < 0  ? H2O_SEND_STATE_ERROR
		: last ? H2O_SEND_STATE_FINAL
		       : H2O_SEND_STATE_IN_PROGRESS);
}

static void on_stop(h2o_generator_t *gen, h2o_req_t *req)
{
	(void)gen;
	count_reset(req); /* the pool disposes */
}

static void stream_start(h2o_req_t *req, struct packs_stream *s)
{
	s->gen = (h2o_generator_t){ on_proceed, on_stop };
	h2o_start_response(req, &s->gen);
	on_proceed(&s->gen, req);
}

/* The last piece, too, is with the peer until the request's pool is disposed of. */
void h_packs_tick(struct loop *l, int64_t now_ms)
{
	int64_t most = (int64_t)l->s->config->stall_s * 1000;

	for (struct packs_stream *s = l->streams; s; s = s->next) {
		if (!s->send_ms || now_ms - s->send_ms < most)
			continue;
		stalled(s->req, now_ms - s->send_ms);
		s->send_ms = now_ms;
	}
}

static void header_type(h2o_req_t *req, const char *type)
{
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
}

/* Also who asks, to be released by the caller. NULL: REQ has been answered. */
static struct packs *packs_here(struct identity **who, h2o_req_t *req)
{
	const struct backend *b = req_loop(req)->s->backend;
	struct packs *p = b->packs ? b->packs(b->ctx) : NULL;

	if (!p)
		answer_status(req, 404, ERR_UNSUPPORTED, "this server makes no packs");
	return p && admit(who, req) ? p : NULL;
}

int h_packs(h2o_req_t *req)
{
	AUTO(identity_drop) struct identity *who = NULL;
	struct packs *p = packs_here(&who, req);
	const uint8_t *rows;
	size_t n;
	struct err e;

	if (!p)
		return 0;
	str body = { req->entity.base, req->entity.len };
	if (packs_body(&rows, &n, body, STR(PACKS_MAGIC), PACKS_ROW, PACKS_MOST, &e) < 0) {
		answer_error(req, &e);
		return 0;
	}
	struct packs_stream *s = stream_new(req, p);
	s->ask = h2o_mem_alloc_pool(&req->pool, n * PACKS_ROW + 1);
	if (n)
		memcpy(s->ask, rows, n * PACKS_ROW);
	s->nask = n;
	for (size_t i = 0; i < n; i++) {
		uint8_t *row = s->ask + i * PACKS_ROW;
		if (!packs_allowed(p, row, who))
			memset(row, 0, 32); /* nothing has this digest: absent, as if it did not exist */
	}
	req->res.status = 200;
	req->res.reason = "";
	header_type(req, PACKS_TYPE);
	stream_start(req, s);
	return 0;
}

int h_packs_find(h2o_req_t *req)
{
	static const uint8_t none[32];
	AUTO(buf_release) struct buf out = BUF_INIT;
	AUTO(identity_drop) struct identity *who = NULL;
	struct packs *p = packs_here(&who, req);
	const uint8_t *row;
	size_t n;
	struct err e;

	if (!p)
		return 0;
	str body = { req->entity.base, req->entity.len };
	bool from = str_starts(body, STR(PACKS_FROM_MAGIC)), old = str_starts(body, STR(PACKS_FROM_OLD_MAGIC));
	str magic = from ? STR(PACKS_FROM_MAGIC) : old ? STR(PACKS_FROM_OLD_MAGIC) : STR(PACKS_FIND_MAGIC);
	size_t width = from || old ? 2 * PACKS_KEY : PACKS_KEY;
	if (packs_body(&row, &n, body, magic, width, PACKS_MOST_KEYS, &e) < 0) {
		answer_error(req, &e);
		return 0;
	}
	struct pack_found *found = xcalloc(n + 1, sizeof(*found)); /* not the pool's, held until all is sent */
	packs_find_all(p, found, row, n, width, from);
	for (size_t i = 0; i < n; i++) {
		bool ok = found[i].size && packs_allowed(p, found[i].digest, who);
		packs_row_put(&out, ok ? found[i].digest : none, ok ? found[i].size : 0);
	}
	free(found);
	answer_text(req, 200, PACKS_FIND_TYPE, buf_str(&out));
	return 0;
}

/* -- one pack as a static object ---------------------------------------------------- */

/* "bytes=a-b", "bytes=a-", "bytes=-n": one range. 0: none to honour, 1: FROM and LEFT are set, -1: cannot be
 * satisfied. RFC 9110 14.1.2. */
static int range_read(str v, uint64_t size, uint64_t *from, uint64_t *left)
{
	str first, last;
	uint64_t a, b;

	if (!str_starts(v, STR("bytes=")) || str_find(v, ',', 0) != SIZE_MAX ||
		!str_cut(str_from(v, 6), '-', &first, &last))
		return 0;
	if (first.n == 0) {
		if (!str_u64(last, &b))
			return 0;
		if (b == 0)
			return -1;
		*left = b < size ? b : size;
		*from = size - *left;
		return 1;
	}
	if (!str_u64(first, &a) || (last.n && (!str_u64(last, &b) || b < a)))
		return 0;
	if (a >= size)
		return -1;
	*from = a;
	*left = last.n && b < size - 1 ? b - a + 1 : size - a;
	return 1;
}

static str request_header(h2o_req_t *req, const h2o_token_t *token)
{
	ssize_t i = h2o_find_header(&req->headers, token, -1);

	return i < 0 ? STR_NONE : (str){ req->headers.entries[i].value.base, req->headers.entries[i].value.len };
}

static void constant_header(h2o_req_t *req, const h2o_token_t *name, str value)
{
	h2o_add_header(&req->pool, &req->res.headers, name, NULL, value.p, value.n);
}

/* Whether all who reach this server may have everything: only then may caches between keep for
 * others what one of them got. */
static bool is_public(h2o_req_t *req, const struct identity *who)
{
	return !who->name.n && !identity_restricted(who) && !req_loop(req)->s->config->tls_client_ca.n;
}

static void object_headers(h2o_req_t *req, const struct identity *who, str hex)
{
	char *etag = h2o_mem_alloc_pool(&req->pool, 66);

	etag[0] = etag[65] = '"';
	memcpy(etag + 1, hex.p, 64);
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ETAG, NULL, etag, 66);
	constant_header(req, H2O_TOKEN_CACHE_CONTROL,
		is_public(req, who) ? STR("public, max-age=31536000, immutable")
				    : STR("private, max-age=31536000, immutable"));
	constant_header(req, H2O_TOKEN_ACCEPT_RANGES, STR("bytes"));
}

static void object_send(h2o_req_t *req, struct packs_stream *s, uint64_t size, const struct identity *who, str hex)
{
	char text[64];
	uint64_t from = 0, left = size;
	int range = range_read(request_header(req, H2O_TOKEN_RANGE), size, &from, &left);

	if (range < 0) { /* without what lets caches keep the pack: they would keep this under its name */
		snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)size);
		answer_header(req, "content-range", str_of(text));
		answer_status(req, 416, ERR_USAGE, "the range is outside of the pack");
		return;
	}
	object_headers(req, who, hex);
	if (range > 0) {
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)from,
			(unsigned long long)(from + left - 1), (unsigned long long)size);
		answer_header(req, "content-range", str_of(text));
	}
	s->from = from;
	s->left = left;
	s->sent = 1;
	req->res.status = range ? 206 : 200;
	req->res.reason = "";
	req->res.content_length = left;
	header_type(req, "application/octet-stream");
	stream_start(req, s);
}

int h_pack(h2o_req_t *req)
{
	static const char prefix[] = "/v1/packs/";
	AUTO(identity_drop) struct identity *who = NULL;
	struct packs *p = packs_here(&who, req);
	size_t end = req->query_at == SIZE_MAX ? req->path.len : req->query_at;
	str hex = { req->path.base + sizeof(prefix) - 1, end - (sizeof(prefix) - 1) };
	uint8_t digest[32];
	uint64_t size;

	if (!p)
		return 0;
	if (hex.n != 64 || !hex_read(digest, 32, hex) || !packs_allowed(p, digest, who)) {
		return answer_status(req, 404, ERR_NOTFOUND, "no such pack");
	}
	int fd = packs_open(p, digest, &size);
	if (fd < 0) {
		return answer_status(req, 404, ERR_NOTFOUND, "no such pack");
	}
	struct packs_stream *s = stream_new(req, p);
	s->fd = fd;
	str match = request_header(req, H2O_TOKEN_IF_NONE_MATCH);
	if (match.n == 66 && memcmp(match.p + 1, hex.p, 64) == 0) {
		object_headers(req, who, hex);
		req->res.status = 304;
		req->res.reason = "";
		h2o_send_inline(req, NULL, 0);
		return 0;
	}
	object_send(req, s, size, who, hex);
	return 0;
}
