/* The copy of a project that a subject works in: what of it is copied, and what its links come to. */
#include "fs.h"
#include "place.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

struct fixture {
	char dir[TEMP_PATH];
	struct arena a;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	temp_make(f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	place_remove(f->dir);
	arena_release(&f->a);
	free(f);
	return 0;
}

static const char *in(struct fixture *f, const char *name)
{
	return arena_printf(&f->a, "%s/%s", f->dir, name).p;
}

static void put(struct fixture *f, const char *name, str text)
{
	struct err e;

	assert_int_equal(fs_write_file(AT_FDCWD, in(f, name), text, 0644, &e), 0);
}

static void link_to(struct fixture *f, const char *name, const char *text)
{
	assert_int_equal(symlink(text, in(f, name)), 0);
}

/* 'f': a file, 'd': a folder, 'l': a link, '-': nothing. */
static char kind(struct fixture *f, const char *project, const char *name)
{
	struct stat st;

	if (lstat(arena_printf(&f->a, "%s/%s", project, name).p, &st) < 0)
		return '-';
	return S_ISREG(st.st_mode) ? 'f' : S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : '?';
}

static void test_copy(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name;
		char kind;
	} want[] = { { "package.json", 'f' }, { "packages/one/index.js", 'f' }, { "node_modules", '-' }, { "one", 'l' },
		{ "packages/back", 'l' }, { "shared.js", 'f' }, /* the bytes of a file lead nowhere */
		{ "loop", '-' }, { "nowhere", '-' }, { "outside", '-' }, { "beside", '-' }, { "absolute", '-' } };
	struct bench_place p;
	struct subject_place at;
	struct err e;

	for (size_t i = 0; i < 5; i++) {
		static const char *const dir[] = { "project/packages/one", "project/node_modules", "elsewhere",
			"project-2", "ref" };
		assert_int_equal(fs_mkdir_p(AT_FDCWD, in(f, dir[i]), 0755, &e), 0);
	}
	put(f, "project/package.json", STR("{\"name\":\"x\"}"));
	put(f, "project/packages/one/index.js", STR("1"));
	put(f, "elsewhere/shared.js", STR("2"));
	link_to(f, "project/one", "packages/one");
	link_to(f, "project/packages/back", "../packages");
	link_to(f, "project/shared.js", "../elsewhere/shared.js");
	link_to(f, "project/loop", "loop");
	link_to(f, "project/nowhere", "not/there");
	link_to(f, "project/outside", "../elsewhere");
	link_to(f, "project/beside", "../project-2");
	link_to(f, "project/absolute", in(f, "project/packages"));
	if (place_open(&p, in(f, "ref"), in(f, "project"), "", &e) < 0 || place_prime(&at, &p, "x", &f->a, &e) < 0)
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		if (kind(f, at.project, want[i].name) != want[i].kind)
			fail_msg("%s: %c", want[i].name, kind(f, at.project, want[i].name));
	}
	place_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(test_copy, setup, teardown) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
