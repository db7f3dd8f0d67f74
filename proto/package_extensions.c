#include "package_extensions.h"
#include "integrity.h"
#include <stdlib.h>

/* pnpm hashes the extensions as object-hash does: type, length in UTF-16 units, text; members sorted by key. */
static void hash_str(struct buf *b, str s)
{
	size_t units = 0;

	for (size_t i = 0; i < s.n; i++) {
		units += ((uint8_t)s.p[i] & 0xC0) != 0x80;
		units += (uint8_t)s.p[i] >= 0xF0;
	}
	buf_printf(b, "string:%zu:", units);
	buf_add(b, s);
}

static int cmp_node_key(const void *a, const void *b)
{
	return str_cmp((*(const struct yaml_node *const *)a)->key, (*(const struct yaml_node *const *)b)->key);
}

static bool is_extension_field(str key)
{
	return str_eq(key, STR("dependencies")) || str_eq(key, STR("optionalDependencies")) ||
	       str_eq(key, STR("peerDependencies")) || str_eq(key, STR("peerDependenciesMeta"));
}

/* DEPTH 0: the extensions; 1: one of them; 2: its maps; 3: peerDependenciesMeta's entries. Nulls and
 * unknown fields are not hashed. */
static void hash_node(struct buf *b, const struct yaml_node *n, unsigned depth, struct arena *a)
{
	bool flag;

	if (n->kind != YAML_KIND_MAP && n->kind != YAML_KIND_NONE) {
		if (depth == 4 && setting_bool(n, &flag))
			buf_add(b, flag ? STR("bool:true") : STR("bool:false"));
		else
			hash_str(b, n->s);
		return;
	}
	const struct yaml_node **m = arena_new(a, const struct yaml_node *, n->n + 1);
	size_t k = 0;
	for (const struct yaml_node *c = n->child; c; c = c->next) {
		if (c->kind == YAML_KIND_NONE && depth != 0 && depth != 2)
			continue;
		if ((depth == 1 && !is_extension_field(c->key)) || (depth == 3 && !str_eq(c->key, STR("optional"))))
			continue;
		m[k++] = c;
	}
	qsort(m, k, sizeof(*m), cmp_node_key);
	buf_printf(b, "object:%zu:", k);
	for (size_t i = 0; i < k; i++) {
		hash_str(b, m[i]->key);
		buf_addc(b, ':');
		hash_node(b, m[i], depth + 1, a);
		buf_addc(b, ',');
	}
}

static str checksum_of(const struct yaml_node *n, struct arena *a)
{
	struct buf b AUTO(buf_release) = BUF_INIT;
	uint8_t digest[32];

	hash_node(&b, n, 0, a);
	sha256(digest, b.p, b.n);
	str base64 = base64_print(digest, sizeof(digest), a);
	return arena_printf(a, "sha256-" STR_FMT, STR_ARG(base64));
}

static int read_extension(struct setting_ctx *c, const struct yaml_node *n, struct package_extension *x)
{
	const struct yaml_node *m;
	int rc = 0;

	x->selector = n->key;
	if (n->kind != YAML_KIND_MAP)
		return setting_bad(c, n, "packageExtensions", "expected a map");
	if ((m = yaml_get(n, STR("dependencies"))))
		rc = setting_get_map(c, "packageExtensions", m, &x->dependencies);
	if (rc == 0 && (m = yaml_get(n, STR("optionalDependencies"))))
		rc = setting_get_map(c, "packageExtensions", m, &x->optional_dependencies);
	if (rc == 0 && (m = yaml_get(n, STR("peerDependencies"))))
		rc = setting_get_map(c, "packageExtensions", m, &x->peer_dependencies);
	m = rc == 0 ? yaml_get(n, STR("peerDependenciesMeta")) : NULL;
	x->peer_optional.p = m ? arena_new(c->a, str, m->n) : NULL;
	for (m = m ? m->child : NULL; m; m = m->next) {
		bool optional = false;
		if (setting_bool(yaml_get(m, STR("optional")), &optional) && optional)
			x->peer_optional.p[x->peer_optional.n++] = m->key;
	}
	return rc;
}

int package_extensions_set(struct setting_ctx *c, const struct yaml_node *n)
{
	struct settings *s = &c->w->settings;

	if (n->kind != YAML_KIND_MAP)
		return n->kind == YAML_KIND_NONE ? 0 : setting_bad(c, n, "packageExtensions", "expected a map");
	s->extension = arena_new(c->a, struct package_extension, n->n);
	s->nextension = 0;
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		int rc = read_extension(c, m, &s->extension[s->nextension++]);
		if (rc)
			return rc;
	}
	if (n->n)
		s->package_extensions_checksum = checksum_of(n, c->a);
	return 0;
}
