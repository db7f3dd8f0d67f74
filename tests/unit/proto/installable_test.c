/* What runs where: lists, exclusions, "current", names that say it, engines. Answers are pnpm 12.21's. */
#include "installable.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct words {
	str p[8];
};

static struct str_list words(struct words *w, const char *text)
{
	str rest = str_of(text);
	struct str_list l = { w->p, 0 };

	while (rest.n)
		str_cut(rest, ' ', &w->p[l.n++], &rest);
	return l;
}

static const struct platform here = {
	.os = STR_INIT("linux"), .cpu = STR_INIT("x64"), .libc = STR_INIT("glibc"), .node_version = STR_INIT("20.20.2")
};

/* A package called NAME of OS, CPU and LIBC. */
static bool on(const char *name, const char *os, const char *cpu, const char *libc, bool optional)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(1024);
	struct settings s = settings_default();
	struct words w[3];
	struct runs_on p = { str_of(name), words(&w[0], os), words(&w[1], cpu), words(&w[2], libc), STR_NONE };

	return installable_on(&p, &here, &s, optional, &a) == INSTALLABLE_YES;
}

static void lists(void **state)
{
	(void)state;
	assert_true(on("a", "", "", "", true));
	assert_true(on("a", "darwin linux", "x64", "glibc", true));
	assert_false(on("a", "darwin", "", "", true));
	assert_false(on("a", "darwin", "", "", false));
	assert_true(on("a", "!win32", "", "", true));
	assert_false(on("a", "!linux", "", "", true));
	assert_false(on("a", "!win32 darwin", "", "", true));
	assert_true(on("a", "any", "", "", true));
	assert_false(on("a", "any darwin", "", "", true)); /* "any" counts alone */
	assert_false(on("a", "linux", "arm64", "", true));
	assert_false(on("a", "linux", "x64", "musl", true));
}

static void names(void **state)
{
	(void)state;
	assert_false(on("sass-embedded-linux-musl-x64", "linux", "x64", "", true));
	assert_true(on("sass-embedded-linux-musl-x64", "linux", "x64", "", false));
	assert_true(on("sass-embedded-linux-musl-x64", "linux", "x64", "glibc", true)); /* what is declared counts */
	assert_false(on("@esbuild/darwin-arm64", "", "", "", true));
	assert_true(on("@esbuild/linux-x64", "", "", "", true));
	assert_false(on("@esbuild/Linux_ARM64", "", "", "", true));
	assert_true(on("lib-arm64", "", "", "", true)); /* a processor alone, and no field: not enough */
	assert_false(on("lib-arm64", "linux", "", "", true));
	assert_true(on("@linux-musl/lib", "", "", "", true)); /* the scope says nothing */
	assert_true(on("@scope/linuxmusl-x64", "", "", "", true));
	assert_false(on("x-win32-x64.node", "", "", "", true));
	assert_true(on("universal-darwin-linux", "", "", "", true));
}

static bool libc_supported(const struct platform *m, const char *libc, const char *has)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(1024);
	struct settings s = settings_default();
	struct words w[2];
	struct runs_on p = { .name = STR("a"), .libc = words(&w[0], has) };

	s.supported_libc = words(&w[1], libc);
	return installable_on(&p, m, &s, true, &a) == INSTALLABLE_YES;
}

static void libcs(void **state)
{
	struct platform unknown = here;

	(void)state;
	unknown.libc = STR_NONE;
	assert_true(libc_supported(&here, "", "glibc"));
	assert_false(libc_supported(&here, "", "musl"));
	assert_true(libc_supported(&here, "current musl", "musl"));
	assert_false(libc_supported(&here, "musl", "glibc"));
	assert_true(libc_supported(&unknown, "", "musl"));
	assert_true(libc_supported(&unknown, "glibc", "musl"));
}

static bool supported(const char *os, const char *cpu, const char *has_os, const char *has_cpu)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(1024);
	struct settings s = settings_default();
	struct words w[4];
	struct runs_on p = { STR("a"), words(&w[0], has_os), words(&w[1], has_cpu), { 0 }, STR_NONE };

	s.supported_os = words(&w[2], os);
	s.supported_cpu = words(&w[3], cpu);
	return installable_on(&p, &here, &s, true, &a) == INSTALLABLE_YES;
}

static void supported_architectures(void **state)
{
	(void)state;
	assert_true(supported("current", "current arm64", "linux", "arm64"));
	assert_true(supported("current", "current arm64", "linux", "x64"));
	assert_false(supported("current", "arm64", "linux", "x64"));
	assert_true(supported("darwin", "", "darwin", "x64"));
	assert_false(supported("darwin", "", "linux", "x64"));
	assert_false(supported("current win32", "", "!win32", "")); /* excluded on one of them */
}

static enum installable node(const char *range, const char *version)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(1024);
	struct settings s = settings_default();
	struct platform m = here;
	struct runs_on p = { .name = STR("a"), .node = str_of(range) };

	m.node_version = str_of(version);
	return installable_on(&p, &m, &s, false, &a);
}

static void engines(void **state)
{
	(void)state;
	assert_int_equal(node("", "20.20.2"), INSTALLABLE_YES);
	assert_int_equal(node(">=20", "20.20.2"), INSTALLABLE_YES);
	assert_int_equal(node(">=22", "20.20.2"), INSTALLABLE_OTHER_NODE);
	assert_int_equal(node("^14.18.0 || >=16.0.0", "21.0.0-nightly20230801d396a041f7"), INSTALLABLE_YES);
	assert_int_equal(node(">=22", ""), INSTALLABLE_YES); /* unknown: not checked */
	assert_int_equal(node("no range", "20.20.2"), INSTALLABLE_OTHER_NODE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(lists), cmocka_unit_test(names), cmocka_unit_test(libcs),
		cmocka_unit_test(supported_architectures), cmocka_unit_test(engines) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
