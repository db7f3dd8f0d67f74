/* A registry made up on the spot: c1 needs c2, c2 needs c3, and so on, as a dependency or as a peer. A
 * chain longer than RUN_MOST_DEPTH packages is an error that names one of them, never a stack overflow;
 * one package less is a plan. */
#include "graph.h"
#include "made_request.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

enum need {
	PURE,
	WANTING, /* each also wants the first as a peer, so that nothing below is pure */
	PEERS,   /* each wants the next as a peer; the project depends on all */
};
struct made {
	unsigned length; /* of the chain */
	enum need chain;
	struct buf record[RUN_MOST_DEPTH + 3];
	struct engine_packument got[RUN_MOST_DEPTH + 3];
	uint32_t ticket[RUN_MOST_DEPTH + 3]; /* those wanted and not handed out */
	unsigned at[RUN_MOST_DEPTH + 3], waiting;
	struct frame_done done;
	unsigned failures;
};

static void made_compile(struct made *m, unsigned i)
{
	AUTO(buf_release) struct buf json = BUF_INIT;
	char name[16];

	snprintf(name, sizeof(name), "c%u", i);
	made_head(&json, name, "1.0.0");
	made_version(&json, name, "1.0.0");
	if (i < m->length)
		buf_printf(&json, ",\"%s\":{\"c%u\":\"^1.0.0\"}",
			m->chain == PEERS ? "peerDependencies" : "dependencies", i + 1);
	if (m->chain == WANTING && i > 1)
		buf_add(&json, STR(",\"peerDependencies\":{\"c1\":\"^1.0.0\"}"));
	buf_add(&json, STR("}}}"));
	made_packument(&m->got[i], &m->record[i], &json, str_of(name));
}

static void want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct made *m = ctx;
	uint64_t i = 0;

	(void)registry;
	(void)form;
	assert_true(name.p[0] == 'c' && str_u64(str_from(name, 1), &i) && i <= m->length);
	if (!m->record[i].n)
		made_compile(m, (unsigned)i);
	m->ticket[m->waiting] = ticket;
	m->at[m->waiting++] = (unsigned)i;
}

static int poll_any(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct made *m = ctx;
	uint32_t n = 0;

	(void)e;
	while (n < cap && m->waiting) {
		ticket[n] = m->ticket[--m->waiting];
		got[n++] = &m->got[m->at[m->waiting]];
	}
	return (int)n;
}

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct made *m = ctx;

	(void)e;
	if (f->kind == FRAME_DONE)
		m->done = f->done;
	m->failures += f->kind == FRAME_FAILURE;
	return 0;
}

static int resolve(struct made *m, unsigned length, enum need chain, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct str_kv *dep = arena_new(&a, struct str_kv, length);
	struct made_request made;

	for (unsigned i = 0; i < length; i++)
		dep[i] = (struct str_kv){ arena_printf(&a, "c%u", i + 1), STR("^1.0.0") };
	made_request_init(&made, dep, chain == PEERS ? length : 1);
	m->length = length;
	m->chain = chain;
	struct engine_io io = { .ctx = m, .now_ms = 1, .want = want, .wait = poll_any, .poll = poll_any };
	return engine_run(&made.req, &io, on_frame, m, e);
}

static void made_free(struct made *m)
{
	for (size_t i = 0; i < sizeof(m->record) / sizeof(m->record[0]); i++)
		buf_release(&m->record[i]);
	free(m);
}

static void check(unsigned length, enum need chain, bool fits)
{
	struct made *m = xcalloc(1, sizeof(*m));
	struct err e = { 0 };
	int rc = resolve(m, length, chain, &e);

	if (fits) {
		assert_int_equal(rc, 0);
		assert_int_equal(m->done.packages, length);
		assert_int_equal(m->failures, 0);
	} else {
		assert_int_equal(rc, ERR_TOOBIG);
		assert_int_equal(m->failures, 1);
		assert_non_null(strstr(e.msg, "3000"));
		assert_non_null(strstr(e.msg, "package c"));
	}
	made_free(m);
}

static void test_longest_chain_fits(void **state)
{
	(void)state;
	check(RUN_MOST_DEPTH, PURE, true);
	check(RUN_MOST_DEPTH, WANTING, true);
	check(RUN_MOST_DEPTH, PEERS, true);
}

static void test_longer_chain_is_an_error(void **state)
{
	(void)state;
	check(RUN_MOST_DEPTH + 1, PURE, false);
	check(RUN_MOST_DEPTH + 1, WANTING, false);
	check(RUN_MOST_DEPTH + 1, PEERS, false);
	check(RUN_MOST_DEPTH + 2, PEERS, false);
}

/* Sanitizers make frames several times as large: there, and only there, with a larger stack than a worker's 8 MiB. */
static void stack_grow(char **argv)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	struct rlimit now;
	struct rlimit want = { 128u << 20, 128u << 20 };

	if (getrlimit(RLIMIT_STACK, &now) == 0 && now.rlim_cur < want.rlim_cur) {
		want.rlim_max = now.rlim_max;
		if (setrlimit(RLIMIT_STACK, &want) == 0)
			execv("/proc/self/exe", argv);
	}
#else
	(void)argv;
#endif
}

int main(int argc, char **argv)
{
	(void)argc;
	stack_grow(argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_chain_fits),
		cmocka_unit_test(test_longer_chain_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
