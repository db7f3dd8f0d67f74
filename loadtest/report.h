/* report — a result file as one self-contained HTML page: tables and bars, no script, no outside file. */
#pragma once
#include "result.h"

/* The page as the file PATH, whole or not at all. COMMAND is what made the result, for the reader who wants to make it
 * again; may be empty. ERR_IO, ERR_NOSPACE. */
MUST_USE int report_write(const char *path, const struct result *r, str command, struct err *e);
