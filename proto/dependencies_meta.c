#include "dependencies_meta.h"

#include "lockfile_order.h"
#include "yaml_put.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Below `importers:` and a project's path. */
enum { LEVEL = 2, INDENT = 2 * (LEVEL + 1) };

static bool listed(const struct json *j)
{
	for (uint32_t i = 0; i < j->n; i++) {
		const struct json *v = &j->child[i];
		if (!json_is(v, JSON_OBJECT) || v->n > 1)
			return false;
		if (v->n && (!str_eq(v->key[0], STR("injected")) ||
				    !(json_is(v->child, JSON_TRUE) || json_is(v->child, JSON_FALSE))))
			return false;
	}
	return true;
}

/* An integer that has room in 64 bits stays as it is; -0 has none. */
static bool is_integer(const char *s)
{
	char *end;

	if (strpbrk(s, ".eE") || strcmp(s, "-0") == 0)
		return false;
	errno = 0;
	if (*s == '-')
		(void)strtoll(s, &end, 10);
	else
		(void)strtoull(s, &end, 10);
	return errno == 0 && *end == '\0';
}

/* The fewest digits that read back as D, as pnpm writes them: 1000.0, 0.00001 and, from 1e16 up
 * and below 1e-5, 1.5e+16. */
static void put_double(struct buf *b, double d)
{
	char t[40];
	int digits = 1;

	for (; digits <= 17; digits++) {
		(void)snprintf(t, sizeof(t), "%.*e", digits - 1, d);
		if (!(strtod(t, NULL) < d) && !(strtod(t, NULL) > d))
			break;
	}
	char *e = strchr(t, 'e');
	long exponent = strtol(e + 1, NULL, 10);
	*e = '\0';
	if (exponent < -5 || exponent > 15)
		buf_printf(b, "%se%s%ld", t, exponent < 0 ? "" : "+", exponent);
	else
		buf_printf(b, "%.*f", exponent < digits - 1 ? digits - 1 - (int)exponent : 1, d);
}

static str number_text(str s, struct arena *a)
{
	struct buf b AUTO(buf_release) = BUF_INIT;
	str z = arena_str(a, s);

	double d = strtod(z.p, NULL);
	if (is_integer(z.p) || !isfinite(d)) /* 1e999: pnpm reads no such package.json */
		return z;
	put_double(&b, d);
	return arena_str(a, buf_str(&b));
}

/* False: too deep. */
static bool node_of(struct yaml_node *out, const struct json *j, unsigned depth, struct arena *a)
{
	static const str word[] = {
		[JSON_NULL] = STR_INIT("null"), [JSON_FALSE] = STR_INIT("false"), [JSON_TRUE] = STR_INIT("true")
	};

	if (j->type == JSON_STRING) {
		*out = (struct yaml_node){ .kind = YAML_KIND_QUOTED, .s = j->s };
	} else if (j->type != JSON_ARRAY && j->type != JSON_OBJECT) {
		*out = (struct yaml_node){ .kind = YAML_KIND_PLAIN,
			.s = j->type == JSON_NUMBER ? number_text(j->s, a) : word[j->type] };
	} else {
		if (depth == DEPENDENCIES_META_DEPTH)
			return false;
		struct yaml_node *child = arena_new(a, struct yaml_node, j->n + 1);
		*out = (struct yaml_node){ .kind = j->type == JSON_OBJECT ? YAML_KIND_MAP : YAML_KIND_SEQ,
			.n = j->n,
			.child = j->n ? child : NULL };
		for (uint32_t i = 0; i < j->n; i++) {
			if (!node_of(&child[i], &j->child[i], depth + 1, a))
				return false;
			child[i].next = i + 1 < j->n ? &child[i + 1] : NULL;
			if (j->type == JSON_OBJECT)
				child[i].key = j->key[i];
		}
	}
	return true;
}

int dependencies_meta_text(str *out, const struct json *j, struct arena *a, struct err *e)
{
	struct buf b AUTO(buf_release) = BUF_INIT;
	struct yaml_node n;

	*out = STR_NONE;
	if (!json_is(j, JSON_OBJECT) || listed(j))
		return 0;
	if (!node_of(&n, j, 0, a))
		return err_set(e, ERR_TOOBIG, "line %u: " DEPENDENCIES_META_KEY " is nested more than %d deep", j->line,
			DEPENDENCIES_META_DEPTH);
	yaml_put_value(&b, &n, STR(DEPENDENCIES_META_KEY), LEVEL, lock_importer_cmp);
	if (b.n > DEPENDENCIES_META_MAX)
		return err_set(e, ERR_TOOBIG, "line %u: " DEPENDENCIES_META_KEY " is over %d bytes in a lockfile",
			j->line, DEPENDENCIES_META_MAX);
	*out = arena_str(a, buf_str(&b));
	return 0;
}

bool dependencies_meta_fits(str text)
{
	if (text.n > DEPENDENCIES_META_MAX || text.n < INDENT || text.p[0] != '\n')
		return false;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		size_t blank = 0;
		if (c < ' ' && c != '\n' && c != '\t')
			return false;
		if (c != '\n')
			continue;
		while (i + 1 + blank < text.n && text.p[i + 1 + blank] == ' ')
			blank++;
		if (blank < INDENT && i + 1 < text.n && text.p[i + 1] != '\n')
			return false;
	}
	return true;
}
