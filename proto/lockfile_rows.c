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

/* A row as it is sorted: the first bytes of its key as a number, so that most comparisons read nothing else. */
struct row {
	uint64_t head;
	const str *key;
};

static int cmp_row(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->head != y->head ? (x->head < y->head ? -1 : 1) : str_cmp(*x->key, *y->key);
}

static uint64_t head_of(str key)
{
	uint64_t v = 0;

	for (size_t i = 0; i < sizeof(v); i++)
		v = v << 8 | (i < key.n ? (uint8_t)key.p[i] : 0);
	return v;
}

/* Every row to its place, along each cycle, so that each is written once. */
static void rows_move(char *p, size_t n, size_t size, struct row *row)
{
	char *kept = xmalloc(size);

	for (size_t i = 0; i < n; i++) {
		size_t to = i, from = (size_t)((const char *)row[i].key - p) / size;
		if (from == i)
			continue;
		memcpy(kept, p + i * size, size);
		for (; from != i; to = from, from = (size_t)((const char *)row[to].key - p) / size) {
			memcpy(p + to * size, p + from * size, size);
			row[to].key = (const str *)(const void *)(p + to * size);
		}
		memcpy(p + to * size, kept, size);
		row[to].key = (const str *)(const void *)(p + to * size);
	}
	free(kept);
}

/* N rows of SIZE bytes, each beginning with its key. */
static void sort_unless_sorted(void *p, size_t n, size_t size)
{
	struct row *row = xmalloc(n * sizeof(*row));
	bool sorted = true;

	for (size_t i = 0; i < n; i++) {
		const str *key = (const str *)(const void *)((char *)p + i * size);
		row[i] = (struct row){ head_of(*key), key };
		sorted = sorted && (i == 0 || cmp_row(&row[i - 1], &row[i]) <= 0);
	}
	if (!sorted) {
		qsort(row, n, sizeof(*row), cmp_row);
		rows_move(p, n, size, row);
	}
	free(row);
}

_Static_assert(offsetof(struct lock_package, key) == 0 && offsetof(struct lock_snapshot, key) == 0 &&
		       offsetof(struct lock_importer, path) == 0,
	"sort_unless_sorted() finds the key of a row at its beginning");

void lockfile_sort(struct lockfile *lf)
{
	sort_unless_sorted(lf->package, lf->npackages, sizeof(*lf->package));
	sort_unless_sorted(lf->snapshot, lf->nsnapshots, sizeof(*lf->snapshot));
	sort_unless_sorted(lf->importer, lf->nimporters, sizeof(*lf->importer));
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

/* The first of N rows of SIZE bytes, each beginning with its key, that is not below KEY. */
static size_t rows_from(const void *p, size_t n, size_t size, str key)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (str_cmp(*(const str *)(const void *)((const char *)p + mid * size), key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t lockfile_packages_from(const struct lockfile *lf, str key)
{
	return rows_from(lf->package, lf->npackages, sizeof(*lf->package), key);
}

size_t lockfile_snapshots_from(const struct lockfile *lf, str key)
{
	return rows_from(lf->snapshot, lf->nsnapshots, sizeof(*lf->snapshot), key);
}

const struct lock_importer *lockfile_importer(const struct lockfile *lf, str path)
{
	struct lock_importer want = { .path = path };

	return lf->nimporters ? bsearch(&want, lf->importer, lf->nimporters, sizeof(want), lock_importer_order) : NULL;
}

const struct lock_dep *lock_dep_find(struct lock_deps d, str alias)
{
	for (size_t i = 0; i < d.n; i++) {
		if (str_eq(d.p[i].alias, alias))
			return d.p + i;
	}
	return NULL;
}

bool lock_deps_same(struct lock_deps a, struct lock_deps b)
{
	bool same = a.n == b.n;

	for (size_t i = 0; same && i < a.n; i++) {
		const struct lock_dep *d = lock_dep_find(b, a.p[i].alias);
		same = d && str_eq(d->ref, a.p[i].ref);
	}
	return same;
}

const struct lock_dep *lock_snapshot_dep(const struct lock_snapshot *s, str alias)
{
	const struct lock_dep *d = lock_dep_find(s->dependencies, alias);

	return d ? d : lock_dep_find(s->optional_dependencies, alias);
}
