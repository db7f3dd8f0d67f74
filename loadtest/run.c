#include "run.h"
#include "base/json.h"
#include "fsimage.h"
#include "manifest.h"
#include "measure.h"
#include "outcome.h"
#include "place.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* One project over one link, one phase: what the rounds share. */
struct bench {
	const struct run_opts *o;
	struct rig *rig;
	struct arena a; /* for the phase */
	struct bench_place place;
	enum phase phase;
	unsigned failed, bad[RUN_MOST_SUBJECTS];
	const char *program[RUN_MOST_SUBJECTS];
	bool skip[RUN_MOST_SUBJECTS];
};

static void put_field(FILE *f, const char *key, str value)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	json_put_str(&b, value);
	fprintf(f, ",\"%s\":" STR_FMT, key, STR_ARG(buf_str(&b)));
}

/* What one run of one subject came to. */
struct outcome {
	struct sample s;
	struct rig_counts c;
	const char *why; /* NULL: good */
	str summary, lock_digest;
	struct outcome_sizes sizes;
	bool sized;
};

static void put_outcome(FILE *f, const struct outcome *o)
{
	if (o->lock_digest.n)
		put_field(f, "lockfile_sha256", o->lock_digest);
	if (o->sized)
		fprintf(f,
			",\"store_bytes\":%llu,\"modules_bytes\":%llu,\"lockfile_bytes\":%llu,\"store_files\":%llu,"
			"\"modules_files\":%llu",
			(unsigned long long)o->sizes.store_bytes, (unsigned long long)o->sizes.modules_bytes,
			(unsigned long long)o->sizes.lockfile_bytes, (unsigned long long)o->sizes.store_files,
			(unsigned long long)o->sizes.modules_files);
	if (o->summary.n)
		fprintf(f, ",\"dray\":" STR_FMT, STR_ARG(o->summary));
}

static void put_sample(struct bench *b, size_t i, unsigned round, const struct outcome *out)
{
	FILE *f = b->o->out;
	const struct sample *s = &out->s;
	const struct rig_counts *c = &out->c;
	const char *why = out->why;

	if (!f)
		return;
	fprintf(f, "{\"kind\":\"sample\"");
	put_field(f, "project", str_of(b->place.project_name));
	put_field(f, "link", str_of(b->o->link->name));
	put_field(f, "phase", str_of(phase_name(b->phase)));
	put_field(f, "subject", str_of(b->o->subject[i]->name));
	fprintf(f, ",\"round\":%u,\"ok\":%s", round, why ? "false" : "true");
	if (why)
		put_field(f, "why", str_of(why));
	fprintf(f,
		",\"wall_s\":%.4f,\"user_s\":%.4f,\"sys_s\":%.4f,\"peak_kb\":%llu,\"switches\":%llu,\"preempted\":%llu",
		s->wall_s, s->user_s, s->sys_s, (unsigned long long)s->peak_kb, (unsigned long long)s->switches,
		(unsigned long long)s->preempted);
	fprintf(f, ",\"minor_faults\":%llu,\"major_faults\":%llu,\"exit\":%d", (unsigned long long)s->minor_faults,
		(unsigned long long)s->major_faults, s->exit);
	fprintf(f,
		",\"down_bytes\":%llu,\"up_bytes\":%llu,\"server_bytes\":%llu,\"requests\":%llu,\"connections\":%llu",
		(unsigned long long)c->down_bytes, (unsigned long long)c->up_bytes, (unsigned long long)c->server_bytes,
		(unsigned long long)c->requests, (unsigned long long)c->connections);
	fprintf(f, ",\"mirror_cpu_s\":%.3f,\"relay_cpu_s\":%.3f,\"drayd_cpu_s\":%.3f,\"drayd_rss_kb\":%llu",
		c->mirror_cpu_s, c->relay_cpu_s, c->drayd_cpu_s, (unsigned long long)c->drayd_rss_kb);
	put_outcome(f, out);
	fprintf(f, "}\n");
	fflush(f);
}

/* What happened between two readings of the counters. */
static struct rig_counts counts_minus(struct rig_counts a, const struct rig_counts *b)
{
	a.requests -= b->requests;
	a.misses -= b->misses;
	a.down_bytes -= b->down_bytes;
	a.up_bytes -= b->up_bytes;
	a.connections -= b->connections;
	a.server_bytes -= b->server_bytes;
	a.server_connections -= b->server_connections;
	a.mirror_cpu_s -= b->mirror_cpu_s;
	a.relay_cpu_s -= b->relay_cpu_s;
	a.drayd_cpu_s -= b->drayd_cpu_s;
	return a;
}

static const char *check_run(struct bench *b, const struct subject *sub, enum phase phase,
	const struct subject_place *at, const struct outcome *out)
{
	const char *why;

	if (out->s.exit != 0)
		return arena_printf(&b->a, "exit status %d", out->s.exit).p;
	if ((why = outcome_lockfile(at, sub, &b->a)))
		return why;
	if (phase != P1 && (why = outcome_tree(at, sub, &b->a)))
		return why;
	if (out->c.misses)
		return arena_printf(&b->a, "request to the upstream: %s", rig_last_miss(b->rig)).p;
	if (sub->server != SERVER_NONE && phase_resolves(phase) && out->c.server_bytes == 0)
		return "the server was not asked";
	return NULL;
}

/* Runs subject I in AT as PHASE would. */
static int run_one(
	struct bench *b, size_t i, enum phase phase, const struct subject_place *at, struct outcome *out, struct err *e)
{
	const struct subject *sub = b->o->subject[i];
	struct invocation inv;
	struct place where = { .program = b->program[i],
		.project = at->project,
		.home = at->home,
		.store = at->store,
		.registry = rig_registry(b->rig),
		.server = rig_server(b->rig) };

	*out = (struct outcome){ 0 };
	if (!subject_invoke(&inv, sub, phase, &where, &b->a, &out->why))
		return 0;
	struct command cmd = { .argv = inv.argv, .env = inv.env, .cwd = at->project, .out = at->log, .timeout_s = 600 };
	struct rig_counts before = rig_counts(b->rig);
	if (measure_run(&out->s, &cmd, e) < 0)
		return e->code;
	out->c = counts_minus(rig_counts(b->rig), &before);
	out->why = check_run(b, sub, phase, at, out);
	out->lock_digest = outcome_lockfile_digest(at, sub->lockfile, &b->a);
	if (sub->is_dray)
		out->summary = place_summary(at, &b->a);
	return 0;
}

static int start_server(struct bench *b, const struct subject *sub, const struct subject_place *at, struct err *e)
{
	if (sub->server == SERVER_NONE)
		return 0;
	if (sub->server == SERVER_COLD)
		return rig_drayd(b->rig, place_fresh(&b->place, sub->name, "drayd", &b->a), e);
	return rig_drayd(b->rig, at->drayd_store, e);
}

/* Makes subject I ready for the phase, untimed: its store, its lockfile, the server's caches. False when it can't. */
static int prime(struct bench *b, size_t i, struct err *e)
{
	const struct subject *sub = b->o->subject[i];
	struct subject_place at;
	struct outcome out;

	if (place_prime(&at, &b->place, sub->name, &b->a, e) < 0 || start_server(b, sub, &at, e) < 0 ||
		run_one(b, i, P0, &at, &out, e) < 0)
		return e->code;
	if (out.why) {
		b->skip[i] = true;
		b->bad[i]++;
		fprintf(stderr, "%s %s %s: warm-up failed: %s; it said:\n", b->place.project_name, phase_name(b->phase),
			sub->name, out.why);
		out.why = arena_printf(&b->a, "warm-up: %s", out.why).p;
		put_sample(b, i, 0, &out);
		place_show_log(&at);
	}
	int rc = 0;
	if (!out.why && (sub->server == SERVER_WARM || sub->server == SERVER_SETTLED))
		rc = rig_drayd_packs(b->rig, sub->server == SERVER_SETTLED, e);
	rig_drayd_stop(b->rig);
	return rc;
}

/* PARTIAL and UPDATE: what was installed before. A cold server has seen nothing of it. */
static int run_before(struct bench *b, size_t i, struct subject_place *at, struct outcome *out, struct err *e)
{
	const struct subject *sub = b->o->subject[i];
	struct subject_place before;

	if (place_before(&before, at, &b->place, b->phase, &b->a, e) < 0 || run_one(b, i, P0, &before, out, e) < 0)
		return e->code;
	if (out->why) {
		out->why = arena_printf(&b->a, "the install before: %s", out->why).p;
		at->log = before.log;
		return 0;
	}
	if (place_after(at, &before, b->phase, e) < 0)
		return e->code;
	return sub->server == SERVER_COLD ? start_server(b, sub, at, e) : 0;
}

static void say_sample(const struct bench *b, size_t i, unsigned round, const struct outcome *out)
{
	fprintf(stderr, "%-8s %-8s %-8s %-13s round %u %8.3f s  user+sys %7.3f s  %6.1f MB down%s%s\n",
		b->place.project_name, b->o->link->name, phase_name(b->phase), b->o->subject[i]->name, round,
		out->s.wall_s, out->s.user_s + out->s.sys_s, (double)out->c.down_bytes / 1e6,
		out->why ? "  FAILED: " : "", out->why ? out->why : "");
}

static int sample_one(struct bench *b, size_t i, unsigned round, struct err *e)
{
	const struct subject *sub = b->o->subject[i];
	struct subject_place at;
	struct outcome out = { 0 };

	if (place_for(&at, &b->place, sub->name, sub->lockfile, b->phase, &b->a, e) < 0 ||
		start_server(b, sub, &at, e) < 0)
		return e->code;
	if ((b->phase == PARTIAL || b->phase == UPDATE) && run_before(b, i, &at, &out, e) < 0)
		return e->code;
	place_sync(&b->place);
	if (!out.why && run_one(b, i, b->phase, &at, &out, e) < 0)
		return e->code;
	rig_drayd_stop(b->rig);
	/* Once, at the end, so that the walk warms no cache for a later sample. */
	if (round == b->o->rounds && !out.why) {
		out.sizes = outcome_sizes(&at, sub->lockfile);
		out.sized = true;
	}
	put_sample(b, i, round, &out);
	b->failed += out.why != NULL;
	if (out.why)
		place_show_log(&at);
	say_sample(b, i, round, &out);
	return 0;
}

static int run_phase(struct bench *b, struct err *e)
{
	const struct run_opts *o = b->o;
	struct place none = { .program = "", .project = "", .home = "", .store = "", .registry = "", .server = "" };

	for (size_t i = 0; i < o->nsubjects; i++) {
		struct invocation inv;
		const char *why;
		b->program[i] = subject_program(o->subject[i], o->dray_dir, o->peers_dir, &b->a);
		b->skip[i] = !b->program[i] || !subject_invoke(&inv, o->subject[i], b->phase, &none, &b->a, &why);
		if (!b->skip[i] && prime(b, i, e) < 0)
			return e->code;
	}
	for (unsigned round = 1; round <= o->rounds; round++) {
		for (size_t k = 0; k < o->nsubjects; k++) {
			/* Every other round backwards, so that no subject always follows the same one. */
			size_t i = round % 2 ? k : o->nsubjects - 1 - k;
			if (!b->skip[i] && sample_one(b, i, round, e) < 0)
				return e->code;
		}
	}
	return 0;
}

static int run_project(const struct run_opts *o, const char *project, unsigned *failed, struct err *e)
{
	for (int p = 0; p < NPHASES; p++) {
		if (!o->phase[p])
			continue;
		struct bench b = { .o = o, .phase = (enum phase)p, .a = ARENA_INIT(1 << 16) };
		AUTO(buf_release) struct buf why = BUF_INIT;
		struct rig_opts ro = {
			.mirror_dir = o->mirror_dir, .upstream = o->upstream, .link = o->link, .log_dir = o->work_dir
		};
		ro.drayd = arena_printf(&b.a, "%s/drayd", o->dray_dir).p;
		struct fsimage fs = { 0 };
		int rc = fsimage_make(&fs, o->work_dir, o->image_bytes, &why, e);
		if (rc == 0 && why.n)
			fprintf(stderr,
				"warning: " STR_FMT
				": deletes and other users of this file system will show in the timings\n",
				STR_ARG(buf_str(&why)));
		if (rc == 0)
			rc = place_open(&b.place, fs.mount, project, o->mirror_dir, e);
		if (rc == 0)
			rc = rig_start(&b.rig, &ro, e);
		if (rc == 0)
			rc = run_phase(&b, e);
		for (size_t i = 0; i < o->nsubjects; i++)
			*failed += b.bad[i];
		*failed += b.failed;
		rig_stop(b.rig);
		place_close(&b.place);
		fsimage_drop(&fs);
		arena_release(&b.a);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int run_all(const struct run_opts *o, struct err *e)
{
	unsigned failed = 0;

	for (size_t i = 0; i < o->nprojects; i++) {
		if (run_project(o, o->project[i], &failed, e) < 0)
			return e->code;
	}
	return failed ? err_set(e, ERR_SCRIPT, "%u runs failed", failed) : 0;
}
