#include "pack_base.h"
#include "packs_wire.h"

/* More versions of one package than that are not looked at. */
enum { MOST_VERSIONS = 16 };

int pack_base_find(struct pack_base_of *out, const struct lockfile *before, struct store_read *r,
	const struct tree_package *p, struct err *e)
{
	str name = p->f->name;
	int found = 0;
	size_t best = 0;

	if (!before)
		return 0;
	size_t i = lockfile_packages_from(before, name);
	/* Keys are sorted; what follows the name may sort before its "@". */
	for (unsigned seen = 0;
		i < before->npackages && str_starts(before->package[i].key, name) && seen < MOST_VERSIONS; i++) {
		const struct lock_package *lp = &before->package[i];
		str sri = lp->resolution.integrity, rest = str_from(lp->key, name.n);
		struct pack_base_of b;
		if (rest.n < 2 || rest.p[0] != '@')
			continue;
		seen++;
		/* 5.1.0 is nearer to 5.1.2 than to 4.0.0. */
		size_t near = 1 + str_shared(str_from(rest, 1), p->f->version);
		if (near <= best || str_eq(sri, p->f->meta.resolution.integrity) || !packs_key(b.key, sri))
			continue;
		int have = store_get(&b.rec, r, sri, e);
		if (have < 0)
			return have;
		if (!have)
			continue;
		*out = b;
		best = near;
		found = 1;
	}
	return found;
}
