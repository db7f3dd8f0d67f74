/* install_early — what needs the whole plan and no slot is done by the pool among the links, not after them: the
 * links of what is hoisted privately, and the text of node_modules/.pnpm/lock.yaml. At the end of an install there
 * would be one thread for it.
 *
 * Only for a tree that this install begins (an install that fails takes its .pnpm away again) and where nothing is
 * downloaded: then the loop has time, and no optional package can turn out to be out of reach. */
#include "finish.h"
#include "install_impl.h"
#include "link_root.h"
#include <stdlib.h>

struct early {
	struct job job;            /* first: the hoisted links */
	const struct hoist *hoist; /* nobody writes to it until the job has ended */
	struct hoist_place at;
	struct err err;
	bool ended;
	struct lockfile lockfile;
	struct staged *current;
};

static void early_run(struct job *j)
{
	struct early *y = (struct early *)j;
	struct root_counts rc;

	if (link_hoisted(&rc, y->hoist, &y->at, &y->err) < 0 && y->err.code >= 0)
		y->err.code = ERR_IO;
}

static void early_done(struct job *j, void *ctx)
{
	(void)ctx;
	((struct early *)j)->ended = true;
}

void install_early(struct install *in)
{
	if (in->early || !in->planned || in->failed || !in->made_vstore || in->shared || in->o->lockfile_only ||
		in->o->selected || in->lock || in->fetcher || in->packs)
		return;
	struct early *y = in->early = xcalloc(1, sizeof(*y));
	install_hoist(in);
	y->job = (struct job){ .run = early_run, .done = early_done, .patient = true };
	y->hoist = &in->hoist;
	y->at = hoist_place_project(in->root, &in->tree, &in->arena);
	pool_submit(in->pool, &y->job);
	y->lockfile = current_lockfile(in->req.lockfile, &in->tree, in->o->req, &in->arena);
	y->current = staged_lockfile(in->pool, in->root, &y->lockfile, false);
}

/* What failed is tried again when all is there, and says why. */
bool early_hoisted(const struct install *in)
{
	if (!in->early || !in->early->ended || in->early->err.code < 0)
		return false;
	for (size_t i = 0; i < in->tree.nslots; i++) {
		if (in->tree.slot[i]->state == SLOT_FAILED) /* the store had lost it, and nobody has it any more */
			return false;
	}
	return true;
}

struct staged *early_current(const struct install *in)
{
	return in->early && early_hoisted(in) ? in->early->current : NULL;
}

void early_free(struct early *y)
{
	if (!y)
		return;
	staged_free(y->current);
	free(y);
}
