/* A body that breaks off goes on where it did: what is asked, what is appended, and what starts over. */
/* ctest label: threads */
#include "http.h"
#include "registry.h"
#include "test_server.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { BODY = 100000, LARGE = 5 << 20 };

/* How the server of one case answers. */
struct way {
	const char *name;
	const char *etag;
	/* A range is answered so: "rest" (or "rest*": of unknown length), "whole", "416", "shifted", "short", "longer",
	 * "bare"; "stuck": whole, and broken off as at first. */
	const char *answer;
	unsigned cuts, failures;                      /* so often it breaks off; and then so many 503 */
	bool chunked;                                 /* the first answer states no length */
	unsigned requests, voided, ranges, if_ranges; /* what is to be seen */
};
struct rig {
	const struct way *way;
	size_t size, cut; /* of the body; bytes of an answer that breaks off */
	unsigned requests, ranges, if_ranges;
	/* of the client's side */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int code;
	unsigned voided, lengths, agains;
	uint64_t length, received;
	struct buf body;
};

static char byte_at(size_t i)
{
	return (char)(i * 31 + i / 251 % 127);
}

static void put_body(struct buf *b, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		buf_addc(b, byte_at(i));
}

static bool is(const struct way *w, const char *answer)
{
	return w->answer && strcmp(w->answer, answer) == 0;
}

/* The part from FROM on, as the case has it. */
static void put_part(struct rig *rig, struct reply *r, size_t from, size_t end)
{
	const struct way *w = rig->way;
	size_t at = is(w, "shifted") ? from + 1 : from, stop = is(w, "short") ? from + 1 : rig->size,
	       of = is(w, "longer") ? rig->size + 1 : rig->size;

	buf_printf(&r->bytes, "HTTP/1.1 206 X\r\nContent-Length: %zu\r\n", stop - from);
	if (is(w, "rest*"))
		buf_printf(&r->bytes, "Content-Range: bytes %zu-%zu/*\r\n", at, stop - 1);
	else if (!is(w, "bare"))
		buf_printf(&r->bytes, "Content-Range: bytes %zu-%zu/%zu\r\n", at, stop - 1, of);
	buf_add(&r->bytes, STR("\r\n"));
	put_body(&r->bytes, from, stop < end ? stop : end);
}

static void answer(void *arg, struct reply *r, const struct seen *q)
{
	struct rig *rig = arg;
	const struct way *w = rig->way;
	str range = header_of(q, "range"), digits;
	uint64_t from = 0;

	rig->requests++;
	rig->ranges += range.n > 0;
	rig->if_ranges += header_of(q, "if-range").n > 0;
	if (range.n) {
		assert_true(str_starts(range, STR("bytes=")) && str_ends(range, STR("-")));
		digits = str_from(range, 6);
		assert_true(str_u64(str_head(digits, digits.n - 1), &from));
	}
	if (q->nth >= w->cuts && q->nth < w->cuts + w->failures) {
		reply_text(r, 503, "", STR("{}"));
		return;
	}
	bool cut = q->nth < w->cuts;
	size_t end = cut && from + rig->cut < rig->size ? from + rig->cut : rig->size;
	r->close = cut;
	if (range.n && is(w, "416")) {
		reply_text(r, 416, "", STR_NONE);
	} else if (range.n && !is(w, "whole") && !is(w, "stuck")) {
		put_part(rig, r, from, end);
	} else {
		buf_printf(&r->bytes, "HTTP/1.1 200 X\r\n");
		if (w->etag)
			buf_printf(&r->bytes, "ETag: %s\r\n", w->etag);
		if (w->chunked)
			buf_printf(&r->bytes, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", rig->size);
		else
			buf_printf(&r->bytes, "Content-Length: %zu\r\n\r\n", rig->size);
		bool whole = range.n && !is(w, "stuck");
		put_body(&r->bytes, 0, whole ? rig->size : is(w, "stuck") ? rig->cut : end);
		r->close = cut && !whole;
		if (w->chunked && end == rig->size)
			buf_add(&r->bytes, STR("\r\n0\r\n\r\n"));
	}
}

static ptrdiff_t on_data(void *arg, const void *p, size_t n)
{
	struct rig *rig = arg;

	if (!p) {
		rig->voided++;
		buf_clear(&rig->body);
		return 0;
	}
	buf_add(&rig->body, (str){ p, n });
	return (ptrdiff_t)n;
}

static void on_length(void *arg, uint64_t n)
{
	struct rig *rig = arg;

	rig->lengths++;
	rig->length = n;
}

static void finish(struct rig *rig, int code, uint64_t received)
{
	pthread_mutex_lock(&rig->lock);
	rig->done = true;
	rig->code = code;
	rig->received = received;
	pthread_cond_broadcast(&rig->cond);
	pthread_mutex_unlock(&rig->lock);
}

static void on_done(void *arg, int code, const struct http_response *r, str body, const struct err *e)
{
	(void)body, (void)e;
	finish(arg, code == 0 && r->status / 100 != 2 ? ERR_NET : code, r->received);
}

static int64_t on_again(void *arg, int code, const struct http_response *r, str body, struct err *e)
{
	struct rig *rig = arg;

	(void)body, (void)e;
	return (code != 0 || r->status / 100 != 2) && rig->agains++ < 20 ? 1 : -1;
}

static void rig_wait(struct rig *rig)
{
	pthread_mutex_lock(&rig->lock);
	while (!rig->done)
		pthread_cond_wait(&rig->cond, &rig->lock);
	pthread_mutex_unlock(&rig->lock);
}

static void body_is_right(const struct rig *rig)
{
	assert_int_equal(rig->body.n, rig->size);
	for (size_t i = 0; i < rig->size; i++) {
		if (rig->body.p[i] != byte_at(i))
			fail_msg("%s: byte %zu is wrong", rig->way->name, i);
	}
}

static struct http *client(void)
{
	struct http_opts o = { .private_addresses = true, .proxy = "", .stall_timeout_ms = 60000 };
	struct http *h;
	struct err e;

	assert_int_equal(http_new(&h, &o, &e), 0);
	return h;
}

static void test_ways(void **state)
{
	static const struct way row[] = {
		{ .name = "goes on", .etag = "\"a\"", .cuts = 3, .requests = 4, .ranges = 3, .if_ranges = 3 },
		{ .name = "no ETag", .cuts = 2, .requests = 3, .ranges = 2 },
		{ .name = "weak ETag", .etag = "W/\"a\"", .cuts = 1, .requests = 2, .ranges = 1 },
		{ .name = "trouble between",
			.etag = "\"a\"",
			.cuts = 1,
			.failures = 2,
			.requests = 4,
			.ranges = 3,
			.if_ranges = 3 },
		{ .name = "length unknown, as before", .answer = "rest*", .cuts = 1, .requests = 2, .ranges = 1 },
		{ .name = "length unknown, first told then", .chunked = true, .cuts = 1, .requests = 2, .ranges = 1 },
		{ .name = "length never known",
			.chunked = true,
			.answer = "rest*",
			.cuts = 1,
			.requests = 3,
			.ranges = 1,
			.voided = 1 },
		{ .name = "ranges are not known",
			.answer = "whole",
			.cuts = 1,
			.requests = 2,
			.ranges = 1,
			.voided = 1 },
		{ .name = "not to be satisfied", .answer = "416", .cuts = 1, .requests = 3, .ranges = 1, .voided = 1 },
		{ .name = "another place", .answer = "shifted", .cuts = 1, .requests = 3, .ranges = 1, .voided = 1 },
		{ .name = "not all of the rest",
			.answer = "short",
			.cuts = 1,
			.requests = 3,
			.ranges = 1,
			.voided = 1 },
		{ .name = "of another length", .answer = "longer", .cuts = 1, .requests = 3, .ranges = 1, .voided = 1 },
		{ .name = "says no place", .answer = "bare", .cuts = 1, .requests = 3, .ranges = 1, .voided = 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rig rig = { .way = &row[i],
			.size = BODY,
			.cut = 30000,
			.lock = PTHREAD_MUTEX_INITIALIZER,
			.cond = PTHREAD_COND_INITIALIZER };
		struct server s;
		server_start(&s, answer, &rig);
		struct http *h = client();
		http_start(h, &(struct http_request){ .url = server_url(&s, "/t.tgz"),
				      .data = on_data,
				      .length = on_length,
				      .again = on_again,
				      .done = on_done,
				      .resume = true,
				      .arg = &rig });
		rig_wait(&rig);
		http_free(h);
		server_stop(&s);
		if (rig.code != 0 || rig.requests != row[i].requests || rig.ranges != row[i].ranges ||
			rig.if_ranges != row[i].if_ranges || rig.voided != row[i].voided)
			fail_msg("%s: code %d, %u requests, %u ranges, %u If-Range, %u times void", row[i].name,
				rig.code, rig.requests, rig.ranges, rig.if_ranges, rig.voided);
		body_is_right(&rig);
		assert_int_equal(rig.received, BODY);
		assert_true(row[i].chunked || (rig.lengths == 1 + rig.voided && rig.length == BODY));
		buf_release(&rig.body);
	}
}

/* Without being asked to, nothing goes on; and the limit holds for all parts together. */
static void test_not_asked_and_limits(void **state)
{
	static const struct way way = { .name = "plain", .cuts = 2 };

	(void)state;
	for (int limited = 0; limited < 2; limited++) {
		struct rig rig = { .way = &way,
			.size = BODY,
			.cut = 30000,
			.lock = PTHREAD_MUTEX_INITIALIZER,
			.cond = PTHREAD_COND_INITIALIZER };
		struct server s;
		server_start(&s, answer, &rig);
		struct http *h = client();
		http_start(h, &(struct http_request){ .url = server_url(&s, "/t.tgz"),
				      .data = on_data,
				      .again = limited ? NULL : on_again,
				      .done = on_done,
				      .max_body = limited ? BODY - 1 : 0,
				      .resume = limited,
				      .arg = &rig });
		rig_wait(&rig);
		http_free(h);
		server_stop(&s);
		assert_int_equal(rig.code, limited ? ERR_TOOBIG : 0);
		assert_int_equal(rig.ranges, 0);
		assert_int_equal(rig.voided, limited ? 0 : 2);
		buf_release(&rig.body);
	}
}

static void on_tarball(void *arg, int code, uint64_t bytes, const struct err *e)
{
	(void)e;
	finish(arg, code, bytes);
}

/* A tarball whose every answer breaks off after more than 1 MiB arrives all the same, with one retry allowed; one that
 * brings hardly anything each time does not, nor one that starts over and gets no further. */
static void test_progress_is_no_failure(void **state)
{
	static const struct way ways[] = { { .name = "far", .cuts = 3 }, { .name = "hardly", .cuts = 3 },
		{ .name = "stuck", .answer = "stuck", .cuts = 1000 } };

	(void)state;
	for (int k = 0; k < 3; k++) {
		struct rig rig = { .way = &ways[k],
			.size = LARGE,
			.cut = k == 1 ? 1000 : (1 << 20) + (1 << 19),
			.lock = PTHREAD_MUTEX_INITIALIZER,
			.cond = PTHREAD_COND_INITIALIZER };
		struct registry_opts ro = { .retries = 1, .retry_min_ms = 1, .retry_max_ms = 2 };
		struct registry *r;
		struct server s;
		struct err e;
		server_start(&s, answer, &rig);
		struct http *h = client();
		assert_int_equal(registry_new(&r, h, &ro, &e), 0);
		registry_tarball(r, &(struct registry_tarball){ .url = server_url(&s, "/t.tgz"),
					    .name = STR("t"),
					    .data = on_data,
					    .length = on_length,
					    .done = on_tarball,
					    .arg = &rig });
		rig_wait(&rig);
		http_free(h);
		registry_free(r);
		server_stop(&s);
		assert_int_equal(rig.code, k ? ERR_NET : 0);
		if (!k) {
			assert_int_equal(rig.requests, 4);
			assert_int_equal(rig.voided, 0);
			body_is_right(&rig);
		}
		buf_release(&rig.body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_not_asked_and_limits),
		cmocka_unit_test(test_progress_is_no_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
