#include "accepted.h"
#include "npmrc.h"
#include <stdlib.h>

static bool env(void *ctx, str name, str *value)
{
	*value = STR("v");
	return name.n % 2 == 0 && ctx;
}

/* Every key has a byte, every entry a line of its own in order, and no more than the text has. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct err e = { 0 };
	struct npmrc r;
	str text = { (const char *)data, n };
	uint32_t line = 0, lines = 1;

	if (npmrc_parse(&r, text, env, &a, &a, &e) < 0)
		return 0;
	accepted();
	for (size_t i = 0; i < n; i++)
		lines += data[i] == '\n';
	for (size_t i = 0; i < r.n; i++) {
		const struct npmrc_entry *p = &r.p[i];
		if (p->key.n == 0 || p->line <= line || p->line > lines)
			abort();
		line = p->line;
	}
	return 0;
}
