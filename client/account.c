#include "account.h"
#include "base/clock.h"

static void account_done(struct progress *p, const struct install_result *r)
{
	progress_event(p, "done",
		"\"packages\":%llu,\"slots\":%llu,\"reused\":%llu,\"fetched\":%llu,\"fetched_bytes\":%llu,\"pruned\":%"
		"llu,\"hardlinks\":%llu,\"copies\":%llu,\"lockfile_written\":%s",
		(unsigned long long)r->packages, (unsigned long long)r->slots, (unsigned long long)r->reused,
		(unsigned long long)r->fetched, (unsigned long long)r->fetched_bytes, (unsigned long long)r->pruned,
		(unsigned long long)r->link.links, (unsigned long long)r->link.copies,
		r->lockfile_written ? "true" : "false");
}

void account_phases(struct progress *p, const struct install_result *r)
{
	const struct install_times *t = &r->t;

	progress_event(p, "phases",
		"\"source\":\"%s\",\"first_frame\":%llu,\"last_frame\":%llu,\"fetch_first\":%llu,\"fetch_last\":%llu,"
		"\"linked\":%llu,\"root\":%llu,\"bins\":%llu,\"scripts\":%llu,\"finish\":%llu,\"end\":%llu",
		r->source, (unsigned long long)t->first_frame, (unsigned long long)t->last_frame,
		(unsigned long long)t->fetch_first, (unsigned long long)t->fetch_last, (unsigned long long)t->linked,
		(unsigned long long)t->root, (unsigned long long)t->bins, (unsigned long long)t->scripts,
		(unsigned long long)t->finish, (unsigned long long)t->end);
	progress_event(p, "partition",
		"\"warm\":%llu,\"cold\":%llu,\"kept\":%llu,\"skipped\":%llu,\"link_warm_us\":%llu,\"link_cold_us\":%"
		"llu,\"import_us\":%llu,\"linked_before_done\":%llu,\"most_links\":%u",
		(unsigned long long)r->link.warm, (unsigned long long)r->link.cold, (unsigned long long)r->kept,
		(unsigned long long)r->skipped, (unsigned long long)r->link.warm_us,
		(unsigned long long)r->link.cold_us, (unsigned long long)r->import_us,
		(unsigned long long)r->slots_before_done, r->link.most);
	progress_event(p, "packs",
		"\"packs\":%llu,\"deltas\":%llu,\"pack_bytes\":%llu,\"tarballs\":%llu,\"tarball_bytes\":%llu,\"saved\":"
		"%llu,\"absent\":%llu,\"refused\":%llu,\"requests\":%llu",
		(unsigned long long)r->packs, (unsigned long long)r->deltas, (unsigned long long)r->pack_bytes,
		(unsigned long long)r->tarballs, (unsigned long long)r->fetched_bytes,
		(unsigned long long)r->packs_saved, (unsigned long long)r->packs_absent,
		(unsigned long long)r->packs_refused, (unsigned long long)r->pack_requests);
	account_done(p, r);
}

/* B - A, where B may not have happened. */
static unsigned long long span(uint64_t a, uint64_t b)
{
	return b > a ? b - a : 0;
}

/* The whole account of an install in one line, durations in microseconds: what benchmarks read.
 * Stages up to `linked` overlap. */
void account_say(struct progress *p, const struct install_result *r, bool kept_plan)
{
	const struct install_times *t = &r->t;

	progress_event(p, "summary",
		"\"source\":\"%s\",\"kept_plan\":%s,\"packages\":%llu,\"slots\":%llu,\"warm\":%llu,\"cold\":%llu,"
		"\"kept\":%llu,\"skipped\":%llu,\"linked_before_done\":%llu,\"most_links\":%u,\"fetched_bytes\":%llu,"
		"\"resolve_us\":%llu,\"first_frame_us\":%llu,\"last_frame_us\":%llu,\"fetch_us\":%llu,\"import_us\":%"
		"llu,\"link_warm_us\":%llu,\"link_cold_us\":%llu,\"root_us\":%llu,\"bins_us\":%llu,\"scripts_us\":%llu,"
		"\"finish_us\":%llu,\"end_us\":%llu,\"packuments_fetched\":%u,\"packuments_revalidated\":%u,"
		"\"packuments_kept\":%u,\"packuments_failed\":%u",
		r->source, kept_plan ? "true" : "false", (unsigned long long)r->packages, (unsigned long long)r->slots,
		(unsigned long long)r->link.warm, (unsigned long long)r->link.cold, (unsigned long long)r->kept,
		(unsigned long long)r->skipped, (unsigned long long)r->slots_before_done, r->link.most,
		(unsigned long long)r->fetched_bytes, (unsigned long long)t->last_frame,
		(unsigned long long)t->first_frame, (unsigned long long)t->last_frame,
		span(t->fetch_first, t->fetch_last), (unsigned long long)r->import_us,
		(unsigned long long)r->link.warm_us, (unsigned long long)r->link.cold_us,
		t->root ? span(t->linked, t->root) : 0, t->root ? span(t->root, t->bins) : 0,
		t->bins ? span(t->bins, t->scripts) : 0, span(t->scripts ? t->scripts : t->linked, t->finish),
		(unsigned long long)t->end, r->plan.fetched, r->plan.revalidated, r->plan.from_cache, r->plan.failed);
}

void account_nothing(struct progress *p)
{
	struct install_result r = { .source = "none" };

	r.t.end = clock_us() - p->start_us;
	account_done(p, &r);
	account_say(p, &r, false);
}
