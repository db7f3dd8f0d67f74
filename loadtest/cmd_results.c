/* cmd_results — the subcommands that read results: table, compare, gates, report. */
#include "cmd.h"
#include "gates.h"
#include "report.h"
#include "table.h"
#include <stdio.h>

static int with_result(const char *path, struct result *r, struct arena *a)
{
	struct err e;

	if (result_read(r, path, a, &e) == 0)
		return 0;
	fprintf(stderr, "dray-bench: %s\n", e.msg);
	return err_exit_status(e.code);
}

int cmd_table(int argc, char **argv)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 16);
	struct result r;
	int status = 2;

	if (argc == 2 && (status = with_result(argv[1], &r, &a)) == 0)
		table_print(&r);
	else if (argc != 2)
		fprintf(stderr, "usage: dray-bench table FILE\n");
	return status;
}

int cmd_compare(int argc, char **argv)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 16);
	struct result r, s;

	if (argc != 3) {
		fprintf(stderr, "usage: dray-bench compare BEFORE AFTER\n");
		return 2;
	}
	int status = with_result(argv[1], &r, &a);
	if (status == 0)
		status = with_result(argv[2], &s, &a);
	if (status)
		return status;
	size_t n = table_compare(&r, &s), most = r.n > s.n ? r.n : s.n;
	if (n < most)
		fprintf(stderr, "dray-bench: %zu of %zu cells have good runs in both files\n", n, most);
	return n ? 0 : 1;
}

int cmd_gates(int argc, char **argv)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 16);
	struct result r;

	if (argc != 2) {
		fprintf(stderr, "usage: dray-bench gates FILE\n");
		return 2;
	}
	int status = with_result(argv[1], &r, &a);
	return status ? status : !gates_hold(&r, &gates_strict);
}

int cmd_report(int argc, char **argv)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 16);
	struct result r;
	struct err e;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: dray-bench report FILE OUT.html [COMMAND]\n");
		return 2;
	}
	int status = with_result(argv[1], &r, &a);
	if (status)
		return status;
	if (report_write(argv[2], &r, argc == 4 ? str_of(argv[3]) : STR_NONE, &e) == 0)
		return 0;
	fprintf(stderr, "dray-bench: %s\n", e.msg);
	return err_exit_status(e.code);
}
