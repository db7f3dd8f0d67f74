/* json — a JSON document as a tree in an arena, for manifests and state files.
 *
 * RFC 8259, with limits: depth 64, 64 MiB. Errors carry line and column (both
 * from 1). Object members keep their order; a duplicate key keeps the last
 * value in the first place, as JavaScript does. A UTF-8 byte order mark is
 * skipped. Packuments have their own, faster reader (packument.h). */
#pragma once
#include "base/base.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
struct json {
	enum json_type type;
	uint32_t n;         /* members or elements */
	str s;              /* decoded string, or a number's text */
	str *key;           /* of an object: n keys */
	struct json *child; /* of an object or array: n values */
	uint32_t line, col; /* where the value starts */
};

/* Reads TEXT whole; everything of the tree lies in A, nothing borrows TEXT. ERR_PARSE ("line 2, column 7: expected …"),
 * ERR_TOOBIG. Columns count bytes. Strings must be UTF-8; a lone \uD800…\uDFFF becomes U+FFFD. */
int json_parse(struct json **out, str text, struct arena *a, struct err *e);
/* Member of an object, or NULL (also when J is NULL or no object). */
const struct json *json_get(const struct json *j, const char *key);
/* The string's value, or STR_NONE when J is NULL or no string. */
str json_str(const struct json *j);
bool json_is(const struct json *j, enum json_type t);

/* Writing: appends S quoted and escaped as JSON.stringify does; bytes that are no UTF-8 become U+FFFD. */
void json_put_str(struct buf *b, str s);
/* Appends J as JSON without spaces; numbers as they were written. */
void json_put(struct buf *b, const struct json *j);
