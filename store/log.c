#include "log.h"
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"

enum sink_kind { SINK_FILE, SINK_PIPE, SINK_SOCKET };
static int sink_fd = STDERR_FILENO;
static enum sink_kind sink_kind = SINK_FILE;
static atomic_int sink_level = LOG_WARN;
static enum log_format sink_format = LOG_TEXT;
static bool sink_journal;
static atomic_uint_fast64_t dropped;

/* systemd says in JOURNAL_STREAM, "device:inode", which stream it connected (systemd.exec(5)). */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!stream || fstat(fd, &st) != 0)
		return false;
	snprintf(own, sizeof(own), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	return strcmp(own, stream) == 0;
}

static const char *const level_priority[] = { "<3>", "<4>", "<6>", "<7>" };

const char *log_priority(int fd, enum log_level level)
{
	return is_journal(fd) ? level_priority[level] : "";
}

void log_setup(int fd, enum log_level level, enum log_format format)
{
	char self[64];
	struct stat st = { 0 };

	sink_fd = fd;
	sink_journal = is_journal(fd);
	sink_kind = SINK_FILE;
	if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
		sink_kind = SINK_SOCKET;
	} else if (S_ISFIFO(st.st_mode)) {
		/* Opened anew: O_NONBLOCK on FD itself would be set for whoever else writes there. Asking poll()
		 * first is not enough: a pipe that has room for one line has none for two threads' lines.
		 * Without /proc that is all. */
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		int own = open(self, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (own >= 0) {
			sink_fd = own; /* until the process ends */
			sink_kind = SINK_PIPE;
		}
	}
	atomic_store(&sink_level, level);
	sink_format = format;
}

void log_set_level(enum log_level level)
{
	atomic_store(&sink_level, level);
}

bool log_on(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&sink_level, memory_order_relaxed);
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
	if (sink_journal)
		buf_add(b, str_of(level_priority[level]));
	if (sink_format == LOG_JSON)
		buf_printf(b, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":\"%s\"", when, ts.tv_nsec / 1000000,
			level_name[level], event);
	else
		buf_printf(b, "%s.%03ldZ %s %s ", when, ts.tv_nsec / 1000000, level_name[level], event);
}

/* The next "key=value" of TEXT; a value in quotes may hold spaces. False: what comes is none. */
static bool pair_next(str *key, str *value, str *rest)
{
	str s = str_trim(*rest);
	size_t n = 0;

	while (n < s.n && ((s.p[n] >= 'a' && s.p[n] <= 'z') || s.p[n] == '_' || (n && s.p[n] >= '0' && s.p[n] <= '9')))
		n++;
	if (n == 0 || n == s.n || s.p[n] != '=')
		return false;
	*key = str_head(s, n);
	s = str_from(s, n + 1);
	bool quoted = s.n && s.p[0] == '"';
	size_t end = str_find(s, quoted ? '"' : ' ', quoted);
	if (quoted && end == SIZE_MAX)
		return false;
	end = end == SIZE_MAX ? s.n : end;
	*value = quoted ? (str){ s.p + 1, end - 1 } : str_head(s, end);
	*rest = str_from(s, end + quoted);
	return true;
}

/* Each pair is a field; what is no pair is left to "text". */
static void fields_put(struct buf *b, str text)
{
	str key, value;

	while (pair_next(&key, &value, &text)) {
		buf_printf(b, ",\"" STR_FMT "\":", STR_ARG(key));
		json_put_str(b, value);
	}
	text = str_trim(text);
	if (text.n) {
		buf_add(b, STR(",\"text\":"));
		json_put_str(b, text);
	}
	buf_addc(b, '}');
}

/* A pipe takes PIPE_BUF bytes whole or not at all. */
static bool sink_write(const void *p, size_t n)
{
	if (sink_kind == SINK_SOCKET)
		return send(sink_fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n;
	struct pollfd pf = { .fd = sink_fd, .events = POLLOUT };
	if (sink_kind == SINK_FILE && poll(&pf, 1, 0) != 1)
		return false;
	return write(sink_fd, p, n) == (ssize_t)n;
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
	for (char *c = text; *c; c++) { /* what others wrote makes no line of its own */
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	AUTO(buf_release) struct buf b = BUF_INIT;
	line_start(&b, level, event);
	size_t head = b.n;
	if (sink_format == LOG_JSON) {
		fields_put(&b, str_of(text));
		if (b.n >= PIPE_BUF) { /* escapes made it long: a shorter one that is whole */
			b.n = head;
			text[256] = 0;
			buf_add(&b, STR(",\"text\":"));
			json_put_str(&b, str_of(text));
			buf_addc(&b, '}');
		}
	} else {
		buf_add(&b, str_of(text));
	}
	buf_addc(&b, '\n');
	if (!sink_write(b.p, b.n))
		atomic_fetch_add(&dropped, 1);
}

uint64_t log_dropped(void)
{
	return atomic_load(&dropped);
}
