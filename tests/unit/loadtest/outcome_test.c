/* What a run left behind: trees held against their lockfile, sizes on disk with shared files counted once. */
#include "outcome.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

static const char lockfile[] =
	"lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies:\n      a:\n        specifier: ^1.0.0\n"
	"        version: 1.0.0\n\npackages:\n\n  a@1.0.0:\n    resolution: {integrity: sha512-AA==}\n\n"
	"  '@s/b@2.0.0':\n    resolution: {integrity: sha512-AA==}\n\n  mac@1.0.0:\n    resolution: {integrity: "
	"sha512-AA==}\n\nsnapshots:\n\n  a@1.0.0:\n    dependencies:\n      '@s/b': 2.0.0\n    "
	"optionalDependencies:\n      mac: 1.0.0\n\n  '@s/b@2.0.0': {}\n\n  mac@1.0.0:\n    optional: true\n";

struct fixture {
	char dir[TEMP_PATH];
	struct arena a;
	struct manifest manifest;
	struct subject_place at;
};

static void put(struct fixture *f, const char *path, const char *text)
{
	char *full = (char *)(uintptr_t)arena_printf(&f->a, "%s/%s", f->dir, path).p;

	for (char *p = full + strlen(f->dir) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = 0;
		mkdir(full, 0755);
	}
	int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	temp_make(f->dir);
	assert_int_equal(manifest_parse(&f->manifest, STR("{\"name\":\"p\",\"dependencies\":{\"a\":\"^1.0.0\"}}"),
				 STR("package.json"), &f->a, &e),
		0);
	f->at = (struct subject_place){ .project = arena_printf(&f->a, "%s/p", f->dir).p,
		.store = arena_printf(&f->a, "%s/store", f->dir).p,
		.manifest = &f->manifest };
	put(f, "p/pnpm-lock.yaml", lockfile);
	put(f, "p/node_modules/a/package.json", "{}");
	put(f, "p/node_modules/.pnpm/a@1.0.0/node_modules/a/package.json", "{}");
	put(f, "p/node_modules/.pnpm/@s+b@2.0.0/node_modules/@s/b/package.json", "{}");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	temp_remove(f->dir);
	arena_release(&f->a);
	free(f);
	return 0;
}

static void expect(struct fixture *f, const char *subject, const char *why)
{
	const char *is = outcome_tree(&f->at, subject_find(subject), &f->a);

	if (why ? !is || strcmp(is, why) != 0 : is != NULL)
		fail_msg("%s: \"%s\", not \"%s\"", subject, is ? is : "(good)", why ? why : "(good)");
}

static void test_tree(void **state)
{
	struct fixture *f = *state;

	/* mac is optional and for another platform */
	expect(f, "dray-direct", NULL);
	assert_null(outcome_lockfile(&f->at, subject_find("dray-direct"), &f->a));
	assert_string_equal(outcome_lockfile(&f->at, subject_find("bun"), &f->a), "no bun.lock");
	unlink(arena_printf(&f->a, "%s/p/node_modules/.pnpm/@s+b@2.0.0/node_modules/@s/b/package.json", f->dir).p);
	expect(f, "pnpm", "node_modules/.pnpm lacks @s/b@2.0.0");
	expect(f, "bun", NULL); /* another layout: only what is direct */
	unlink(arena_printf(&f->a, "%s/p/node_modules/a/package.json", f->dir).p);
	expect(f, "bun", "node_modules lacks a");
}

/* NAME in the project or a slot of the store leads to TO. */
static void lead(struct fixture *f, const char *name, const char *to)
{
	const char *at = arena_printf(&f->a, "%s/%s", f->dir, name).p;

	put(f, arena_printf(&f->a, "%s.away", name).p, "");
	unlink(at);
	assert_int_equal(symlink(arena_printf(&f->a, "%s/%s", f->dir, to).p, at), 0);
}

static void expect_about(struct fixture *f, const char *what)
{
	const char *why = outcome_tree(&f->at, subject_find("pnpm-gvs"), &f->a);

	if (!why || !strstr(why, what))
		fail_msg("\"%s\" says nothing of \"%s\"", why ? why : "(good)", what);
}

static void test_shared_tree(void **state)
{
	static const char a_slot[] = "store/links/a/node_modules/a", b_slot[] = "store/links/b/node_modules/@s/b";
	struct fixture *f = *state;

	/* The project's own slots are a wrong tree where shared ones were asked for. */
	mkdir(f->at.store, 0755);
	expect_about(f, "is not a shared slot");
	expect(f, "pnpm", NULL);
	assert_int_equal(system(arena_printf(&f->a, "rm -rf %s/p/node_modules/a", f->dir).p), 0);
	put(f, arena_printf(&f->a, "%s/package.json", a_slot).p, "{}");
	put(f, arena_printf(&f->a, "%s/package.json", b_slot).p, "{}");
	lead(f, "p/node_modules/a", a_slot);
	expect_about(f, "@s/b leads nowhere");
	lead(f, "store/links/a/node_modules/@s/b", b_slot);
	expect(f, "pnpm-gvs", NULL);
	expect(f, "dray-gvs", NULL);
	unlink(arena_printf(&f->a, "%s/%s/package.json", f->dir, b_slot).p);
	expect_about(f, "lacks its package.json");
}

static void test_digest(void **state)
{
	struct fixture *f = *state;

	put(f, "p/bun.lock", "abc");
	assert_true(str_eq(outcome_lockfile_digest(&f->at, "bun.lock", &f->a),
		STR("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))); /* FIPS 180-2 */
	assert_int_equal(outcome_lockfile_digest(&f->at, "yarn.lock", &f->a).n, 0);
}

static void test_sizes(void **state)
{
	struct fixture *f = *state;
	struct outcome_sizes before = outcome_sizes(&f->at, "pnpm-lock.yaml"), after;
	char big[20000];

	assert_int_equal(before.store_files, 0);
	assert_int_equal(before.modules_files, 3);
	assert_int_equal(before.lockfile_bytes, sizeof(lockfile) - 1);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	put(f, "store/file", big);
	const char *from = arena_printf(&f->a, "%s/store/file", f->dir).p;
	assert_int_equal(link(from, arena_printf(&f->a, "%s/p/node_modules/a/file", f->dir).p), 0);
	after = outcome_sizes(&f->at, "pnpm-lock.yaml");
	assert_int_equal(after.store_files, 1);
	assert_int_equal(after.modules_files, 4);
	assert_true(after.store_bytes >= sizeof(big) - 1);
	assert_true(after.modules_bytes - before.modules_bytes < 8192); /* the bytes are the store's */
}

static void test_unavailable(void **state)
{
	struct fixture *f = *state;

	f->at.log = arena_printf(&f->a, "%s/log", f->dir).p;
	put(f, "log", "➤ YN0000: ┌ Resolution step\n➤ YN0001: │ RequestError\n");
	assert_null(outcome_unavailable(&f->at, subject_find("yarn"), &f->a));
	put(f, "log",
		"➤ YN0000: ┌ Resolution step\n➤ YN0082: │ @x/android@npm:1.13.0: No candidates found\n➤ YN0000: └\n");
	assert_string_equal(outcome_unavailable(&f->at, subject_find("yarn"), &f->a),
		"the registry lacks @x/android@npm:1.13.0, which yarn asks for on every platform");
	assert_null(outcome_unavailable(&f->at, subject_find("bun"), &f->a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(test_digest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unavailable, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
