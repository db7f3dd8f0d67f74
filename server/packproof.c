/* Packs of a drayd that did not ask whether a tarball is of the package it was asked for as: nobody is given one before
 * its own package.json has been read. Builders do it, each pack once, when nobody waits for anything else. What is of
 * another package is removed, and made anew when asked for. */
#include "base/clock.h"
#include "log.h"
#include "packs_impl.h"
#include <time.h>

enum { LATER_NS = 100 * 1000 * 1000 };

static int manifest_keep(void *arg, const struct pack_row *row, struct err *e)
{
	(void)e;
	if (str_eq(row->path, STR("package.json")))
		pack_named_read(arg, (str){ (const char *)row->p, (size_t)row->n });
	return 0;
}

struct proof {
	struct packs *p;
	uint8_t digest[32];
	struct pack_named named;
};

static int named_read(void *arg, struct err *e)
{
	AUTO(buf_release) struct buf pack = BUF_INIT;
	struct proof *k = arg;

	if (packs_read(&pack, k->p, k->digest, e) < 0)
		return e->code;
	return pack_unpack(pack.p, pack.n, k->digest, STR("a pack"), 0, manifest_keep, &k->named, e);
}

/* The two that follow under the lock. */
static void item_proved(struct packs *p, struct pack_item *it, const struct pack_named *named)
{
	it->unproved = false;
	p->n.unproved--;
	p->unproved_misses.n = 0;
	if (named->version[0])
		packs_set(&it->version, str_of(named->version));
	packs_note(p, it);
}

static void item_refused(struct packs *p, struct pack_item *it, const char *why)
{
	struct pack_old old = { .until_ms = clock_ms() };

	log_warn("pack", "package=%s@%s unproved=\"%s\": it is made anew", it->name, it->version, why);
	memcpy(old.digest, it->digest, 32);
	packs_unready(p, it);
	*vec_add(&p->old) = old;
}

bool packs_says_of_pack(int code)
{
	return code == ERR_NOTFOUND || code == ERR_INTEGRITY || code == ERR_PARSE || code == ERR_TOOBIG ||
	       code == ERR_UNSUPPORTED;
}

/* IT could not be read just now: after the others, and in a moment. Under the lock, which it gives up meanwhile. */
static void item_later(struct packs *p, const struct pack_item *it, const struct err *e)
{
	uint32_t first = p->unproved.n ? p->unproved.p[0] : it->at;

	*vec_add(&p->unproved) = first;
	p->unproved.p[0] = it->at;
	p->unproved_misses = (struct pack_misses){ p->unproved_misses.n + 1, *e };
	pthread_mutex_unlock(&p->lock);
	log_warn("pack", "package=%s@%s unproved=\"%s\": again later", it->name, it->version, e->msg);
	nanosleep(&(struct timespec){ .tv_nsec = LATER_NS }, NULL);
	pthread_mutex_lock(&p->lock);
}

bool packproof_one(struct packs *p)
{
	struct pack_item *it = NULL;

	while (p->unproved.n && !(it && it->unproved))
		it = p->item.p[p->unproved.p[--p->unproved.n]];
	if (!it || !it->unproved)
		return false;
	struct proof k = { .p = p };
	struct err e = { 0 };
	uint64_t cpu;
	memcpy(k.digest, it->digest, 32);
	pthread_mutex_unlock(&p->lock);
	int code = packs_low(&(struct packs_low){ .run = named_read, .arg = &k }, &cpu, &e);
	pthread_mutex_lock(&p->lock);
	if (it->unproved) { /* else its file was gone, or it was evicted */
		if (code == 0 && strcmp(k.named.name, it->name) == 0)
			item_proved(p, it, &k.named);
		else if (code < 0 && !packs_says_of_pack(code))
			item_later(p, it, &e);
		else
			item_refused(p, it, code < 0 ? e.msg : "the tarball is of another package");
	}
	pthread_cond_broadcast(&p->settle);
	return true;
}
