#include "accepted.h"
#include "semver.h"
#include <stdlib.h>

/* "range\nversion": printing settles; a range that it did not change takes what the first took; a
 * printed version is itself. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	str head, tail;
	struct semver v, w;

	if (!str_cut((str){ (const char *)data, n }, '\n', &head, &tail))
		tail = STR("1.2.3-a");
	for (int loose = 0; loose < 2; loose++) {
		bool ok = semver_parse(&v, tail, loose);
		if (ok && (!semver_parse(&w, semver_print(&v, &a), loose) || semver_cmp(&v, &w) != 0))
			abort();
		const struct range *r = range_parse(head, loose, &a);
		if (!r)
			continue;
		accepted();
		str text = range_print(r, &a);
		if (text.n > RANGE_MAX_LENGTH)
			continue;
		const struct range *again = range_parse(text, loose, &a);
		if (!again)
			abort();
		/* As in node-semver, ">=0.0.0" between contradictions stays when it came of an x-range, and goes
		 * when it is read as such. */
		str settled = range_print(again, &a);
		const struct range *third = range_parse(settled, loose, &a);
		if (!third || !str_eq(range_print(third, &a), settled))
			abort();
		if (ok && str_eq(settled, text) && range_has(r, &v, false) != range_has(again, &v, false))
			abort();
	}
	return 0;
}
