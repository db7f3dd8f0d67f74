#include "metrics.h"
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static const uint64_t bounds[METRICS_NBOUNDS] = METRICS_BOUNDS;

struct declared {
	const char *type, *name, *help;
	size_t at;
};
static const struct declared values[] = {
#define ROW(f, type, name, help) { type, name, help, offsetof(struct counts, f) },
	METRICS(ROW)
#undef ROW
};
static const struct declared histograms[] = {
#define ROW(f, name, help) { "histogram", name, help, offsetof(struct counts, f) },
	METRICS_HISTOGRAMS(ROW)
#undef ROW
};

void histogram_add(struct histogram *h, uint64_t us)
{
	int i = 0;

	while (i < METRICS_NBOUNDS && us > bounds[i])
		i++;
	atomic_fetch_add_explicit(&h->bucket[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

void counts_request(struct counts *n, unsigned route, int status)
{
	if (route < METRICS_ROUTES && status >= 100 && status < 600)
		atomic_fetch_add_explicit(&n->by_status[route][status - 100], 1, memory_order_relaxed);
}

void metric_head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP drayd_%s %s\n# TYPE drayd_%s %s\n", name, help, name, type);
}

void metric_print(struct buf *b, const char *name, const char *type, const char *help, double v)
{
	metric_head(b, name, type, help);
	buf_printf(b, "drayd_%s %.15g\n", name, v);
}

void histogram_print(struct buf *b, const char *name, const char *help, const struct histogram *h)
{
	uint64_t below = 0;

	metric_head(b, name, "histogram", help);
	for (int i = 0; i < METRICS_NBOUNDS; i++) {
		below += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
		buf_printf(b, "drayd_%s_bucket{le=\"%g\"} %llu\n", name, (double)bounds[i] / 1e6,
			(unsigned long long)below);
	}
	below += atomic_load_explicit(&h->bucket[METRICS_NBOUNDS], memory_order_relaxed);
	buf_printf(b, "drayd_%s_bucket{le=\"+Inf\"} %llu\ndrayd_%s_sum %.6f\ndrayd_%s_count %llu\n", name,
		(unsigned long long)below, name, (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6,
		name, (unsigned long long)below);
}

/* A route has a line for 200 even before its first request, so that rates have a start. */
static void statuses_print(struct buf *b, const struct counts *n, const char *const *route, unsigned nroutes)
{
	metric_head(b, "responses_total", "counter",
		"Answers by route and status; 499: the client left before there was one.");
	for (unsigned r = 0; r < nroutes && r < METRICS_ROUTES; r++) {
		for (int s = 100; s < 600; s++) {
			uint64_t v = atomic_load_explicit(&n->by_status[r][s - 100], memory_order_relaxed);
			if (v || s == 200)
				buf_printf(b, "drayd_responses_total{route=\"%s\",status=\"%d\"} %llu\n", route[r], s,
					(unsigned long long)v);
		}
	}
}

void counts_print(struct buf *b, const struct counts *n, const char *const *route, unsigned nroutes)
{
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const struct declared *d = &values[i];
		const _Atomic uint64_t *v = (const void *)((const char *)n + d->at);
		metric_print(b, d->name, d->type, d->help, (double)atomic_load_explicit(v, memory_order_relaxed));
	}
	for (size_t i = 0; i < sizeof(histograms) / sizeof(histograms[0]); i++) {
		const struct declared *d = &histograms[i];
		histogram_print(b, d->name, d->help, (const void *)((const char *)n + d->at));
	}
	statuses_print(b, n, route, nroutes);
}

uint64_t metrics_rss(void)
{
	unsigned long long size, rss = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%llu %llu", &size, &rss) != 2)
		rss = 0;
	if (f)
		fclose(f);
	return rss * (uint64_t)sysconf(_SC_PAGESIZE);
}

double metrics_cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
