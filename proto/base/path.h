/* path — names of files as text: joined, made plain, one as seen from another; URLs' paths end alike.
 * Pure; nothing is looked up. */
#pragma once
#include "base/arena.h"

/* PATH as seen from BASE, or PATH itself when it is absolute, without "." and with ".." taken back as far as there is
 * something to take; "." for nothing. In A, with a NUL behind it. */
str path_join(struct arena *a, str base, str path);
/* How to get from the folder FROM to TO, both relative to one folder; TO itself when it is absolute, empty for the
 * same. In A, with a NUL behind it. */
str path_relative(struct arena *a, str from, str to);
/* The same of two absolute paths; "." for the same. */
str path_between(struct arena *a, str from, str to);
/* PATH with the folder HOME, in A, instead of the "~" of a "~/" that it begins with; PATH itself when it doesn't, or
 * HOME is empty. */
str path_from_home(struct arena *a, str home, str path);
/* S with a "/" at its end: itself, or in A with a NUL behind it. */
str path_slashed(struct arena *a, str s);
