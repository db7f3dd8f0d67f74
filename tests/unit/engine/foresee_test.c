/* Round trips of a resolution with a lockfile, on a registry made up on the spot: c1 needs c2, c2 needs c3,
 * and so on, and each needs t. What the lockfile has below a dependency that changed is asked for at once,
 * not one level a round trip. */
#include "lockfile.h"
#include "made_request.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above */
#include <cmocka.h>

enum { LENGTH = 20, T = 0, NAMES = LENGTH + 1 };

struct made {
	struct buf record[NAMES];
	struct engine_packument got[NAMES];
	uint32_t ticket[NAMES], late[NAMES]; /* those that the next round trip brings; those asked for since */
	unsigned at[NAMES], late_at[NAMES], here, nlate, rounds;
	bool asked[NAMES];
	struct frame_done done;
};

static void name_of(char name[16], unsigned i)
{
	snprintf(name, 16, i == T ? "t" : "c%u", i);
}

static void version_add(struct buf *json, unsigned i, const char *version)
{
	char name[16];

	name_of(name, i);
	made_version(json, name, version);
	buf_printf(json, ",\"dependencies\":{");
	if (i != T)
		buf_printf(json, "\"t\":\"*\"");
	if (i != T && i < LENGTH)
		buf_printf(json, ",\"c%u\":\"^1.0.0\"", i + 1);
	buf_printf(json, "}}");
}

static void made_compile(struct made *m, unsigned i)
{
	AUTO(buf_release) struct buf json = BUF_INIT;
	char name[16];

	name_of(name, i);
	made_head(&json, name, "1.1.0");
	version_add(&json, i, "1.0.0");
	buf_printf(&json, ",");
	version_add(&json, i, "1.1.0");
	buf_printf(&json, "}}");
	made_packument(&m->got[i], &m->record[i], &json, str_of(name));
}

static void want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct made *m = ctx;
	uint64_t i = T;

	(void)registry;
	(void)form;
	if (!str_eq(name, STR("t")))
		assert_true(name.p[0] == 'c' && str_u64(str_from(name, 1), &i) && i > 0 && i <= LENGTH);
	assert_false(m->asked[i]);
	m->asked[i] = true;
	made_compile(m, (unsigned)i);
	m->late[m->nlate] = ticket;
	m->late_at[m->nlate++] = (unsigned)i;
}

/* A round trip: it brings all that was asked for before. */
static int wait_all(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct made *m = ctx;
	uint32_t n = 0;

	(void)e;
	if (!m->here) {
		m->rounds++;
		m->here = m->nlate;
		m->nlate = 0;
		memcpy(m->ticket, m->late, sizeof(m->ticket));
		memcpy(m->at, m->late_at, sizeof(m->at));
	}
	for (; n < cap && m->here; n++) {
		ticket[n] = m->ticket[--m->here];
		got[n] = &m->got[m->at[m->here]];
	}
	assert_true(n > 0);
	return (int)n;
}

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct made *m = ctx;

	(void)e;
	if (f->kind == FRAME_DONE)
		m->done = f->done;
	return 0;
}

/* The lockfile in which everything is 1.0.0. */
static void lock_text(struct buf *b)
{
	buf_printf(b,
		"lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\n\n"
		"importers:\n\n  .:\n    dependencies:\n      c1:\n        specifier: ^1.0.0\n        version: 1.0.0\n"
		"      t:\n        specifier: 1.0.0\n        version: 1.0.0\n\npackages:\n");
	for (unsigned i = 1; i <= NAMES; i++) {
		char name[16];
		name_of(name, i % NAMES);
		buf_printf(b, "\n  %s@1.0.0:\n    resolution: {integrity: sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=}\n", name);
	}
	buf_printf(b, "\nsnapshots:\n");
	for (unsigned i = 1; i <= LENGTH; i++) {
		buf_printf(b, "\n  c%u@1.0.0:\n    dependencies:\n      t: 1.0.0\n", i);
		if (i < LENGTH)
			buf_printf(b, "      c%u: 1.0.0\n", i + 1);
	}
	buf_printf(b, "\n  t@1.0.0: {}\n");
}

/* Round trips with C1 and T as specifiers. */
static unsigned rounds(const char *c1, const char *t, unsigned *asked)
{
	struct made *m = xcalloc(1, sizeof(*m));
	AUTO(buf_release) struct buf text = BUF_INIT;
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct str_kv dep[] = { { STR("c1"), str_of(c1) }, { STR("t"), str_of(t) } };
	struct engine_io io = { .ctx = m, .now_ms = 1, .want = want, .wait = wait_all, .poll = poll_none };
	struct made_request made;
	struct lockfile lock;
	struct err e = { 0 };

	lock_text(&text);
	if (lockfile_parse(&lock, buf_str(&text), STR("pnpm-lock.yaml"), &a, &e) < 0)
		fail_msg("%s", e.msg);
	made_request_init(&made, dep, 2);
	made.req.lockfile = &lock;
	made.req.settings.minimum_release_age = 0; /* else what has no time is asked for in full */
	if (engine_run(&made.req, &io, on_frame, m, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(m->done.packages, NAMES);
	unsigned n = m->rounds;
	*asked = 0;
	for (int i = 0; i < NAMES; i++) {
		*asked += m->asked[i];
		buf_release(&m->record[i]);
	}
	free(m);
	return n;
}

static void test_nothing_changed(void **state)
{
	unsigned asked;

	(void)state;
	assert_int_equal(rounds("^1.0.0", "1.0.0", &asked), 0);
	assert_int_equal(asked, 0);
}

static void test_below_what_changed(void **state)
{
	unsigned asked;

	(void)state;
	assert_in_range(rounds("^1.1.0", "1.0.0", &asked), 1, 3);
	assert_int_equal(asked, NAMES);
}

/* Each of the chain depends on T, which moved: none is taken over. */
static void test_above_what_changed(void **state)
{
	unsigned asked;

	(void)state;
	assert_in_range(rounds("^1.0.0", "1.1.0", &asked), 1, 3);
	assert_int_equal(asked, NAMES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_changed),
		cmocka_unit_test(test_below_what_changed),
		cmocka_unit_test(test_above_what_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
