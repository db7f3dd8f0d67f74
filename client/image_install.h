/* image_install — an install from an image: which one fits, making its tree, keeping a new one.
 *
 * Everything is decided before a lockfile is parsed. What does not fit in
 * any respect, or turns out damaged, is left to the ordinary path, which
 * completes a tree that was begun. Install's thread, and a worker that looks
 * at the slots. */
#pragma once
#include "image.h"

struct image_input {
	str root;      /* the project's folder, absolute, without symlinks */
	str store_dir; /* absolute */
	uint64_t settings;
	str lockfile;          /* its text, whose digest is part of the key */
	struct str_list watch; /* files that decide whether there is anything to do */
	int64_t began_ns;      /* clock_file_ns() before they were read */
};
struct image_result {
	uint64_t packages, slots;
};
/* 1: the tree is there; 0: do it the long way. KEY: plan_key() of an image. */
int image_install(struct image_result *out, const struct image_input *in, const uint8_t key[32]);
/* Keeps IM under KEY, and lets go of the least used ones. */
MUST_USE int image_keep(const struct image *im, const char *store_dir, const uint8_t key[32], struct err *e);
