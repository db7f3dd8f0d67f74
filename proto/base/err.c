#include "base/err.h"
#include "base/arena.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

PRINTF_LIKE(3, 0)
static int err_vset(struct err *e, int code, const char *fmt, va_list ap)
{
	e->code = code;
	e->os = 0;
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	return code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(e, code, fmt, ap);
	va_end(ap);
	return code;
}

int err_os(struct err *e, const char *fmt, ...)
{
	int os = errno;
	va_list ap;

	va_start(ap, fmt);
	err_vset(e, os == ENOSPC || os == EDQUOT ? ERR_NOSPACE : ERR_IO, fmt, ap);
	va_end(ap);
	e->os = os;
	char text[128];
	const char *why = strerror_r(os, text, sizeof(text));
	size_t n = strlen(e->msg);
	snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", why);
	return e->code;
}

int err_ctx(struct err *e, const char *fmt, ...)
{
	char head[sizeof(e->msg)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	size_t h = strlen(head), room = sizeof(e->msg) - 1;
	if (h + 2 < room) {
		size_t keep = strlen(e->msg);
		if (keep > room - h - 2)
			keep = room - h - 2;
		memmove(e->msg + h + 2, e->msg, keep);
		memcpy(e->msg, head, h);
		memcpy(e->msg + h, ": ", 2);
		e->msg[h + 2 + keep] = 0;
	}
	return e->code;
}

struct err *err_copy(const struct err *e)
{
	struct err *copy = xmalloc(sizeof(*copy));

	*copy = *e;
	return copy;
}

struct err_row {
	const char *name;
	int http, exit;
};
static const struct err_row rows[] = {
	[0] = { "OK", 200, 0 },
	[-ERR_IO] = { "ERR_DRAY_IO", 500, 5 },
	[-ERR_PARSE] = { "ERR_DRAY_PARSE", 400, 3 },
	[-ERR_NOTFOUND] = { "ERR_DRAY_NOT_FOUND", 404, 4 },
	[-ERR_NOMATCH] = { "ERR_DRAY_NO_MATCHING_VERSION", 422, 4 },
	[-ERR_INTEGRITY] = { "ERR_DRAY_INTEGRITY", 502, 6 },
	[-ERR_TOOBIG] = { "ERR_DRAY_TOO_BIG", 413, 6 },
	[-ERR_USAGE] = { "ERR_DRAY_USAGE", 400, 2 },
	[-ERR_NET] = { "ERR_DRAY_NETWORK", 502, 7 },
	[-ERR_TIMEOUT] = { "ERR_DRAY_TIMEOUT", 504, 7 },
	[-ERR_AUTH] = { "ERR_DRAY_AUTH", 401, 8 },
	[-ERR_UNSUPPORTED] = { "ERR_DRAY_UNSUPPORTED", 422, 9 },
	[-ERR_OUTDATED] = { "ERR_DRAY_OUTDATED_LOCKFILE", 409, 1 },
	[-ERR_PROTOCOL] = { "ERR_DRAY_PROTOCOL", 400, 10 },
	[-ERR_CANCELLED] = { "ERR_DRAY_CANCELLED", 499, 130 },
	[-ERR_BUSY] = { "ERR_DRAY_BUSY", 503, 7 },
	[-ERR_POLICY] = { "ERR_DRAY_POLICY", 403, 8 },
	[-ERR_SCRIPT] = { "ERR_DRAY_SCRIPT", 500, 1 },
	[-ERR_BUILDS] = { "ERR_DRAY_IGNORED_BUILDS", 422, 1 },
	[-ERR_NOSPACE] = { "ERR_DRAY_NO_SPACE", 507, 5 },
};

static const struct err_row *err_row(int code)
{
	return code <= 0 && code >= ERR_LAST ? &rows[-code] : &rows[-ERR_IO];
}

const char *err_name(int code)
{
	return err_row(code)->name;
}

int err_http_status(int code)
{
	return err_row(code)->http;
}

int err_exit_status(int code)
{
	return err_row(code)->exit;
}
