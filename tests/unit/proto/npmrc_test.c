#include "npmrc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static bool env(void *ctx, str name, str *value)
{
	if (str_eq(name, STR("TOKEN")))
		*value = STR("s3cret=");
	else if (str_eq(name, STR("EMPTY")))
		*value = STR("");
	else if (str_eq(name, STR("BIG")))
		*value = (str){ ctx, 1 << 10 };
	else
		return false;
	return true;
}

static void reads(void **state)
{
	static const struct {
		str text;
		const char *want; /* key=value; with [] for lists and ! for what the environment gave */
	} t[] = {
		{ STR_INIT(""), "" },
		{ STR_INIT("a=1\r\nb = 2 \n\n# c=3\n;d=4\n  e = \n"), "a=1;b=2;e=;" },
		{ STR_INIT("\xEF\xBB\xBF"
			   "a=1"),
			"a=1;" },
		{ STR_INIT("a=x # y\nb=x;y"), "a=x # y;b=x;y;" },
		{ STR_INIT("\"a\" = \"x y\"\n'b'='z'\nc='\nd=\"x'"), "a=x y;b=z;c=';d=\"x';" },
		{ STR_INIT("always-auth\n=x\n[section]\nin=1"), "always-auth=true;in=1;" },
		{ STR_INIT("ca[]=one\nca[] = two\n"), "ca[]=one;ca[]=two;" },
		{ STR_INIT("//h.test/:_authToken=${TOKEN}"), "//h.test/:_authToken=s3cret=!;" },
		{ STR_INIT("//h.test/:_authToken=a${TOKEN}b${TOKEN}"), "//h.test/:_authToken=as3cret=bs3cret=!;" },
		{ STR_INIT("a=${NO-x}\nb=${NO:-y}\nc=${EMPTY-x}\nd=${EMPTY:-y}\ne=${TOKEN:-y}\nf=${NO:-a-b}"),
			"a=x!;b=y!;c=!;d=y!;e=s3cret=!;f=a-b!;" },
		{ STR_INIT("a=\\${TOKEN}\nb=\\\\${TOKEN}\nc=\\\\\\${TOKEN}\nd=\\x"),
			"a=${TOKEN};b=\\s3cret=!;c=\\${TOKEN};d=\\x;" },
		{ STR_INIT("a=${}\nb=${x\nc=$x\nd=${a${TOKEN}}\ne=$"), "a=${};b=${x;c=$x;d=${as3cret=}!;e=$;" },
		{ STR_INIT("${TOKEN}=1"), "s3cret==1!;" },
		{ STR_INIT("${NO}=1"), "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		AUTO(buf_release) struct buf b = BUF_INIT;
		struct err e = { 0 };
		struct npmrc r;
		assert_int_equal(npmrc_parse(&r, t[i].text, env, NULL, &a, &e), 0);
		for (size_t k = 0; k < r.n; k++)
			buf_printf(&b, STR_FMT "%s=" STR_FMT "%s;", STR_ARG(r.p[k].key), r.p[k].list ? "[]" : "",
				STR_ARG(r.p[k].value), r.p[k].key_from_env || r.p[k].value_from_env ? "!" : "");
		buf_addc(&b, 0);
		assert_string_equal(b.p, t[i].want);
	}
}

static void names_what_is_missing(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct err e = { 0 };
	struct npmrc r;

	(void)state;
	assert_int_equal(npmrc_parse(&r, STR("a=1\n\nb=x${NO}y${EMPTY}\na=2"), env, NULL, &a, &e), 0);
	assert_int_equal(r.unresolved.n, 2);
	assert_true(str_eq(r.unresolved.p[0], STR("${NO}")));
	assert_true(str_eq(r.unresolved.p[1], STR("${EMPTY}")));
	assert_int_equal(r.n, 3);
	assert_true(str_eq(r.p[1].key, STR("b")) && str_eq(r.p[1].value, STR("xy")));
	assert_true(str_eq(r.p[2].key, STR("a")) && str_eq(r.p[2].value, STR("2")));
	assert_int_equal(r.p[1].line, 3);
	assert_int_equal(npmrc_parse(&r, STR("a=${TOKEN}"), NULL, NULL, &a, &e), 0);
	assert_int_equal(r.unresolved.n, 1);
}

static void has_bounds(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct err e = { 0 };
	struct npmrc r;

	(void)state;
	for (int i = 0; i < 1025; i++)
		buf_add(&b, STR("a=${BIG}\n"));
	assert_int_equal(npmrc_parse(&r, buf_str(&b), env, b.p, &a, &e), ERR_TOOBIG);
	memset(buf_reserve(&b, 1 << 20), '\n', 1 << 20);
	b.n = (1 << 20) + 1;
	assert_int_equal(npmrc_parse(&r, buf_str(&b), NULL, NULL, &a, &e), ERR_TOOBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(names_what_is_missing),
		cmocka_unit_test(has_bounds),
	};

	return cmocka_run_group_tests_name("npmrc", tests, NULL, NULL);
}
