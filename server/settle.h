/* settle — `drayd --wait-settled`: every pack that is missing or not at its best is made now, on all CPUs,
 * with nobody served meanwhile. One process has the packs at a time, so a server that runs on the same folder
 * is named and left alone. */
#pragma once
#include "config.h"

/* Says on FD how far it is, and in the end what it took. 0: all are settled. ERR_BUSY: a drayd runs there.
 * ERR_NET: packages that could not be had stay without packs. ERR_NOSPACE, ERR_IO: this machine cannot have what is
 * left, the disk is full, say. ERR_CANCELLED: SIGINT or SIGTERM. What was made stays. Signals must be blocked. */
MUST_USE int settle_run(const struct config *c, int fd, struct err *e);
