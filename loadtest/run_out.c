#include "run_out.h"
#include "base/json.h"

static void put_field(FILE *f, const char *key, str value)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	json_put_str(&b, value);
	fprintf(f, ",\"%s\":" STR_FMT, key, STR_ARG(buf_str(&b)));
}

static void put_count(FILE *f, const char *key, uint64_t n)
{
	fprintf(f, ",\"%s\":%llu", key, (unsigned long long)n);
}

static void put_usage(FILE *f, const struct sample *s)
{
	fprintf(f, ",\"wall_s\":%.4f,\"user_s\":%.4f,\"sys_s\":%.4f", s->wall_s, s->user_s, s->sys_s);
	put_count(f, "peak_kb", s->peak_kb);
	put_count(f, "switches", s->switches);
	put_count(f, "preempted", s->preempted);
	put_count(f, "minor_faults", s->minor_faults);
	put_count(f, "major_faults", s->major_faults);
	fprintf(f, ",\"exit\":%d", s->exit);
}

static void put_traffic(FILE *f, const struct rig_counts *c)
{
	put_count(f, "down_bytes", c->down_bytes);
	put_count(f, "up_bytes", c->up_bytes);
	put_count(f, "server_bytes", c->server_bytes);
	put_count(f, "requests", c->requests);
	put_count(f, "connections", c->connections);
	fprintf(f, ",\"mirror_cpu_s\":%.3f,\"relay_cpu_s\":%.3f,\"drayd_cpu_s\":%.3f", c->mirror_cpu_s, c->relay_cpu_s,
		c->drayd_cpu_s);
	put_count(f, "drayd_rss_kb", c->drayd_rss_kb);
}

static void put_sizes(FILE *f, const struct outcome_sizes *s)
{
	put_count(f, "store_bytes", s->store_bytes);
	put_count(f, "modules_bytes", s->modules_bytes);
	put_count(f, "lockfile_bytes", s->lockfile_bytes);
	put_count(f, "store_files", s->store_files);
	put_count(f, "modules_files", s->modules_files);
}

static void put_sample(FILE *f, const struct run_scene *at, const struct run_outcome *o)
{
	fprintf(f, "{\"kind\":\"sample\"");
	put_field(f, "project", str_of(at->project));
	put_field(f, "link", str_of(at->link));
	put_field(f, "phase", str_of(at->phase));
	put_field(f, "subject", str_of(at->subject));
	fprintf(f, ",\"round\":%u,\"ok\":%s", at->round, o->why ? "false" : "true");
	if (o->why)
		put_field(f, "why", str_of(o->why));
	put_usage(f, &o->s);
	put_traffic(f, &o->c);
	if (o->lock_digest.n)
		put_field(f, "lockfile_sha256", o->lock_digest);
	if (o->sized)
		put_sizes(f, &o->sizes);
	if (o->summary.n)
		fprintf(f, ",\"dray\":" STR_FMT, STR_ARG(o->summary));
	fprintf(f, "}\n");
	fflush(f); /* a run that is killed goes on from here */
}

void run_out_sample(FILE *f, const struct run_scene *at, const struct run_outcome *o)
{
	if (f)
		put_sample(f, at, o);
	fprintf(stderr, "%-8s %-8s %-8s %-13s round %u %8.3f s  user+sys %7.3f s  %6.1f MB down%s%s\n", at->project,
		at->link, at->phase, at->subject, at->round, o->s.wall_s, o->s.user_s + o->s.sys_s,
		(double)o->c.down_bytes / 1e6, o->why ? "  FAILED: " : "", o->why ? o->why : "");
}

void run_out_prepared(FILE *f, const char *project, const char *subject, double wall_s, double cpu_s)
{
	fprintf(stderr, "%s: the server of %s has its packs after %.0f s, %.0f s of CPU\n", project, subject, wall_s,
		cpu_s);
	if (!f)
		return;
	fprintf(f, "{\"kind\":\"prepared\"");
	put_field(f, "project", str_of(project));
	put_field(f, "subject", str_of(subject));
	fprintf(f, ",\"wall_s\":%.1f,\"drayd_cpu_s\":%.1f}\n", wall_s, cpu_s);
	fflush(f);
}

void run_out_warning(FILE *f, const char *project, str text)
{
	fprintf(stderr, "warning: " STR_FMT "\n", STR_ARG(text));
	if (!f)
		return;
	fprintf(f, "{\"kind\":\"warning\"");
	put_field(f, "project", str_of(project));
	put_field(f, "text", text);
	fprintf(f, "}\n");
	fflush(f);
}

void run_out_unavailable(FILE *f, const char *project, const char *subject, const char *why)
{
	fprintf(stderr, "%s %s: not available: %s\n", project, subject, why);
	if (!f)
		return;
	fprintf(f, "{\"kind\":\"unavailable\"");
	put_field(f, "project", str_of(project));
	put_field(f, "subject", str_of(subject));
	put_field(f, "why", str_of(why));
	fprintf(f, "}\n");
	fflush(f);
}
