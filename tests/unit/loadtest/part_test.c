/* The part of a lockfile that the partial phase starts from: its share, and that it is closed. */
#include "base/buf.h"
#include "part.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* N packages: each tenth depends on the nine behind it, so that closures have one or ten slots. EXTRA
 * lines are put at the end. */
static void make_lockfile(struct lockfile *out, struct buf *text, int n, const char *extra, struct arena *a)
{
	struct err e;

	buf_printf(text, "lockfileVersion: '9.0'\n\nimporters:\n\n  .: {}\n\npackages:\n\n");
	for (int i = 0; i < n; i++)
		buf_printf(text, "  p%03d@1.0.0:\n    resolution: {integrity: sha512-AA==}\n\n", i);
	buf_printf(text, "snapshots:\n");
	for (int i = 0; i < n; i++) {
		buf_printf(text, "\n  p%03d@1.0.0:%s\n", i, i % 10 == 0 && i + 9 < n ? "\n    dependencies:" : " {}");
		for (int k = i + 1; i % 10 == 0 && i + 9 < n && k < i + 10; k++)
			buf_printf(text, "      p%03d: 1.0.0\n", k);
	}
	buf_printf(text, "%s", extra);
	if (lockfile_parse(out, buf_str(text), STR("pnpm-lock.yaml"), a, &e) < 0)
		fail_msg("%s", e.msg);
}

static void test_share(void **state)
{
	static const int sizes[] = { 25, 100, 250, 900 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		AUTO(buf_release) struct buf text = BUF_INIT;
		struct lockfile lf;
		double share = 0;
		make_lockfile(&lf, &text, sizes[i], "", &a);
		struct str_map part = part_choose(&share, &lf, 0.24, &a);
		if (share * sizes[i] < 0.24 * sizes[i] - 0.5 || share * sizes[i] > 0.24 * sizes[i] + 0.5)
			fail_msg("%d packages: %.3f of them", sizes[i], share);
		assert_true(part.n > 0);
	}
}

/* What the choice says is what a walk from its packages finds. */
static void test_closure(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct lockfile lf;
	double share = 0;
	bool in[100] = { false };
	size_t n = 0, trees = 0;

	(void)state;
	make_lockfile(&lf, &text, 100, "", &a);
	struct str_map part = part_choose(&share, &lf, 0.24, &a);
	for (size_t i = 0; i < part.n; i++) {
		uint64_t at;
		assert_true(str_eq(part.p[i].v, STR("1.0.0")));
		assert_true(str_u64(str_from(part.p[i].k, 1), &at) && at < 100);
		trees += at % 10 == 0;
		for (size_t k = at; k < (at % 10 == 0 ? at + 10 : at + 1); k++)
			in[k] = true;
	}
	for (size_t i = 0; i < 100; i++)
		n += in[i];
	assert_int_equal(n, 24);
	assert_true(trees > 0); /* not leaves alone */
}

/* Optional packages, peers and what is not of a registry cannot be asked for by themselves; slots of
 * one package count together. */
static void test_excluded(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct lockfile lf;
	double share = 1;

	(void)state;
	make_lockfile(&lf, &text, 0,
		"\n  'a@1.0.0(b@1.0.0)':\n    dependencies:\n      b: 1.0.0\n\n  'a@1.0.0(b@2.0.0)':\n    "
		"dependencies:\n"
		"      b: 2.0.0\n\n  m@1.0.0:\n    optional: true\n\n  x@file:x: {}\n",
		&a);
	assert_int_equal(part_choose(&share, &lf, 1, &a).n, 0);
	assert_true(share == 0);
	buf_clear(&text);
	make_lockfile(&lf, &text, 0,
		"\n  'a@1.0.0(b@1.0.0)':\n    dependencies:\n      b: 1.0.0\n\n  'a@1.0.0(b@2.0.0)': {}\n\n  b@1.0.0: "
		"{}\n\n"
		"  r@1.0.0:\n    dependencies:\n      a: 1.0.0(b@1.0.0)\n",
		&a);
	struct str_map part = part_choose(&share, &lf, 1, &a);
	assert_true(str_map_get(part, STR("r")) != NULL);
	assert_true(share == 1); /* both slots of a, though only one is walked */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_closure),
		cmocka_unit_test(test_excluded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
