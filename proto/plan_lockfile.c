#include "plan_lockfile.h"
#include "lockfile_dup.h"
#include <stdlib.h>

struct plan_lockfile {
	struct arena a;
	struct lockfile lf;
	bool *used; /* by package: a slot is made of it */
	size_t nused;
	bool sorted; /* packages are no longer in the order of their frames */
};

struct plan_lockfile *plan_lockfile_new(void)
{
	struct plan_lockfile *pl = xcalloc(1, sizeof(*pl));

	pl->a = ARENA_INIT(256 * 1024);
	return pl;
}

void plan_lockfile_free(struct plan_lockfile *pl)
{
	if (!pl)
		return;
	arena_release(&pl->a);
	free(pl);
}

/* Leaves out what was withdrawn: packages that no slot is made of. */
static void drop_withdrawn(struct plan_lockfile *pl)
{
	size_t n = 0;

	for (size_t i = 0; i < pl->lf.npackages; i++) {
		if (pl->used[i])
			pl->lf.package[n++] = pl->lf.package[i];
	}
	pl->lf.npackages = n;
}

void plan_lockfile_add(struct plan_lockfile *pl, const struct frame *f)
{
	switch (f->kind) {
	case FRAME_PACKAGE:
		*arena_add(&pl->a, pl->lf.package, pl->lf.npackages) = lock_package_dup(&pl->a, &f->package.meta);
		*arena_add(&pl->a, pl->used, pl->nused) = false;
		break;
	case FRAME_SLOT:
		*arena_add(&pl->a, pl->lf.snapshot, pl->lf.nsnapshots) = lock_snapshot_dup(&pl->a, &f->slot.snap);
		if (f->slot.package < pl->nused)
			pl->used[f->slot.package] = true;
		break;
	case FRAME_IMPORTER:
		*arena_add(&pl->a, pl->lf.importer, pl->lf.nimporters) =
			lock_importer_dup(&pl->a, &f->importer.importer);
		break;
	case FRAME_LOCK_HEAD:
		pl->lf.head = lock_head_dup(&pl->a, &f->lock_head);
		break;
	case FRAME_HELLO:
	case FRAME_VERDICT:
	case FRAME_WARNING:
	case FRAME_PEER_ISSUE:
	case FRAME_DONE:
	case FRAME_FAILURE:
		break;
	}
}

void plan_lockfile_environment(struct plan_lockfile *pl, str document)
{
	pl->lf.env_document = arena_str(&pl->a, document);
}

const struct lockfile *plan_lockfile_get(struct plan_lockfile *pl)
{
	if (!pl->sorted)
		drop_withdrawn(pl);
	pl->sorted = true;
	lockfile_sort(&pl->lf);
	lockfile_versions(&pl->lf);
	return &pl->lf;
}
