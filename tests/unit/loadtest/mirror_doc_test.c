/* What a recorded packument becomes: abbreviated as npm's registry does, tarballs behind the mirror, a date. */
#include "mirror_doc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect_text(const struct buf *b, const char *want)
{
	if (!str_eq(buf_str(b), str_of(want)))
		fail_msg("\n     " STR_FMT "\nnot: %s", STR_ARG(buf_str(b)), want);
}

static void test_abbreviate(void **state)
{
	static const char full[] =
		"{\"_id\":\"a\",\"name\":\"a\",\"readme\":\"long\",\"dist-tags\":{\"latest\":\"1.0.0\"},"
		"\"time\":{\"modified\":\"2024-01-02T03:04:05.678Z\",\"1.0.0\":\"2020-01-01T00:00:00.000Z\"},"
		"\"versions\":{\"1.0.0\":{\"name\":\"a\",\"version\":\"1.0.0\",\"author\":{\"name\":\"x\"},"
		"\"scripts\":{\"test\":\"t\",\"postinstall\":\"node x\"},\"dependencies\":{\"b\":\"^1.0.0\"},"
		"\"dist\":{\"tarball\":\"https://registry.test/a/-/a-1.0.0.tgz\",\"size\":1.50}}}}";
	AUTO(buf_release) struct buf out = BUF_INIT;

	(void)state;
	assert_true(mirror_doc_abbreviate(&out, str_of(full)));
	expect_text(&out,
		"{\"name\":\"a\",\"modified\":\"2024-01-02T03:04:05.678Z\",\"dist-tags\":{\"latest\":\"1.0.0\"},"
		"\"versions\":{\"1.0.0\":{\"name\":\"a\",\"version\":\"1.0.0\",\"dependencies\":{\"b\":\"^1.0.0\"},"
		"\"dist\":{\"tarball\":\"https://registry.test/a/-/a-1.0.0.tgz\",\"size\":1.50},"
		"\"hasInstallScript\":true}}}");
	/* What is abbreviated already stays so. */
	AUTO(buf_release) struct buf again = BUF_INIT;
	assert_true(mirror_doc_abbreviate(&again, buf_str(&out)));
	assert_true(str_eq(buf_str(&out), buf_str(&again)));
	assert_false(mirror_doc_abbreviate(&out, STR("{\"error\":\"not found\"}")));
	assert_false(mirror_doc_abbreviate(&out, STR("{\"name\":")));
}

static void test_rebase(void **state)
{
	static const struct {
		const char *json, *want;
	} row[] = {
		{ "{\"tarball\":\"https://registry.test/a/-/a-1.tgz\"}", "{\"tarball\":\"http://m/a/-/a-1.tgz\"}" },
		{ "{ \"tarball\" : \"http://h:80/@s/b/-/b-1.tgz\", \"tarball\": \"http://h/c\" }",
			"{ \"tarball\" : \"http://m/@s/b/-/b-1.tgz\", \"tarball\": \"http://m/c\" }" },
		/* nothing that is a URL, and a package of that name */
		{ "{\"tarball\":\"x\",\"tarball\":1,\"a\":\"http://h/c\"}",
			"{\"tarball\":\"x\",\"tarball\":1,\"a\":\"http://h/c\"}" },
		{ "{\"dependencies\":{\"tarball\":\"^1.0.0\"},\"x\":\"http://h/y\"}",
			"{\"dependencies\":{\"tarball\":\"^1.0.0\"},\"x\":\"http://h/y\"}" },
		{ "{\"tarball\":\"http://h", "{\"tarball\":\"http://h" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		AUTO(buf_release) struct buf out = BUF_INIT;
		mirror_doc_rebase(&out, str_of(row[i].json), STR("http://m/"));
		expect_text(&out, row[i].want);
	}
}

static void test_modified(void **state)
{
	static const struct {
		const char *json, *want;
	} row[] = {
		{ "{\"modified\":\"2026-11-20T06:28:16.000Z\"}", "Fri, 20 Nov 2026 06:28:16 GMT" },
		{ "{\"time\":{\"modified\":\"2026-11-20T06:28:16.000Z\"}}", "Fri, 20 Nov 2026 06:28:16 GMT" },
		/* a registry that does not say: the youngest version */
		{ "{\"time\":{\"2.0.0\":\"2026-11-20T06:28:16.000Z\",\"1.0.0\":\"2020-01-01T00:00:00.000Z\"}}",
			"Fri, 20 Nov 2026 06:28:16 GMT" },
		{ "{\"time\":{\"modified\":\"yesterday\"}}", "" },
		{ "{}", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		char date[MIRROR_DOC_DATE];
		mirror_doc_modified(date, str_of(row[i].json));
		assert_string_equal(date, row[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_abbreviate),
		cmocka_unit_test(test_rebase),
		cmocka_unit_test(test_modified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
