/* parity_io — the engine's packuments straight from the recording, without HTTP.
 *
 * Implements struct engine_io. Compiled records are kept from case to case. With a seed, what is wanted arrives in
 * random order and in random portions. One thread. */
#pragma once
#include "engine.h"
#include "recording.h"

#define PARITY_BASE "http://registry.test"
#define PARITY_NOW_MS INT64_C(1796083200000) /* 2026-12-01: everything recorded is old enough */

struct parity_io;
struct parity_io *parity_io_new(const struct recording *rec);
/* Begins a run: forgets tickets; SEED 0 means arrival in the order asked. */
const struct engine_io *parity_io_begin(struct parity_io *io, uint64_t seed);
/* From the next run on, the whole recording is kept, last confirmed at MS (engine_io.kept); negative: nothing is. */
void parity_io_keep(struct parity_io *io, int64_t ms);
/* Packuments asked for in all runs. */
unsigned parity_io_asked(const struct parity_io *io);
void parity_io_free(struct parity_io *io);
