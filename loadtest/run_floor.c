#include "run_floor.h"
#include "place.h"
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* "threads=2 wall_s=0.7312 user_s=… sys_s=… switches=…": the line of the one round. */
static bool floor_read(struct sample *out, str text)
{
	str line;

	while (text.n) {
		unsigned threads;
		unsigned long long switches;
		str_cut(text, '\n', &line, &text);
		char copy[256];
		snprintf(copy, sizeof(copy), STR_FMT, STR_ARG(line));
		if (sscanf(copy, "threads=%u wall_s=%lf user_s=%lf sys_s=%lf switches=%llu", &threads, &out->wall_s,
			    &out->user_s, &out->sys_s, &switches) == 5) {
			out->switches = switches;
			return true;
		}
	}
	return false;
}

int run_floor(struct sample *out, const struct floor_place *at, struct arena *a, struct err *e)
{
	char self[PATH_MAX];
	struct sample whole, s = { 0 };
	str text;

	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_os(e, "find dray-bench itself");
	self[n] = 0;
	const char *const argv[] = { self, "floor", at->tree, at->store, at->dest, "1", "2", NULL };
	const char *const env[] = { NULL };
	struct command cmd = { .argv = argv, .env = env, .cwd = at->dest, .out = at->log, .timeout_s = 600 };
	if (measure_run(&whole, &cmd, e) < 0 || place_read_file(&text, at->log, a, e) < 0)
		return e->code;
	s.exit = whole.exit;
	if (!s.exit && !floor_read(&s, text))
		return err_set(e, ERR_PARSE, "%s has no line of figures", at->log);
	*out = s;
	return 0;
}
