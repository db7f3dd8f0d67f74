#include "patches.h"
#include "integrity.h"
#include "name.h"
#include "semver.h"

/* Whether the selector's range WANT takes V (NULL: no version). */
static int takes(bool *out, str want, const struct semver *v, struct arena *a, struct err *e)
{
	struct semver exact;
	const struct range *rg;

	*out = false;
	if (want.p[0] != '=' && semver_parse(&exact, want, true))
		return 0;
	rg = range_parse(want, true, a);
	if (!rg)
		return err_set(e, ERR_USAGE, "patchedDependencies: \"" STR_FMT "\" is no version range", STR_ARG(want));
	*out = v && range_has(rg, v, false);
	return 0;
}

int patch_of(const struct patch **out, const struct settings *s, str name, str version, struct arena *a, struct err *e)
{
	const struct patch *range_hit = NULL, *all = NULL;
	struct semver v;
	bool fits, versioned = semver_parse(&v, version, true);

	*out = NULL;
	for (size_t i = 0; i < s->npatch; i++) {
		const struct patch *p = &s->patch[i];
		str n, want;
		name_split(p->selector, &n, &want);
		if (!str_eq(n, name))
			continue;
		if (want.p && !want.n)
			continue; /* "name@" is about nothing */
		if (!want.n || str_eq(str_trim(want), STR("*"))) {
			if (!all || !want.n)
				all = p;
			continue;
		}
		if (version.n && str_eq(want, version)) {
			*out = p;
			return 0;
		}
		int rc = takes(&fits, want, versioned ? &v : NULL, a, e);
		if (rc)
			return rc;
		if (fits && range_hit)
			return err_set(e, ERR_USAGE,
				"patchedDependencies: two ranges fit " STR_FMT "@" STR_FMT
				"; write the exact version to choose",
				STR_ARG(name), STR_ARG(version));
		if (fits)
			range_hit = p;
	}
	*out = range_hit ? range_hit : all;
	return 0;
}

/* How many bytes at AT, where no UTF-8 is, one replacement character stands for: Unicode's "maximal subpart". */
static size_t bad_utf8(str s, size_t at)
{
	unsigned char lead = (unsigned char)s.p[at];
	size_t n = 1, most = lead >= 0xF0 && lead <= 0xF4 ? 3 : lead >= 0xE0 && lead <= 0xEF ? 2 : 1;

	for (; n < most && at + n < s.n; n++) {
		unsigned char c = (unsigned char)s.p[at + n];
		unsigned char low = n > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
		unsigned char high = n > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
		if (c < low || c > high)
			break;
	}
	return n;
}

void patch_hash(char hex[65], str text)
{
	struct buf b AUTO(buf_release) = BUF_INIT;
	uint8_t digest[32];

	for (size_t k = 0, n; k < text.n; k += n) {
		n = (unsigned char)text.p[k] < 0x80 ? 1 : str_utf8(text, k);
		if (!n) {
			buf_add(&b, STR("\xEF\xBF\xBD"));
			n = bad_utf8(text, k);
		} else if (text.p[k] != '\r' || k + 1 == text.n || text.p[k + 1] != '\n') {
			buf_add(&b, (str){ text.p + k, n });
		}
	}
	sha256(digest, b.p, b.n);
	hex_print(hex, digest, sizeof(digest));
}
