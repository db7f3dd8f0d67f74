/* nothing_to_do — whether an install has anything to do, from stats of a few files and a hash of the settings.
 *
 * What stands here is linked into dray itself, which loads the C library and
 * nothing else (front.c): no header of another library, no module that needs one. */
#pragma once
#include "options.h"

/* One word for everything that decides what an install does besides the watched files. ENV is the environment. */
uint64_t settings_hash(const struct options *o, char **env);
/* Whether the tree where we stand is what it was after the last install. */
bool nothing_to_do(const struct options *o);
