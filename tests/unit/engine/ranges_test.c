/* Two packages want the same peer, by ranges of many alternatives, on a registry made up on the spot: what they have in
 * common gives a plan with the peer; more than a range can hold is an error that names the limit, the peer and the
 * project, never a peer that silently isn't there. */
#include "made_request.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above */
#include <cmocka.h>

enum { NAMES = 3 };
struct made {
	unsigned alternatives[2]; /* that a and b have */
	struct buf record[NAMES];
	struct engine_packument got[NAMES];
	uint32_t ticket[NAMES];
	unsigned at[NAMES], waiting;
	struct frame_done done;
};

static void made_compile(struct made *m, unsigned i)
{
	AUTO(buf_release) struct buf json = BUF_INIT;
	const char name[] = { "abp"[i], 0 };

	made_head(&json, name, "1.0.0");
	made_version(&json, name, "1.0.0");
	if (i < 2) {
		buf_add(&json, STR(",\"peerDependencies\":{\"p\":\""));
		for (unsigned k = 0; k < m->alternatives[i]; k++)
			buf_printf(&json, i ? "%s%u" : "%s^%u", k ? " || " : "", k + 1);
		buf_add(&json, STR("\"}"));
	}
	buf_add(&json, STR("}}}"));
	made_packument(&m->got[i], &m->record[i], &json, str_of(name));
}

static void want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct made *m = ctx;
	unsigned i = name.p[0] == 'p' ? 2 : (unsigned)(name.p[0] - 'a');

	(void)registry;
	(void)form;
	assert_true(name.n == 1 && i < NAMES);
	if (!m->record[i].n)
		made_compile(m, i);
	m->ticket[m->waiting] = ticket;
	m->at[m->waiting++] = i;
}

static int poll_any(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct made *m = ctx;
	uint32_t n = 0;

	(void)e;
	while (n < cap && m->waiting) {
		ticket[n] = m->ticket[--m->waiting];
		got[n++] = &m->got[m->at[m->waiting]];
	}
	return (int)n;
}

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct made *m = ctx;

	(void)e;
	if (f->kind == FRAME_DONE)
		m->done = f->done;
	return 0;
}

static int resolve(struct made *m, unsigned a, unsigned b, struct err *e)
{
	struct str_kv dep[] = { { STR("a"), STR("1.0.0") }, { STR("b"), STR("1.0.0") } };
	struct made_request made;

	*m = (struct made){ .alternatives = { a, b } };
	made_request_init(&made, dep, 2);
	struct engine_io io = { .ctx = m, .now_ms = 1, .want = want, .wait = poll_any, .poll = poll_any };
	int rc = engine_run(&made.req, &io, on_frame, m, e);
	for (unsigned i = 0; i < NAMES; i++)
		buf_release(&m->record[i]);
	return rc;
}

static void test_many_alternatives_meet(void **state)
{
	struct made m;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(resolve(&m, 100, 100, &e), 0);
	assert_int_equal(m.done.packages, 3);
	assert_int_equal(resolve(&m, 500, 600, &e), 0);
	assert_int_equal(m.done.packages, 3);
}

static void test_too_long_a_range_is_named(void **state)
{
	struct made m;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(resolve(&m, 1500, 1500, &e), ERR_TOOBIG);
	assert_non_null(strstr(e.msg, "1500 alternatives"));
	assert_non_null(strstr(e.msg, "peer p"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_alternatives_meet),
		cmocka_unit_test(test_too_long_a_range_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
