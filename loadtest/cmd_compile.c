/* cmd_compile — `dray-bench compile FILE`: how fast packuments compile and open, on one core, in CPU time. */
#include "base/base.h"
#include "cmd.h"
#include "measure.h"
#include "packument.h"
#include <stdio.h>
#include <stdlib.h>

/* The best of so many is told: other processes only ever make it slower. */
enum { ROUNDS = 7 };

struct totals {
	size_t packuments, json, records;
	uint64_t versions;
	double compile_ms, open_ms;
};

static double cpu_ms(void)
{
	return measure_clock(CLOCK_THREAD_CPUTIME_ID) * 1e3;
}

/* The value of the first "name", which stands before everything else that could hold one. */
static str name_of(str line)
{
	size_t at = str_find_str(line, STR("\"name\":"), 0);
	size_t from = at == SIZE_MAX ? at : str_find(line, '"', at + 7);
	size_t end = from == SIZE_MAX ? from : str_find(line, '"', from + 1);

	return end == SIZE_MAX ? STR_NONE : (str){ line.p + from + 1, end - from - 1 };
}

static int one(struct totals *t, struct packument_compiler *pc, struct buf *record, str line, struct err *e)
{
	struct packument p;
	str name = name_of(line);

	buf_clear(record);
	double from = cpu_ms();
	if (packument_compiler_run(pc, record, line, name, e) < 0)
		return e->code;
	double mid = cpu_ms();
	if (packument_open(&p, record->p, record->n, e) < 0)
		return e->code;
	t->open_ms += cpu_ms() - mid;
	t->compile_ms += mid - from;
	t->packuments++;
	t->json += line.n;
	t->records += record->n;
	t->versions += packument_nversions(p);
	return 0;
}

static int lines_all(struct totals *t, str text, struct err *e)
{
	AUTO(buf_release) struct buf record = BUF_INIT;
	struct packument_compiler *pc = packument_compiler_new();
	int rc = 0;

	for (str line; rc == 0 && text.n;) {
		str_cut(text, '\n', &line, &text);
		if (line.n)
			rc = one(t, pc, &record, line, e);
	}
	packument_compiler_free(pc);
	return rc;
}

static int slurp(struct buf *out, const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		return -1;
	do {
		n = fread(buf_reserve(out, 1 << 20), 1, 1 << 20, f);
		out->n += n;
	} while (n);
	int rc = ferror(f) ? -1 : 0;
	fclose(f);
	return rc;
}

int cmd_compile(int argc, char **argv)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct totals best = { 0 };
	struct err e;

	if (argc != 2 || slurp(&text, argv[1]) < 0) {
		fprintf(stderr, "usage: dray-bench compile FILE   (a readable file with one packument a line)\n");
		return 2;
	}
	for (int i = 0; i < ROUNDS; i++) {
		struct totals t = { 0 };
		if (lines_all(&t, buf_str(&text), &e) < 0) {
			fprintf(stderr, "dray-bench: %s\n", e.msg);
			return err_exit_status(e.code);
		}
		if (i == 0 || t.compile_ms < best.compile_ms)
			best = t;
	}
	printf("packuments=%zu versions=%llu json_bytes=%zu record_bytes=%zu compile_ms=%.1f open_ms=%.1f "
	       "gigabytes_per_second=%.2f\n",
		best.packuments, (unsigned long long)best.versions, best.json, best.records, best.compile_ms,
		best.open_ms, (double)best.json / best.compile_ms / 1e6);
	return 0;
}
