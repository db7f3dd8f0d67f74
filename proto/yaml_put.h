/* yaml_put — writes YAML with pnpm's bytes: its styles (yaml_style.h) and blank lines.
 *
 * Two spaces a level, no wrapping, no anchors. Source: pnpm 12. Pure. */
#pragma once
#include "yaml_tree.h"

/* A scalar whose map stands LEVEL - 1 deep. ONE_LINE: a key, or inside a flow map. IN_BLOCK: not inside flow. */
void yaml_put_scalar(struct buf *b, str s, unsigned level, bool one_line, bool in_block);
/* Two spaces a level. */
void yaml_put_indent(struct buf *b, unsigned level);
/* A key of a block map with its colon; over 1,024 UTF-16 units as "? key" on a line of its own. Returns whether it
 * was. */
bool yaml_put_key(struct buf *b, str key, unsigned level);
/* What follows "key:" of a map LEVEL deep (with its leading space or line break). Members are
 * put in the order of CMP. */
typedef int yaml_key_cmp(str a, str b);
void yaml_put_value(struct buf *b, const struct yaml_node *n, str key, unsigned level, yaml_key_cmp *cmp);
/* Keys below which, wherever they stand, pnpm puts everything on one line (as it does for a map called "resolution"),
 * and those whose members it separates by blank lines: a dependency may be called so. */
bool yaml_key_flows(str key);
bool yaml_key_spreads(str key);
