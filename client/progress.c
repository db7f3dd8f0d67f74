#include "progress.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

/* Whether a line can be drawn over. */
static bool redraws(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && (!term || strcmp(term, "dumb") != 0);
}

void progress_init(struct progress *p, enum reporter r)
{
	*p = (struct progress){ .reporter = r, .tty = r == REPORTER_DEFAULT && redraws(), .start_us = clock_us() };
}

void progress_clear(struct progress *p)
{
	if (p->line)
		fputs("\r\033[K", stderr);
	p->line = false;
}

/* Of the terminal, as it is now: windows are resized. 80 where it does not say. */
static unsigned columns(void)
{
	struct winsize w;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

size_t progress_line(char *out, size_t n, const struct progress *p, unsigned wide)
{
	enum { BAR_MIN = 5, BAR_MAX = 30 };
	int counts = snprintf(out, n, "resolved %u%s, reused %u, downloaded %u (%.1f MB), added %u", p->resolved,
		p->planned ? "" : "...", p->reused, p->downloaded, (double)p->bytes / 1e6, p->added);
	size_t used = counts < 0 ? 0 : (size_t)counts < n ? (size_t)counts : n - 1, most = wide > 1 ? wide - 1 : 0;

	if (used > most)
		used = most;
	out[used] = 0;
	if (used + 3 + BAR_MIN > most || used + 3 + BAR_MAX >= n)
		return used;
	size_t bar = most - used - 3 < BAR_MAX ? most - used - 3 : BAR_MAX;
	size_t full = p->total ? (size_t)((uint64_t)p->added * bar / p->total) : 0;
	memmove(out + bar + 3, out, used + 1);
	out[0] = '[';
	for (size_t i = 0; i < bar; i++)
		out[1 + i] = i < full ? '=' : ' ';
	out[bar + 1] = ']';
	out[bar + 2] = ' ';
	return used + bar + 3;
}

static void progress_draw(struct progress *p)
{
	char text[sizeof(p->drawn)];

	progress_line(text, sizeof(text), p, columns());
	if (p->line && strcmp(text, p->drawn) == 0)
		return;
	memcpy(p->drawn, text, sizeof(text));
	fprintf(stderr, "\r%s\033[K", text); /* over the old one, not after wiping it: no flicker */
	fflush(stderr);
	p->line = true;
}

void progress_update(struct progress *p)
{
	uint64_t now = clock_us(), every = p->tty ? 100000 : 1000000;

	if (now - (p->drawn_us ? p->drawn_us : p->start_us) < every)
		return;
	p->drawn_us = now;
	if (p->tty)
		progress_draw(p);
	else if (p->reporter == REPORTER_DEFAULT || p->reporter == REPORTER_APPEND)
		fprintf(stderr, "resolved %u, reused %u, downloaded %u, added %u\n", p->resolved, p->reused,
			p->downloaded, p->added);
	else
		progress_event(p, "progress", "\"resolved\":%u,\"reused\":%u,\"downloaded\":%u,\"added\":%u",
			p->resolved, p->reused, p->downloaded, p->added);
}

void progress_plain(char *text)
{
	for (char *c = text; *c; c++) {
		if (((unsigned char)*c < ' ' && *c != '\n' && *c != '\t') || *c == 0x7f)
			*c = '?';
	}
}

PRINTF_LIKE(4, 0)
static void progress_text(struct progress *p, FILE *to, const char *head, const char *fmt, va_list ap)
{
	char text[4096];

	vsnprintf(text, sizeof(text), fmt, ap);
	if (p->reporter == REPORTER_SILENT)
		return;
	if (p->reporter == REPORTER_NDJSON) {
		AUTO(buf_release) struct buf b = BUF_INIT;
		json_put_str(&b, str_of(text));
		progress_event(p, *head ? "warning" : "message", "\"text\":" STR_FMT, STR_ARG(buf_str(&b)));
		return;
	}
	progress_clear(p);
	progress_plain(text);
	fprintf(to, "%s%s\n", head, text);
}

void progress_say(struct progress *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	progress_text(p, stdout, "", fmt, ap);
	va_end(ap);
}

void progress_warn(struct progress *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	progress_text(p, stderr, "warning: ", fmt, ap);
	va_end(ap);
}

bool progress_shows_output(const struct progress *p)
{
	return p->reporter == REPORTER_NDJSON || p->reporter == REPORTER_APPEND ||
	       (p->reporter == REPORTER_DEFAULT && !p->tty);
}

void progress_output(struct progress *p, str title, str line)
{
	if (p->reporter == REPORTER_NDJSON) {
		AUTO(buf_release) struct buf b = BUF_INIT;
		json_put_str(&b, title);
		buf_add(&b, STR(",\"line\":"));
		json_put_str(&b, line);
		progress_event(p, "script", "\"script\":" STR_FMT, STR_ARG(buf_str(&b)));
	} else if (progress_shows_output(p)) {
		fprintf(stderr, STR_FMT ": " STR_FMT "\n", STR_ARG(title), STR_ARG(line));
	}
}

void progress_event(struct progress *p, const char *event, const char *fields, ...)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	va_list ap, again;

	if (p->reporter != REPORTER_NDJSON)
		return;
	buf_printf(&b, "{\"event\":\"%s\",\"us\":%llu", event, (unsigned long long)(clock_us() - p->start_us));
	va_start(ap, fields);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fields, ap);
	va_end(ap);
	if (n > 0) { /* whole, however long: half an object is none */
		buf_addc(&b, ',');
		vsnprintf(buf_reserve(&b, (size_t)n + 1), (size_t)n + 1, fields, again);
		b.n += (size_t)n;
	}
	va_end(again);
	buf_add(&b, STR("}\n"));
	fwrite(b.p, 1, b.n, stdout);
	fflush(stdout);
}
