/* Reading settings either fails with a message or gives values whose digest can be taken; twice the same. */
#include "accepted.h"
#include "request.h"
#include "workspace_yaml.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t digest[2][32];

	for (size_t k = 0; k < 2; k++) {
		struct arena a AUTO(arena_release) = ARENA_INIT(0);
		struct workspace_yaml w;
		struct err e = { 0 };
		workspace_yaml_init(&w);
		if (workspace_yaml_parse(&w, (str){ (const char *)data, n }, STR("f"), &a, &e) != 0) {
			if (!e.code || !e.msg[0])
				abort();
			return 0;
		}
		settings_digest(digest[k], &w.settings);
	}
	accepted();
	if (memcmp(digest[0], digest[1], 32) != 0)
		abort();
	return 0;
}
