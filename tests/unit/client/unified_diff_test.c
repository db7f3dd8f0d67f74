/* unified_diff_test — what patches make of files; expectations were taken from `patch` and pnpm. */
#include "unified_diff.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "--- a/f\n+++ b/f\n"

static void test_apply(void **state)
{
	static const struct {
		const char *patch, *old, *new; /* new NULL: does not fit */
	} t[] = {
		{ HEAD "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n", "a\nb\nc\n", "a\nB\nc\n" },
		{ HEAD "@@ -1,3 +1,4 @@\n a\n+x\n b\n c\n", "1\n2\n3\na\nb\nc\n", "1\n2\n3\na\nx\nb\nc\n" },
		{ HEAD "@@ -30,2 +30,1 @@\n a\n-b\n", "a\nb\n", NULL }, /* moved too far */
		{ HEAD "@@ -1,2 +1,2 @@\n a\n-b\n+B\n", "a\r\nb\r\nc\r\n", "a\r\nB\nc\r\n" },
		{ HEAD "@@ -1,2 +1,2 @@\n a\n-b\n+B\n", "a\nB\nc\n", "a\nB\nc\n" }, /* is so already */
		{ HEAD "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n", "a", "b\n" },
		{ HEAD "@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n", "a\n", "b" },
		{ HEAD "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n", "a", "b" },
		{ HEAD "@@ -1,1 +1,1 @@\n-a\n+A\n@@ -4,1 +4,1 @@\n-d\n+D\n", "a\nb\nc\nd\n", "A\nb\nc\nD\n" },
		{ HEAD "@@ -1,1 +1,1 @@\n-x\n+A\n", "a\n", NULL },
		{ "--- /dev/null\n+++ b/f\n@@ -0,0 +1,2 @@\n+a\n+b\n", "", "a\nb\n" },
		{ "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n", "", "a" },
		{ "--- a/f\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n", "a\nb\n", "" },
		{ "diff --git a/f b/f\nnew file mode 100755\nindex 0..1\n", "", "" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		AUTO(buf_release) struct buf b = BUF_INIT;
		struct diff d;
		struct err e = { 0 };
		if (diff_parse(&d, str_of(t[i].patch), &a, &e) != 0)
			fail_msg("%zu: %s", i, e.msg);
		assert_string_equal(arena_str(&a, d.file[0].path).p, "f");
		int code = diff_apply(&b, &d.file[0], str_of(t[i].old), &e);
		if (!t[i].new) {
			assert_int_equal(code, ERR_NOMATCH);
			assert_non_null(strstr(e.msg, "f: hunk 1 (line "));
		} else if (code != 0 || !str_eq(buf_str(&b), str_of(t[i].new))) {
			fail_msg("%zu: %s \"" STR_FMT "\"", i, e.msg, STR_ARG(buf_str(&b)));
		}
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *patch;
		int code;
		const char *says;
	} t[] = {
		{ "", ERR_PARSE, "no file" },
		{ "@@ -1 +1 @@\n", ERR_PARSE, "line 1: a hunk without a file" },
		{ "--- a/../x\n+++ b/../x\n", ERR_PARSE, "leads out" },
		{ "--- a/x\n+++ /etc/passwd\n", ERR_PARSE, "line 2" },
		{ HEAD "@@ -1,2 +1,2 @@\n a\n", ERR_PARSE, "ends inside a hunk" },
		{ HEAD "@@ -1,1 +1,1 @@\n a\n b\n@@ x\n", 0, NULL },
		{ HEAD "@@ -1 +1 @@\n*\n", ERR_PARSE, "line 4" },
		{ HEAD "@@ -x +1 @@\n", ERR_PARSE, "hunk's head" },
		{ "diff --git a/x b/y\nrename from x\nrename to y\n", ERR_UNSUPPORTED, "renames" },
		{ "diff --git a/x b/x\nGIT binary patch\n", ERR_UNSUPPORTED, "binary" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		struct diff d;
		struct err e = { 0 };
		int code = diff_parse(&d, str_of(t[i].patch), &a, &e);
		if (code != t[i].code || (t[i].says && !strstr(e.msg, t[i].says)))
			fail_msg("%zu: %d %s", i, code, e.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_apply), cmocka_unit_test(test_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
