/* progress — what a person (or a machine) sees of an install while it runs.
 *
 * One thread, the install's loop. On a terminal one line is redrawn at most
 * ten times a second; elsewhere (append-only) lines are added; ndjson writes one object a line to standard output. */
#pragma once
#include "base/base.h"

enum reporter { REPORTER_DEFAULT = 0, REPORTER_APPEND, REPORTER_NDJSON, REPORTER_SILENT };
struct progress {
	enum reporter reporter;
	bool tty;
	uint64_t start_us, drawn_us;
	bool line;       /* the terminal's line is ours now */
	char drawn[256]; /* what stands there: it is not drawn again */
	uint32_t resolved, reused, downloaded, added, total;
	uint64_t bytes;
	bool planned;
	uint32_t deprecated;
};
/* Nothing is written yet. The line is redrawn where R is the default and standard error is a terminal that can
 * (TERM is not dumb). */
void progress_init(struct progress *p, enum reporter r);
/* Counters have changed. */
void progress_update(struct progress *p);
/* The terminal's line, of N bytes and less than WIDE columns, since one that wraps cannot be drawn over: the bar takes
 * what the counts leave. Its length. */
size_t progress_line(char *out, size_t n, const struct progress *p, unsigned wide);
/* Makes control characters other than line breaks and tabs visible: TEXT may quote what a registry said, and
 * a terminal would obey it. */
void progress_plain(char *text);
/* A line for people, above the progress; not in silent mode. */
void progress_say(struct progress *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same, marked as a warning. */
void progress_warn(struct progress *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Whether what scripts write is shown at once: a line drawn over and over leaves no room for it. */
bool progress_shows_output(const struct progress *p);
/* A line that a script wrote. */
void progress_output(struct progress *p, str title, str line);
/* One ndjson object: {"event":EVENT, ...FIELDS}; FIELDS is JSON without braces. Nothing in other modes. */
void progress_event(struct progress *p, const char *event, const char *fields, ...) PRINTF_LIKE(3, 4);
/* Takes the line away. */
void progress_clear(struct progress *p);
