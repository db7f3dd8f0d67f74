#include "route.h"

int h_health(h2o_req_t *req)
{
	answer_text(req, 200, "application/json", STR("{\"status\":\"ok\",\"version\":\"" DRAY_VERSION "\"}\n"));
	return 0;
}

int h_ready(h2o_req_t *req)
{
	struct server *s = req_loop(req)->s;
	struct err e = { 0 };

	if (atomic_load(&s->draining))
		answer_status(req, 503, ERR_BUSY, "shutting down");
	else if (s->backend->ready && !s->backend->ready(s->backend->ctx, &e))
		answer_status(req, 503, e.code, e.msg);
	else
		answer_text(req, 200, "application/json", STR("{\"status\":\"ready\"}\n"));
	return 0;
}

static void metric(struct buf *b, const char *name, const char *type, const char *help, uint64_t v)
{
	buf_printf(b, "# HELP drayd_%s %s\n# TYPE drayd_%s %s\ndrayd_%s %llu\n", name, help, name, type, name,
		(unsigned long long)v);
}

static void metric_plans(struct buf *b, struct counts *n)
{
	static const unsigned bound[NPLAN_BUCKETS] = PLAN_BUCKETS;
	uint64_t below = 0;

	buf_printf(b, "# HELP drayd_plan_seconds From the request's last byte to the plan's last frame.\n"
		      "# TYPE drayd_plan_seconds histogram\n");
	for (int i = 0; i < NPLAN_BUCKETS; i++) {
		below += atomic_load(&n->plan_ms[i]);
		buf_printf(
			b, "drayd_plan_seconds_bucket{le=\"%g\"} %llu\n", bound[i] / 1000.0, (unsigned long long)below);
	}
	below += atomic_load(&n->plan_ms[NPLAN_BUCKETS]);
	buf_printf(b,
		"drayd_plan_seconds_bucket{le=\"+Inf\"} %llu\ndrayd_plan_seconds_sum %.3f\ndrayd_plan_seconds_count "
		"%llu\n",
		(unsigned long long)below, (double)atomic_load(&n->plan_ms_sum) / 1000.0, (unsigned long long)below);
}

int h_metrics(h2o_req_t *req)
{
	struct server *s = req_loop(req)->s;
	struct counts *n = &s->n;
	AUTO(buf_release) struct buf b = BUF_INIT;

	metric(&b, "uptime_seconds", "gauge", "Since start.", (uint64_t)(server_clock_ms() - s->started_ms) / 1000);
	metric(&b, "connections_total", "counter", "Connections accepted.", n->connections);
	metric(&b, "connections_open", "gauge", "Connections open.", n->connections_open);
	metric(&b, "requests_total", "counter", "Requests of all kinds.", n->requests);
	metric(&b, "plans_total", "counter", "Plan requests taken up.", n->plans);
	metric(&b, "plans_active", "gauge", "Plan requests not answered to the end.", n->plans_active);
	metric(&b, "plans_done_total", "counter", "Plans sent whole.", n->plans_done);
	metric(&b, "plans_failed_total", "counter", "Plans that ended with an error.", n->plans_failed);
	metric(&b, "plans_cancelled_total", "counter", "Plans whose client left.", n->plans_cancelled);
	metric(&b, "plans_refused_total", "counter", "Plan requests answered 429 or 503.", n->plans_refused);
	metric(&b, "lockfiles_needed_total", "counter", "Requests answered with need: lockfile.", n->lockfiles_needed);
	metric(&b, "plans_cached_total", "counter", "Plans answered from memory.", n->plans_cached);
	metric(&b, "plans_joined_total", "counter", "Plans that waited for an identical request's.", n->plans_joined);
	metric(&b, "plan_bytes_total", "counter", "Bytes of plans sent.", n->bytes_out);
	metric(&b, "abusive_connections_total", "counter", "Connections shut down for resetting streams.", n->abusive);
	metric(&b, "log_lines_dropped_total", "counter", "Log lines that the sink did not take.", log_dropped());
	metric_plans(&b, n);
	if (s->backend->metrics)
		s->backend->metrics(s->backend->ctx, &b);
	answer_text(req, 200, "text/plain; version=0.0.4", buf_str(&b));
	return 0;
}
