/* Bytes as a plan stream. Property: what was read, encoded and read again encodes to the same bytes, also by way of
 * columns. Input is the stream before compression, so that the fuzzer reaches what lies behind zstd; one leading byte
 * chooses plain or compressed. */
#include "accepted.h"
#include "frame.h"
#include "plan_wire.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int again(void *ctx, const struct frame *f, struct err *e)
{
	int rc = plan_writer_add(ctx, f, e);

	if (rc < 0 && rc != ERR_TOOBIG)
		abort(); /* what was read can be written */
	return rc;
}

static int ignore(void *ctx, const struct frame *f, struct err *e)
{
	(void)ctx;
	(void)f;
	(void)e;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct err e = { 0 };
	AUTO(buf_release) struct buf in = BUF_INIT;
	AUTO(buf_release) struct buf one = BUF_INIT;
	AUTO(buf_release) struct buf two = BUF_INIT;

	if (n == 0)
		return 0;
	if (data[0] & 1)
		buf_add(&in, (str){ (const char *)data + 1, n - 1 });
	else
		frame_pack(&in, (str){ (const char *)data + 1, n - 1 }, 1);
	AUTO(buf_release) struct buf columns = BUF_INIT;
	struct plan_writer *w1 = plan_writer_new(1), *w2 = plan_writer_new(1), *w3 = plan_writer_new(1);
	plan_writer_columns(w3);
	if (plan_decode(buf_str(&in), again, w1, &e) == 0) {
		if (plan_writer_take(w1, &one, true, &e) < 0 || plan_decode(buf_str(&one), again, w3, &e) < 0 ||
			plan_writer_take(w3, &columns, true, &e) < 0 ||
			plan_decode(buf_str(&columns), again, w2, &e) < 0 || plan_writer_take(w2, &two, true, &e) < 0 ||
			!str_eq(buf_str(&one), buf_str(&two)))
			abort();
		accepted();
	} else if (plan_decode(buf_str(&in), ignore, NULL, &e) == 0) {
		plan_writer_free(w1);
		w1 = NULL;
	}
	plan_writer_free(w1);
	plan_writer_free(w2);
	plan_writer_free(w3);
	return 0;
}
