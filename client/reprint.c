#include "reprint.h"

/* Whether TEXT is PRINTED, but for carriage returns and a byte order mark. */
static bool same_lines(str printed, str text)
{
	size_t at = 0;

	if (str_starts(text, STR("\xef\xbb\xbf")))
		text = str_from(text, 3);
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\r' && i + 1 < text.n && text.p[i + 1] == '\n')
			continue;
		if (at == printed.n || printed.p[at++] != text.p[i])
			return false;
	}
	return at == printed.n;
}

/* Of EXTRA, sorted by name, what is called so. */
static struct str_map only(struct str_map extra, const str *names, size_t n, struct arena *a)
{
	struct str_map out = { .p = extra.n ? arena_new(a, struct str_kv, extra.n) : NULL };

	for (size_t i = 0; i < extra.n; i++)
		for (size_t k = 0; k < n; k++)
			if (str_eq(extra.p[i].k, names[k]))
				out.p[out.n++] = extra.p[i];
	return out;
}

/* dependenciesMeta is known, though the model may only have its text; so are two fields of
 * snapshots that pnpm only keeps. */
void lockfile_forget_unknown(struct lockfile *lf, struct arena *a)
{
	static const str importer[] = { STR_INIT("dependenciesMeta") },
			 snapshot[] = { STR_INIT("id"), STR_INIT("patched") };
	struct lock_importer *im = arena_new(a, struct lock_importer, lf->nimporters + 1);
	struct lock_package *p = arena_new(a, struct lock_package, lf->npackages + 1);
	struct lock_snapshot *s = arena_new(a, struct lock_snapshot, lf->nsnapshots + 1);

	for (size_t i = 0; i < lf->nimporters; i++) {
		im[i] = lf->importer[i];
		im[i].extra = only(lf->importer[i].extra, importer, 1, a);
	}
	for (size_t i = 0; i < lf->npackages; i++) {
		p[i] = lf->package[i];
		p[i].extra.n = 0;
		p[i].id = p[i].name = STR_NONE;
		p[i].requires_build = false;
	}
	for (size_t i = 0; i < lf->nsnapshots; i++) {
		s[i] = lf->snapshot[i];
		s[i].extra = only(lf->snapshot[i].extra, snapshot, 2, a);
	}
	lf->importer = im;
	lf->package = p;
	lf->snapshot = s;
	lf->head.settings_extra.n = 0;
}

bool lockfile_reprint(struct lockfile *out, const struct lockfile *lf, str text, struct arena *a)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	*out = *lf;
	lockfile_forget_unknown(out, a);
	lockfile_print(&b, out);
	return !same_lines(buf_str(&b), text);
}
