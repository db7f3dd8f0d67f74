/* log — the one sink for what happens, event first, then key=value with units.
 *
 *	log_info("fetch", "pkg=" STR_FMT " ms=%u", STR_ARG(name), ms);
 *
 * The sink is the one mutable global beside str_hash()'s seed; it is set up before threads start. A line is written
 * with a single write(2), so lines never mix; a sink that cannot take it (a stuck pipe or socket) never blocks: the
 * line is dropped and counted. As JSON each key=value is a field, a string; values with spaces are in quotes. Where the
 * sink is systemd's journal, a line has its priority in front ("<4>", sd-daemon(3)), which the journal takes off. */
#pragma once
#include "base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };
/* FD is borrowed; default: stderr, LOG_WARN, text. */
void log_setup(int fd, enum log_level level, enum log_format format);
/* Any thread, at any time. */
void log_set_level(enum log_level level);
/* Whether a line of LEVEL is written, for what is costly to say. */
bool log_on(enum log_level level);
/* One line; what is above the level is none. Mostly by the macros below. */
void log_at(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Lines that the sink did not take, since the process began. */
uint64_t log_dropped(void);
/* The journal's prefix for LEVEL, or "" where FD is no stream of the journal's. */
const char *log_priority(int fd, enum log_level level);
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) (log_on(LOG_DEBUG) ? log_at(LOG_DEBUG, __VA_ARGS__) : (void)0)
