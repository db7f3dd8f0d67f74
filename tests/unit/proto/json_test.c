#include "base/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Expected: what JSON.stringify(JSON.parse(text)) gives. */
static void reads(void **state)
{
	static const struct {
		str in;
		const char *out;
	} t[] = {
		{ STR_INIT(" [1, -0.5e+3 ,\ttrue,false,null,\"\"]\r\n"), "[1,-0.5e+3,true,false,null,\"\"]" },
		{ STR_INIT("{}"), "{}" },
		{ STR_INIT("[ ]"), "[]" },
		{ STR_INIT("\xEF\xBB\xBF{\"a\":{\"b\":[[]]}}"), "{\"a\":{\"b\":[[]]}}" },
		{ STR_INIT("{\"a\":1,\"b\":2,\"a\":3}"), "{\"a\":3,\"b\":2}" },
		{ STR_INIT("\"\\u0041\\/\\b\\f\\n\\r\\t\\\\\\\"\""), "\"A/\\b\\f\\n\\r\\t\\\\\\\"\"" },
		{ STR_INIT("\"\\u0000\\u001f\x7f\""), "\"\\u0000\\u001f\x7f\"" },
		{ STR_INIT("\"\\ud83d\\ude00\\u20ac\\u00e9\""), "\"\xF0\x9F\x98\x80\xE2\x82\xAC\xC3\xA9\"" },
		{ STR_INIT("\"\\ud83dx\\ude00\""), "\"\xEF\xBF\xBDx\xEF\xBF\xBD\"" },
		{ STR_INIT("\"\\ud83d\\ud83d\\ude00\""), "\"\xEF\xBF\xBD\xF0\x9F\x98\x80\"" },
		{ STR_INIT("\"\xE2\x80\xA8\""), "\"\xE2\x80\xA8\"" },
		{ STR_INIT("0"), "0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		AUTO(buf_release) struct buf b = BUF_INIT;
		struct err e = { 0 };
		struct json *j;
		if (json_parse(&j, t[i].in, &a, &e) < 0)
			fail_msg("%s: %s", t[i].in.p, e.msg);
		json_put(&b, j);
		buf_addc(&b, 0);
		assert_string_equal(b.p, t[i].out);
	}
}

static void refuses(void **state)
{
	static const struct {
		str in;
		const char *msg;
	} t[] = {
		{ STR_INIT(""), "line 1, column 1: expected a value, found the end of the file" },
		{ STR_INIT("{\n  \"a\": 1,\n}"),
			"line 3, column 1: expected a property name in double quotes, found '}'" },
		{ STR_INIT("{\"a\" 1}"), "line 1, column 6: expected ':' after a property name, found '1'" },
		{ STR_INIT("{\"a\": 1 \"b\": 2}"),
			"line 1, column 9: expected ',' or '}' after a property, found '\"'" },
		{ STR_INIT("[1,]"), "line 1, column 4: expected a value, found ']'" },
		{ STR_INIT("[1 2]"), "line 1, column 4: expected ',' or ']' after an element, found '2'" },
		{ STR_INIT("{'a': 1}"), "line 1, column 2: expected a property name in double quotes, found '''" },
		{ STR_INIT("// x\n{}"), "line 1, column 1: expected a value, found '/'" },
		{ STR_INIT("01"), "line 1, column 2: expected nothing after the value, found '1'" },
		{ STR_INIT("-"), "line 1, column 2: expected a digit, found the end of the file" },
		{ STR_INIT("1."),
			"line 1, column 3: expected a digit after the decimal point, found the end of the file" },
		{ STR_INIT("1e+"), "line 1, column 4: expected a digit in the exponent, found the end of the file" },
		{ STR_INIT("+1"), "line 1, column 1: expected a value, found '+'" },
		{ STR_INIT("nul"), "line 1, column 1: expected a value, found 'n'" },
		{ STR_INIT("\"a\nb\""),
			"line 1, column 3: a string may not hold a control character unescaped, found the byte 0x0a" },
		{ STR_INIT("\"a"), "line 1, column 3: a string has no closing quote, found the end of the file" },
		{ STR_INIT("\"\\"), "line 1, column 3: a string has no closing quote, found the end of the file" },
		{ STR_INIT("\"\\x\""), "line 1, column 3: expected an escape after \\, found 'x'" },
		{ STR_INIT("\"\\u00g0\""), "line 1, column 2: \\u needs four hex digits, found '\\'" },
		{ STR_INIT("\"\xC0\xAF\""), "line 1, column 2: a string is not UTF-8, found the byte 0xc0" },
		{ STR_INIT("\"\\\xC0\""), "line 1, column 3: a string is not UTF-8, found the byte 0xc0" },
		{ STR_INIT("\"\xED\xA0\x80\""), "line 1, column 2: a string is not UTF-8, found the byte 0xed" },
		{ STR_INIT("\"\xE2\x82"), "line 1, column 2: a string is not UTF-8, found the byte 0xe2" },
		{ STR_INIT("{}\n{}"), "line 2, column 1: expected nothing after the value, found '{'" },
		{ STR_INIT("{}\0"), "line 1, column 3: expected nothing after the value, found the byte 0x00" },
		{ STR_INIT("<<<<<<< HEAD"), "line 1, column 1: expected a value, found '<'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		struct err e = { 0 };
		struct json *j = NULL;
		assert_int_equal(json_parse(&j, t[i].in, &a, &e), ERR_PARSE);
		assert_string_equal(e.msg, t[i].msg);
		assert_null(j);
	}
}

static void nests_64_deep(void **state)
{
	(void)state;
	for (size_t n = 63; n <= 65; n++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		char text[2 * 65];
		struct err e = { 0 };
		struct json *j;
		memset(text, '[', n);
		memset(text + n, ']', n);
		assert_int_equal(json_parse(&j, (str){ text, 2 * n }, &a, &e), n <= 64 ? 0 : ERR_TOOBIG);
	}
}

static void many_keys_with_duplicates(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct err e = { 0 };
	struct json *j;

	(void)state;
	buf_addc(&b, '{');
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 5000; i++)
			buf_printf(&b, "%s\"k%u\":%u", round + i ? "," : "", i, i + round);
	}
	buf_addc(&b, '}');
	assert_int_equal(json_parse(&j, buf_str(&b), &a, &e), 0);
	assert_int_equal(j->n, 5000);
	for (unsigned i = 0; i < 5000; i++) {
		assert_true(str_eq(j->key[i], arena_printf(&a, "k%u", i)));
		assert_true(str_eq(j->child[i].s, arena_printf(&a, "%u", i + 1)));
	}
}

static void accessors(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct err e = { 0 };
	struct json *j;

	(void)state;
	assert_int_equal(json_parse(&j, STR("{\"a\": \"x\",\n  \"b\": [1]}"), &a, &e), 0);
	assert_true(str_eq(json_str(json_get(j, "a")), STR("x")));
	assert_true(json_is(json_get(j, "b"), JSON_ARRAY));
	assert_null(json_str(json_get(j, "b")).p);
	assert_int_equal(json_get(j, "b")->line, 2);
	assert_int_equal(json_get(j, "b")->col, 8);
	assert_null(json_get(j, "c"));
	assert_null(json_get(json_get(j, "a"), "c"));
	assert_null(json_get(NULL, "c"));
	assert_false(json_is(NULL, JSON_NULL));
}

static void writes_what_is_no_utf8(void **state)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	(void)state;
	json_put_str(&b, STR("a\xFFz\0"));
	assert_true(str_eq(buf_str(&b), STR("\"a\xEF\xBF\xBDz\\u0000\"")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refuses),
		cmocka_unit_test(nests_64_deep),
		cmocka_unit_test(many_keys_with_duplicates),
		cmocka_unit_test(accessors),
		cmocka_unit_test(writes_what_is_no_utf8),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
