/* dray-bench — measures dray against itself and its peers; see docs/benchmarks.md. */
#include "cmd.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "ratio", cmd_ratio, "your project and your server: direct against server" },
	{ "record", cmd_record, "fill the mirror from the registry" },
	{ "run", cmd_run, "measure projects against the frozen mirror over an emulated link" },
	{ "report-all", cmd_report_all,
		"choose scenarios for the time there is, run them, make the page; can be resumed" },
	{ "grid", cmd_grid, "server against direct over a grid of round trip and rate" },
	{ "load", cmd_load, "many clients at one drayd: latency, errors, memory" },
	{ "table", cmd_table, "a result file as text" },
	{ "report", cmd_report, "a result file as one HTML page" },
	{ "compare", cmd_compare, "two result files, cell by cell" },
	{ "gates", cmd_gates, "what must hold of a result file; exit status 1 when it does not" },
	{ "mirror", cmd_mirror, "the recorded registry as a server of its own" },
	{ "resolve", cmd_resolve, "what the engine needs for a project: cold, warm, memory" },
	{ "compile", cmd_compile, "how fast packuments (one a line) compile, in CPU time" },
	{ "floor", cmd_floor, "the bare system calls that make a tree, timed" },
};

int main(int argc, char **argv)
{
	size_t n = sizeof(commands) / sizeof(*commands);

	for (size_t i = 0; argc > 1 && i < n; i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	bool help = argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0);
	FILE *f = help ? stdout : stderr;
	fprintf(f, "usage: dray-bench COMMAND ...\n\n");
	for (size_t i = 0; i < n; i++)
		fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].what);
	return help ? 0 : 2;
}
