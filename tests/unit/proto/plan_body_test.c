/* Packages and slots are written as protobuf-c writes them, whatever is in them. */
#include "plan_body.h"
#include <plan.pb-c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROUNDS = 4000, LIST_MOST = 70, BYTES_MOST = 200 };

static uint64_t draw(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return *state >> 33;
}

/* A number of any length, or none. */
static uint64_t number(uint64_t *state)
{
	uint64_t v = draw(state) << 33 | draw(state);
	return draw(state) % 3 ? v >> draw(state) % 64 : 0;
}

/* Fills every field of M that its descriptor knows, so that one that is added to plan.proto is noticed here. */
static void fill(void *m, uint64_t *state)
{
	static uint8_t data[BYTES_MOST];
	static uint32_t refs[LIST_MOST];
	const ProtobufCMessageDescriptor *d = ((ProtobufCMessage *)m)->descriptor;

	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		char *at = (char *)m + f->offset;
		uint64_t v = number(state);
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			assert_int_equal(f->type, PROTOBUF_C_TYPE_UINT32);
			*(size_t *)(void *)((char *)m + f->quantifier_offset) = v % LIST_MOST;
			*(uint32_t **)(void *)at = refs;
		} else if (f->type == PROTOBUF_C_TYPE_UINT32 || f->type == PROTOBUF_C_TYPE_SINT32) {
			*(uint32_t *)(void *)at = (uint32_t)v;
		} else if (f->type == PROTOBUF_C_TYPE_UINT64) {
			*(uint64_t *)(void *)at = v;
		} else if (f->type == PROTOBUF_C_TYPE_BOOL) {
			*(protobuf_c_boolean *)(void *)at = v & 1;
		} else {
			assert_int_equal(f->type, PROTOBUF_C_TYPE_BYTES);
			*(ProtobufCBinaryData *)(void *)at = (ProtobufCBinaryData){ v % BYTES_MOST, data };
		}
	}
	for (unsigned i = 0; i < BYTES_MOST; i++)
		data[i] = (uint8_t)draw(state);
	for (unsigned i = 0; i < LIST_MOST; i++)
		refs[i] = (uint32_t)number(state);
}

static void compare(const Dray__Frame *o)
{
	struct buf got = BUF_INIT;
	size_t n = dray__frame__get_packed_size(o);
	uint8_t *want = malloc(n + 1);

	assert_non_null(want);
	assert_int_equal(dray__frame__pack(o, want), n);
	buf_addc(&got, 'x'); /* it appends */
	assert_true(plan_body_put(&got, o));
	assert_int_equal(got.n, n + 1);
	assert_memory_equal(got.p + 1, want, n);
	free(want);
	buf_release(&got);
}

static void test_same(void **ctx)
{
	uint64_t state = 20261121;
	uint8_t text[BYTES_MOST] = "name@1.0.0";
	(void)ctx;

	for (int i = 0; i < ROUNDS; i++) {
		Dray__Frame o = DRAY__FRAME__INIT;
		Dray__Package package = DRAY__PACKAGE__INIT;
		Dray__Slot slot = DRAY__SLOT__INIT;
		ProtobufCBinaryData texts[] = { { 1 + draw(&state) % (BYTES_MOST - 1), text }, { 10, text } };
		o.n_str = draw(&state) % 3;
		o.str = texts;
		if (i % 2) {
			fill(&package, &state);
			o.body_case = DRAY__FRAME__BODY_PACKAGE;
			o.package = &package;
		} else {
			fill(&slot, &state);
			o.body_case = DRAY__FRAME__BODY_SLOT;
			o.slot = &slot;
		}
		compare(&o);
	}
}

static void test_others(void **ctx)
{
	struct buf got = BUF_INIT;
	Dray__Done done = DRAY__DONE__INIT;
	Dray__Frame o = DRAY__FRAME__INIT;
	(void)ctx;

	o.body_case = DRAY__FRAME__BODY_DONE;
	o.done = &done;
	assert_false(plan_body_put(&got, &o));
	assert_int_equal(got.n, 0);
	buf_release(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_same), cmocka_unit_test(test_others) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
