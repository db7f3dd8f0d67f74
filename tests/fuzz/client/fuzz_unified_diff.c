/* A patch and a file from one input, cut at the first NUL: whatever is read applies or not, without leaving the text;
 * what cannot be applied is ERR_NOMATCH and nothing else; paths never lead out. */
#include "accepted.h"
#include "unified_diff.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	str text, old;
	struct diff d;
	struct err e;

	if (!str_cut((str){ (const char *)data, size }, 0, &text, &old))
		old = STR_NONE;
	if (diff_parse(&d, text, &a, &e) != 0)
		return 0;
	for (size_t i = 0; i < d.nfiles; i++) {
		AUTO(buf_release) struct buf b = BUF_INIT;
		str p = d.file[i].path;
		if (!p.n || p.p[0] == '/' || str_starts(p, STR("../")) || str_find_str(p, STR("/../"), 0) != SIZE_MAX ||
			str_ends(p, STR("/..")) || str_eq(p, STR("..")))
			abort();
		if (diff_apply(&b, &d.file[i], old, &e) == 0)
			accepted();
		else if (e.code != ERR_NOMATCH)
			abort();
	}
	return 0;
}
