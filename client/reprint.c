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

/* Unknown keys go, but for those at the root; dependenciesMeta is known, though the model may only have its text. */
static void forget_unknown(struct lockfile *lf, struct arena *a)
{
	struct lock_importer *im = arena_new(a, struct lock_importer, lf->nimporters + 1);
	struct lock_package *p = arena_new(a, struct lock_package, lf->npackages + 1);
	struct lock_snapshot *s = arena_new(a, struct lock_snapshot, lf->nsnapshots + 1);

	for (size_t i = 0; i < lf->nimporters; i++) {
		const str *meta = str_map_get(lf->importer[i].extra, STR("dependenciesMeta"));
		struct str_kv *kept = arena_new(a, struct str_kv, 1);
		if (meta)
			*kept = (struct str_kv){ STR("dependenciesMeta"), *meta };
		im[i] = lf->importer[i];
		im[i].extra = (struct str_map){ kept, meta != NULL };
	}
	for (size_t i = 0; i < lf->npackages; i++) {
		p[i] = lf->package[i];
		p[i].extra.n = 0;
		p[i].requires_build = false;
	}
	for (size_t i = 0; i < lf->nsnapshots; i++) {
		s[i] = lf->snapshot[i];
		s[i].extra.n = 0;
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
	forget_unknown(out, a);
	lockfile_print(&b, out);
	return !same_lines(buf_str(&b), text);
}
