/* hooks_test — what projects ask for once the settings had their say; a lockfile records the same (pnpm 12.21). */
#include "overrides.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "workspace_yaml.h"

struct box {
	struct arena a;
	struct workspace_yaml w;
	struct request_importer importer[2];
	struct request req;
	struct projects_hooked out;
	struct err e;
};

/* The root asks for what ROOT says, the project "b" in packages/b for B. */
static int hook(struct box *x, const char *yaml, const char *root, const char *b)
{
	*x = (struct box){ .a = ARENA_INIT(4096) };
	workspace_yaml_init(&x->w);
	assert_int_equal(workspace_yaml_parse(&x->w, str_of(yaml), STR("pnpm-workspace.yaml"), &x->a, &x->e), 0);
	x->importer[0].path = STR(".");
	x->importer[1].path = STR("packages/b");
	assert_int_equal(manifest_parse(&x->importer[0].manifest, str_of(root), STR("package.json"), &x->a, &x->e), 0);
	assert_int_equal(
		manifest_parse(&x->importer[1].manifest, str_of(b), STR("packages/b/package.json"), &x->a, &x->e), 0);
	x->req = (struct request){ .settings = x->w.settings, .importer = x->importer, .nimporters = 2 };
	return projects_hooks(&x->out, &x->req, &x->a, &x->e);
}

static void asks(const struct box *x, size_t project, const char *name, const char *spec)
{
	const str *v = str_map_get(x->out.importer[project].manifest.dependencies, str_of(name));

	if (!spec)
		assert_null(v);
	else if (!v || !str_eq(*v, str_of(spec)))
		fail_msg("%s: " STR_FMT, name, STR_ARG(v ? *v : STR("none")));
}

static void test_overrides(void **state)
{
	const char *const resolved[] = { "2.1.2", "~2.0.0", "9.0.0", "link:lib", "-", "1.0.0" };
	struct box x;
	(void)state;

	assert_int_equal(hook(&x,
				 "catalog:\n  ms: 2.1.2\ncatalogs:\n  c:\n    ms: ~2.0.0\n"
				 "overrides:\n  ms: 'catalog:'\n  b>ms: catalog:c\n  debug@^4: $v\n  "
				 "local: link:lib\n  gone: '-'\n  semver@^6: 1.0.0\n",
				 "{\"dependencies\":{\"ms\":\"^1\",\"debug\":\"^3.0.0\",\"v\":\"9.0.0\"}}",
				 "{\"name\":\"b\",\"dependencies\":{\"ms\":\"^1\",\"debug\":\"^4.1.0\",\"local\":"
				 "\"1\",\"gone\":\"1\",\"semver\":\"^7\"}}"),
		0);
	asks(&x, 0, "ms", "2.1.2");
	asks(&x, 0, "debug", "^3.0.0");
	asks(&x, 1, "ms", "~2.0.0");
	asks(&x, 1, "debug", "9.0.0");
	asks(&x, 1, "local", "link:../../lib");
	asks(&x, 1, "gone", NULL);
	asks(&x, 1, "semver", "^7");
	assert_int_equal(x.out.overrides.n, 6);
	for (size_t i = 0; i < 6; i++)
		assert_true(str_eq(x.out.overrides.p[i].v, str_of(resolved[i])));
	arena_release(&x.a);
}

static void test_others(void **state)
{
	struct box x;
	(void)state;

	assert_int_equal(hook(&x,
				 "ignoredOptionalDependencies: [o]\npackageExtensions:\n  b@1:\n    dependencies:\n "
				 "     added: ^3\n",
				 "{\"dependencies\":{\"o\":\"1\"},\"optionalDependencies\":{\"o\":\"1\"}}",
				 "{\"name\":\"b\",\"version\":\"1.0.0\",\"dependencies\":{\"o\":\"1\"}}"),
		0);
	asks(&x, 0, "o", NULL);
	assert_int_equal(x.out.importer[0].manifest.optional_dependencies.n, 0);
	asks(&x, 1, "o", "1");
	asks(&x, 1, "added", "^3");
	arena_release(&x.a);
}

/* The compatibility database is about published packages: a project that is called like one gets nothing. */
static void test_compatibility(void **state)
{
	struct box x;
	(void)state;

	assert_int_equal(hook(&x, "overrides:\n  x: '1'\n", "{}",
				 "{\"name\":\"@babel/parser\",\"version\":\"7.0.0\",\"dependencies\":{\"ms\":\"1\"}}"),
		0);
	asks(&x, 1, "@babel/types", NULL);
	asks(&x, 1, "ms", "1");
	arena_release(&x.a);
	assert_int_equal(hook(&x, "", "{\"dependencies\":{\"ms\":\"1\"}}", "{\"name\":\"b\"}"), 0);
	assert_ptr_equal(x.out.importer, x.importer); /* nothing to do, nothing copied */
	arena_release(&x.a);
}

static void test_missing(void **state)
{
	struct box x;
	(void)state;

	assert_int_equal(hook(&x, "overrides:\n  ms: $none\n", "{}", "{}"), ERR_USAGE);
	assert_non_null(strstr(x.e.msg, "$none"));
	arena_release(&x.a);
	static const char *const unreadable[] = { "ms@:prod", "m*@", "ms:prod@2", "ms:dev", "debug:prod>ms" };
	for (size_t i = 0; i < sizeof(unreadable) / sizeof(*unreadable); i++) {
		char yaml[64];
		(void)snprintf(yaml, sizeof(yaml), "overrides:\n  '%s': 2.1.3\n", unreadable[i]);
		assert_int_equal(hook(&x, yaml, "{}", "{}"), ERR_USAGE);
		assert_non_null(strstr(x.e.msg, unreadable[i]));
		arena_release(&x.a);
	}
	assert_int_equal(hook(&x, "overrides:\n  ms: catalog:none\n", "{}", "{}"), ERR_USAGE);
	assert_non_null(strstr(x.e.msg, "none"));
	arena_release(&x.a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_overrides), cmocka_unit_test(test_others),
		cmocka_unit_test(test_compatibility), cmocka_unit_test(test_missing) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
