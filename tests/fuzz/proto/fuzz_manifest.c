#include "accepted.h"
#include "dependencies_meta.h"
#include "manifest.h"
#include "name.h"
#include <stdlib.h>

static void check_deps(struct str_map m)
{
	for (size_t i = 0; i < m.n; i++) {
		if (!name_valid(m.p[i].k) || !m.p[i].v.p)
			abort();
	}
}

/* Dependencies are names that are safe below node_modules; what a project's reader takes, a package's takes alike. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct err e = { 0 }, ignored = { 0 };
	struct manifest m, p;
	str text = { (const char *)data, n };
	int rc = manifest_parse(&m, text, STR("p"), &a, &e);
	int rc_package = manifest_parse_package(&p, text, STR("p"), &a, &ignored);

	if (rc < 0 && (rc != e.code || !e.msg[0]))
		abort();
	if (rc == 0 && (rc_package < 0 || p.dependencies.n != m.dependencies.n || p.bin.n != m.bin.n))
		abort();
	if (rc == 0 && m.meta_text.n && !dependencies_meta_fits(m.meta_text))
		abort();
	if (rc == 0)
		accepted();
	if (rc_package == 0) {
		check_deps(p.dependencies);
		check_deps(p.dev_dependencies);
		check_deps(p.optional_dependencies);
		check_deps(p.peer_dependencies);
	}
	return 0;
}
