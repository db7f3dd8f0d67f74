/* What the fuzz corpora have as sound is sound in the formats of today: else they reach no further than
 * a magic number or a sum. */
#include "fs.h"
#include "image.h"
#include "kept_plan.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void load(struct buf *out, const char *path)
{
	struct err e;

	buf_clear(out);
	if (fs_read_file(out, AT_FDCWD, path, 1 << 20, &e) < 0)
		fail_msg("%s", e.msg);
}

static void plans_are_read(void **state)
{
	static const char *const file[] = { "fuzz/corpus/kept_plan/good", "fuzz/corpus/kept_plan/empty" };
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct kept_plan p;
	struct err e;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		load(&b, file[i]);
		if (kept_plan_parse(&p, buf_str(&b), &a, &e) < 0)
			fail_msg("%s: %s", file[i], e.msg);
	}
}

static void images_are_read(void **state)
{
	static const char *const file[] = { "fuzz/corpus/image/good", "fuzz/corpus/image/empty" };
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct image im;
	struct err e;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		load(&b, file[i]);
		if (image_parse(&im, buf_str(&b), &a, &e) < 0)
			fail_msg("%s: %s", file[i], e.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_are_read),
		cmocka_unit_test(images_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
