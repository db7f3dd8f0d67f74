/* Compares versions and ranges with what node-semver said of them (semver_pairs.mjs made the
 * file). Zero differences. */
#include "base/json.h"
#include "semver.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include <cmocka.h>

#define MAX_BYTES ((size_t)64 << 20)

struct version {
	struct semver v[2]; /* strict, loose */
	bool ok[2];
	str text;
};
struct data {
	struct arena a;
	VEC(struct version) version;
	VEC(const struct range *) range[2];
	VEC(str) text;
	unsigned long compared, different;
};

static void differ(struct data *d, const char *what, str one, str two, const char *want)
{
	if (d->different++ < 40)
		print_error("%s: \"" STR_FMT "\" \"" STR_FMT "\": node-semver says %s\n", what, STR_ARG(one),
			STR_ARG(two), want);
}

static void check_text(struct data *d, const char *what, str source, bool ok, str text, const struct json *want)
{
	bool want_ok = want->type == JSON_STRING;

	d->compared++;
	if (ok != want_ok || (ok && !str_eq(text, want->s)))
		differ(d, what, source, ok ? text : STR("(invalid)"), want_ok ? want->s.p : "(invalid)");
}

static void check_version(struct data *d, const struct json *j)
{
	struct version *v = vec_add(&d->version);

	v->text = j->child[1].s;
	for (int loose = 0; loose < 2; loose++) {
		v->ok[loose] = semver_parse(&v->v[loose], v->text, loose);
		str text = v->ok[loose] ? semver_print(&v->v[loose], &d->a) : STR_NONE;
		check_text(d, loose ? "loose version" : "version", v->text, v->ok[loose], text, &j->child[2 + loose]);
	}
}

static void check_compare(struct data *d, const struct json *j)
{
	size_t i = strtoul(j->child[1].s.p, NULL, 10), step = 1 + i % 3;
	int loose = j->child[2].type == JSON_TRUE;
	str row = j->child[3].s;

	for (size_t k = 0; k < row.n; k++) {
		const struct version *v = &d->version.p[i], *w = &d->version.p[i + 1 + k * step];
		char got = '!';
		if (v->ok[loose] && w->ok[loose]) {
			int c = semver_cmp(&v->v[loose], &w->v[loose]);
			got = c < 0 ? '<' : c > 0 ? '>' : '=';
		}
		d->compared++;
		if (got != row.p[k])
			differ(d, "compare", v->text, w->text, (char[]){ row.p[k], 0 });
	}
}

/* What a range has lies within its bounds. */
static bool within_bounds(const struct range *r, const struct semver *v, bool prerelease)
{
	const struct semver *low, *high;

	range_bounds(r, &low, &high, prerelease);
	return (!low || semver_cmp(low, v) <= 0) && (!high || semver_cmp(v, high) <= 0);
}

static void check_hits(struct data *d, const struct range *r, str source, unsigned mode, str hits)
{
	for (size_t i = 0; i < d->version.n; i++) {
		const struct version *v = &d->version.p[i];
		unsigned digit = (unsigned)strtoul((char[]){ hits.p[i / 4], 0 }, NULL, 16);
		bool want = digit >> (3 - i % 4) & 1;
		bool got = r && v->ok[mode & 1] && range_has(r, &v->v[mode & 1], mode >> 1);
		d->compared++;
		if (got && !within_bounds(r, &v->v[mode & 1], mode >> 1))
			differ(d, "bounds", source, v->text, "within");
		if (got != want)
			differ(d, mode > 1 ? "satisfies with prereleases" : "satisfies", source, v->text,
				want ? "yes" : "no");
	}
}

static void check_range(struct data *d, const struct json *j)
{
	str source = j->child[1].s;

	*vec_add(&d->text) = source;
	for (unsigned loose = 0; loose < 2; loose++) {
		const struct range *r = range_parse(source, loose, &d->a);
		*vec_add(&d->range[loose]) = r;
		check_text(d, loose ? "loose range" : "range", source, r != NULL, r ? range_print(r, &d->a) : STR_NONE,
			&j->child[2 + loose]);
		check_hits(d, r, source, loose, j->child[4 + loose].s);
		check_hits(d, r, source, loose + 2, j->child[6 + loose].s);
	}
}

static void check_pairs(struct data *d, const struct json *j)
{
	size_t i = strtoul(j->child[1].s.p, NULL, 10);

	for (unsigned mode = 0; mode < 4; mode++) {
		str row = j->child[2 + mode].s;
		for (size_t k = 0; k < row.n; k++) {
			size_t other = (i + 1 + k * k * 7) % d->range[0].n;
			const struct range *a = d->range[mode & 1].p[i], *b = d->range[mode & 1].p[other];
			if (row.p[k] == '!')
				continue;
			d->compared++;
			bool meet = a && b && range_intersects(a, b, mode >> 1);
			if (meet != ((row.p[k] - '0') & 1))
				differ(d, "intersects", d->text.p[i], d->text.p[other], meet ? "no" : "yes");
		}
	}
}

static str read_pairs(const char *path)
{
	FILE *f = fopen(path, "rb");
	AUTO(buf_release) struct buf in = BUF_INIT;
	struct buf out = BUF_INIT;

	if (!f)
		fail_msg("cannot open %s", path);
	for (size_t n; (n = fread(buf_reserve(&in, 65536), 1, 65536, f)) > 0;)
		in.n += n;
	fclose(f);
	buf_reserve(&out, MAX_BYTES);
	out.n = ZSTD_decompress(out.p, MAX_BYTES, in.p, in.n);
	assert_false(ZSTD_isError(out.n));
	return buf_str(&out);
}

static void as_node_semver(void **state)
{
	const char *path = getenv("SEMVER_PAIRS");
	str all = read_pairs(path ? path : "unit/proto/semver_pairs.zst"), rest = all, line;
	struct data d = { 0 };
	struct err e = { 0 };

	(void)state;
	while (str_cut(rest, '\n', &line, &rest)) {
		struct json *j;
		if (json_parse(&j, line, &d.a, &e) < 0)
			fail_msg("%s", e.msg);
		char kind = j->child[0].s.p[0];
		if (kind == 'v')
			check_version(&d, j);
		else if (kind == 'c')
			check_compare(&d, j);
		else if (kind == 'r')
			check_range(&d, j);
		else
			check_pairs(&d, j);
	}
	print_message("%lu comparisons, %lu differences\n", d.compared, d.different);
	assert_true(d.compared > 100000);
	assert_int_equal(d.different, 0);
	vec_release(&d.version);
	vec_release(&d.range[0]);
	vec_release(&d.range[1]);
	vec_release(&d.text);
	arena_release(&d.a);
	free((char *)(uintptr_t)all.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(as_node_semver) };

	return cmocka_run_group_tests_name("semver pairs", tests, NULL, NULL);
}
