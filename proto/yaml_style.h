/* yaml_style — which of YAML's styles pnpm writes a text in.
 *
 * Plain where a reader takes it neither for another type nor for syntax, else in single quotes; in double quotes what
 * cannot be printed, as a literal block what has several lines. Source: pnpm 12. Pure. */
#pragma once
#include "base/str.h"

enum yaml_style { YAML_STYLE_PLAIN, YAML_STYLE_SINGLE, YAML_STYLE_DOUBLE, YAML_STYLE_LITERAL };
/* Of S, which is not empty. ONE_LINE: a key, or inside a flow map. IN_BLOCK: not inside flow. */
enum yaml_style yaml_style_of(str s, bool one_line, bool in_block);
/* Whether a reader would take S, not empty, for something other than a string where it stands plain. */
bool yaml_is_typed(str s);
/* Next code point of S at *I, which moves past it. Text that is no UTF-8 gives its byte as an unprintable one. */
uint32_t yaml_next_char(str s, size_t *i);
/* Whether C can stand in a text as it is; what cannot puts the text into double quotes. */
bool yaml_is_printable(uint32_t c);
