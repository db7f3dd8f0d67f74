/* Any bytes as a kept plan, as they are and with a sum that fits: what kept_plan_parse() lets through prints as the
 * same bytes. And any text that is a lockfile comes back from a plan as it went in. */
#include "accepted.h"
#include "kept.h"
#include "kept_plan.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void one(str bytes)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct kept_plan p;
	struct err e;

	if (kept_plan_parse(&p, bytes, &a, &e) < 0)
		return;
	accepted();
	kept_plan_print(&b, &p);
	if (!str_eq(buf_str(&b), bytes))
		abort();
}

static void as_lockfile(str text)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	AUTO(buf_release) struct buf plan = BUF_INIT, was = BUF_INIT, is = BUF_INIT;
	struct lockfile lf;
	struct kept_plan back;
	struct err e;

	if (lockfile_parse(&lf, text, STR("pnpm-lock.yaml"), &a, &e) < 0 || lf.absent)
		return;
	accepted();
	uint8_t *mark = arena_new(&a, uint8_t, lf.nsnapshots + 1);
	for (size_t i = 0; i < lf.nsnapshots; i++)
		mark[i] = (uint8_t)(i % 3);
	kept_plan_print(&plan, &(struct kept_plan){ lf, mark });
	if (kept_plan_parse(&back, buf_str(&plan), &a, &e) < 0)
		abort();
	lockfile_print(&was, &lf);
	lockfile_print(&is, &back.lf);
	if ((lf.nsnapshots && memcmp(mark, back.mark, lf.nsnapshots) != 0) || !str_eq(buf_str(&was), buf_str(&is)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf_release) struct buf fixed = BUF_INIT;
	static const char magic[] = "\0dplay05";
	uint64_t word;

	one((str){ (const char *)data, n });
	as_lockfile((str){ (const char *)data, n });
	if (n < KEPT_HEAD)
		return 0;
	memcpy(&word, magic, 8);
	size_t head = kept_begin(&fixed, word);
	buf_add(&fixed, (str){ (const char *)data + KEPT_HEAD, n - KEPT_HEAD });
	kept_end(&fixed, head);
	one(buf_str(&fixed));
	return 0;
}
