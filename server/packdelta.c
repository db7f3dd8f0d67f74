/* Deltas between two versions that both have a pack: made by the settlers when a client that has the one has
 * asked for the other (packs_find_all()), and ahead of it between neighbouring versions, kept and evicted like
 * packs. Nobody waits for one. */
#include "fs.h"
#include "pack_delta.h"
#include "packs_impl.h"
#include "semver.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What changed is encoded at the settled level up to here, past it at that of a first encoding: it would take minutes.
 * So are all where nothing is settled: packs stay as they are. */
enum { WELL_MAX = 16 << 20 };

void pack_files_release(struct pack_files *f)
{
	vec_release(&f->file);
	arena_release(&f->a);
}

static int row_keep(void *arg, const struct pack_row *row, struct err *e)
{
	struct pack_files *r = arg;
	uint8_t *copy = arena_new(&r->a, uint8_t, (size_t)row->n + 1);

	(void)e;
	if (row->n)
		memcpy(copy, row->p, (size_t)row->n);
	*vec_add(&r->file) =
		(struct pack_file){ .path = arena_str(&r->a, row->path), .exec = row->exec, .p = copy, .n = row->n };
	return 0;
}

int packs_read(struct buf *out, struct packs *p, const uint8_t digest[32], struct err *e)
{
	uint64_t size, at = 0;
	AUTO(fs_close_auto) int fd = packs_open(p, digest, &size);

	if (fd < 0 && errno != ENOENT)
		return err_os(e, "open its pack");
	if (fd < 0)
		return err_set(e, ERR_NOTFOUND, "its pack is gone");
	char *to = buf_reserve(out, (size_t)size);
	while (at < size) {
		ssize_t n = pread(fd, to + at, (size_t)(size - at), (off_t)at);
		if (n == 0)
			return err_set(e, ERR_NOTFOUND, "its pack became shorter");
		if (n < 0 && errno != EINTR)
			return err_os(e, "read its pack");
		at += n > 0 ? (uint64_t)n : 0;
	}
	out->n = (size_t)size;
	return 0;
}

int packs_files(struct pack_files *out, struct packs *p, const uint8_t digest[32], str label, struct err *e)
{
	AUTO(buf_release) struct buf pack = BUF_INIT;

	if (packs_read(&pack, p, digest, e) < 0)
		return e->code;
	return pack_unpack(pack.p, pack.n, digest, label, PACK_CHECK, row_keep, out, e);
}

static uint64_t bytes_of(const struct pack_files *f)
{
	uint64_t n = 0;

	for (size_t i = 0; i < f->file.n; i++)
		n += f->file.p[i].n;
	return n;
}

int packdelta_build(struct packs *p, const struct pack_item *it, const struct pack_item *of,
	const struct pack_item *base, struct pack_made *got, struct err *e)
{
	AUTO(buf_release) struct buf pack = BUF_INIT;
	struct pack_files to = PACK_FILES_INIT, from = PACK_FILES_INIT;
	int rc = packs_files(&to, p, of->digest, str_of(it->name), e);

	if (rc == 0)
		rc = packs_files(&from, p, base->digest, str_of(it->name), e);
	bool well = !p->o.no_settle && (p->o.eager || bytes_of(&to) <= WELL_MAX);
	struct pack_opts o = {
		.level = well ? p->o.settled_level : p->o.level, .tarball = (uint32_t)of->tarball, .stop = &p->stop
	};
	if (rc == 0)
		rc = pack_delta_build(
			&pack, got->digest, to.file.p, (uint32_t)to.file.n, from.file.p, (uint32_t)from.file.n, &o, e);
	pack_files_release(&to);
	pack_files_release(&from);
	if (rc == 0 && pack.n > of->size / 8 * 7)
		rc = err_set(e, ERR_TOOBIG, "%s@%s: a delta would save less than an eighth", it->name, it->version);
	got->size = pack.n;
	return rc < 0 ? rc : packs_write(p, got->digest, buf_str(&pack), e);
}

/* -- ahead of being asked ------------------------------------------------------------- */

/* Who updates goes from the lower version to the higher. */
static bool is_lower(const char *a, const char *b)
{
	struct semver x, y;

	return semver_parse(&x, str_of(a), true) && semver_parse(&y, str_of(b), true) && semver_cmp(&x, &y) < 0;
}

/* Into the chain of its name, where all that have had a pack stay. */
static void name_chain(struct packs *p, struct pack_item *it)
{
	str name = str_of(it->name);

	if (it->named)
		return;
	it->named = true;
	it->next_named = map_get(&p->by_name, name);
	map_set(&p->by_name, arena_str(&p->own, name), /* an item's own name may be written anew */
		it->at);
}

/* The version nearest to IT's that has a pack, of those that are LARGER only where that is asked. */
static const struct pack_item *nearest(const struct packs *p, const struct pack_item *it, bool larger)
{
	const struct pack_item *near = NULL;
	size_t best = 0;

	for (uint32_t i = map_get(&p->by_name, str_of(it->name)); i != MAP_NONE; i = p->item.p[i]->next_named) {
		const struct pack_item *o = p->item.p[i];
		if (o == it || !packs_is_ready(o) || strcmp(o->version, it->version) == 0 ||
			strcmp(o->name, it->name) != 0 || (larger && o->raw < it->raw))
			continue;
		size_t n = 1 + str_shared(str_of(o->version), str_of(it->version));
		if (n > best) {
			near = o;
			best = n;
		}
	}
	return near;
}

/* Who updates goes from the lower version to the higher. Who needs both at once gets the one with more bytes first, as
 * plans are ordered, and the other from there. */
static void ahead(struct packs *p, const struct pack_item *it)
{
	const struct pack_item *near = nearest(p, it, false), *large;
	struct pack_item *d;

	if (!near)
		return;
	d = is_lower(near->version, it->version) ? packs_delta(p, it, near) : packs_delta(p, near, it);
	if (d)
		packs_want(p, d);
	large = it->size >= PACKS_PAIR_LEAST ? nearest(p, it, true) : NULL;
	d = large ? packs_delta(p, it, large) : NULL;
	if (d)
		packs_want(p, d);
}

void packdelta_ahead(struct packs *p, struct pack_item *it)
{
	name_chain(p, it);
	ahead(p, it);
}

void packdelta_stock(struct packs *p)
{
	p->stock = p->item.n; /* deltas are added behind them */
}

bool packdelta_ahead_some(struct packs *p, size_t most)
{
	for (; most > 0 && p->stock_at < 2 * p->stock; most--, p->stock_at++) {
		struct pack_item *it = p->item.p[p->stock_at % p->stock];
		if (!packs_is_ready(it) || it->delta)
			continue;
		if (p->stock_at < p->stock)
			name_chain(p, it); /* all, before the first looks for its like */
		else
			ahead(p, it);
	}
	return p->stock_at < 2 * p->stock;
}
