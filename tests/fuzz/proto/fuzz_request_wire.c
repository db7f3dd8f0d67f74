/* Bytes as a plan request (before compression). Property: read, written and read again gives the same bytes. */
#include "accepted.h"
#include "frame.h"
#include "plan_wire.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct err e = { 0 };
	AUTO(arena_release) struct arena a = { 0 };
	AUTO(buf_release) struct buf in = BUF_INIT;
	AUTO(buf_release) struct buf one = BUF_INIT;
	AUTO(buf_release) struct buf two = BUF_INIT;
	struct plan_request r;

	frame_pack(&in, (str){ (const char *)data, n }, 1);
	if (request_decode(&r, buf_str(&in), &a, &e) < 0)
		return 0;
	accepted();
	if (request_encode(&one, &r.req, r.accept, true, &e) < 0 || request_decode(&r, buf_str(&one), &a, &e) < 0 ||
		request_encode(&two, &r.req, r.accept, true, &e) < 0 || !str_eq(buf_str(&one), buf_str(&two)))
		abort();
	return 0;
}
