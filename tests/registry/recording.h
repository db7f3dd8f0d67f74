/* recording — a recorded registry: trimmed packuments, one a line, in a zstd file.
 *
 * Owns the text; filled from such a file or line by line. A packument is found by name and written out in either form,
 * its tarballs behind a base URL. Read-only once open: any thread. Used by
 * fixture-registry and by the parity suite. */
#pragma once
#include "packument.h"

struct recording;
MUST_USE int recording_open(struct recording **out, const char *path, struct err *e);
/* One with no packuments, to be filled by recording_add(). */
struct recording *recording_new(void);
/* Adds (a copy of) one line of the recorded shape: name, [modified,] dist-tags, versions, time. */
MUST_USE int recording_add(struct recording *r, str line, struct err *e);
void recording_free(struct recording *r);
/* Appends the JSON of NAME: abbreviated without `time`, full without `modified`. BASE has no trailing
 * slash. False: not recorded. */
bool recording_json(struct buf *out, const struct recording *r, str name, enum packument_form form, str base);

/* Appends a whole file. ERR_NOTFOUND when there is none. */
MUST_USE int file_slurp(struct buf *out, const char *path, struct err *e);
