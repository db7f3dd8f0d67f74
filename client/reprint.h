/* reprint — a lockfile as pnpm would print it.
 *
 * pnpm, asked for the lockfile only, writes it as it prints it, also where nothing moved: patches in the form of
 * pnpm 10 become hashes; comments, and keys that it doesn't know go. Its installs leave such a file as it is. Pure;
 * called by command_install.c. */
#pragma once
#include "lockfile.h"

/* Drops from LF, in A, what pnpm doesn't know, but for keys at the root: it is gone whenever the file is written. */
void lockfile_forget_unknown(struct lockfile *lf, struct arena *a);
/* Whether LF, which was read from TEXT, is printed otherwise (line ends and a byte order mark aside): *OUT, in A and
 * LF, is then what to print. */
bool lockfile_reprint(struct lockfile *out, const struct lockfile *lf, str text, struct arena *a);
