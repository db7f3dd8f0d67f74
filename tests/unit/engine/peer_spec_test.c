/* What a project may write into peerDependencies: pnpm 12.21 refuses tags, whether or not the
 * peer would be installed. */
#include "made_request.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static void want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	(void)ctx;
	(void)ticket;
	(void)registry;
	(void)name;
	(void)form;
	fail(); /* without autoInstallPeers a peer asks for nothing */
}

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	(void)ctx;
	(void)f;
	(void)e;
	return 0;
}

static int resolve(str spec, struct str_map overrides, struct err *e)
{
	struct str_kv peer = { STR("ms"), spec };
	struct made_request made;
	struct engine_io io = { .now_ms = 1, .want = want, .wait = poll_none, .poll = poll_none };

	made_request_init(&made, NULL, 0);
	made.importer.manifest.peer_dependencies = (struct str_map){ .p = &peer, .n = 1 };
	made.req.settings.auto_install_peers = false;
	made.req.settings.overrides = overrides;
	return engine_run(&made.req, &io, on_frame, NULL, e);
}

static void test_tags_are_refused(void **state)
{
	static const char *const bad[] = { "next", "latest", "", " ", "ms@1", "next || other" };
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err e = { 0 };
		assert_int_equal(resolve(str_of(bad[i]), (struct str_map){ 0 }, &e), ERR_USAGE);
		assert_non_null(strstr(e.msg, "\"ms\""));
	}
}

static void test_ranges_and_schemes_pass(void **state)
{
	static const char *const good[] = { "^1", "*", "x", "^1 || next", "^2 ||", "workspace:*", "npm:other@^1" };
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct err e = { 0 };
		assert_int_equal(resolve(str_of(good[i]), (struct str_map){ 0 }, &e), 0);
	}
}

static void test_an_override_comes_first(void **state)
{
	struct str_kv o = { STR("ms"), STR("^2") };
	struct err e = { 0 };
	(void)state;
	assert_int_equal(resolve(STR("next"), (struct str_map){ .p = &o, .n = 1 }, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tags_are_refused),
		cmocka_unit_test(test_ranges_and_schemes_pass),
		cmocka_unit_test(test_an_override_comes_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
