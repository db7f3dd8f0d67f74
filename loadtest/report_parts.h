/* report_parts — the parts of the page that are no scenario: the answers at its top (report_answer.c), the grid of
 * links, a server under load, what was prepared. Called by report.c alone; all append HTML. */
#pragma once
#include "result.h"

/* Lines of other kinds than samples. */
void report_notes(struct buf *b, const struct result *r);
/* A table of round trip × rate for every project and phase; nothing where no grid was measured. */
void report_grid(struct buf *b, const struct result *r);
/* What a server buys each project, first thing on the page. */
void report_answers(struct buf *b, const struct result *r);
