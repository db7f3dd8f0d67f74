/* image — a project's node_modules of shared slots as one flat file: the binary plan of a warm install.
 *
 * With the global virtual store a project's tree is symlinks, shims and a few
 * files. An image is all of that, with the names of the slots that it leads
 * to, kept in the store (plans/) under a hash of everything that decided it:
 * lockfile, manifest, settings, node (plan_key.h). Where one fits, an install makes the
 * tree from it: no lockfile is parsed, no graph built. An image that cannot be
 * proved whole counts as absent. It is not tied to one folder: what leads to
 * the shared slots is told apart, and leads there from any project.
 *
 * Format: the head of kept.h, body. Pure but for image_scan(). */
#pragma once
#include "base/base.h"

enum image_kind { IMAGE_DIR = 0, IMAGE_LINK, IMAGE_FILE, IMAGE_KINDS };
struct image_item {
	enum image_kind kind;
	str path; /* below the project, parents before children; NUL-terminated */
	str text; /* a link's target, a file's bytes */
	bool exec;
	bool leads;    /* TEXT has the way to the shared slots in it, which another project goes another way */
	bool lockfile; /* TEXT is the lockfile, whose digest is part of the key: it is not kept twice */
};
struct image_slot {
	str dir, name;      /* below the shared slots; the package's folder below its node_modules */
	int64_t modules_ns; /* mtime of its node_modules when it was seen whole */
};
struct image {
	uint8_t record[32]; /* the slots' key in the project's record */
	struct image_item *item;
	size_t nitems;
	struct image_slot *slot;
	size_t nslots;
	str lockfile; /* what image_scan() leaves out where it stands again: the lockfile's text */
	str shared;   /* the way from the project that it was made of to the shared slots */
	uint64_t packages;
};

/* Reads BYTES; everything borrows from them, arrays are in A. ERR_PARSE: not an image, cut off, spoiled, or one whose
 * paths leave node_modules or pass through a link. */
MUST_USE int image_parse(struct image *out, str bytes, struct arena *a, struct err *e);
/* Appends the whole file. */
void image_print(struct buf *out, const struct image *im);
/* TEXT of an item that leads to the shared slots, as a project needs it whose way there is SHARED. In A.
 * Absent: it cannot be told. */
str image_text(const struct image *im, const struct image_item *it, str shared, struct arena *a);
/* Fills OUT's items (its `shared` and `lockfile` are given) with what installs put into ROOT's node_modules. 1, or 0
 * when it is none that an image can hold: too large, or something else than folders, links and files. */
MUST_USE int image_scan(struct image *out, int root, struct arena *a, struct err *e);
