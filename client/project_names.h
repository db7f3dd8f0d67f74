/* project_names — a workspace's projects by the names in their manifests. Several may have one, those without are
 * nowhere. Pure; the names are borrowed.
 *
 *	for (uint32_t i = project_named(&names, name); i != MAP_NONE; i = names.next[i])
 *		use(&req->importer[i]);
 */
#pragma once
#include "base/map.h"
#include "request.h"

struct project_names {
	struct map first;
	uint32_t *next; /* by project: the next one of its name, in the request's order; MAP_NONE: none */
};

/* NEXT lives in A. */
void project_names_init(struct project_names *out, const struct request *req, struct arena *a);
void project_names_release(struct project_names *n);
/* The first one called NAME, or MAP_NONE. */
uint32_t project_named(const struct project_names *n, str name);
