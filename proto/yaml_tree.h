/* yaml_tree — YAML as a tree, read by hand for speed.
 *
 * The subset that pnpm writes and people edit: block and flow collections,
 * plain, quoted and literal scalars on one line each, comments, explicit keys.
 * Anchors, tags, folded and multi-line plain scalars are refused by name. A
 * document is read entry by entry (yaml_reader), so
 * that a lockfile of thousands of entries never has more than one in memory.
 * Bounds: depth 64. Strings borrow from the text or live in the arena. Pure. */
#pragma once
#include "base/base.h"

enum yaml_kind { YAML_KIND_NONE = 0, YAML_KIND_PLAIN, YAML_KIND_QUOTED, YAML_KIND_MAP, YAML_KIND_SEQ };
struct yaml_node {
	str key; /* as a member of a map */
	str s;   /* of a scalar: decoded */
	struct yaml_node *child, *next;
	uint32_t n; /* children */
	uint32_t line, col;
	enum yaml_kind kind;
};

struct yaml_reader {
	const char *p, *end, *bol; /* where it reads; the line's beginning */
	uint32_t line;
	ptrdiff_t indent; /* of the line at p; -1 at the end of the document */
	unsigned depth;
	str path;              /* for messages */
	struct arena *strings; /* decoded strings */
	struct arena *nodes;
	struct err *e;
};

/* Member KEY of a map, or NULL (also for other kinds). */
const struct yaml_node *yaml_get(const struct yaml_node *n, str key);
/* Whether N is text (plain or quoted). */
static inline bool yaml_is_scalar(const struct yaml_node *n)
{
	return n && (n->kind == YAML_KIND_PLAIN || n->kind == YAML_KIND_QUOTED);
}
/* Plain true or false; false when N is neither. */
bool yaml_bool(const struct yaml_node *n, bool *out);
/* A plain decimal number. */
bool yaml_u64(const struct yaml_node *n, uint64_t *out);

/* Entry by entry. START skips to the first content. KEY reads one key of the block map at INDENT and what separates it
 * from its value: 1, or 0 when the map ends, or an error. Then either VALUE reads the whole value, or, when OPEN tells
 * that the value is a block map below, its entries are read by KEY with the indent that OPEN gave. */
int yaml_reader_start(struct yaml_reader *r, str text, uint32_t line);
int yaml_reader_key(struct yaml_reader *r, ptrdiff_t indent, str *key, uint32_t *line);
int yaml_reader_open(struct yaml_reader *r, ptrdiff_t indent, ptrdiff_t *inner);
int yaml_reader_value(struct yaml_reader *r, ptrdiff_t indent, struct yaml_node **out);
/* ERR_PARSE at the place it has reached. */
int yaml_reader_err(struct yaml_reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Refuses bytes that are no UTF-8, with the line. */
int yaml_check_utf8(str text, str path, struct err *e);
