/* Any bytes, as JSON to compile and as a stored record to open. Whatever opens can be read to the last byte; what was
 * compiled from JSON opens, and its versions ascend and are found under their text. */
#include "accepted.h"
#include "packument.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static volatile size_t sink;

static void touch(str s)
{
	for (size_t i = 0; i < s.n; i++)
		sink += (uint8_t)s.p[i];
}

static void walk_version(struct packument p, uint32_t i)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct semver sv;
	str k, v;

	packument_semver(p, i, &sv);
	touch(sv.pre);
	touch(sv.build);
	touch(packument_version(p, i));
	touch(packument_integrity(p, i));
	touch(packument_tarball(p, i, &a));
	touch(packument_deprecated(p, i));
	sink += packument_find(p, packument_version(p, i));
	for (int m = 0; m < PACKUMENT_NMAPS; m++) {
		for (uint32_t j = 0; j < packument_map_n(p, i, (enum packument_map)m); j++) {
			packument_map_at(p, i, (enum packument_map)m, j, &k, &v);
			touch(k);
			touch(v);
		}
	}
	for (int l = 0; l < PACKUMENT_NLISTS; l++) {
		for (uint32_t j = 0; j < packument_list_n(p, i, (enum packument_list)l); j++)
			touch(packument_list_at(p, i, (enum packument_list)l, j));
	}
}

static void walk(struct packument p)
{
	uint32_t at;
	str tag;

	touch(packument_name(p));
	sink += packument_find(p, STR("1.0.0"));
	for (uint32_t i = 0; i < packument_ntags(p); i++) {
		packument_tag_at(p, i, &tag, &at);
		touch(tag);
		if (at != UINT32_MAX)
			touch(packument_version(p, at));
	}
	for (uint32_t i = 0; i < packument_nversions(p); i++)
		walk_version(p, i);
}

static void check_order(struct packument p)
{
	struct semver v, before;

	for (uint32_t i = 0; i < packument_nversions(p); i++) {
		packument_semver(p, i, &v);
		if (i && semver_cmp(&before, &v) > 0)
			abort();
		if (packument_find(p, packument_version(p, i)) != i)
			abort();
		before = v;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct packument p;
	struct err e;

	if (packument_open(&p, data, n, &e) == 0)
		walk(p);
	if (packument_compile(&b, (str){ (const char *)data, n }, STR("a"), &e) < 0)
		return 0;
	if (packument_open(&p, b.p, b.n, &e) < 0)
		abort();
	walk(p);
	check_order(p);
	accepted();
	return 0;
}
