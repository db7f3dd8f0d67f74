/* metas — the packuments of a run: which were asked for, which are here.
 *
 * Asking is speculative and never blocks; waiting happens only when the deterministic pass can do no more. When a
 * packument arrives, those of the dependencies of the versions that are likely to be picked are asked for at once, so
 * that the number of round trips is the depth of the graph, not the number of passes; as long as hardly any is missing,
 * nothing is looked ahead for. What is picked never depends on the order of arrival. */
#pragma once
#include "pick.h"

struct metas;
struct metas *metas_new(struct run *r);
void metas_free(struct metas *m);

enum meta_state { META_WAITING, META_HERE, META_FAILED };
/* The packument of NAME for an edge (FULL: the edge wants the full form); asks when it was never asked for. *OUT is set
 * on META_HERE, *E on META_FAILED. */
enum meta_state metas_get(struct metas *m, atom name, bool full, struct packument *out, const struct err **e);
/* The same, for what SPEC and O choose of it: where what is kept decides (pick_kept()), nobody is asked. */
enum meta_state metas_get_for(struct metas *m, const struct reg_spec *spec, const struct pick_opts *o, bool full,
	struct packument *out, const struct err **e);
/* Whether speculation pays. With all but a few in memory the walk itself is the quickest way to what is next. */
bool metas_look_ahead(const struct metas *m);
/* Asks for NAME, and when it is there, for what the version picked for SPEC, IMP's, depends on. */
void metas_speculate(struct metas *m, const struct importer *imp, atom name, atom spec, bool full);
/* Asks for what an edge ALIAS@SPEC below IMP will need, when that is not here yet. */
void metas_ask(struct metas *m, const struct importer *imp, atom alias, atom spec, bool full);
/* Blocks until something that was asked for has arrived. */
int metas_wait(struct metas *m, struct err *e);
/* Counts of packuments, for the last frame. */
void metas_count(const struct metas *m, struct frame_done *out);
