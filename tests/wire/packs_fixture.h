/* packs_fixture — packages that the two sides of the packs' test make alike. */
#pragma once
#include "pack_tarball.h"
#include "tgz.h"

enum { FIXTURES = 40 };
struct fixture {
	struct buf tgz, pack;
	str name, sri;
	uint8_t digest[32];
};

/* Package I: sizes differ, number 7 is larger than a request's batch. */
static inline int fixture_make(struct fixture *f, uint32_t i, struct arena *a, struct err *e)
{
	struct buf t = BUF_INIT;
	AUTO(buf_release) struct buf text = BUF_INIT;
	char json[100];

	snprintf(json, sizeof(json), "{\"name\":\"p%u\",\"version\":\"1.0.0\"}", i);
	tar_file(&t, "package/package.json", json);
	for (uint32_t k = 0, rng = i + 1, n = i == 7 ? 600000 : 500 + 997 * i % 9000; k < n; k++) {
		rng = rng * 1664525 + 1013904223;
		buf_addc(&text, (char)(rng >> 24));
	}
	tar_put(&t, "package/index.js", '0', 0644, text.n & 0xffffff, buf_str(&text));
	tar_close(&t);
	f->tgz = tgz(&t);
	f->sri = tgz_sri(&f->tgz, a);
	f->name = arena_printf(a, "p%u", i);
	struct pack_tarball_opts o = { .sri = f->sri, .label = f->name, .pack = { .level = 3 } };
	return pack_tarball(&f->pack, f->digest, NULL, &o, f->tgz.p, f->tgz.n, e);
}

static inline void fixture_release(struct fixture *f)
{
	buf_release(&f->tgz);
	buf_release(&f->pack);
}
