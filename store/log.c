#include "log.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"

static int sink_fd = STDERR_FILENO;
static enum log_level sink_level = LOG_WARN;
static enum log_format sink_format = LOG_TEXT;
static atomic_uint_fast64_t dropped;

void log_setup(int fd, enum log_level level, enum log_format format)
{
	sink_fd = fd;
	sink_level = level;
	sink_format = format;
}

bool log_on(enum log_level level)
{
	return level <= sink_level;
}

static const char *const level_name[] = { "error", "warn", "info", "debug" };

static void line_start(struct buf *b, enum log_level level, const char *event)
{
	struct timespec ts;
	struct tm tm;
	char when[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	if (sink_format == LOG_JSON)
		buf_printf(b, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":\"%s\",\"text\":", when,
			ts.tv_nsec / 1000000, level_name[level], event);
	else
		buf_printf(b, "%s.%03ldZ %s %s ", when, ts.tv_nsec / 1000000, level_name[level], event);
}

void log_at(enum log_level level, const char *event, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	if (!log_on(level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	AUTO(buf_release) struct buf b = BUF_INIT;
	line_start(&b, level, event);
	if (sink_format == LOG_JSON) {
		json_put_str(&b, str_of(text));
		buf_addc(&b, '}');
	} else {
		buf_add(&b, str_of(text));
	}
	buf_addc(&b, '\n');
	struct pollfd p = { .fd = sink_fd, .events = POLLOUT };
	if (poll(&p, 1, 0) != 1 || write(sink_fd, b.p, b.n) != (ssize_t)b.n)
		atomic_fetch_add(&dropped, 1);
}

uint64_t log_dropped(void)
{
	return atomic_load(&dropped);
}
