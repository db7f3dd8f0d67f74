/* The order of use, newest first and oldest first, after each step; what is out of the list is in no order. */
#include "base/base.h"
#include "base/lru.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the ones above */
#include <cmocka.h>

enum { N = 4 };
struct thing {
	char name;
	LRU_LINKS(struct thing);
};
typedef LRU(struct thing) things;

/* The list, from its newest, is TEXT; and, from its oldest, the same backwards. */
static void is(const things *l, const char *text)
{
	size_t n = strlen(text), at = 0;

	for (const struct thing *x = l->newest; x; x = x->older) {
		assert_true(at < n);
		assert_int_equal(x->name, text[at++]);
	}
	assert_int_equal(at, n);
	for (const struct thing *x = l->oldest; x; x = x->newer) {
		assert_true(at > 0);
		assert_int_equal(x->name, text[--at]);
	}
	assert_int_equal(at, 0);
}

static void test_steps(void **state)
{
	/* '+': added, '!': used, '-': removed */
	static const char *const steps[][2] = { { "+a", "a" }, { "!a", "a" }, { "-a", "" }, { "+a", "a" },
		{ "+b", "ba" }, { "+c", "cba" }, { "+d", "dcba" }, { "!d", "dcba" }, { "!b", "bdca" }, { "!a", "abdc" },
		{ "-d", "abc" }, { "-a", "bc" }, { "-c", "b" }, { "+c", "cb" }, { "-b", "c" }, { "-c", "" } };
	struct thing thing[N] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' }, { .name = 'd' } };
	things l = LRU_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct thing *x = &thing[steps[i][0][1] - 'a'];
		if (steps[i][0][0] == '+')
			lru_add(&l, x);
		else if (steps[i][0][0] == '!')
			lru_use(&l, x);
		else
			lru_remove(&l, x);
		is(&l, steps[i][1]);
	}
	for (size_t i = 0; i < N; i++)
		assert_true(!thing[i].newer && !thing[i].older);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_steps) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
