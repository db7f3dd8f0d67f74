/* A registry made up on the spot: the project wants a optionally, a needs p, p needs what the registry lacks. a is left
 * out with all that leads to what cannot be had; but where p is somebody's peer it counts as a direct dependency, and
 * then the resolution fails, as pnpm 12.21's does. So it does where a package has a dependency whose name is none. */
#include "made_request.h"
#include "packument.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above */
#include <cmocka.h>

struct made_package {
	const char *name, *fields; /* of its manifest */
};
enum { MOST = 16 };
struct made {
	const struct made_package *package; /* ends with a NULL name */
	struct buf record[MOST];
	struct engine_packument got[MOST];
	struct err why[MOST];
	uint32_t ticket[MOST];
	unsigned n, given;
	struct buf slots; /* "a b ", in the order of the plan */
	unsigned failures;
};

static void want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct made *m = ctx;
	AUTO(buf_release) struct buf json = BUF_INIT;
	const struct made_package *p = m->package;

	(void)registry;
	(void)form;
	assert_in_range(m->n, 0, MOST - 1);
	unsigned at = m->n++;
	m->ticket[at] = ticket;
	while (p->name && !str_eq(name, str_of(p->name)))
		p++;
	if (!p->name) {
		err_set(&m->why[at], ERR_NOTFOUND, "no package " STR_FMT, STR_ARG(name));
		m->got[at].err = &m->why[at];
		return;
	}
	made_head(&json, p->name, "1.0.0");
	made_version(&json, p->name, "1.0.0");
	buf_printf(&json, "%s}}}", p->fields);
	made_packument(&m->got[at], &m->record[at], &json, name);
}

static int give(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct made *m = ctx;
	uint32_t n = 0;

	(void)e;
	for (; n < cap && m->given < m->n; n++) {
		ticket[n] = m->ticket[m->given];
		got[n] = &m->got[m->given++];
	}
	return (int)n;
}

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct made *m = ctx;

	(void)e;
	if (f->kind == FRAME_SLOT)
		buf_printf(&m->slots, STR_FMT " ", STR_ARG(f->slot.snap.key));
	m->failures += f->kind == FRAME_FAILURE;
	return 0;
}

/* A project that has DEPENDENCY, and a as an optional one. */
static int resolve(struct made *m, const char *dependency, const struct made_package *package, struct err *e)
{
	struct str_kv dep = { str_of(dependency), STR("1.0.0") }, opt = { STR("a"), STR("1.0.0") };
	struct engine_io io = { .ctx = m, .now_ms = 1, .want = want, .wait = give, .poll = give };
	struct made_request made;

	*m = (struct made){ .package = package };
	made_request_init(&made, &dep, 1);
	made.importer.manifest.optional_dependencies = (struct str_map){ &opt, 1 };
	made.req.settings.minimum_release_age = 0; /* else what has no time is asked for in full */
	return engine_run(&made.req, &io, on_frame, m, e);
}

static void made_release(struct made *m)
{
	for (unsigned i = 0; i < MOST; i++)
		buf_release(&m->record[i]);
	buf_release(&m->slots);
}

#define NEEDS(name) ",\"dependencies\":{\"" name "\":\"1.0.0\"}"

static void test_doomed_is_left_out(void **state)
{
	static const struct made_package all[] = { { "x", "" },
		{ "a", ",\"dependencies\":{\"p\":\"1.0.0\",\"u\":\"1.0.0\"}" }, { "p", NEEDS("gone") }, { "u", "" },
		{ 0 } };
	struct made m;
	struct err e = { 0 };

	(void)state;
	if (resolve(&m, "x", all, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(str_eq(buf_str(&m.slots), STR("x@1.0.0 ")));
	made_release(&m);
}

/* The same, but u wants p as a peer, so that p is lifted to the project. */
static void test_doomed_provider_fails(void **state)
{
	static const struct made_package all[] = { { "x", "" },
		{ "a", ",\"dependencies\":{\"p\":\"1.0.0\",\"u\":\"1.0.0\"}" }, { "p", NEEDS("gone") },
		{ "u", ",\"peerDependencies\":{\"p\":\"1.0.0\"}" }, { 0 } };
	struct made m;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(resolve(&m, "x", all, &e), ERR_NOTFOUND);
	assert_int_equal(m.failures, 1);
	assert_int_equal(m.slots.n, 0);
	assert_non_null(strstr(e.msg, "a@1.0.0 > p@1.0.0 > gone"));
	made_release(&m);
}

/* A project that needs p itself fails, whoever else wants it optionally. */
static void test_doomed_dependency_fails(void **state)
{
	static const struct made_package all[] = { { "p", NEEDS("gone") }, { "a", NEEDS("p") }, { 0 } };
	struct made m;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(resolve(&m, "p", all, &e), ERR_NOTFOUND);
	assert_int_equal(m.failures, 1);
	made_release(&m);
}

/* Whose dependencies are asked for ahead, where nobody listens to failures. */
static void test_name_that_is_none_fails(void **state)
{
	static const struct made_package all[] = { { "x", NEEDS("y") },
		{ "y", ",\"dependencies\":{\"../z\":\"1.0.0\",\"z\":\"1.0.0\"}" }, { "z", "" }, { "a", "" }, { 0 } };
	struct made m;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(resolve(&m, "x", all, &e), ERR_PARSE);
	assert_int_equal(m.failures, 1);
	assert_non_null(strstr(e.msg, "y@1.0.0 has a dependency with an invalid name: \"../z\""));
	made_release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doomed_is_left_out),
		cmocka_unit_test(test_doomed_provider_fails),
		cmocka_unit_test(test_doomed_dependency_fails),
		cmocka_unit_test(test_name_that_is_none_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
