/* reprint_test — what pnpm 12.21 makes of a lockfile that fits when it is asked for the lockfile only. */
#include "reprint.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SETTINGS "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\n"
#define PATCHED "\npatchedDependencies:\n  ms@2.1.2: 68af\n"
#define REST                                                                                                           \
	"\nimporters:\n\n  .:\n    dependencies:\n      ms:\n        specifier: 2.1.2\n        version: 2.1.2\n"       \
	"\npackages:\n\n  ms@2.1.2:\n    resolution: {integrity: sha512-a}\n\nsnapshots:\n\n  ms@2.1.2: {}\n"
#define PLAIN SETTINGS PATCHED REST

static const struct {
	const char *what, *text, *printed; /* NULL: as it is */
} cases[] = {
	{ "as pnpm prints it", PLAIN, NULL },
	{ "a byte order mark", "\xef\xbb\xbf" PLAIN, NULL },
	{ "patches of pnpm 10",
		SETTINGS "\npatchedDependencies:\n  ms@2.1.2:\n    hash: 68af\n    path: patches/ms.patch\n" REST,
		PLAIN },
	{ "a comment", "# by hand\n" PLAIN, PLAIN },
	{ "no end of line at the end",
		SETTINGS PATCHED
		"\nimporters:\n\n  .: {}\n\npackages:\n\n  ms@2.1.2:\n    resolution: {integrity: sha512-a}",
		SETTINGS PATCHED
		"\nimporters:\n\n  .: {}\n\npackages:\n\n  ms@2.1.2:\n    resolution: {integrity: sha512-a}\n" },
	{ "an unknown setting", SETTINGS "  other: 1\n" PATCHED REST, PLAIN },
	{ "an unknown key at the root stays", "# by hand\n" SETTINGS "\nother: 1\n", SETTINGS "\nother: 1\n" },
	{ "unknown keys of entries",
		SETTINGS PATCHED
		"\nimporters:\n\n  .:\n    other: 1\n    dependencies:\n      ms:\n        specifier: 2.1.2\n"
		"        version: 2.1.2\n\npackages:\n\n  ms@2.1.2:\n    requiresBuild: true\n    dev: true\n"
		"    resolution: {integrity: sha512-a}\n    id: x\n    name: ms\n\nsnapshots:\n\n  ms@2.1.2:\n    "
		"other: 1\n",
		PLAIN },
	{ "fields of snapshots that are only kept",
		SETTINGS "\nsnapshots:\n\n  ms@2.1.2:\n    id: x\n    other: 1\n    patched: true\n",
		SETTINGS "\nsnapshots:\n\n  ms@2.1.2:\n    id: x\n    patched: true\n" },
	{ "no settings", "lockfileVersion: '9.0'\nimporters:\n  .: {}\n",
		"lockfileVersion: '9.0'\n\nimporters:\n\n  .: {}\n" },
};

static void test_reprint(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena a = ARENA_INIT(4096);
		struct buf b = BUF_INIT;
		struct lockfile lf, out;
		struct err e = { 0 };

		assert_int_equal(lockfile_parse(&lf, str_of(cases[i].text), STR("pnpm-lock.yaml"), &a, &e), 0);
		bool other = lockfile_reprint(&out, &lf, str_of(cases[i].text), &a);
		lockfile_print(&b, &out);
		str want = str_of(cases[i].printed ? cases[i].printed : PLAIN);
		if (other != (cases[i].printed != NULL) || !str_eq(buf_str(&b), want))
			fail_msg("%s: %s\n" STR_FMT, cases[i].what, other ? "other" : "the same", STR_ARG(buf_str(&b)));
		buf_release(&b);
		arena_release(&a);
	}
}

static void test_carriage_returns(void **state)
{
	struct arena a = ARENA_INIT(4096);
	AUTO(buf_release) struct buf crlf = BUF_INIT;
	struct lockfile lf, out;
	struct err e = { 0 };

	(void)state;
	for (const char *p = PLAIN; *p; p++) {
		if (*p == '\n')
			buf_addc(&crlf, '\r');
		buf_addc(&crlf, *p);
	}
	assert_int_equal(lockfile_parse(&lf, buf_str(&crlf), STR("pnpm-lock.yaml"), &a, &e), 0);
	assert_false(lockfile_reprint(&out, &lf, buf_str(&crlf), &a));
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_reprint), cmocka_unit_test(test_carriage_returns) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
