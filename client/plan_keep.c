#include "plan_keep.h"
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "env_document.h"
#include "install_impl.h"
#include "integrity.h"
#include "kept.h"
#include "kept_plan.h"

/* Whether package.json pins a pnpm that the lockfile does not have yet: an install that may change the lockfile puts it
 * in. What the lockfile has is not known here, so every pin counts. */
static bool pins(const struct project *p)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct env_pin pin;

	return p->req.nimporters && env_document_wanted(&pin, &p->req.importer[0].manifest, STR_NONE, &a);
}

void plan_keep_open(struct plan_keep *k, const struct project *p, const struct request *req, str store_dir, bool frozen)
{
	struct plan_key_input in = { .project = p, .req = req, .store_dir = store_dir };

	*k = (struct plan_keep){ .on = p->client.lockfile && !p->req.nlocal && p->req.nimporters };
	if (!k->on)
		return;
	plan_key_base(k->base, &in);
	k->image = frozen && pins(p) ? PLAN_IMAGE_FROZEN : PLAN_IMAGE;
	k->has_lockfile = p->lockfile_text.p != NULL;
	if (k->has_lockfile)
		sha256(k->lockfile, p->lockfile_text.p, p->lockfile_text.n);
}

int plan_keep_image(
	struct image_result *out, const struct plan_keep *k, const struct project *p, const struct image_input *in)
{
	char path[PATH_MAX + 16];
	uint8_t key[32];

	if (!k->on || !k->has_lockfile || p->is_workspace || p->req.nimporters != 1 || p->root.n >= PATH_MAX)
		return 0;
	snprintf(path, sizeof(path), "%s/binding.gyp", p->root.p);
	if (access(path, F_OK) == 0) /* the project itself is built by every install */
		return 0;
	plan_key(key, k->base, k->image, k->lockfile);
	return image_install(out, in, key);
}

bool plan_keep_take(struct plan_keep *k, struct project *p, str store_dir)
{
	struct kept_plan plan;
	uint8_t key[32];
	struct err e;

	if (!k->on || !k->has_lockfile)
		return false;
	plan_key(key, k->base, PLAN_LOCKFILE, k->lockfile);
	if (!kept_get(&k->bytes, store_dir.p, key) || kept_plan_parse(&plan, buf_str(&k->bytes), &p->arena, &e) < 0)
		return false;
	k->mark = plan.mark;
	project_lockfile_is(p, &plan.lf);
	return k->taken = true;
}

void plan_keep_release(struct plan_keep *k)
{
	buf_release(&k->bytes);
}

/* ---- afterwards ---- */

/* What stands in pnpm-lock.yaml now. */
static str lockfile_of(const struct install *in, struct buf *room)
{
	if (!in->lock)
		return in->o->req->lockfile_text;
	if (in->staged)
		return staged_text(in->staged);
	lockfile_print(room, plan_lockfile_get(in->lock));
	return buf_str(room);
}

str plan_keep_lockfile(uint8_t out[32], const struct install *in, struct buf *room)
{
	str text = lockfile_of(in, room);

	sha256(out, text.p, text.n);
	return text;
}

bool plan_keep_put(struct install *in)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(64 * 1024);
	AUTO(buf_release) struct buf room = BUF_INIT, bytes = BUF_INIT;
	const struct plan_keep *k = in->o->keep;
	str text = lockfile_of(in, &room);
	uint8_t digest[32], key[32];
	struct lockfile lf;
	struct str_list why;
	struct err e;

	/* as it will be read, not as it was made; and by the strict rules, under which every install may take it */
	if (k->taken || !text.n || lockfile_parse(&lf, text, STR("pnpm-lock.yaml"), &a, &e) < 0 || lf.absent ||
		!lockfile_satisfies(&lf, in->o->req, false, &why, &a))
		return true;
	struct request req = *in->o->req;
	uint8_t *mark = arena_new(&a, uint8_t, lf.nsnapshots + 1);
	req.lockfile = &lf;
	if (!source_locked_marks(mark, &req))
		return true;
	sha256(digest, text.p, text.n);
	plan_key(key, k->base, PLAN_LOCKFILE, digest);
	kept_plan_print(&bytes, &(struct kept_plan){ lf, mark });
	return kept_put(in->o->store_dir, key, buf_str(&bytes), &e) == 0 || e.code == ERR_TOOBIG;
}
