/* A request for one project on a registry that a test makes up. Borrowed by its request: not to be moved or copied. */
#pragma once
#include "engine.h"

struct made_request {
	struct request_importer importer;
	struct registry_route registry;
	struct request req;
};

static inline void made_request_init(struct made_request *m, struct str_kv *dependency, size_t n)
{
	*m = (struct made_request){
		.importer = { .path = STR("."), .manifest = { .dependencies = { .p = dependency, .n = n } } },
		.registry = { .url = STR("http://registry.test/") },
		.req = { .mode = REQUEST_LOCKFILE_ONLY, .nimporters = 1, .prod = true, .dev = true, .optional = true }
	};
	m->req.importer = &m->importer;
	m->req.settings = settings_default();
	m->req.settings.registry = &m->registry;
	m->req.settings.nregistry = 1;
}

/* engine_io.poll of a registry whose answers come only when they are waited for. */
static inline int poll_none(
	void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	(void)ctx;
	(void)ticket;
	(void)got;
	(void)cap;
	(void)e;
	return 0;
}
