/* The command line: each option sets its field and no other, and what is wrong is named with what is right. */
#include "options.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define N(a) (sizeof(a) / sizeof((a)[0]))
enum { WORDS = 6 };

static const char *setting_of(str option)
{
	return str_eq(option, STR("network-concurrency"))      ? "networkConcurrency"
	       : str_eq(option, STR("verify-store-integrity")) ? "verifyStoreIntegrity"
							       : NULL;
}

static int parse(struct options *o, const char *const *words, struct err *e)
{
	char *argv[WORDS + 2] = { (char[]){ "dray" } };
	int argc = 1;

	for (; argc <= WORDS && words[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	return options_parse(o, argc, argv, setting_of, e);
}

static void test_flags(void **state)
{
#define AT(field) offsetof(struct options, field)
	static const struct {
		const char *option, *alias;
		size_t at;
	} rows[] = { { "--lockfile-only", NULL, AT(lockfile_only) }, { "--prod", "-P", AT(prod) },
		{ "--production", NULL, AT(prod) }, { "--dev", "-D", AT(dev) },
		{ "--no-optional", NULL, AT(no_optional) }, { "--ignore-scripts", NULL, AT(ignore_scripts) },
		{ "--force", NULL, AT(force) }, { "--enable-global-virtual-store", NULL, AT(global_virtual_store) },
		{ "--offline", NULL, AT(offline) }, { "--prefer-offline", NULL, AT(prefer_offline) },
		{ "--trust-lockfile", NULL, AT(trust_lockfile) }, { "--ignore-workspace", NULL, AT(ignore_workspace) },
		{ "--direct", NULL, AT(direct) }, { "--recursive", "-r", AT(recursive) },
		{ "--fail-if-no-match", NULL, AT(fail_if_no_match) },
		{ "--workspace-root", "-w", AT(workspace_root) } };
	(void)state;

	for (size_t i = 0; i < N(rows); i++) {
		for (int alias = 0; alias < (rows[i].alias ? 2 : 1); alias++) {
			struct options o, want;
			struct err e;
			memset(&want, 0, sizeof(want)); /* what is between the fields, too */
			want.command = COMMAND_INSTALL;
			const char *word = alias ? rows[i].alias : rows[i].option;
			*(bool *)((char *)&want + rows[i].at) = true;
			assert_int_equal(parse(&o, (const char *[]){ "install", word, NULL }, &e), 0);
			if (memcmp(&o, &want, sizeof(o)) != 0)
				fail_msg("%s sets another field, or more than its own", word);
			char with_value[64];
			snprintf(with_value, sizeof(with_value), "%s=false", word);
			assert_int_equal(parse(&o, (const char *[]){ "i", with_value, NULL }, &e), ERR_USAGE);
		}
	}
}

static void test_texts(void **state)
{
	static const struct {
		const char *option, *value;
		size_t at;
	} rows[] = { { "--dir", "some/where", AT(dir) }, { "-C", "x", AT(dir) },
		{ "--registry", "http://h.test", AT(registry) }, { "--store-dir", "/s", AT(store_dir) },
		{ "--server", "http://d.test", AT(server) }, { "--verify-store", "full", AT(verify_store) },
		{ "--server-fallback", "error", AT(server_fallback) },
		{ "--materialization", "registry", AT(materialization) }, { "--bad-pack", "stop", AT(bad_pack) } };
	(void)state;

	for (size_t i = 0; i < N(rows); i++) {
		char joined[100];
		struct options apart, one;
		struct err e;
		snprintf(joined, sizeof(joined), "%s=%s", rows[i].option, rows[i].value);
		assert_int_equal(
			parse(&apart, (const char *[]){ "verify", rows[i].option, rows[i].value, NULL }, &e), 0);
		assert_int_equal(parse(&one, (const char *[]){ "verify", joined, NULL }, &e), 0);
		for (int k = 0; k < 2; k++) {
			struct options want, *o = k ? &one : &apart;
			memset(&want, 0, sizeof(want));
			want.command = COMMAND_VERIFY;
			str *is = (str *)(void *)((char *)o + rows[i].at);
			assert_true(str_eq(*is, str_of(rows[i].value)));
			*is = STR_NONE;
			assert_memory_equal(o, &want, sizeof(want));
		}
		assert_int_equal(parse(&one, (const char *[]){ "verify", rows[i].option, NULL }, &e), ERR_USAGE);
		assert_non_null(strstr(e.msg, "needs a value"));
	}
}

static void test_choices(void **state)
{
	static const struct {
		const char *words[WORDS];
		struct options want;
	} rows[] = { { { "install", "--frozen-lockfile" }, { .command = COMMAND_INSTALL, .frozen = FROZEN_YES } },
		{ { "install", "--frozen-lockfile", "--no-frozen-lockfile" },
			{ .command = COMMAND_INSTALL, .frozen = FROZEN_NO } },
		{ { "install", "--reporter", "default" }, { .command = COMMAND_INSTALL } },
		{ { "install", "--reporter=append-only" },
			{ .command = COMMAND_INSTALL, .reporter = REPORTER_APPEND } },
		{ { "install", "--reporter=ndjson" }, { .command = COMMAND_INSTALL, .reporter = REPORTER_NDJSON } },
		{ { "install", "--json" }, { .command = COMMAND_INSTALL, .reporter = REPORTER_NDJSON } },
		{ { "install", "--reporter=silent" }, { .command = COMMAND_INSTALL, .reporter = REPORTER_SILENT } },
		{ { "install", "-s" }, { .command = COMMAND_INSTALL, .reporter = REPORTER_SILENT } },
		{ { "install", "--help" }, { .command = COMMAND_HELP } }, { { "-v" }, { .command = COMMAND_VERSION } },
		{ { "help" }, { .command = COMMAND_HELP } }, { { NULL }, { .command = COMMAND_NONE } },
		{ { "doctor" }, { .command = COMMAND_DOCTOR } },
		{ { "verify", "--store" }, { .command = COMMAND_VERIFY, .store = true } } };
	(void)state;

	for (size_t i = 0; i < N(rows); i++) {
		struct options o;
		struct err e;
		assert_int_equal(parse(&o, rows[i].words, &e), 0);
		if (memcmp(&o, &rows[i].want, sizeof(o)) != 0)
			fail_msg("row %zu", i);
	}
	struct options o;
	struct err e;
	assert_int_equal(parse(&o, (const char *[]){ "store", "prune", NULL }, &e), 0);
	assert_true(o.command == COMMAND_STORE && str_eq(o.store_command, STR("prune")));
	assert_int_equal(parse(&o, (const char *[]){ "i", "-F", "a", "--filter=b", "--filter-prod", "c" }, &e), 0);
	assert_true(o.filter.n == 2 && str_eq(o.filter.p[1], STR("b")));
	assert_true(o.filter_prod.n == 1 && str_eq(o.filter_prod.p[0], STR("c")) && options_filtered(&o));
}

static void test_refusals(void **state)
{
	static const struct {
		const char *words[WORDS];
		int code;
		const char *says;
	} rows[] = { { { "instal" }, ERR_USAGE, "did you mean install?" },
		{ { "--frozn-lockfile" }, ERR_USAGE, "did you mean --frozen-lockfile?" },
		{ { "--prd" }, ERR_USAGE, "did you mean --prod?" },
		{ { "install", "--" }, ERR_USAGE, "unknown option --; see" },
		{ { "install", "--dry-run" }, ERR_UNSUPPORTED, "use --lockfile-only" },
		{ { "add", "x" }, ERR_UNSUPPORTED, "dray has no `add`" },
		{ { "install", "x" }, ERR_USAGE, "takes no package names: edit package.json" },
		{ { "doctor", "x" }, ERR_USAGE, "unexpected \"x\"; see dray --help" },
		{ { "install", "--save-dev" }, ERR_UNSUPPORTED, "edit package.json" },
		{ { "install", "--network-concurrency=3" }, ERR_UNSUPPORTED,
			"set networkConcurrency in pnpm-workspace.yaml" },
		{ { "install", "--config.network-concurrency", "3" }, ERR_UNSUPPORTED, "set networkConcurrency in" },
		{ { "install", "--no-verify-store-integrity" }, ERR_UNSUPPORTED,
			"set verifyStoreIntegrity: false in pnpm-workspace.yaml" },
		{ { "install", "--frozen-lockfile=false" }, ERR_USAGE, "and --no-frozen-lockfile" },
		{ { "install", "--prod=false" }, ERR_USAGE, "--prod takes no value; leave it out" },
		{ { "install", "--hoist" }, ERR_UNSUPPORTED, "set hoist in pnpm-workspace.yaml" },
		{ { "install", "--reporter=loud" }, ERR_USAGE,
			"--reporter loud: default, append-only, ndjson or silent" },
		{ { "install", "--verify-store", "x" }, ERR_USAGE, "--verify-store x: stat, full or none" },
		{ { "install", "--server-fallback=" }, ERR_USAGE, "needs a value" },
		{ { "install", "--prod", "--dev" }, ERR_USAGE, "exclude each other" },
		{ { "install", "--direct", "--server", "u" }, ERR_USAGE, "exclude each other" },
		{ { "install", "--ignore-workspace", "-w" }, ERR_USAGE, "leaves nothing" },
		{ { "install", "--store" }, ERR_USAGE, "belongs to dray verify" },
		{ { "verify", "--offline" }, ERR_USAGE, "asks the registry" },
		{ { "verify", "-F", "x" }, ERR_UNSUPPORTED, "the whole tree" } };
	(void)state;

	for (size_t i = 0; i < N(rows); i++) {
		struct options o;
		struct err e = { 0 };
		if (parse(&o, rows[i].words, &e) != rows[i].code || !strstr(e.msg, rows[i].says))
			fail_msg("row %zu: %d %s", i, e.code, e.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_flags), cmocka_unit_test(test_texts),
		cmocka_unit_test(test_choices), cmocka_unit_test(test_refusals) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
