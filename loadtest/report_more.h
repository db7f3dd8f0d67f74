/* report_more — the parts of the page that are no scenario: a server under load, the grid of links, what was prepared. */
#pragma once
#include "result.h"

/* Lines of other kinds than samples. */
void report_notes(struct buf *b, const struct result *r);
/* Whether LINK is a cell of the grid, "50ms-100M". */
bool report_is_grid(str link, unsigned *rtt_ms, unsigned *mbit);
/* A table of round trip × rate for every project and phase; nothing where no grid was measured. */
void report_grid(struct buf *b, const struct result *r);
/* What a server buys each project, first thing on the page. */
void report_answers(struct buf *b, const struct result *r);
