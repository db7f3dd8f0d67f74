#include "serve.h"

static bool fault_option(struct fault *f, str key, str value)
{
	uint64_t n = 0;

	if (str_eq(key, STR("match"))) {
		f->match = value;
		return value.n > 0;
	}
	if (!str_u64(value, &n) || n > INT32_MAX)
		return false;
	if (str_eq(key, STR("every")))
		f->every = (unsigned)n;
	else if (str_eq(key, STR("limit")))
		f->limit = (unsigned)n;
	else if (str_eq(key, STR("retry-after")))
		f->retry_after_s = (int)n;
	else
		return false;
	return f->every > 0;
}

int fault_parse(struct fault *out, str s, struct err *e)
{
	struct fault f = { .every = 1, .retry_after_s = -1 };
	str kind, rest, option, key, value;
	uint64_t status;

	str_cut(s, ',', &kind, &rest);
	if (str_u64(kind, &status) && status >= 400 && status < 600)
		f.status = (int)status;
	else if (str_eq(kind, STR("stall")))
		f.kind = FAULT_STALL;
	else if (str_eq(kind, STR("truncate")))
		f.kind = FAULT_TRUNCATE;
	else if (str_eq(kind, STR("integrity")))
		f.kind = FAULT_INTEGRITY;
	else
		return err_set(e, ERR_USAGE,
			"\"" STR_FMT "\": a fault is a status from 400 to 599, stall, truncate or integrity",
			STR_ARG(kind));
	while (rest.n) {
		str_cut(rest, ',', &option, &rest);
		if (!str_cut(option, '=', &key, &value) || !fault_option(&f, key, value))
			return err_set(e, ERR_USAGE, "\"" STR_FMT "\": not an option of a fault", STR_ARG(option));
	}
	*out = f;
	return 0;
}
