/* Round trips: a registry made up on the spot answers all that was asked so far at once, when the engine waits. What will be installed as a
 * peer that nobody provides is asked for with the rest, not when the walk is over; an optional peer is never asked for. */
#include "engine.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static const struct {
	const char *name, *needs;
} made[] = {
	{ "app", "\"dependencies\":{\"lib\":\"^1.0.0\"},\"peerDependencies\":{\"host\":\"^1.0.0\",\"extra\":\"*\"},"
		 "\"peerDependenciesMeta\":{\"extra\":{\"optional\":true}}" },
	{ "lib", "\"dependencies\":{\"leaf\":\"^1.0.0\"}" },
	{ "leaf", "\"dependencies\":{}" },
	{ "host", "\"dependencies\":{\"part\":\"^1.0.0\"}" },
	{ "part", "\"peerDependencies\":{\"base\":\"^1.0.0\"}" },
	{ "base", "\"dependencies\":{}" },
};
enum { MADE = sizeof(made) / sizeof(*made) };

struct registry {
	struct buf record[MADE];
	struct engine_packument got[MADE];
	uint32_t ticket[2 * MADE];
	size_t at[2 * MADE], waiting;
	unsigned trips;
	struct frame_done done;
};

static void want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct registry *g = ctx;
	size_t i = 0;

	(void)registry, (void)form;
	while (i < MADE && !str_eq(name, str_of(made[i].name)))
		i++;
	assert_true(i < MADE); /* `extra` is none of them */
	g->ticket[g->waiting] = ticket;
	g->at[g->waiting++] = i;
}

static int answer(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct registry *g = ctx;
	uint32_t n = 0;

	(void)e;
	g->trips++;
	for (; n < cap && g->waiting; n++) {
		ticket[n] = g->ticket[--g->waiting];
		got[n] = &g->got[g->at[g->waiting]];
	}
	return (int)n;
}

static int nothing_yet(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	(void)ctx, (void)ticket, (void)got, (void)cap, (void)e;
	return 0;
}

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct registry *g = ctx;

	(void)e;
	if (f->kind == FRAME_DONE)
		g->done = f->done;
	return 0;
}

static void setup(struct registry *g)
{
	struct err e;

	for (size_t i = 0; i < MADE; i++) {
		AUTO(buf_release) struct buf json = BUF_INIT;
		buf_printf(&json,
			"{\"name\":\"%s\",\"dist-tags\":{\"latest\":\"1.0.0\"},\"versions\":{\"1.0.0\":{\"name\":\"%"
			"s\","
			"\"version\":\"1.0.0\",\"dist\":{\"tarball\":\"http://registry.test/%s/-/%s-1.0.0.tgz\","
			"\"shasum\":\"0000000000000000000000000000000000000000\"},%s}}}",
			made[i].name, made[i].name, made[i].name, made[i].name, made[i].needs);
		assert_int_equal(packument_compile(&g->record[i], buf_str(&json), str_of(made[i].name), &e), 0);
		assert_int_equal(packument_open(&g->got[i].rec, g->record[i].p, g->record[i].n, &e), 0);
	}
}

static void resolve(struct registry *g, bool auto_install_peers)
{
	struct str_kv dep = { STR("app"), STR("^1.0.0") };
	struct request_importer importer = { .path = STR("."), .manifest = { .dependencies = { .p = &dep, .n = 1 } } };
	struct request req = { .mode = REQUEST_LOCKFILE_ONLY,
		.importer = &importer,
		.nimporters = 1,
		.prod = true,
		.dev = true,
		.optional = true };
	struct registry_route registry = { .url = STR("http://registry.test/") };
	struct engine_io io = { .ctx = g, .now_ms = 1, .want = want, .wait = answer, .poll = nothing_yet };
	struct err e;

	req.settings = settings_default();
	req.settings.registry = &registry;
	req.settings.nregistry = 1;
	req.settings.auto_install_peers = auto_install_peers;
	req.settings.minimum_release_age = 0; /* the short form says enough */
	assert_int_equal(engine_run(&req, &io, on_frame, g, &e), 0);
}

static void test_peers_are_asked_for_with_the_rest(void **state)
{
	struct registry *g = xcalloc(1, sizeof(*g));

	(void)state;
	setup(g);
	resolve(g, true);
	assert_int_equal(g->done.packages, MADE);
	assert_int_equal(g->trips, 4); /* app; lib and host; leaf and part; base */
	for (size_t i = 0; i < MADE; i++)
		buf_release(&g->record[i]);
	free(g);
}

static void test_peers_that_are_not_installed_are_not_asked_for(void **state)
{
	struct registry *g = xcalloc(1, sizeof(*g));

	(void)state;
	setup(g);
	resolve(g, false);
	assert_int_equal(g->done.packages, 3);
	assert_int_equal(g->trips, 3);
	assert_int_equal(g->done.fetched + g->done.from_cache + g->done.revalidated, 3);
	for (size_t i = 0; i < MADE; i++)
		buf_release(&g->record[i]);
	free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peers_are_asked_for_with_the_rest),
		cmocka_unit_test(test_peers_that_are_not_installed_are_not_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
