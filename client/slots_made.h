/* slots_made — the slots that an install has made so far, written down while it goes on: node_modules/.pnpm/.dray-made.
 *
 * An install that is killed has written no state (state.h). That a slot it made is whole can be seen, but not of what
 * it is made; so finished slots are appended to a file from time to time, and the next install keeps those that it
 * would make the same. The times of a slot's two folders tell it from any other of its name, made before or after. One
 * install at a time, which holds the lock of node_modules/.pnpm; its thread. A file that cannot be read or written
 * costs the work of an install that is killed, and nothing else. */
#pragma once
#include "state.h"
#include "tree.h"

/* What an install that is killed may lose: the work of so long, or of one turn of its loop. */
enum { SLOTS_MADE_MS = 250 };
#define SLOTS_MADE_FILE ".dray-made"

struct slots_made;
/* Reads what installs that were killed have left in VSTORE, which is borrowed. */
struct slots_made *slots_made_open(int vstore);
/* What was left says so of the slot in the folder DIR; its commands may be missing. Or NULL. */
const struct state_slot *slots_made_find(const struct slots_made *m, const char *dir);
/* S is whole but for its commands. */
void slots_made_add(struct slots_made *m, const struct slot *s);
/* Appends what was added, if the first of it was so long ago, or NOW. */
void slots_made_write(struct slots_made *m, bool now);
/* The install failed, and its slots were removed. */
void slots_made_undo(struct slots_made *m);
void slots_made_free(struct slots_made *m);
