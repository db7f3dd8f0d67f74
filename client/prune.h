/* prune — takes away slots that nobody wants any more, and what interrupted installs set aside. */
#pragma once
#include "tree.h"

/* Removes every folder of VSTORE that is no wanted slot of T (NULL: none of these), and what was set aside
 * ("node_modules" and files stay), but for records. Each is moved away first: one that is gone into and not removed in
 * full would pass for whole. Errors are not fatal: what could not be removed stays and is tried again. */
void prune_vstore(int vstore, const struct tree *t, uint64_t *removed);
/* Removes links of VSTORE in the place of a slot: one that leads to a slot would pass for it, wherever that lies. */
void prune_links(int vstore);
/* Removes the slots that T's install has begun, and puts back what they replaced. False: some could not be. */
bool prune_made(int vstore, const struct tree *t);
/* Removes NAME below AT with all that is in it, following no link. */
bool remove_all(int at, const char *name);

/* Removes a slot where it lies, marked as not whole first: for overlayfs, which does not rename a folder
 * of a layer below (EXDEV). */
bool slot_remove(int vstore, const char *dir);

/* Names that begin so are of things set aside in a virtual store: prune_vstore() removes them, and
 * finish_write() the records. */
#define ASIDE ".dray-old-"
#define ASIDE_LOCK ASIDE "lock.yaml" /* the record of what slots are made of: by this install; by a killed one: */
#define ASIDE_WAS ASIDE "was.yaml"
enum { ASIDE_NAME = 64 };
/* That of what S replaces. */
void slot_aside(char out[ASIDE_NAME], const struct slot *s);
/* Moves NAME of VSTORE to the name TO, in place of what a killed process with the same number has left
 * there. 0, or -1 and errno. */
int set_aside(int vstore, const char *name, const char *to);
