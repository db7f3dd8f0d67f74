#include "base/clock.h"
#include "heap.h"
#include "plan_cache.h"
#include "route.h"

int h_health(h2o_req_t *req)
{
	answer_text(req, 200, "application/json", STR("{\"status\":\"ok\",\"version\":\"" DRAY_VERSION "\"}\n"));
	return 0;
}

bool server_ready(struct server *s, struct err *e)
{
	bool ok = !s->backend->ready || s->backend->ready(s->backend->ctx, e);
	bool changed = atomic_load(&s->unready) == ok && atomic_exchange(&s->unready, !ok) == ok;

	if (changed && ok)
		log_warn("ready", "again=1");
	else if (changed)
		log_error("ready", "error=\"%s\"", e->msg);
	return ok;
}

int h_ready(h2o_req_t *req)
{
	struct server *s = req_loop(req)->s;
	struct err e = { 0 };

	if (atomic_load(&s->draining))
		answer_status(req, 503, ERR_BUSY, "shutting down");
	else if (!server_ready(s, &e))
		answer_status(req, 503, e.code, "the store cannot be used; the log says why");
	else
		answer_text(req, 200, "application/json", STR("{\"status\":\"ready\"}\n"));
	return 0;
}

int h_metrics(h2o_req_t *req)
{
	struct server *s = req_loop(req)->s;
	AUTO(buf_release) struct buf b = BUF_INIT;
	const char *label[METRICS_ROUTES];
	unsigned nlabels;
	size_t plans, bytes;

	route_labels(label, &nlabels);
	metric_head(&b, "info", "gauge", "Always 1; the version is the label.");
	buf_printf(&b, "drayd_info{version=\"%s\"} 1\n", DRAY_VERSION);
	metric_print(&b, "uptime_seconds", "gauge", "Since start.", (double)(clock_ms() - s->started_ms) / 1000);
	metric_print(&b, "resident_bytes", "gauge", "Memory of this process.", (double)metrics_rss());
	struct heap_sizes heap = heap_sizes();
	metric_print(&b, "heap_used_bytes", "gauge", "Memory that is allocated.", (double)heap.used);
	metric_print(&b, "heap_kept_bytes", "gauge", "Memory of this process in which nothing is: free, or stacks.",
		(double)heap.kept);
	metric_print(&b, "cpu_seconds_total", "counter", "CPU of this process.", metrics_cpu_s());
	metric_print(&b, "log_lines_dropped_total", "counter", "Log lines that the sink did not take.",
		(double)log_dropped());
	plan_cache_size(s->cache, &plans, &bytes);
	metric_print(&b, "plan_cache_plans", "gauge", "Plans kept in memory.", (double)plans);
	metric_print(&b, "plan_cache_bytes", "gauge", "Their bytes.", (double)bytes);
	if (s->backend->lock_waits)
		atomic_fetch_add(&s->n.lock_waits, atomic_exchange(s->backend->lock_waits, 0));
	counts_print(&b, &s->n, label, nlabels);
	if (s->backend->metrics)
		s->backend->metrics(s->backend->ctx, &b);
	answer_text(req, 200, "text/plain; version=0.0.4", buf_str(&b));
	return 0;
}
