/* html — text inside of pages. */
#pragma once
#include "base/buf.h"

/* Appends S as text or as an attribute's value in double quotes; control characters become "?". */
void buf_add_html(struct buf *b, str s);
