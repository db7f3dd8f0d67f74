#include "run.h"
#include "fsimage.h"
#include "integrity.h"
#include "manifest.h"
#include "measure.h"
#include "outcome.h"
#include "pack.h"
#include "place.h"
#include "run_floor.h"
#include "run_out.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { MOST_RUN_S = 600 };
/* For a server's packs: all of a project's, and those of the few versions that an update leaves behind. */
enum { PRIME_PATIENCE_S = 900, UPDATE_PATIENCE_S = 240 };
/* One project: what its steps share. */
struct bench {
	const struct run_opts *o;
	const struct run_step *step;
	struct rig *rig;
	struct fsimage ref, work;
	struct arena keep; /* for the project */
	/* For a sample: what is allocated when a child is forked counts for the child's peak. */
	struct arena a;
	struct bench_place place;
	const char *name; /* the project's */
	unsigned failed;
	bool warned;    /* of the file system */
	uint64_t wrote; /* bytes that the largest first install of a subject took on the disk */
	const char *program[RUN_MOST_SUBJECTS];
	enum { UNPRIMED, PRIMED, UNFIT } state[RUN_MOST_SUBJECTS];
};

/* What happened between two readings of the counters. */
static struct rig_counts counts_minus(struct rig_counts a, const struct rig_counts *b)
{
	a.requests -= b->requests;
	a.misses -= b->misses;
	a.down_bytes -= b->down_bytes;
	a.up_bytes -= b->up_bytes;
	a.connections -= b->connections;
	a.server_bytes -= b->server_bytes;
	a.mirror_cpu_s -= b->mirror_cpu_s;
	a.relay_cpu_s -= b->relay_cpu_s;
	a.drayd_cpu_s -= b->drayd_cpu_s;
	return a;
}

static const char *check_run(struct bench *b, const struct subject *sub, enum phase phase,
	const struct subject_place *at, const struct run_outcome *out)
{
	const char *why;

	if (out->s.exit == 128 + SIGKILL && out->s.wall_s >= MOST_RUN_S)
		return arena_printf(&b->a, "not done after %d s", MOST_RUN_S).p;
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

/* Runs SUB, by the program of subject I, in AT as PHASE would. */
static int run_as(struct bench *b, size_t i, const struct subject *sub, enum phase phase,
	const struct subject_place *at, struct run_outcome *out, struct err *e)
{
	struct invocation inv;
	struct invoke_opts where = { .program = b->program[i],
		.project = at->project,
		.home = at->home,
		.store = at->store,
		.registry = rig_registry(b->rig),
		.server = rig_server(b->rig) };

	*out = (struct run_outcome){ 0 };
	subject_invoke(&inv, sub, phase, &where, &b->a);
	struct command cmd = {
		.argv = inv.argv, .env = inv.env, .cwd = at->project, .out = at->log, .timeout_s = MOST_RUN_S
	};
	struct rig_counts before = rig_counts(b->rig);
	if (measure_run(&out->s, &cmd, e) < 0 || rig_check(b->rig, e) < 0)
		return e->code;
	out->c = counts_minus(rig_counts(b->rig), &before);
	out->why = check_run(b, sub, phase, at, out);
	out->lock_digest = outcome_lockfile_digest(at, sub->lockfile, &b->a);
	if (sub->is_dray)
		out->summary = place_summary(at, &b->a);
	return 0;
}

static int run_one(struct bench *b, size_t i, enum phase phase, const struct subject_place *at, struct run_outcome *out,
	struct err *e)
{
	return run_as(b, i, b->o->subject[i], phase, at, out, e);
}

/* Writes a sample down and says it; one that failed, with the end of what it said. */
static void tell_sample(struct bench *b, const char *subject, unsigned round, const struct run_outcome *out,
	const struct subject_place *at)
{
	struct run_scene scene = { .project = b->name,
		.link = b->step->link->name,
		.phase = phase_name(b->step->phase),
		.subject = subject,
		.round = round };

	b->failed += out->why != NULL;
	run_out_sample(b->o->out, &scene, out);
	if (out->why)
		place_show_log(at);
}

static const struct link_profile *unhindered(void)
{
	return link_find("loopback");
}

/* Where a settled server's store is kept between runs: its packs take minutes of CPU. By project, package.json and
 * the format of packs. In A. */
static const char *settled_path(const char *work_dir, const char *project, struct arena *a, struct err *e)
{
	uint8_t sha[32];
	str text;

	if (place_read_file(&text, arena_printf(a, "%s/package.json", project).p, a, e) < 0)
		return NULL;
	sha256(sha, text.p, text.n);
	return arena_printf(a, "%s/settled/%s-pack%u-%02x%02x%02x%02x", work_dir, place_project_name(project),
		PACK_FORMAT, sha[0], sha[1], sha[2], sha[3])
		.p;
}

static const char *settled_dir(struct bench *b, struct err *e)
{
	str dir = arena_printf(&b->a, "%s/settled", b->o->work_dir);

	if (mkdir(dir.p, 0755) < 0 && errno != EEXIST) {
		err_os(e, "make %s", dir.p);
		return NULL;
	}
	return settled_path(b->o->work_dir, b->place.source.p, &b->a, e);
}

void run_find_settled(struct run_opts *o)
{
	o->settled = 0;
	for (size_t i = 0; i < o->nprojects; i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		struct err ignored;
		const char *dir = settled_path(o->work_dir, o->project[i], &a, &ignored);
		if (dir && access(dir, F_OK) == 0)
			o->settled |= 1u << i;
	}
}

static int start_server(struct bench *b, const struct subject *sub, const struct subject_place *at, struct err *e)
{
	const char *dir = at->drayd_store;

	if (sub->server == SERVER_NONE)
		return 0;
	if (sub->server == SERVER_COLD)
		dir = place_fresh(&b->place, sub->name, "drayd", &b->a);
	if (sub->server == SERVER_SETTLED && !(dir = settled_dir(b, e)))
		return e->code;
	/* A warm server's packs stay as they are: it would improve them while others are measured. */
	return rig_drayd(b->rig, dir, sub->server != SERVER_WARM, e);
}

/* *WHY when they are not ready in time: that is one subject's trouble, not the run's. */
static int await_packs(struct bench *b, bool settled, double patience_s, const char **why, struct err *e)
{
	int rc = rig_drayd_packs(b->rig, settled, patience_s, e);

	if (rc == ERR_TIMEOUT)
		*why = arena_str(&b->a, str_of(e->msg)).p;
	return rc == ERR_TIMEOUT ? 0 : rc;
}

/* The same project with its lockfile asks for deltas that the plan did not: who knows no sizes
 * starts from another version. */
static int prime_locked(struct bench *b, size_t i, struct subject_place *at, struct run_outcome *out, struct err *e)
{
	if (place_for(at, &b->place, b->o->subject[i]->name, b->o->subject[i]->lockfile, P3, &b->a, e) < 0)
		return e->code;
	return run_one(b, i, P3, at, out, e);
}

/* Where that takes another run, AT and OUT are that run's. */
static int prepare_packs(struct bench *b, size_t i, struct subject_place *at, struct run_outcome *out, struct err *e)
{
	const struct subject *sub = b->o->subject[i];

	if (sub->server != SERVER_WARM && sub->server != SERVER_SETTLED)
		return 0;
	double start = measure_now(), cpu = rig_counts(b->rig).drayd_cpu_s;
	/* The tarballs first, for a server that has seen nothing; the long work then with all CPUs. */
	if (await_packs(b, false, PRIME_PATIENCE_S, &out->why, e) < 0 ||
		(!out->why && prime_locked(b, i, at, out, e) < 0) ||
		(!out->why && await_packs(b, false, PRIME_PATIENCE_S, &out->why, e) < 0))
		return e->code;
	if (out->why)
		return 0;
	if (sub->server == SERVER_SETTLED) {
		const char *dir = settled_dir(b, e);
		if (!dir || rig_drayd_settle(b->rig, dir, e) < 0)
			return e->code;
	}
	run_out_prepared(b->o->out, b->name, sub->name, measure_now() - start, rig_counts(b->rig).drayd_cpu_s - cpu);
	return 0;
}

/* Makes subject I ready, once a project, untimed and without the link: its store, its lockfile, the server's caches. */
static int prime(struct bench *b, size_t i, struct err *e)
{
	const struct subject *sub = b->o->subject[i];
	struct subject_place at;
	struct run_outcome out;

	uint64_t before = place_free(&b->place), left;

	arena_release(&b->a);
	if (rig_relink(b->rig, unhindered(), 0, e) < 0 || place_prime(&at, &b->place, sub->name, &b->a, e) < 0 ||
		start_server(b, sub, &at, e) < 0 || run_one(b, i, P0, &at, &out, e) < 0)
		return e->code;
	left = place_free(&b->place);
	if (before > left && before - left > b->wrote)
		b->wrote = before - left;
	if (!out.why && prepare_packs(b, i, &at, &out, e) < 0)
		return e->code;
	b->state[i] = out.why ? UNFIT : PRIMED;
	const char *cannot = out.why && out.c.misses == 0 ? outcome_unavailable(&at, sub, &b->a) : NULL;
	if (cannot) {
		run_out_unavailable(b->o->out, b->name, sub->name, cannot);
	} else if (out.why) {
		out.why = arena_printf(&b->a, "warm-up: %s", out.why).p;
		tell_sample(b, sub->name, 0, &out, &at);
	}
	rig_drayd_stop(b->rig);
	return 0;
}

/* PARTIAL and UPDATE: what was installed before, without the link. A cold server has seen nothing of it: that was
 * before there was a server. */
static int run_before(struct bench *b, size_t i, struct subject_place *at, struct run_outcome *out, struct err *e)
{
	const struct subject *sub = b->o->subject[i];
	enum phase phase = b->step->phase;
	struct subject alone = *sub;
	struct subject_place before;

	if (sub->server == SERVER_COLD)
		alone.server = SERVER_NONE;
	int rc = place_before(&before, at, &b->place, phase, &b->a, e);

	if (rc == ERR_NOTFOUND) { /* this project has no such state: a matter of this phase alone */
		out->why = arena_str(&b->a, str_of(e->msg)).p;
		return 0;
	}
	if (rc < 0 || rig_relink(b->rig, unhindered(), 0, e) < 0 || run_as(b, i, &alone, P0, &before, out, e) < 0)
		return e->code;
	if (out->why) {
		out->why = arena_printf(&b->a, "the install before: %s", out->why).p;
		at->log = before.log;
		return 0;
	}
	if (place_after(at, &before, phase, e) < 0)
		return e->code;
	/* One that was asked before made packs of what came with that install, and deltas from
	 * there, long before the update. */
	if ((sub->server == SERVER_WARM || sub->server == SERVER_SETTLED) &&
		await_packs(b, sub->server == SERVER_SETTLED, UPDATE_PATIENCE_S, &out->why, e) < 0)
		return e->code;
	return sub->server == SERVER_COLD ? start_server(b, sub, at, e) : 0;
}

/* A warm server has answered this request before: its plan is in memory, which a new process has to be asked for. */
static int ask_before(struct bench *b, size_t i, struct subject_place *at, struct run_outcome *out, struct err *e)
{
	const struct subject *sub = b->o->subject[i];
	struct subject_place before;

	if (sub->server != SERVER_WARM && sub->server != SERVER_SETTLED)
		return 0;
	if (place_for(&before, &b->place, sub->name, sub->lockfile, P1, &b->a, e) < 0 ||
		rig_relink(b->rig, unhindered(), 0, e) < 0 || run_one(b, i, P1, &before, out, e) < 0)
		return e->code;
	if (out->why) {
		out->why = arena_printf(&b->a, "the request before: %s", out->why).p;
		at->log = before.log;
	}
	return 0;
}

/* The state that the phase starts from, down to the server; *why when that went wrong. */
static int before_sample(
	struct bench *b, size_t i, unsigned round, struct subject_place *at, struct run_outcome *out, struct err *e)
{
	const struct subject *sub = b->o->subject[i];
	enum phase phase = b->step->phase;

	if (place_for(at, &b->place, sub->name, sub->lockfile, phase, &b->a, e) < 0 || start_server(b, sub, at, e) < 0)
		return e->code;
	if ((phase == PARTIAL || phase == UPDATE) && run_before(b, i, at, out, e) < 0)
		return e->code;
	if ((phase == P0 || phase == P1) && ask_before(b, i, at, out, e) < 0)
		return e->code;
	return rig_relink(b->rig, b->step->link, round, e);
}

/* As the last before a sample. */
static void settle(struct bench *b)
{
	place_sync(&b->place);
	if (!phase_shares_store(b->step->phase))
		measure_fetch_memory(2 * b->wrote); /* the image's cache, and that of the file system it lies in */
}

/* Round 0 is a warm-up: only its failure is written down. */
static int sample_one(struct bench *b, size_t i, unsigned round, struct err *e)
{
	const struct subject *sub = b->o->subject[i];
	struct subject_place at;
	struct run_outcome out = { 0 };

	arena_release(&b->a);
	if (before_sample(b, i, round, &at, &out, e) < 0)
		return e->code;
	settle(b);
	if (!out.why && run_one(b, i, b->step->phase, &at, &out, e) < 0)
		return e->code;
	rig_drayd_stop(b->rig);
	/* Once, at the end, so that the walk warms no cache for a later sample. */
	if (round == b->step->rounds && !out.why) {
		out.sizes = outcome_sizes(&at, sub->lockfile);
		out.sized = true;
	}
	if (round || out.why)
		tell_sample(b, sub->name, round, &out, &at);
	return 0;
}

/* Whether subject I takes part in the step's phase at all. */
static bool takes_part(const struct bench *b, size_t i)
{
	return (b->step->subjects >> i & 1) && b->program[i] && b->state[i] != UNFIT &&
	       subject_takes_part(b->o->subject[i], b->step->phase);
}

static bool is_isolated(const struct bench *b, size_t i)
{
	return takes_part(b, i) && b->o->subject[i]->is_dray && !b->o->subject[i]->gvs;
}

/* Warm links of dray's own isolated trees stand beside their floor. So do cold installs where no link is what they wait
 * for: all of dray's make one tree, so the first of them brings the floor. */
static bool has_floor(const struct bench *b, size_t i)
{
	enum phase p = b->step->phase;
	bool first = is_isolated(b, i);

	if (p == P4)
		return first && b->o->subject[i]->server == SERVER_NONE;
	for (size_t k = 0; k < i; k++)
		first &= !is_isolated(b, k);
	return first && (p == P0 || p == P3) && link_is_none(b->step->link);
}

/* The primed tree of subject I, made once more by nothing but system calls: from the primed store, or from memory. */
static int sample_floor(struct bench *b, size_t i, unsigned round, struct err *e)
{
	const struct subject *sub = b->o->subject[i];
	struct subject_place at;
	struct run_outcome out = { 0 };

	arena_release(&b->a);
	if (place_for(&at, &b->place, sub->name, sub->lockfile, P5, &b->a, e) < 0)
		return e->code;
	struct floor_place fp = { .tree = arena_printf(&b->a, "%s/node_modules", at.project).p,
		.store = arena_printf(&b->a, "%s/pkgs", at.store).p,
		.dest = at.home,
		.log = at.log };
	if (!phase_shares_store(b->step->phase)) { /* on the file system of the round */
		if (place_for(&at, &b->place, sub->name, sub->lockfile, P0, &b->a, e) < 0)
			return e->code;
		fp.store = "-";
		fp.dest = at.home;
		fp.log = at.log;
	}
	settle(b);
	if (run_floor(&out.s, &fp, &b->a, e) < 0)
		return e->code;
	if (out.s.exit)
		out.why = arena_printf(&b->a, "exit status %d", out.s.exit).p;
	tell_sample(b, FLOOR_SUBJECT, round, &out, &at);
	return 0;
}

/* The floor comes after dray in one round and before it in the next. */
static int sample_and_floor(struct bench *b, size_t i, unsigned round, struct err *e)
{
	if (has_floor(b, i) && round % 2 == 0 && sample_floor(b, i, round, e) < 0)
		return e->code;
	if (sample_one(b, i, round, e) < 0)
		return e->code;
	return has_floor(b, i) && round % 2 ? sample_floor(b, i, round, e) : 0;
}

static bool is_wanted(const struct bench *b, size_t i, unsigned round)
{
	return takes_part(b, i) && (!b->o->wanted || b->o->wanted(b->o->arg, b->step, i, round));
}

static int make_image(struct bench *b, struct fsimage *fs, const char *name, struct err *e)
{
	AUTO(buf_release) struct buf why = BUF_INIT;

	if (fsimage_make(fs, b->o->work_dir, name, b->o->image_bytes, &why, e) < 0)
		return e->code;
	if (why.n && !b->warned) {
		buf_printf(&why, ": deletes and other users of this file system show in the timings");
		run_out_warning(b->o->out, b->name, buf_str(&why));
	}
	b->warned |= why.n > 0;
	return 0;
}

static bool is_round_wanted(const struct bench *b, unsigned round)
{
	for (size_t i = 0; i < b->o->nsubjects; i++) {
		if (is_wanted(b, i, round))
			return true;
	}
	return false;
}

/* Everybody once, on a file system of the round's own: three rounds of a large project would fill a disk. */
static int run_round(struct bench *b, unsigned round, struct err *e)
{
	const struct run_opts *o = b->o;
	bool own = !phase_shares_store(b->step->phase);
	int rc = 0;

	if (own && make_image(b, &b->work, "work", e) < 0)
		return e->code;
	place_move(&b->place, own ? b->work.mount : NULL);
	for (size_t k = 0; k < o->nsubjects && rc == 0; k++) {
		/* Every other round backwards, so that no subject always follows the same one. */
		size_t i = round % 2 ? k : o->nsubjects - 1 - k;
		rc = is_wanted(b, i, round) ? sample_and_floor(b, i, round, e) : 0;
	}
	place_move(&b->place, NULL);
	fsimage_drop(&b->work);
	return rc;
}

static int run_step(struct bench *b, struct err *e)
{
	const struct run_opts *o = b->o;
	bool any = false;

	for (unsigned round = 1; round <= b->step->rounds; round++)
		any |= is_round_wanted(b, round);
	if (!any || (o->may_start && !o->may_start(o->arg, b->step, 0)))
		return 0;
	for (size_t i = 0; i < o->nsubjects; i++) {
		if (takes_part(b, i) && b->state[i] == UNPRIMED && prime(b, i, e) < 0)
			return e->code;
	}
	for (size_t i = 0; i < o->nsubjects && phase_warms_up(b->step->phase); i++) {
		if (takes_part(b, i) && sample_one(b, i, 0, e) < 0)
			return e->code;
	}
	for (unsigned round = 1; round <= b->step->rounds; round++) {
		if (!is_round_wanted(b, round))
			continue;
		if (o->may_start && !o->may_start(o->arg, b->step, round))
			return 0;
		if (run_round(b, round, e) < 0)
			return e->code;
	}
	return 0;
}

static int open_bench(struct bench *b, size_t project, struct err *e)
{
	const struct run_opts *o = b->o;
	struct rig_opts ro = { .mirror_dir = o->mirror_dir,
		.upstream = o->upstream,
		.link = unhindered(),
		.log_dir = o->work_dir,
		.drayd = arena_printf(&b->keep, "%s/drayd", o->dray_dir).p };

	for (size_t i = 0; i < o->nsteps; i++)
		ro.far_upstream |= o->step[i].link->upstream_rtt_us > 0;
	if (make_image(b, &b->ref, "ref", e) < 0 ||
		place_open(&b->place, b->ref.mount, o->project[project], o->mirror_dir, e) < 0)
		return e->code;
	for (size_t i = 0; i < o->nsubjects; i++) {
		const struct subject *sub = o->subject[i];
		b->program[i] = subject_program(sub, o->dray_dir, o->peers_dir, &b->keep);
		const char *lacks = !b->program[i]                                              ? sub->program
				    : sub->server != SERVER_NONE && access(ro.drayd, X_OK) != 0 ? "drayd"
												: NULL;
		if (!lacks)
			continue;
		b->program[i] = NULL;
		run_out_unavailable(o->out, b->name, sub->name,
			arena_printf(&b->keep, "no %s in %s", lacks, sub->is_dray ? o->dray_dir : o->peers_dir).p);
	}
	return rig_start(&b->rig, &ro, e);
}

static int run_project(const struct run_opts *o, size_t project, unsigned *failed, struct err *e)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	int rc = 0;

	b->o = o;
	b->name = place_project_name(o->project[project]);
	b->a = b->keep = ARENA_INIT(1 << 16);
	for (size_t i = 0; i < o->nsteps && rc == 0; i++) {
		b->step = &o->step[i];
		if (b->step->project != project)
			continue;
		if (!b->rig)
			rc = open_bench(b, project, e);
		if (rc == 0)
			rc = run_step(b, e);
	}
	*failed += b->failed;
	rig_stop(b->rig);
	place_close(&b->place);
	fsimage_drop(&b->ref);
	arena_release(&b->a);
	arena_release(&b->keep);
	free(b);
	return rc;
}

int run_cross(struct run_opts *o, const struct link_profile *const *link, size_t nlinks_wanted,
	const bool phase[NPHASES], unsigned rounds, struct err *e)
{
	uint32_t everybody = (uint32_t)((1ull << o->nsubjects) - 1);
	size_t nphases = 0;

	for (int p = 0; p < NPHASES; p++)
		nphases += phase[p];
	if (o->nprojects * nlinks_wanted * nphases > RUN_MOST_STEPS)
		return err_set(e, ERR_TOOBIG,
			"%zu projects, %zu links and %zu phases are over the limit of %d scenarios", o->nprojects,
			nlinks_wanted, nphases, RUN_MOST_STEPS);
	o->nsteps = 0;
	for (size_t i = 0; i < o->nprojects; i++) {
		for (size_t l = 0; l < nlinks_wanted; l++) {
			for (int p = 0; p < NPHASES; p++) {
				if (phase[p])
					o->step[o->nsteps++] =
						(struct run_step){ i, link[l], (enum phase)p, everybody, rounds };
			}
		}
	}
	return 0;
}

int run_lock(const char *work_dir, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	const char *path = arena_printf(&a, "%s/lock", work_dir).p;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_os(e, "make %s", path);
	/* The children of a run that was killed hold its lock for as long as it takes them to notice. */
	for (int i = 0; i < 100; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	close(fd);
	return err_set(e, ERR_BUSY, "another dray-bench works in %s; give this one another --work", work_dir);
}

/* What does not fit on the disk would look like a subject that fails. */
static void warn_of_space(const char *dir)
{
	enum { LARGE_GB = 40 };
	struct statvfs v;

	if (statvfs(dir, &v) == 0 && v.f_bavail * v.f_frsize >> 30 < LARGE_GB)
		fprintf(stderr, "warning: %s has %llu GB free; a large project with eight subjects takes %d\n", dir,
			(unsigned long long)(v.f_bavail * v.f_frsize >> 30), LARGE_GB);
}

/* Both plan from a pnpm-lock.yaml. */
static int check_subjects(const struct run_opts *o, struct err *e)
{
	bool planned = false, has_lockfile = false;

	for (size_t i = 0; i < o->nsteps; i++)
		planned |= o->step[i].phase == PARTIAL || o->step[i].phase == UPDATE;
	for (size_t i = 0; i < o->nsubjects; i++)
		has_lockfile |= strcmp(o->subject[i]->lockfile, "pnpm-lock.yaml") == 0;
	return planned && !has_lockfile
		       ? err_set(e, ERR_USAGE, "partial and update need dray or pnpm among the subjects")
		       : 0;
}

int run_all(const struct run_opts *o, struct err *e)
{
	unsigned failed = 0;
	int fd = check_subjects(o, e) < 0 ? -1 : run_lock(o->work_dir, e);

	if (fd < 0)
		return e->code;
	int rc = 0;
	warn_of_space(o->work_dir);
	for (size_t i = 0; i < o->nprojects && rc == 0; i++)
		rc = run_project(o, i, &failed, e);
	close(fd);
	return rc < 0 ? rc : failed ? err_set(e, ERR_SCRIPT, "%u runs failed", failed) : 0;
}
