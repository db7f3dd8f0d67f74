/* A request for one project on a registry that a test makes up, and that registry's packuments. After the headers that
 * cmocka.h wants. */
#pragma once
#include "engine.h"
#include "packument.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Borrowed by its request: not to be moved or copied. */
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

/* The beginning of NAME's packument; versions follow, and "}}". */
static inline void made_head(struct buf *json, const char *name, const char *latest)
{
	buf_printf(json, "{\"name\":\"%s\",\"dist-tags\":{\"latest\":\"%s\"},\"versions\":{", name, latest);
}

/* A version's beginning; more of its manifest may follow, and "}". */
static inline void made_version(struct buf *json, const char *name, const char *version)
{
	buf_printf(json,
		"\"%s\":{\"name\":\"%s\",\"version\":\"%s\",\"dist\":{\"tarball\":"
		"\"http://registry.test/%s/-/%s-%s.tgz\",\"shasum\":\"0000000000000000000000000000000000000000\"}",
		version, name, version, name, name, version);
}

/* NAME's packument, compiled into RECORD, as the engine gets it. */
static inline void made_packument(struct engine_packument *out, struct buf *record, const struct buf *json, str name)
{
	struct err e;

	assert_int_equal(packument_compile(record, buf_str(json), name, &e), 0);
	assert_int_equal(packument_open(&out->rec, record->p, record->n, &e), 0);
}
