/* Which packuments a resolution asks for when some are kept. On a registry made up on the spot: a needs b; both have
 * 1.0.0 and 1.1.0, long ago. */
#include "lockfile.h"
#include "made_request.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#define NOW_MS INT64_C(1796083200000)
#define DAY_MS INT64_C(86400000)

enum { A, B, NAMES };

struct made {
	struct buf record[NAMES][2]; /* 1.0.0 alone; both */
	struct engine_packument got[NAMES][2];
	uint32_t ticket[2 * NAMES], at[2 * NAMES], nwaiting;
	int keeps; /* how many versions of each are kept; 0: nothing is */
	int64_t kept_ms;
	unsigned asked[NAMES];
	char young[16]; /* the last version of b that was sent */
};

static void made_compile(struct made *m, int i, int n)
{
	AUTO(buf_release) struct buf json = BUF_INIT;
	const char *name = i == A ? "a" : "b";

	buf_printf(&json,
		"{\"modified\":\"2020-01-01T00:00:00.000Z\",\"name\":\"%s\",\"dist-tags\":{\"latest\":\"1.0.0\"},"
		"\"versions\":{",
		name);
	for (int v = 0; v < n; v++) {
		made_version(&json, name, v ? "1.1.0" : "1.0.0");
		buf_printf(&json, ",\"dependencies\":{%s}}%s", i == A ? "\"b\":\"^1.0.0\"" : "", v + 1 < n ? "," : "");
	}
	buf_printf(&json, "}}");
	made_packument(&m->got[i][n - 1], &m->record[i][n - 1], &json, str_of(name));
}

static void want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct made *m = ctx;
	uint32_t i = str_eq(name, STR("a")) ? A : B;

	(void)registry;
	(void)form;
	m->asked[i]++;
	m->ticket[m->nwaiting] = ticket;
	m->at[m->nwaiting++] = i;
}

static bool kept(
	void *ctx, struct packument *out, int64_t *checked_ms, str registry, str name, enum packument_form form)
{
	const struct made *m = ctx;

	(void)registry;
	(void)form;
	if (!m->keeps)
		return false;
	*out = m->got[str_eq(name, STR("a")) ? A : B][m->keeps - 1].rec;
	*checked_ms = m->kept_ms;
	return true;
}

static int wait_one(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct made *m = ctx;

	(void)e;
	assert_true(cap && m->nwaiting);
	*ticket = m->ticket[--m->nwaiting];
	*got = &m->got[m->at[m->nwaiting]][1];
	return 1;
}

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct made *m = ctx;

	(void)e;
	if (f->kind == FRAME_PACKAGE && str_eq(f->package.name, STR("b")))
		snprintf(m->young, sizeof(m->young), STR_FMT, STR_ARG(f->package.version));
	return 0;
}

/* The lockfile with a@1.0.0, and b in N versions of which a has the first. */
static str lock_text(int n)
{
	return n == 1 ? STR("lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  "
			    "excludeLinksFromLockfile: false\n\nimporters:\n\n  .:\n    dependencies:\n      a:\n        "
			    "specifier: 1.0.0\n        version: 1.0.0\n\npackages:\n\n  a@1.0.0:\n    resolution: "
			    "{integrity: sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=}\n\n  b@1.0.0:\n    resolution: {integrity: "
			    "sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=}\n\nsnapshots:\n\n  a@1.0.0:\n    dependencies:\n      "
			    "b: 1.0.0\n\n  b@1.0.0: {}\n")
		      : STR("lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  "
			    "excludeLinksFromLockfile: false\n\nimporters:\n\n  .:\n    dependencies:\n      a:\n        "
			    "specifier: 1.0.0\n        version: 1.0.0\n      b:\n        specifier: 1.1.0\n        "
			    "version: 1.1.0\n\npackages:\n\n  a@1.0.0:\n    resolution: {integrity: "
			    "sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=}\n\n  b@1.0.0:\n    resolution: {integrity: "
			    "sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=}\n\n  b@1.1.0:\n    resolution: {integrity: "
			    "sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=}\n\nsnapshots:\n\n  a@1.0.0:\n    dependencies:\n      "
			    "b: 1.0.0\n\n  b@1.0.0: {}\n\n  b@1.1.0: {}\n");
}

struct asked_case {
	const char *a;      /* the project's specifier for it */
	int keeps;          /* see struct made */
	int64_t age_ms;     /* of what is kept; -1: nobody knows */
	uint32_t min_age;   /* minutes */
	const char *except; /* minimumReleaseAgeExclude */
	bool trust;
	int locked;    /* versions of b in a lockfile; 0: there is none */
	unsigned what; /* 1: a is asked for; 2: b */
	const char *b; /* the version that a gets */
};

static void asked_run(const struct asked_case *c)
{
	struct made *m = xcalloc(1, sizeof(*m));
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct str_kv dep = { STR("a"), str_of(c->a) };
	str except = str_of(c->except);
	struct engine_io io = {
		.ctx = m, .now_ms = NOW_MS, .want = want, .kept = kept, .wait = wait_one, .poll = poll_none
	};
	struct made_request made;
	struct lockfile lock;
	struct err e = { 0 };

	for (int i = 0; i < NAMES; i++)
		for (int n = 1; n <= 2; n++)
			made_compile(m, i, n);
	m->keeps = c->keeps;
	m->kept_ms = c->age_ms == -1 ? 0 : NOW_MS - c->age_ms;
	made_request_init(&made, &dep, 1);
	made.req.settings.minimum_release_age = c->min_age;
	if (c->except)
		made.req.settings.minimum_release_age_exclude = (struct str_list){ &except, 1 };
	if (c->trust)
		made.req.settings.trust_policy = TRUST_NO_DOWNGRADE;
	if (c->locked) {
		if (lockfile_parse(&lock, lock_text(c->locked), STR("pnpm-lock.yaml"), &a, &e) < 0)
			fail_msg("%s", e.msg);
		made.req.lockfile = &lock;
	}
	if (engine_run(&made.req, &io, on_frame, m, &e) < 0)
		fail_msg("%s", e.msg);
	if (!m->asked[A] != !(c->what & 1) || !m->asked[B] != !(c->what & 2))
		fail_msg("a@%s, %d kept: asked for a %u times, for b %u times", c->a, c->keeps, m->asked[A],
			m->asked[B]);
	if (c->b)
		assert_string_equal(m->young, c->b);
	for (int i = 0; i < NAMES; i++)
		for (int n = 0; n < 2; n++)
			buf_release(&m->record[i][n]);
	free(m);
}

static void test_asked(void **state)
{
	static const struct asked_case cases[] = {
		/* nothing is kept */
		{ .a = "1.0.0", .age_ms = -1, .min_age = 1440, .what = 3 },
		/* the very version is kept: it never changes. What a range takes may have */
		{ .a = "1.0.0", .keeps = 1, .age_ms = -1, .what = 2, .b = "1.0.0" },
		{ .a = "1.0.0", .keeps = 1, .age_ms = -1, .min_age = 1440, .what = 2 },
		{ .a = "1.1.0", .keeps = 1, .age_ms = -1, .what = 3 },
		{ .a = "1.1.0", .keeps = 1, .age_ms = 0, .min_age = 1440, .what = 1 },
		/* confirmed within the age that a version has to have: what has come since is too young */
		{ .a = "^1.0.0", .keeps = 1, .age_ms = 0, .min_age = 1440, .what = 0, .b = "1.0.0" },
		{ .a = "latest", .keeps = 1, .age_ms = DAY_MS, .min_age = 1440, .what = 0 },
		{ .a = "^1.0.0", .keeps = 2, .age_ms = DAY_MS + 1, .min_age = 1440, .what = 3 },
		{ .a = "^1.0.0", .keeps = 2, .age_ms = -DAY_MS, .min_age = 1440, .what = 3 },
		{ .a = "^1.1.0", .keeps = 1, .age_ms = 0, .min_age = 1440, .what = 1 },
		{ .a = "^1.0.0", .keeps = 2, .age_ms = 0, .what = 3 },
		/* where young ones count after all, those that are named have to be among what is kept */
		{ .a = "^1.0.0", .keeps = 2, .age_ms = 0, .min_age = 1440, .except = "b", .what = 2 },
		{ .a = "^1.0.0", .keeps = 1, .age_ms = 0, .min_age = 1440, .except = "b@1.0.0", .what = 0 },
		{ .a = "^1.0.0", .keeps = 1, .age_ms = 0, .min_age = 1440, .except = "b@1.0.0 || 1.1.0", .what = 2 },
		/* what vouches for a version may have changed */
		{ .a = "1.0.0", .keeps = 2, .age_ms = 0, .min_age = 1440, .trust = true, .what = 3 },
		/* the lockfile's version wins against whatever may have come; not between two of them */
		{ .a = "1.1.0", .keeps = 2, .age_ms = -1, .locked = 1, .what = 0, .b = "1.0.0" },
		{ .a = "1.1.0", .keeps = 2, .age_ms = -1, .locked = 2, .what = 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		asked_run(&cases[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_asked) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
