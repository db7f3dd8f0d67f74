/* Results read back, spreads, and the gates over hand-made samples. */
#include "gates.h"
#include "report.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

static void test_spread(void **state)
{
	double odd[] = { 3, 1, 2 }, even[] = { 4, 1, 3, 2 }, one[] = { 7 };
	struct spread s;

	(void)state;
	s = spread_of(odd, 3);
	assert_true(s.min == 1 && s.median == 2 && s.max == 3 && s.n == 3);
	s = spread_of(even, 4);
	assert_true(s.min == 1 && s.median == 2.5 && s.max == 4);
	s = spread_of(one, 1);
	assert_true(s.min == 7 && s.median == 7 && s.max == 7);
	assert_int_equal(spread_of(one, 0).n, 0);
}

static void test_apart(void **state)
{
	static const struct {
		struct spread a, b;
		bool apart;
	} row[] = {
		{ { 1, 2, 3, 3 }, { 4, 5, 6, 3 }, true }, { { 4, 5, 6, 3 }, { 1, 2, 3, 3 }, true },
		{ { 1, 2, 3, 3 }, { 3, 5, 6, 3 }, false }, /* they touch */
		{ { 1, 5, 9, 3 }, { 4, 5, 6, 3 }, false }, /* one inside the other */
		{ { 1, 2, 3, 3 }, { 4, 5, 6, 0 }, false }, /* nothing is known of the other */
		{ { 1, 1, 1, 1 }, { 4, 5, 6, 3 }, false }, /* one run has no spread */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		assert_int_equal(spread_apart(&row[i].a, &row[i].b), row[i].apart);
}

static char *write_lines(const char *text)
{
	char *path = strdup("/tmp/dray-result-XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

static int read_lines(struct result *r, const char *text, struct arena *a, struct err *e)
{
	char *path = write_lines(text);
	int rc = result_read(r, path, a, e);

	unlink(path);
	free(path);
	return rc;
}

#define KEY(phase, subject)                                                                                            \
	"{\"kind\":\"sample\",\"project\":\"p\",\"link\":\"ci\",\"phase\":\"" phase "\",\"subject\":\"" subject "\""

static void test_read(void **state)
{
	struct arena a = ARENA_INIT(0);
	struct result r;
	struct err e;

	(void)state;
	assert_int_equal(
		read_lines(&r,
			"{\"kind\":\"machine\",\"cpus\":2}\n" KEY(
				"p0", "bun") ",\"ok\":true,\"wall_s\":2.5,\"user_s\":1,"
					     "\"sys_s\":0.5,\"down_bytes\":3000000,\"store_bytes\":5000000,\"modules_"
					     "bytes\":1000000}\n" KEY("p0",
						     "bun") ",\"ok\":false,\"why\":\"exit status "
							    "1\",\"wall_s\":99}\n" KEY("p0",
								    "bun") ",\"ok\":true,\"wall_s\":1.5,\"user_s\":3,"
									   "\"sys_s\":0.5,\"down_bytes\":1000000}"
									   "\n" KEY("p3",
										   "bun") ",\"ok\":true,\"wall_s\":9}\n"
											  "{\"kind\":\"from a later "
											  "version\"}\n",
			&a, &e),
		0);
	assert_int_equal(r.n, 2);
	const struct cell *c = result_find(&r, STR("p"), STR("ci"), STR("p0"), STR("bun"));
	assert_non_null(c);
	/* A failed run is counted and never averaged. */
	assert_int_equal(c->n, 2);
	assert_int_equal(c->failed, 1);
	assert_true(str_eq(c->why, STR("exit status 1")));
	assert_true(c->spread[METRIC_WALL].median == 2 && c->spread[METRIC_WALL].max == 2.5);
	assert_true(c->spread[METRIC_CPU].max == 3.5);
	assert_true(c->spread[METRIC_DOWN_MB].median == 2);
	assert_true(c->store_mb == 5 && c->modules_mb == 1);
	assert_null(result_find(&r, STR("p"), STR("home"), STR("p0"), STR("bun")));
	assert_non_null(r.machine);
	assert_int_equal(read_lines(&r, "{\"kind\":\n", &a, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "line 1"));
	arena_release(&a);
}

/* The floor is no installer: it is nobody's best peer, and only dray's own isolated tree is held against it. */
static void test_floor(void **state)
{
	struct arena a = ARENA_INIT(0);
	struct result r;
	struct err e;

	(void)state;
	assert_int_equal(read_lines(&r,
				 KEY("p4", "dray-direct") ",\"ok\":true,\"wall_s\":1.5}\n" KEY(
					 "p4", "floor") ",\"ok\":true,\"wall_s\":1}\n" KEY("p4",
					 "bun") ",\"ok\":true,\"wall_s\":2}\n" KEY("p3",
					 "dray-direct") ",\"ok\":true,\"wall_s\":3}\n" KEY("p3",
					 "floor") ",\"ok\":false,\"why\":\"exit status 1\"}\n" KEY("p4",
					 "dray-warm") ",\"ok\":true,\"wall_s\":1.5}\n" KEY("p0",
					 "floor") ",\"ok\":true,\"wall_s\":6}\n" KEY("p0",
					 "dray-settled") ",\"ok\":true,\"wall_s\":7}\n" KEY("p0",
					 "bun") ",\"ok\":true,\"wall_s\":8}\n" KEY("p0",
					 "dray-gvs") ",\"ok\":true,\"wall_s\":7}\n",
				 &a, &e),
		0);
	const struct cell *dray = result_find(&r, STR("p"), STR("ci"), STR("p4"), STR("dray-direct"));
	const struct cell *bun = result_find(&r, STR("p"), STR("ci"), STR("p4"), STR("bun"));
	const struct cell *floor = result_floor(&r, dray);
	assert_non_null(floor);
	assert_true(str_eq(floor->subject, STR("floor")) && floor->spread[METRIC_WALL].median == 1);
	assert_false(cell_is_peer(floor));
	assert_false(cell_is_peer(dray));
	assert_true(cell_is_peer(bun));
	assert_null(result_floor(&r, bun));
	/* a warm link through a server starts from another store; a cold one writes the same
	 * files whoever sends them */
	assert_null(result_floor(&r, result_find(&r, STR("p"), STR("ci"), STR("p4"), STR("dray-warm"))));
	floor = result_floor(&r, result_find(&r, STR("p"), STR("ci"), STR("p0"), STR("dray-settled")));
	assert_non_null(floor);
	assert_true(floor->spread[METRIC_WALL].median == 6);
	assert_null(result_floor(&r, result_find(&r, STR("p"), STR("ci"), STR("p0"), STR("dray-gvs"))));
	assert_null(result_floor(&r, result_find(&r, STR("p"), STR("ci"), STR("p0"), STR("bun"))));
	/* one that failed is none */
	assert_null(result_floor(&r, result_find(&r, STR("p"), STR("ci"), STR("p3"), STR("dray-direct"))));
	arena_release(&a);
}

#define GOOD(wall) ",\"ok\":true,\"wall_s\":" wall
#define LOCK(sha) ",\"lockfile_sha256\":\"" sha "\""
#define SUMMARY(source, warm, cold, skipped, slots, early)                                                             \
	",\"dray\":{\"event\":\"summary\",\"source\":\"" source "\",\"warm\":" warm ",\"cold\":" cold                  \
	",\"skipped\":" skipped ",\"slots\":" slots ",\"linked_before_done\":" early "}}\n"

#define EARLY(first, last, early)                                                                                      \
	",\"dray\":{\"event\":\"summary\",\"source\":\"server\",\"warm\":0,\"cold\":100,\"skipped\":0,\"slots\":100,"  \
	"\"first_frame_us\":" first ",\"last_frame_us\":" last ",\"linked_before_done\":" early "}}\n"

#define RUN_EARLY(subject, last, early) KEY("p0", subject) GOOD("1") LOCK("a") EARLY("100000", last, early)
#define TWICE_LATE(subject) RUN_EARLY(subject, "130000", "0") RUN_EARLY(subject, "130000", "0")

#define KEPT(fetched, revalidated)                                                                                     \
	",\"dray\":{\"event\":\"summary\",\"source\":\"direct\",\"warm\":90,\"cold\":0,\"skipped\":10,\"slots\":100,"  \
	"\"packuments_fetched\":" fetched ",\"packuments_revalidated\":" revalidated "}}\n"

static void test_gates(void **state)
{
	static const struct {
		const char *lines, *says; /* NULL: all hold */
	} row[] = {
		{ KEY("p0", "dray-direct") GOOD("1") LOCK("a") SUMMARY("direct", "0", "90", "10", "100", "4"), NULL },
		{ KEY("p0", "dray-direct") GOOD("1") LOCK("a") SUMMARY("direct", "1", "89", "10", "100", "4"),
			"warm = 0" },
		{ KEY("p0", "dray-direct") GOOD("1") LOCK("a") SUMMARY("direct", "0", "89", "10", "100", "4"),
			"cold + skipped" },
		{ KEY("p0", "dray-direct") GOOD("1") LOCK("a") SUMMARY("direct", "0", "90", "10", "100", "0"),
			"before the plan" },
		{ KEY("p0", "dray-direct") GOOD("1") LOCK("a") SUMMARY("direct", "0", "20", "0", "20", "0"), NULL },
		{ KEY("p0", "dray-cold") GOOD("1") LOCK("a") EARLY("100000", "120000", "0"),
			NULL }, /* no time for it */
		{ KEY("p0", "dray-cold") GOOD("1") LOCK("a") EARLY("100000", "130000", "0"), "before the plan" },
		{ TWICE_LATE("dray-cold") RUN_EARLY("dray-cold", "130000", "9"), "in 2 of 3 runs" },
		{ TWICE_LATE("dray-warm"), NULL }, /* a kept plan: one of three runs will do */
		{ TWICE_LATE("dray-warm") RUN_EARLY("dray-warm", "130000", "9"), NULL },
		{ TWICE_LATE("dray-warm") RUN_EARLY("dray-warm", "110000", "0"), NULL }, /* no time for it */
		{ TWICE_LATE("dray-warm") RUN_EARLY("dray-warm", "130000", "0"), "in 3 of 3 runs" },
		{ TWICE_LATE("dray-settled") RUN_EARLY("dray-settled", "130000", "0"), "in 3 of 3 runs" },
		{ KEY("p0", "dray-warm") GOOD("1") LOCK("a") SUMMARY("direct", "0", "90", "10", "100", "4"),
			"not from \"server\"" },
		{ KEY("p0", "dray-direct") GOOD("1") LOCK("a") SUMMARY("server", "0", "90", "10", "100", "4"),
			"not from \"direct\"" },
		{ KEY("p0", "dray-direct") GOOD("1") LOCK("a") "}\n", "no summary" },
		{ KEY("p0", "dray-direct") ",\"ok\":false,\"why\":\"no pnpm-lock.yaml\"}\n", "no pnpm-lock.yaml" },
		{ KEY("p0", "bun") ",\"ok\":false,\"why\":\"exit status 1\"}\n",
			NULL }, /* a peer's failure is not ours */
		{ KEY("p4", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "90", "0", "10", "100", "4"), NULL },
		{ KEY("p4", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "89", "1", "10", "100", "4"),
			"cold = 0" },
		{ KEY("p4", "dray-gvs") GOOD("1") LOCK("a") SUMMARY("locked", "0", "0", "10", "100", "4"), NULL },
		{ KEY("p4", "dray-gvs") GOOD("1") LOCK("a") SUMMARY("locked", "90", "0", "10", "100", "4"),
			"links nothing" },
		{ KEY("p4", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "0", "0", "10", "100", "4"),
			"warm + skipped" },
		{ KEY("partial", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "24", "76", "0", "100", "4"),
			NULL },
		{ KEY("partial", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "0", "100", "0", "100", "4"),
			"24 %" },
		{ KEY("partial", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "26", "74", "0", "100", "4"),
			NULL },
		{ KEY("partial", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "27", "73", "0", "100", "4"),
			"24 %" },
		{ KEY("update", "dray-cold") GOOD("1") LOCK("a") KEPT("0", "0"), NULL },
		{ KEY("update", "dray-cold") GOOD("1") LOCK("a") KEPT("1", "0"), "not from \"server\"" },
		{ KEY("update", "dray-cold") GOOD("1") LOCK("a") KEPT("0", "1"), "not from \"server\"" },
		{ KEY("update", "dray-warm") GOOD("1") LOCK("a") KEPT("0", "0"), "not from \"server\"" },
		{ KEY("p1", "dray-cold") GOOD("1") LOCK("a") KEPT("0", "0"), "not from \"server\"" },
		{ KEY("p5", "dray-direct") GOOD("1") LOCK("a") "}\n", NULL },
		{ KEY("p3", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1") KEY(
			  "p3", "dray-warm") GOOD("1.04") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1"),
			NULL },
		{ KEY("p3", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1") KEY(
			  "p3", "dray-warm") GOOD("1.06") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1"),
			"server / direct" },
		{ KEY("p3", "dray-direct") GOOD("0.1") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1") KEY(
			  "p3", "dray-warm") GOOD("0.114") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1"),
			NULL }, /* within 15 ms */
		{ KEY("p3", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1")
				KEY("p3", "dray-warm") GOOD("1") LOCK("b") SUMMARY("locked", "0", "9", "0", "9", "1"),
			"lockfile" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct arena a = ARENA_INIT(0);
		struct buf said = BUF_INIT;
		struct result r;
		struct err e;
		assert_int_equal(read_lines(&r, row[i].lines, &a, &e), 0);
		unsigned failed = gates_check(&said, &r, &gates_strict);
		buf_addc(&said, 0);
		if ((failed > 0) != (row[i].says != NULL) || (row[i].says && !strstr(said.p, row[i].says)))
			fail_msg("row %zu: %u failed: %s", i, failed, said.p);
		buf_release(&said);
		arena_release(&a);
	}
}

/* The wide limits blame a server only when the runs do not overlap. */
static void test_noisy(void **state)
{
	struct arena a = ARENA_INIT(0);
	struct buf said = BUF_INIT;
	struct result r;
	struct err e;
	const char *once = KEY("p3", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1")
		KEY("p3", "dray-warm") GOOD("4") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1");

	(void)state;
	assert_int_equal(read_lines(&r, once, &a, &e), 0);
	assert_int_equal(gates_check(&said, &r, &gates_noisy), 1); /* one run has no spread that excuses it */
	assert_int_equal(read_lines(&r, arena_printf(&a, "%s%s", once, once).p, &a, &e), 0);
	assert_int_equal(gates_check(&said, &r, &gates_noisy), 1);
	r.cell[1].spread[METRIC_WALL].min = 0.9;
	assert_int_equal(gates_check(&said, &r, &gates_noisy), 0);
	buf_release(&said);
	arena_release(&a);
}

/* A dray that was asked for and could not take part is no gate that held, until it has taken part. */
static void test_unavailable(void **state)
{
#define UNAVAILABLE(subject)                                                                                           \
	"{\"kind\":\"unavailable\",\"project\":\"p\",\"subject\":\"" subject "\",\"why\":\"no drayd in bin\"}\n"
	static const char direct[] =
		KEY("p3", "dray-direct") GOOD("1") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1"),
			  warm[] =
				  KEY("p3", "dray-warm") GOOD("1") LOCK("a") SUMMARY("locked", "0", "9", "0", "9", "1"),
			  none[] = UNAVAILABLE("dray-warm"), peer[] = UNAVAILABLE("yarn");
	static const struct {
		const char *line[3];
		unsigned failed;
	} row[] = { { { direct, none, "" }, 1 }, { { direct, warm, none }, 1 }, { { none, direct, none }, 1 },
		{ { none, direct, warm }, 0 }, { { direct, warm, peer }, 0 }, { { none, "", "" }, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct arena a = ARENA_INIT(0);
		struct buf said = BUF_INIT;
		struct result r;
		struct err e;
		assert_int_equal(
			read_lines(&r, arena_printf(&a, "%s%s%s", row[i].line[0], row[i].line[1], row[i].line[2]).p, &a,
				&e),
			0);
		assert_int_equal(gates_check(&said, &r, &gates_noisy), row[i].failed);
		if (row[i].failed)
			assert_true(str_find_str(buf_str(&said), STR("p dray-warm: not available: no drayd in bin"),
					    0) != SIZE_MAX);
		buf_release(&said);
		arena_release(&a);
	}
}

/* A page is put in the place of a file; where a link or a pipe stands, it goes through. */
static void test_report_write(void **state)
{
	char dir[TEMP_PATH];
	struct arena a = ARENA_INIT(0);
	struct result r = { 0 };
	struct stat st;
	struct err e;

	(void)state;
	temp_make(dir);
	const char *page = arena_printf(&a, "%s/page.html", dir).p, *link = arena_printf(&a, "%s/link", dir).p;
	assert_int_equal(symlink("page.html", link), 0);
	for (int i = 0; i < 2; i++) { /* the page is not there yet, and then it is */
		assert_int_equal(report_write(link, &r, STR_NONE, &e), 0);
		assert_int_equal(lstat(link, &st), 0);
		assert_true(S_ISLNK(st.st_mode));
		assert_int_equal(lstat(page, &st), 0);
		assert_true(S_ISREG(st.st_mode) && st.st_size > 100);
	}
	off_t size = st.st_size;
	assert_int_equal(truncate(page, 0), 0);
	assert_int_equal(report_write(page, &r, STR_NONE, &e), 0);
	assert_int_equal(lstat(page, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_int_equal(report_write(dir, &r, STR_NONE, &e), ERR_IO);
	unlink(page);
	unlink(link);
	rmdir(dir);
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_spread), cmocka_unit_test(test_apart),
		cmocka_unit_test(test_read), cmocka_unit_test(test_floor), cmocka_unit_test(test_gates),
		cmocka_unit_test(test_noisy), cmocka_unit_test(test_unavailable), cmocka_unit_test(test_report_write) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
