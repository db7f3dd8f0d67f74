#include "accepted.h"
#include "integrity.h"
#include <stdlib.h>

/* What was read prints as something that reads as the same; base64 comes back from its bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	str s = { (const char *)data, n };
	struct err e = { 0 };
	struct digest d, again;
	uint8_t *out = (uint8_t *)arena_new(&a, char, n + 1);

	if (integrity_parse(&d, s, &e) == 0) {
		if (integrity_parse(&again, integrity_print(&d, &a), &e) < 0 || !digest_eq(&d, &again))
			abort();
		accepted();
	}
	if (base64_read(out, n, base64_print(data, n, &a)) != (ptrdiff_t)n || (n && memcmp(out, data, n) != 0))
		abort();
	ptrdiff_t got = base64_read(out, n, s);
	if (got > (ptrdiff_t)(n / 4 * 3 + 2))
		abort();
	return 0;
}
