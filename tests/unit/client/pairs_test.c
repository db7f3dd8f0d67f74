/* Which package of a plan waits for which other version of itself. */
#include "pack_pairs.h"
#include "packs_wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { N = 8 };
struct env {
	struct pack_pairs x;
	struct frame_package f[N];
	struct tree_package p[N];
	size_t n;
};

static struct tree_package *package(struct env *v, const char *name, const char *version, uint64_t pack)
{
	struct frame_package *f = &v->f[v->n];
	struct tree_package *p = &v->p[v->n++];

	*f = (struct frame_package){ .name = str_of(name), .version = str_of(version), .pack_size = pack };
	*p = (struct tree_package){ .f = f };
	return p;
}

/* Asked for, as an install does it. */
static struct tree_package *ask(struct env *v, struct tree_package *p)
{
	struct tree_package *base = pack_pairs_add(&v->x, p, false);

	p->state = PACKAGE_COMING;
	return base;
}

static int setup(void **state)
{
	*state = xcalloc(1, sizeof(struct env));
	return 0;
}

static int teardown(void **state)
{
	struct env *v = *state;

	pack_pairs_release(&v->x);
	free(v);
	return 0;
}

static void test_waits_and_goes(void **state)
{
	struct env *v = *state;
	struct tree_package *a = package(v, "a", "2.0.0", 100000), *b = package(v, "a", "2.1.0", 90000),
			    *c = package(v, "a", "1.0.0", 80000), *other = package(v, "b", "2.0.0", 70000);

	assert_null(ask(v, a));
	assert_ptr_equal(ask(v, b), a);
	assert_ptr_equal(ask(v, c), b); /* as near as a, and later */
	assert_null(ask(v, other));
	assert_null(pack_pairs_next(other));
	assert_ptr_equal(pack_pairs_next(a), b);
	assert_null(pack_pairs_next(a));
	assert_ptr_equal(pack_pairs_next(b), c);
	assert_null(pack_pairs_next(b));
}

static void test_ready_is_not_waited_for(void **state)
{
	struct env *v = *state;
	struct tree_package *a = package(v, "a", "2.0.0", 100000), *b = package(v, "a", "2.1.0", 90000);

	ask(v, a);
	a->state = PACKAGE_READY;
	assert_ptr_equal(ask(v, b), a);
	assert_null(pack_pairs_next(a));
}

/* What came from the registry may be built on, once it is there. */
static void test_registry_is_not_waited_for(void **state)
{
	struct env *v = *state;
	struct tree_package *a = package(v, "a", "2.0.0", 100000), *b = package(v, "a", "2.1.0", 90000),
			    *c = package(v, "a", "2.2.0", 80000), *d = package(v, "a", "2.0.1", 80000);

	ask(v, a);
	ask(v, b);
	pack_pairs_leave(a);
	assert_ptr_equal(pack_pairs_next(a), b);
	pack_pairs_leave(b);
	assert_null(ask(v, c));
	a->state = PACKAGE_READY;
	assert_ptr_equal(ask(v, d), a);
}

static void test_who_does_not_wait(void **state)
{
	struct env *v = *state;
	struct tree_package *a = package(v, "a", "2.0.0", 100000),
			    *small = package(v, "a", "2.1.0", PACKS_PAIR_LEAST - 1),
			    *alone = package(v, "a", "2.2.0", 90000);
	struct patch patch = { 0 };
	struct tree_package *patched = package(v, "c", "1.0.0", 90000), *plain = package(v, "c", "1.0.1", 90000);

	ask(v, a);
	assert_null(ask(v, small));
	assert_null(pack_pairs_add(&v->x, alone, true));
	ask(v, patched);
	patched->patch = &patch;
	patched->state = PACKAGE_READY;
	assert_null(ask(v, plain));
	assert_null(pack_pairs_next(a));
}

/* A row of packages that wait for each other ends. */
static void test_depth(void **state)
{
	struct env *v = *state;
	static const char *const version[N] = { "1", "12", "123", "1234", "12345", "123456", "1234567", "12345678" };
	unsigned depth = 0;

	for (int i = 0; i < N; i++)
		ask(v, package(v, "a", version[i], 100000));
	for (const struct tree_package *p = &v->p[0]; p; depth++) {
		const struct tree_package *next = pack_pairs_next(p), *last = next;
		while (next && (next = pack_pairs_next(p)))
			last = next;
		p = last;
	}
	assert_in_range(depth, 2, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_waits_and_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ready_is_not_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registry_is_not_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_does_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
