/* Any bytes as an image, as they are and with a sum that fits: what image_parse() lets through prints as the same
 * bytes, and no item lies outside of folders that the image itself makes below node_modules. */
#include "accepted.h"
#include "image.h"
#include "kept.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool made_before(const struct image *im, size_t i, str folder)
{
	while (i-- > 0) {
		if (im->item[i].kind == IMAGE_DIR && str_eq(im->item[i].path, folder))
			return true;
	}
	return false;
}

static void one(str bytes)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct image im;
	struct err e;
	str folder, name;

	if (image_parse(&im, bytes, &a, &e) < 0)
		return;
	accepted();
	for (size_t i = 0; i < im.nitems && i < 1000; i++) {
		const struct image_item *it = &im.item[i];
		if (str_find_str(it->path, STR(".."), 0) == 0 || it->path.p[it->path.n] != 0)
			abort();
		if (i == 0 ? !str_eq(it->path, STR("node_modules")) : !str_starts(it->path, STR("node_modules")))
			abort();
		if (str_rcut(it->path, '/', &folder, &name) && !made_before(&im, i, folder))
			abort();
	}
	for (size_t i = 0; i < im.nslots; i++) {
		if (im.slot[i].dir.p[0] == '.' || memchr(im.slot[i].dir.p, '/', im.slot[i].dir.n))
			abort();
	}
	for (size_t i = 0; i < im.nitems && i < 1000; i++) {
		str text = image_text(&im, &im.item[i], STR("../../elsewhere/links"), &a);
		if (text.p && !im.item[i].leads && !str_eq(text, im.item[i].text))
			abort();
	}
	image_print(&b, &im);
	if (!str_eq(buf_str(&b), bytes))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf_release) struct buf fixed = BUF_INIT;
	static const char magic[] = "\0drame03";

	one((str){ (const char *)data, n });
	if (n < KEPT_HEAD)
		return 0;
	uint64_t word;
	memcpy(&word, magic, 8);
	size_t head = kept_begin(&fixed, word);
	buf_add(&fixed, (str){ (const char *)data + KEPT_HEAD, n - KEPT_HEAD });
	kept_end(&fixed, head);
	one(buf_str(&fixed));
	return 0;
}
