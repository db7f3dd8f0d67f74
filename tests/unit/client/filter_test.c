/* --filter: selectors and what they choose in one small workspace:
 *
 *	root -> (dev) @s/c        @s/a -> @s/b -> (dev) @s/c        d -> file:../../packages/c
 *	x/d: a second "d"-less name
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "filter.h"

static const struct {
	const char *path, *manifest;
} projects[] = {
	{ ".", "{\"name\":\"root\",\"devDependencies\":{\"@s/c\":\"workspace:*\"}}" },
	{ "apps/d", "{\"name\":\"d\",\"dependencies\":{\"c\":\"file:../../packages/c\"}}" },
	{ "apps/e", "{\"name\":\"e\",\"dependencies\":{\"@s/b\":\"^1.0.0\",\"@s/c\":\"workspace:^2.0.0\"}}" },
	{ "packages/a", "{\"name\":\"@s/a\",\"version\":\"1.0.0\",\"dependencies\":{\"x\":\"workspace:@s/b@~\"}}" },
	{ "packages/b",
		"{\"name\":\"@s/b\",\"version\":\"1.2.0\",\"devDependencies\":{\"@s/c\":\"workspace:1.0.0\"}}" },
	{ "packages/c", "{\"name\":\"@s/c\",\"version\":\"1.0.0\"}" },
	{ "packages/deep/e", "{\"name\":\"@t/e\",\"version\":\"1.0.0\"}" },
	{ "packages/deep/f", "{\"name\":\"@t/d2\",\"version\":\"1.0.0\"}" },
};
enum { N = sizeof(projects) / sizeof(projects[0]) };

struct fixture {
	struct project p;
	struct arena a;
	struct err e;
};

static void fixture_init(struct fixture *f)
{
	*f = (struct fixture){ .a = ARENA_INIT(4096) };
	f->p.root = STR("/w");
	f->p.req.settings = settings_default();
	f->p.req.importer = arena_new(&f->a, struct request_importer, N);
	f->p.importer = arena_new(&f->a, struct project_importer, N);
	for (size_t i = 0; i < N; i++) {
		struct request_importer *im = &f->p.req.importer[f->p.req.nimporters++];
		*im = (struct request_importer){ .path = str_of(projects[i].path) };
		assert_int_equal(
			manifest_parse(&im->manifest, str_of(projects[i].manifest), STR("package.json"), &f->a, &f->e),
			0);
		f->p.importer[i] = (struct project_importer){ im->path,
			i ? arena_printf(&f->a, "/w/" STR_FMT, STR_ARG(im->path)) : STR("/w") };
	}
}

/* "." and the folders' last names of what TEXTS (blank between) choose. */
static const char *chosen(struct fixture *f, const char *texts, bool prod, const char *base)
{
	str list[8], rest = str_of(texts);
	struct filter_opts o = { .base = str_of(base) };
	struct str_list *to = prod ? &o.prod : &o.all;
	struct filter_result r;
	AUTO(buf_release) struct buf b = BUF_INIT;

	to->p = list;
	while (rest.n)
		str_cut(rest, ' ', &list[to->n++], &rest);
	if (filter_select(&r, &f->p, &o, &f->a, &f->e) < 0)
		return err_name(f->e.code);
	for (size_t i = 0; i < N; i++) {
		str head, tail = f->p.importer[i].path;
		if (!str_rcut(tail, '/', &head, &tail))
			tail = f->p.importer[i].path;
		if (r.selected[i])
			buf_printf(&b, "%s" STR_FMT, b.n ? " " : "", STR_ARG(tail));
	}
	return arena_str(&f->a, buf_str(&b)).p;
}

static void test_selectors(void **state)
{
	static const struct {
		const char *filter, *expected;
	} rows[] = {
		{ "d", "d" },
		{ "@s/*", "a b c" },
		{ "a", "a" },  /* a name without its scope, if only one has it */
		{ "d*", "d" }, /* not @t/d2: the pattern itself matches something */
		{ "d2", "f" },
		{ "nobody", "" },
		{ "@s/a...", "a b c" },
		{ "@s/a^...", "b c" },
		{ "...@s/c", ". d a b c" },
		{ "...^@s/c", ". d a b" },
		{ "...@s/b...", "a b c" },
		{ "e...", "e" }, /* ^1.0.0 is the registry's, and no project is @s/c 2 */
		{ "!@s/*", ". d e e f" },
		{ "@s/* !b", "a c" },
		{ "!d !e", ". a b c e f" },
		{ "d @s/c", "d c" },
		{ "./packages/*", "a b c" },
		{ "{packages/*}", "a b c" },
		{ "{packages/**}", "a b c e f" },
		{ "packages", "" }, /* a name, not a folder */
		{ "./packages", "" },
		{ ".", "." },
		{ "@t/*{packages/deep/e}", "e" },
		{ "...{packages/c}", ". d a b c" },
		{ "@s/c...", "c" },
		{ "{packages", "ERR_DRAY_USAGE" },
		{ "a[", "ERR_DRAY_USAGE" },
		{ "a{b}c", "ERR_DRAY_USAGE" },
		{ "!", "ERR_DRAY_USAGE" },
		{ "...", "ERR_DRAY_USAGE" },
		{ "{}", "ERR_DRAY_USAGE" },
	};
	struct fixture f;

	(void)state;
	fixture_init(&f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = chosen(&f, rows[i].filter, false, "/w");
		if (strcmp(got, rows[i].expected) != 0)
			fail_msg("%s: \"%s\" instead of \"%s\"", rows[i].filter, got, rows[i].expected);
	}
	arena_release(&f.a);
}

static void test_prod_and_base(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	assert_string_equal(chosen(&f, "@s/a...", true, "/w"), "a b");
	assert_string_equal(chosen(&f, "...@s/c", true, "/w"), "d c");
	assert_string_equal(chosen(&f, ".", false, "/w/packages/a"), "a");
	assert_string_equal(chosen(&f, "../*", false, "/w/packages/a"), "a b c");
	arena_release(&f.a);
}

static void test_linked_by_range(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	f.p.req.settings.link_workspace_packages = true;
	assert_string_equal(chosen(&f, "e...", false, "/w"), "e b c");
	arena_release(&f.a);
}

static void test_workspace_root(void **state)
{
	struct fixture f;
	struct filter_opts o = { .base = STR("/w"), .workspace_root = true };
	struct filter_result r;

	(void)state;
	fixture_init(&f);
	assert_int_equal(filter_select(&r, &f.p, &o, &f.a, &f.e), 0);
	assert_int_equal(r.n, 1);
	assert_true(r.selected[0]);
	str d = STR("d");
	o.all = (struct str_list){ &d, 1 };
	assert_int_equal(filter_select(&r, &f.p, &o, &f.a, &f.e), 0);
	assert_int_equal(r.n, 2);
	assert_true(r.selected[0] && r.selected[1]);
	arena_release(&f.a);
}

/* c -> a, too: a -> b -> c goes in a circle, which e leads into and the root, without c, does not. */
static void test_cycles(void **state)
{
	enum { ROOT, C = 5 };
	struct fixture f;
	(void)state;

	fixture_init(&f);
	assert_int_equal(filter_cycle(&f.p, NULL, &f.a).n, 0);
	struct str_kv itself = { STR("@s/c"), STR("workspace:*") };
	f.p.req.importer[C].manifest.dependencies = (struct str_map){ &itself, 1 };
	assert_int_equal(filter_cycle(&f.p, NULL, &f.a).n, 0);
	itself.k = STR("@s/a");
	assert_string_equal(filter_cycle(&f.p, NULL, &f.a).p, "/w/packages/a, /w/packages/b, /w/packages/c");
	bool some[N] = { true, true, true, true, true };
	assert_int_equal(filter_cycle(&f.p, some, &f.a).n, 0);
	arena_release(&f.a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_prod_and_base),
		cmocka_unit_test(test_linked_by_range),
		cmocka_unit_test(test_workspace_root),
		cmocka_unit_test(test_cycles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
