/* A lockfile cut into frames, in any order and from memory that goes away, comes out the same. */
#include "plan_lockfile.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Packages are sent last first. */
static uint32_t frame_of(const struct lockfile *lf, str snapshot)
{
	size_t n = str_find(snapshot, '(', 0);
	str key = n == SIZE_MAX ? snapshot : str_head(snapshot, n);

	for (size_t i = 0; i < lf->npackages; i++) {
		if (str_eq(lf->package[i].key, key))
			return (uint32_t)(lf->npackages - 1 - i);
	}
	fail_msg("no package for " STR_FMT, STR_ARG(snapshot));
	return 0;
}

static void test_frames_make_the_file(void **state)
{
	static char text[1 << 20];
	FILE *f = fopen("parity/cases/ws-injected/expected-pnpm-lock.yaml", "rb");
	struct arena a = ARENA_INIT(0);
	struct buf out AUTO(buf_release) = BUF_INIT;
	struct lockfile lf;
	struct err e;
	(void)state;

	assert_non_null(f);
	size_t n = fread(text, 1, sizeof(text), f);
	fclose(f);
	char *copy = malloc(n);
	assert_non_null(copy);
	memcpy(copy, text, n);
	assert_int_equal(lockfile_parse(&lf, (str){ copy, n }, STR("x"), &a, &e), 0);

	struct plan_lockfile *pl = plan_lockfile_new();
	for (size_t i = lf.npackages; i-- > 0;)
		plan_lockfile_add(pl, &(struct frame){ .kind = FRAME_PACKAGE, .package.meta = lf.package[i] });
	struct lock_package withdrawn = { .key = STR_INIT("nobody@1.0.0"),
		.resolution.integrity = STR_INIT("sha512-x") };
	plan_lockfile_add(pl, &(struct frame){ .kind = FRAME_PACKAGE, .package.meta = withdrawn });
	for (size_t i = lf.nsnapshots; i-- > 0;)
		plan_lockfile_add(
			pl, &(struct frame){ .kind = FRAME_SLOT,
				    .slot = { .snap = lf.snapshot[i], .package = frame_of(&lf, lf.snapshot[i].key) } });
	for (size_t i = lf.nimporters; i-- > 0;)
		plan_lockfile_add(pl, &(struct frame){ .kind = FRAME_IMPORTER, .importer.importer = lf.importer[i] });
	plan_lockfile_add(pl, &(struct frame){ .kind = FRAME_LOCK_HEAD, .lock_head = lf.head });
	memset(copy, 'x', n);
	free(copy);
	arena_release(&a);

	lockfile_print(&out, plan_lockfile_get(pl));
	assert_true(str_eq(buf_str(&out), (str){ text, n }));
	plan_lockfile_free(pl);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_frames_make_the_file) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
