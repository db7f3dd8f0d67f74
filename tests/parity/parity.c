/* parity — every case of tests/parity/cases, by the engine directly and through drayd: is the
 * lockfile pnpm's, byte for byte?
 *
 * Through drayd the request goes over a real socket and the lockfile is made of the frames that come back, as `dray
 * install` does. Prints one line a case, then "N of M identical" for each way. The exit status is 0 when at least
 * --min cases are, both ways. */
#include "integrity.h"
#include "parity_case.h"
#include "parity_diff.h"
#include "parity_drayd.h"
#include "parity_io.h"
#include "plan_lockfile.h"
#include "source_remote.h"
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct options {
	const char *dir, *recording, *filter, *out;
	const char *drayd, *fixture; /* programs */
	const char *mode;            /* "direct", "drayd"; NULL: both, as far as there are programs */
	unsigned repeat, min;
	uint64_t seed;
	const char *kept;
	unsigned most_asked;
	bool diff, quiet;
};
/* Who makes the plan: the engine over IO, or the drayd at URL. */
struct maker {
	struct parity_io *io;
	str url;
};
struct outcome {
	struct buf text; /* the lockfile */
	double ms;       /* least of the repeats */
	struct err err;
	unsigned warnings, withdrawn;
};
struct sink {
	struct plan_lockfile *pl;
	unsigned warnings, packages;
	struct frame_done done;
};

static double clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct sink *s = ctx;

	(void)e;
	plan_lockfile_add(s->pl, f);
	s->warnings += f->kind == FRAME_WARNING;
	s->packages += f->kind == FRAME_PACKAGE;
	if (f->kind == FRAME_DONE)
		s->done = f->done;
	return 0;
}

static int ask_drayd(const struct parity_case *c, str url, struct sink *sink, struct err *e)
{
	struct source *s;
	struct source_remote_opts o = { .url = url, .connect_ms = 60000 };

	if (source_remote_new(&s, &o, e) < 0)
		return e->code;
	int rc = s->run(s, c->req, on_frame, sink, e);
	s->free(s);
	return rc;
}

static int run_once(struct outcome *o, const struct parity_case *c, const struct maker *m, uint64_t seed)
{
	if (c->no_plan) {
		buf_clear(&o->text);
		lockfile_print(&o->text, &c->absorbed);
		return 0;
	}
	struct sink sink = { .pl = plan_lockfile_new() };
	double from = clock_ms();
	int rc = m->url.n ? ask_drayd(c, m->url, &sink, &o->err)
			  : engine_run(c->req, parity_io_begin(m->io, seed), on_frame, &sink, &o->err);
	double ms = clock_ms() - from;

	buf_clear(&o->text);
	if (rc == 0) {
		const struct lockfile *lf = plan_lockfile_get(sink.pl);
		uint8_t digest[32];
		lockfile_print(&o->text, lf);
		sha256(digest, o->text.p, o->text.n);
		if (memcmp(digest, sink.done.lockfile_digest, sizeof(digest)) != 0 ||
			sink.done.packages != sink.packages)
			rc = err_set(
				&o->err, ERR_PROTOCOL, "the last frame does not say what the frames before it make");
		o->withdrawn = sink.packages - (unsigned)lf->npackages;
	}
	plan_lockfile_free(sink.pl);
	o->warnings = sink.warnings;
	if (o->ms == 0 || ms < o->ms)
		o->ms = ms;
	return rc;
}

/* Runs a case as often as asked; with a seed every run sees another order, and must give the same bytes. */
static int run_case(struct outcome *o, const struct parity_case *c, const struct maker *m, const struct options *opt)
{
	AUTO(buf_release) struct buf first = BUF_INIT;

	for (unsigned i = 0; i < opt->repeat; i++) {
		c->req->mode = opt->seed ? REQUEST_FULL : REQUEST_LOCKFILE_ONLY; /* with packages that are sent early */
		int rc = run_once(o, c, m, opt->seed ? opt->seed + i : 0);
		if (rc < 0)
			return rc;
		if (i == 0)
			buf_add(&first, buf_str(&o->text));
		else if (!str_eq(buf_str(&first), buf_str(&o->text)))
			return err_set(&o->err, ERR_PROTOCOL, "run %u (seed %llu) gave another lockfile than the first",
				i + 1, (unsigned long long)(opt->seed + i));
	}
	return 0;
}

static const char *write_out(
	const struct outcome *o, const struct parity_case *c, const char *dir, char *path, size_t cap)
{
	snprintf(path, cap, "%s/" STR_FMT ".yaml", dir, STR_ARG(c->name));
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(o->text.p, 1, o->text.n, f) != o->text.n) {
		perror(path);
		exit(2);
	}
	fclose(f);
	return path;
}

static void show_diff(const struct outcome *o, const struct parity_case *c, const char *out)
{
	char path[4096], want[4096], dir[] = "/tmp/parity.XXXXXX";

	if (!out && !mkdtemp(dir))
		return;
	write_out(o, c, out ? out : dir, path, sizeof(path));
	snprintf(want, sizeof(want), STR_FMT "/expected-pnpm-lock.yaml", STR_ARG(c->dir));
	fflush(stdout);
	char *argv[] = { "diff", "-u", want, path, NULL };
	pid_t pid;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0)
		waitpid(pid, NULL, 0);
	if (!out) {
		unlink(path);
		rmdir(dir);
	}
}

static void report_diff(const struct parity_diff *d)
{
	printf("    line %zu, " STR_FMT STR_FMT STR_FMT "\n", d->line, STR_ARG(d->section), STR_ARG(STR(" > ")),
		STR_ARG(d->entry));
	printf("    want: " STR_FMT "\n    got:  " STR_FMT "\n", STR_ARG(str_head(d->want, 200)),
		STR_ARG(str_head(d->got, 200)));
	if (d->names.n)
		printf("    %zu missing, %zu extra:" STR_FMT "\n", d->nmissing, d->nextra, STR_ARG(buf_str(&d->names)));
}

/* Whether the case is identical. */
static bool do_case(const char *dir, const struct maker *m, const struct options *opt)
{
	struct parity_case c;
	struct outcome o = { 0 };
	struct parity_diff d;
	char path[4096];
	bool same = false;
	int rc = parity_case_read(&c, str_of(dir), STR(PARITY_BASE "/"), &o.err);

	if (rc == 0)
		rc = run_case(&o, &c, m, opt);
	if (rc < 0) {
		printf("FAIL " STR_FMT ": %s: %s\n", STR_ARG(c.name), err_name(rc), o.err.msg);
	} else if ((same = parity_compare(&d, buf_str(&c.want), buf_str(&o.text)))) {
		if (!opt->quiet)
			printf("ok   " STR_FMT " %.1f ms, %u withdrawn\n", STR_ARG(c.name), o.ms, o.withdrawn);
	} else {
		printf("FAIL " STR_FMT ": %s (%.1f ms)\n", STR_ARG(c.name), d.cause, o.ms);
		report_diff(&d);
		parity_diff_release(&d);
		if (opt->diff)
			show_diff(&o, &c, opt->out);
	}
	if (rc == 0 && opt->out)
		write_out(&o, &c, opt->out, path, sizeof(path));
	parity_case_release(&c);
	buf_release(&o.text);
	return same;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Whether enough cases are identical. */
static bool run_all(const struct options *opt, const struct maker *m, const char *how)
{
	char dir[4096];
	struct dirent **entry;
	unsigned same = 0, all = 0;

	snprintf(dir, sizeof(dir), "%s/cases", opt->dir);
	int n = scandir(dir, &entry, NULL, by_name);
	if (n < 0) {
		perror(dir);
		return false;
	}
	for (int i = 0; i < n; i++) {
		bool wanted = entry[i]->d_name[0] != '.' && (!opt->filter || strstr(entry[i]->d_name, opt->filter));
		if (wanted) {
			snprintf(dir, sizeof(dir), "%s/cases/%s", opt->dir, entry[i]->d_name);
			same += do_case(dir, m, opt);
			all++;
		}
		free(entry[i]);
	}
	free(entry);
	printf("%u of %u identical, %s\n", same, all, how);
	return all && same >= (opt->min < all ? opt->min : all);
}

static bool run_direct(const struct options *opt, const char *recording)
{
	struct recording *rec;
	struct err e;

	if (recording_open(&rec, recording, &e) < 0) {
		fprintf(stderr, "parity: %s\n", e.msg);
		return false;
	}
	struct maker m = { .io = parity_io_new(rec) };
	if (opt->kept)
		parity_io_keep(m.io, strcmp(opt->kept, "new") == 0 ? PARITY_NOW_MS : 0);
	bool ok = run_all(opt, &m, "engine directly");
	printf("%u packuments asked for\n", parity_io_asked(m.io));
	ok = ok && parity_io_asked(m.io) <= opt->most_asked;
	parity_io_free(m.io);
	recording_free(rec);
	return ok;
}

static bool run_drayd(const struct options *opt, const char *recording)
{
	struct parity_drayd_opts o = {
		.drayd = opt->drayd, .fixture = opt->fixture, .recording = recording, .alias = STR(PARITY_BASE "/")
	};
	struct parity_drayd *d;
	struct err e;

	if (parity_drayd_new(&d, &o, &e) < 0) {
		fprintf(stderr, "parity: %s\n", e.msg);
		return false;
	}
	struct maker m = { .url = parity_drayd_url(d) };
	bool ok = run_all(opt, &m, "through drayd");
	if (parity_drayd_free(d) != 0) {
		fprintf(stderr, "parity: drayd or the registry did not end in order\n");
		ok = false;
	}
	return ok;
}

static void usage(void)
{
	puts("parity [options] [FILTER]   compares dray's lockfiles with pnpm's\n"
	     "  --dir DIR       folder with cases/ and packuments.ndjson.zst (default: tests/parity)\n"
	     "  --recording F   another packuments.ndjson.zst\n"
	     "  --drayd PROG --fixture PROG  drayd and fixture-registry, for the way through drayd\n"
	     "  --mode HOW      direct or drayd only\n"
	     "  --min N         exit status 0 needs at least N identical cases (default: all)\n"
	     "  --diff          show a unified diff of each failure\n"
	     "  --out DIR       write each lockfile to DIR/CASE.yaml\n"
	     "  --shuffle SEED  packuments arrive in random order and portions\n"
	     "  --repeat N      run each case N times (with --shuffle: another order each time, same bytes)\n"
	     "  --kept AGE      every packument is kept: new, confirmed just now; old, nobody knows when\n"
	     "  --most-asked N  exit status 0 needs at most N packuments to be asked for, directly\n"
	     "  --quiet         failures and the sum only\n"
	     "FILTER: only cases whose name contains it");
}

static bool options_read(struct options *opt, int argc, char **argv)
{
	static const struct option table[] = { { "dir", 1, NULL, 'd' }, { "recording", 1, NULL, 'R' },
		{ "drayd", 1, NULL, 'D' }, { "fixture", 1, NULL, 'F' }, { "mode", 1, NULL, 'M' },
		{ "min", 1, NULL, 'm' }, { "diff", 0, NULL, 'u' }, { "out", 1, NULL, 'o' }, { "shuffle", 1, NULL, 's' },
		{ "repeat", 1, NULL, 'r' }, { "kept", 1, NULL, 'k' }, { "most-asked", 1, NULL, 'a' },
		{ "quiet", 0, NULL, 'q' }, { "help", 0, NULL, 'h' }, { 0 } };

	*opt = (struct options){ .dir = "tests/parity", .repeat = 1, .min = UINT32_MAX, .most_asked = UINT32_MAX };
	for (int c; (c = getopt_long(argc, argv, "h", table, NULL)) != -1;) {
		switch (c) {
		case 'd':
			opt->dir = optarg;
			break;
		case 'R':
			opt->recording = optarg;
			break;
		case 'D':
			opt->drayd = optarg;
			break;
		case 'F':
			opt->fixture = optarg;
			break;
		case 'M':
			opt->mode = optarg;
			break;
		case 'm':
			opt->min = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'u':
			opt->diff = true;
			break;
		case 'o':
			opt->out = optarg;
			break;
		case 's':
			opt->seed = strtoull(optarg, NULL, 10);
			break;
		case 'r':
			opt->repeat = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'k':
			opt->kept = optarg;
			break;
		case 'a':
			opt->most_asked = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'q':
			opt->quiet = true;
			break;
		default:
			usage();
			return false;
		}
	}
	opt->filter = optind < argc ? argv[optind] : NULL;
	if (opt->mode && strcmp(opt->mode, "direct") != 0 && strcmp(opt->mode, "drayd") != 0)
		return false;
	if (opt->kept && strcmp(opt->kept, "new") != 0 && strcmp(opt->kept, "old") != 0)
		return false;
	bool programs = opt->drayd && opt->fixture;
	if (!opt->mode && !programs)
		opt->mode = "direct";
	return opt->repeat > 0 && (programs || strcmp(opt->mode, "direct") == 0);
}

int main(int argc, char **argv)
{
	struct options opt;
	char path[4096];
	bool ok = true;

	if (!options_read(&opt, argc, argv))
		return 2;
	if (opt.out && mkdir(opt.out, 0755) != 0 && errno != EEXIST) {
		perror(opt.out);
		return 2;
	}
	snprintf(path, sizeof(path), "%s%s", opt.recording ? opt.recording : opt.dir,
		opt.recording ? "" : "/packuments.ndjson.zst");
	if (!opt.mode || strcmp(opt.mode, "direct") == 0)
		ok = run_direct(&opt, path);
	if (!opt.mode || strcmp(opt.mode, "drayd") == 0)
		ok = run_drayd(&opt, path) && ok;
	return ok ? 0 : 1;
}
