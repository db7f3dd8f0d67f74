#include "dep_path.h"
#include "lockfile.h"
#include <stdlib.h>

int lock_package_order(const void *a, const void *b)
{
	return str_cmp(((const struct lock_package *)a)->key, ((const struct lock_package *)b)->key);
}

int lock_snapshot_order(const void *a, const void *b)
{
	return str_cmp(((const struct lock_snapshot *)a)->key, ((const struct lock_snapshot *)b)->key);
}

int lock_importer_order(const void *a, const void *b)
{
	return str_cmp(((const struct lock_importer *)a)->path, ((const struct lock_importer *)b)->path);
}

static void sort_unless_sorted(void *p, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
	for (size_t i = 1; i < n; i++) {
		if (cmp((char *)p + (i - 1) * size, (char *)p + i * size) > 0) {
			qsort(p, n, size, cmp);
			return;
		}
	}
}

void lockfile_sort(struct lockfile *lf)
{
	sort_unless_sorted(lf->package, lf->npackages, sizeof(*lf->package), lock_package_order);
	sort_unless_sorted(lf->snapshot, lf->nsnapshots, sizeof(*lf->snapshot), lock_snapshot_order);
	sort_unless_sorted(lf->importer, lf->nimporters, sizeof(*lf->importer), lock_importer_order);
}

static bool has_colon(str s)
{
	return str_find(s, ':', 0) != SIZE_MAX;
}

void lockfile_versions(struct lockfile *lf)
{
	for (size_t i = 0; i < lf->npackages; i++)
		if (!has_colon(lf->package[i].key))
			lf->package[i].version = STR_NONE;
	for (size_t i = 0; i < lf->nsnapshots; i++) {
		str key = dep_path_package_key(lf->snapshot[i].key), name, suffix;
		if (has_colon(key) || !has_colon(lf->snapshot[i].key))
			continue;
		const struct lock_package *p = lockfile_package(lf, key);
		if (p)
			dep_path_split(p->key, &name, &lf->package[p - lf->package].version, &suffix);
	}
}

const struct lock_package *lockfile_package(const struct lockfile *lf, str key)
{
	struct lock_package want = { .key = key };

	return lf->npackages ? bsearch(&want, lf->package, lf->npackages, sizeof(want), lock_package_order) : NULL;
}

const struct lock_snapshot *lockfile_snapshot(const struct lockfile *lf, str dep_path)
{
	struct lock_snapshot want = { .key = dep_path };

	return lf->nsnapshots ? bsearch(&want, lf->snapshot, lf->nsnapshots, sizeof(want), lock_snapshot_order) : NULL;
}

const struct lock_importer *lockfile_importer(const struct lockfile *lf, str path)
{
	struct lock_importer want = { .path = path };

	return lf->nimporters ? bsearch(&want, lf->importer, lf->nimporters, sizeof(want), lock_importer_order) : NULL;
}
