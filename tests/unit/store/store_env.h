/* store_env — a store in a fresh folder, sample packages and slots, for the tests of store/. */
#pragma once
#include "store.h"
#include "tgz.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

struct env {
	char root[TEMP_PATH], store[128];
	struct store *s;
	struct arena a;
};

static inline int setup(void **state)
{
	struct env *v = xcalloc(1, sizeof(*v));
	struct err e;

	temp_make(v->root);
	snprintf(v->store, sizeof(v->store), "%s/deep/store", v->root);
	assert_int_equal(store_open(&v->s, v->store, NULL, &e), 0);
	*state = v;
	return 0;
}

static inline int teardown(void **state)
{
	struct env *v = *state;

	store_close(v->s);
	temp_remove(v->root);
	arena_release(&v->a);
	free(v);
	return 0;
}

static inline struct buf sample(const char *version)
{
	struct buf t = BUF_INIT;
	char json[400];

	snprintf(json, sizeof(json),
		"{\"name\":\"@s/left\",\"version\":\"%s\",\"bin\":{\"left\":\"./bin/cli.js\",\"../"
		"x\":\"a\",\"out\":\"../../x\"},"
		"\"scripts\":{\"install\":\"node-gyp rebuild\",\"test\":\"x\"}}",
		version);
	tar_file(&t, "package/package.json", json);
	tar_file(&t, "package/bin/cli.js", "#!/usr/bin/env node\n");
	tar_file(&t, "package/lib/deep/a.js", "a");
	tar_file(&t, "package/empty", "");
	tar_put(&t, "package/run.sh", '0', 0775, 4, STR("true"));
	tar_file(&t, "package/binding.gyp", "{}");
	tar_close(&t);
	return tgz(&t);
}

static inline struct pkg import(struct env *v, const char *version)
{
	struct buf z = sample(version);
	struct err e;
	struct pkg p;
	str sri = tgz_sri(&z, &v->a);
	struct import_opts o = { .key = sri, .sri = sri, .name = STR("@s/left"), .version = str_of(version) };

	if (import_tarball(v->s, &o, z.p, z.n, &p, &e) < 0)
		fail_msg("%s", e.msg);
	buf_release(&z);
	return p;
}

static inline int slot(struct env *v, const char *name)
{
	str path = arena_printf(&v->a, "%s/%s", v->root, name);

	assert_int_equal(mkdir(path.p, 0755), 0);
	int fd = open(path.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static inline str sample_key(struct env *v, const char *version)
{
	struct buf z = sample(version);
	str key = tgz_sri(&z, &v->a);

	buf_release(&z);
	return key;
}

/* Whether the index has it. */
static inline bool has(struct env *v, str key)
{
	struct store_read *r;
	struct pkg p;
	struct err e;

	store_flush(v->s);
	assert_int_equal(store_read_begin(&r, v->s, &e), 0);
	int rc = store_get(&p, r, key, &e);
	store_read_end(r);
	assert_true(rc >= 0);
	return rc == 1;
}

static inline void pkg_drop(struct pkg *p)
{
	free((void *)(uintptr_t)p->p);
}

/* Entries below PATH of the store, by find(1). */
static inline unsigned count(struct env *v, const char *path, const char *test)
{
	str cmd = arena_printf(&v->a, "find '%s/%s' -mindepth 1 %s | wc -l", v->store, path, test);
	FILE *f = popen(cmd.p, "r");
	unsigned n = 0;

	assert_int_equal(fscanf(f, "%u", &n), 1);
	pclose(f);
	return n;
}
