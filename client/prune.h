/* prune — takes away slots that nobody wants any more, and what interrupted installs set aside. */
#pragma once
#include "tree.h"

/* Removes every folder of VSTORE that is no wanted slot of T ("node_modules" and files stay). Errors are not fatal: what
 * could not be removed stays and is tried again. */
void prune_vstore(int vstore, const struct tree *t, uint64_t *removed);
/* Removes the slots that T's install has linked. */
void prune_made(int vstore, const struct tree *t);
/* Removes NAME below DIRFD with all that is in it, following no link. */
bool remove_all(int at, const char *name);
