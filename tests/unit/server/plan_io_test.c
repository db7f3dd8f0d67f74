#include "auth.h"
#include "plan_io.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static str aliases[] = { STR_INIT("https://mirror.test/npm/") };
static const struct upstream_config one = { .name = STR_INIT("public"),
	.url = STR_INIT("https://registry.test/"),
	.is_default = true,
	.aliases = { aliases, 1 } };

/* "@secret" is nobody's. */
static str hidden[] = { STR_INIT("@secret/*") };
static struct config_access rule = { .name = STR_INIT("secret"), .packages = { hidden, 1 } };
static const struct config rules = { .access = &rule, .naccess = 1 };

struct inner {
	char asked[128];
	unsigned wants, waits;
};

static void want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct inner *in = ctx;

	(void)ticket;
	(void)form;
	in->wants++;
	snprintf(in->asked, sizeof(in->asked), STR_FMT STR_FMT, STR_ARG(registry), STR_ARG(name));
}

static bool kept(
	void *ctx, struct packument *out, int64_t *checked_ms, str registry, str name, enum packument_form form)
{
	want(ctx, 0, registry, name, form);
	*out = (struct packument){ .n = 1 };
	*checked_ms = 3;
	return true;
}

static int wait_all(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct inner *in = ctx;

	(void)ticket;
	(void)got;
	(void)cap;
	(void)e;
	in->waits++;
	return 1;
}

static void test_plan_io(void **state)
{
	struct inner in = { 0 };
	struct engine_io inner = {
		.ctx = &in, .now_ms = 7, .want = want, .kept = kept, .wait = wait_all, .poll = wait_all
	};
	struct upstreams *u;
	struct plan_io p;
	struct arena a = ARENA_INIT(0);
	struct identity who = { .c = &rules };
	struct err e;

	(void)state;
	assert_int_equal(upstreams_new(&u, &(struct upstreams_opts){ .upstream = &one, .n = 1 }, &e), 0);
	plan_io_over(&p, &inner, u, &who);
	assert_int_equal(p.io.now_ms, 7);
	p.io.want(p.io.ctx, 1, STR("https://mirror.test/npm/"), STR("left-pad"), PACKUMENT_FULL);
	assert_string_equal(in.asked, "https://registry.test/left-pad");
	assert_int_equal(p.io.wait(p.io.ctx, NULL, NULL, 0, &e), 1);
	str seen = p.io.tarball_url(
		p.io.ctx, STR("https://mirror.test/npm/"), STR("x"), STR("https://registry.test/x.tgz"), &a);
	assert_true(str_eq(seen, STR("https://mirror.test/npm/x.tgz")));
	/* A registry that is neither: nothing is asked, the answer says why, and others are answered as before. */
	uint32_t ticket = 0;
	const struct engine_packument *got = NULL;
	p.io.want(p.io.ctx, 2, STR("https://other.test/"), STR("left-pad"), PACKUMENT_FULL);
	assert_int_equal(in.wants, 1);
	assert_int_equal(p.io.wait(p.io.ctx, &ticket, &got, 1, &e), 1);
	assert_int_equal(in.waits, 1);
	assert_int_equal(ticket, 2);
	assert_int_equal(got->err->code, ERR_POLICY);
	assert_non_null(strstr(got->err->msg, "https://other.test/"));
	p.io.want(p.io.ctx, 3, STR("https://registry.test/"), STR("right-pad"), PACKUMENT_FULL);
	assert_int_equal(in.wants, 2);
	assert_int_equal(p.io.wait(p.io.ctx, &ticket, &got, 1, &e), 1);
	assert_int_equal(in.waits, 2);
	/* What is kept is looked for in the same place, and nowhere else. */
	struct packument held;
	int64_t ms;
	assert_true(p.io.kept(p.io.ctx, &held, &ms, STR("https://mirror.test/npm/"), STR("left-pad"), PACKUMENT_FULL));
	assert_string_equal(in.asked, "https://registry.test/left-pad");
	assert_int_equal(ms, 3);
	assert_false(p.io.kept(p.io.ctx, &held, &ms, STR("https://other.test/"), STR("left-pad"), PACKUMENT_FULL));
	assert_int_equal(in.wants, 3);
	/* A name that is kept from who asks. */
	unsigned wants = in.wants, waits = in.waits;
	p.io.want(p.io.ctx, 4, STR("https://registry.test/"), STR("@secret/x"), PACKUMENT_FULL);
	assert_false(p.io.kept(p.io.ctx, &held, &ms, STR("https://registry.test/"), STR("@secret/x"), PACKUMENT_FULL));
	assert_int_equal(in.wants, wants);
	assert_int_equal(p.io.poll(p.io.ctx, &ticket, &got, 1, &e), 1);
	assert_int_equal(in.waits, waits);
	assert_int_equal(ticket, 4);
	assert_int_equal(got->err->code, ERR_POLICY);
	assert_non_null(strstr(got->err->msg, "access rule secret"));
	plan_io_release(&p);
	arena_release(&a);
	upstreams_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_plan_io) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
