#include "project_names.h"

void project_names_init(struct project_names *out, const struct request *req, struct arena *a)
{
	*out = (struct project_names){ .next = arena_new(a, uint32_t, req->nimporters + 1) };
	for (size_t i = req->nimporters; i-- > 0;) {
		str name = req->importer[i].manifest.name;
		out->next[i] = project_named(out, name);
		if (name.n)
			map_set(&out->first, name, (uint32_t)i);
	}
}

void project_names_release(struct project_names *n)
{
	map_release(&n->first);
}

uint32_t project_named(const struct project_names *n, str name)
{
	return map_get(&n->first, name);
}
