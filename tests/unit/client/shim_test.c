/* Reading the shims that pnpm writes: what they run, with what, and the NODE_PATH they set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bins.h"

#define HEAD "#!/bin/sh\nbasedir=x\n"
#define TARGET "../a b/bin/cli"
#define END "# cmd-shim-target=" TARGET "\n"

static void test_node(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct shim s;
	const str text = STR(
		HEAD "if [ -z \"$NODE_PATH\" ]; then\n"
		     "  export NODE_PATH=\"$basedir_abs\"/'../x/node_modules':\"$basedir_abs\"/'..'\n"
		     "else\n"
		     "  export NODE_PATH=\"$basedir_abs\"/'../x/node_modules':\"$basedir_abs\"/'..':\"$NODE_PATH\"\n"
		     "fi\n"
		     "if [ -x \"$basedir/node\" ]; then\n"
		     "  exec \"$basedir/node\" --flag \"$basedir_abs\"/'" TARGET "' \"$@\"\n"
		     "else\n"
		     "  exec node --flag \"$basedir_abs\"/'" TARGET "' \"$@\"\n"
		     "fi\n" END);

	(void)state;
	assert_true(shim_of_pnpm(&s, text, &a));
	assert_true(str_eq(s.target, STR(TARGET)) && str_eq(s.program, STR("node")) && str_eq(s.args, STR("--flag")));
	assert_int_equal(s.node_path.n, 2);
	assert_true(str_eq(s.node_path.p[0], STR("../x/node_modules")) && str_eq(s.node_path.p[1], STR("..")));
	for (size_t n = 0; n < text.n; n++) /* cut anywhere it is none */
		assert_false(shim_of_pnpm(&s, str_head(text, n), &a));
}

static void test_program(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct shim s;

	(void)state;
	assert_true(shim_of_pnpm(&s, STR(HEAD "exec \"$basedir_abs\"/'" TARGET "'  \"$@\"\nexit $?\n" END), &a));
	assert_true(!s.program.n && !s.args.n && !s.node_path.n);
}

static void test_others(void **state)
{
	static const char *const others[] = {
		"",
		HEAD,
		HEAD END,
		/* it runs something else than it says */
		HEAD "exec \"$basedir_abs\"/'../evil'  \"$@\"\nexit $?\n" END,
		HEAD "exec \"$basedir_abs\"/'" TARGET "/more'  \"$@\"\nexit $?\n" END,
		/* a NODE_PATH that is not of pnpm's form */
		HEAD "  export NODE_PATH=/x\nexec \"$basedir_abs\"/'" TARGET "'  \"$@\"\nexit $?\n" END,
		HEAD "  export NODE_PATH=\"$basedir_abs\"/'x'y\nexec \"$basedir_abs\"/'" TARGET
		     "'  \"$@\"\nexit $?\n" END,
	};
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct shim s;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(shim_of_pnpm(&s, str_of(others[i]), &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_program),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
