#include "request.h"
#include "integrity.h"
#include "settings_fields.h"

/* The canonical form is text: one line a setting, strings as "<length>:<bytes>", lists with their count first. */
static void put_str(struct buf *b, str s)
{
	buf_printf(b, "%zu:", s.n);
	buf_add(b, s);
}

static void put_list(struct buf *b, const char *name, struct str_list l)
{
	buf_printf(b, "%s=%zu ", name, l.n);
	for (size_t i = 0; i < l.n; i++)
		put_str(b, l.p[i]);
	buf_addc(b, '\n');
}

static void put_map(struct buf *b, const char *name, struct str_map m)
{
	buf_printf(b, "%s=%zu ", name, m.n);
	for (size_t i = 0; i < m.n; i++) {
		put_str(b, m.p[i].k);
		put_str(b, m.p[i].v);
	}
	buf_addc(b, '\n');
}

static void put_extension(struct buf *b, const struct package_extension *x)
{
	buf_printf(b, "extension=");
	put_str(b, x->selector);
	buf_addc(b, '\n');
	put_map(b, " dependencies", x->dependencies);
	put_map(b, " optional_dependencies", x->optional_dependencies);
	put_map(b, " peer_dependencies", x->peer_dependencies);
	put_list(b, " peer_optional", x->peer_optional);
}

static void put_tables(struct buf *b, const struct settings *s)
{
	for (size_t i = 0; i < s->ncatalog; i++)
		put_list(b, "catalog",
			(struct str_list){
				(str[]){ s->catalog[i].catalog, s->catalog[i].alias, s->catalog[i].specifier }, 3 });
	for (size_t i = 0; i < s->nextension; i++)
		put_extension(b, &s->extension[i]);
	for (size_t i = 0; i < s->npatch; i++)
		put_list(b, "patch",
			(struct str_list){ (str[]){ s->patch[i].selector, s->patch[i].path, s->patch[i].hash }, 3 });
	for (size_t i = 0; i < s->nregistry; i++)
		put_list(b, "registry", (struct str_list){ (str[]){ s->registry[i].scope, s->registry[i].url }, 2 });
}

void settings_digest(uint8_t out[32], const struct settings *s)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "%s\n", SETTINGS_FORM);
#define X(f) buf_printf(&b, "%s=%s\n", #f, s->f ? "true" : "false");
	SETTINGS_BOOLS(X)
#undef X
#define X(f) buf_printf(&b, "%s=%llu\n", #f, (unsigned long long)s->f);
	SETTINGS_NUMBERS(X)
#undef X
#define X(f) put_list(&b, #f, s->f);
	SETTINGS_LISTS(X)
#undef X
#define X(f) put_map(&b, #f, s->f);
	SETTINGS_MAPS(X)
#undef X
	put_list(&b, "package_extensions_checksum", (struct str_list){ (str[]){ s->package_extensions_checksum }, 1 });
	put_tables(&b, s);
	sha256(out, b.p, b.n);
}

const struct request_importer *request_importer(const struct request *r, str path)
{
	if (r->nimporters && str_eq(r->importer[0].path, path))
		return &r->importer[0];
	for (size_t from = 1, to = r->nimporters; from < to;) {
		size_t mid = from + (to - from) / 2;
		int order = str_cmp(path, r->importer[mid].path);
		if (order == 0)
			return &r->importer[mid];
		if (order < 0)
			to = mid;
		else
			from = mid + 1;
	}
	return NULL;
}

str request_path(const struct request *r, str base, str path, struct arena *a)
{
	while (path.n > 1 && path.p[0] == '/' && strchr("/.~", path.p[1]))
		path = str_from(path, 1);
	path = path_from_home(a, r->home, path);
	if (!r->root.n || !str_starts(path, STR("/")))
		return path_join(a, base, path);
	return path_between(a, r->root, path);
}
