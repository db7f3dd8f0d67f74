/* Any bytes as a tarball, and as a tar archive wrapped in gzip: no path leaves the package, the sink gets what it was
 * promised, and the pieces in which the bytes arrive make no difference. */
#include "accepted.h"
#include "fs.h"
#include "tar.h"
#include "unpack.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
	uint64_t left, files, hash;
	bool open;
};

static int on_begin(void *arg, str path, uint64_t size, bool exec, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	if (s->open || !path_safe(path))
		abort();
	s->open = true;
	s->left = size;
	s->files++;
	s->hash = s->hash * 31 + str_hash(path) + size * 2 + exec;
	return 0;
}

static int on_data(void *arg, const uint8_t *p, size_t n, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	if (!s->open || n == 0 || n > s->left)
		abort();
	s->left -= n;
	for (size_t i = 0; i < n; i++)
		s->hash = s->hash * 31 + p[i];
	return 0;
}

static int on_end(void *arg, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	if (!s->open || s->left)
		abort();
	s->open = false;
	return 0;
}

static int run(struct seen *s, const uint8_t *p, size_t n, size_t step, bool plain)
{
	struct unpack_opts o = { .sink = { s, on_begin, on_data, on_end },
		.label = STR("fuzz"),
		.max_unpacked = 1 << 20,
		.max_entries = 1000 };
	struct err e;
	int rc = 0;

	*s = (struct seen){ 0 };
	if (plain) {
		struct tar *t = tar_new(&o);
		for (size_t at = 0; rc == 0 && at < n; at += step)
			rc = tar_feed(t, p + at, step < n - at ? step : n - at, &e);
		if (rc == 0)
			rc = tar_end(t, &e);
		tar_free(t);
		return rc;
	}
	struct unpack *u;
	if (unpack_new(&u, &o, &e) < 0)
		abort();
	for (size_t at = 0; rc == 0 && at < n; at += step)
		rc = unpack_feed(u, p + at, step < n - at ? step : n - at, &e);
	if (rc == 0)
		rc = unpack_end(u, &e);
	unpack_free(u);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct seen a, b;

	for (int plain = 0; plain < 2; plain++) {
		int whole = run(&a, data, n, n + 1, plain);
		int pieces = run(&b, data, n, 1 + n / 7, plain);
		if (whole != pieces || (whole == 0 && (a.hash != b.hash || a.files != b.files || a.open)))
			abort();
		if (whole == 0 && a.files)
			accepted();
	}
	return 0;
}
