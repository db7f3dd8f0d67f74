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
	rg = range_parse_apart(want, true, a);
	if (!rg)
		return err_set(e, ERR_USAGE, "patchedDependencies: \"" STR_FMT "\" is no version range", STR_ARG(want));
	*out = v && range_has(rg, v, false);
	return 0;
}

/* Which patches are for one package: the first of these counts. */
struct hits {
	str name, version;
	const struct semver *v; /* NULL: VERSION is none */
	const struct patch *exact, *range, *all;
};

/* WANT is what stands behind the name in P's selector. */
static int hit(struct hits *h, const struct patch *p, str want, struct arena *a, struct err *e)
{
	bool fits;

	if (want.p && !want.n)
		return 0; /* "name@" is about nothing */
	if (!want.n || str_eq(str_trim(want), STR("*"))) {
		if (!h->all || !want.n)
			h->all = p;
		return 0;
	}
	if (h->version.n && str_eq(want, h->version)) {
		h->exact = p;
		return 0;
	}
	int rc = takes(&fits, want, h->v, a, e);
	if (rc || !fits)
		return rc;
	if (h->range)
		return err_set(e, ERR_USAGE,
			"patchedDependencies: two ranges fit " STR_FMT "@" STR_FMT
			"; write the exact version to choose",
			STR_ARG(h->name), STR_ARG(h->version));
	h->range = p;
	return 0;
}

int patch_of(const struct patch **out, const struct settings *s, str name, str version, struct arena *a, struct err *e)
{
	struct semver v;
	struct hits h = { .name = name, .version = version, .v = semver_parse(&v, version, true) ? &v : NULL };

	*out = NULL;
	for (size_t i = 0; i < s->npatch && !h.exact; i++) {
		str n, want;
		name_split(s->patch[i].selector, &n, &want);
		int rc = str_eq(n, name) ? hit(&h, &s->patch[i], want, a, e) : 0;
		if (rc)
			return rc;
	}
	*out = h.exact ? h.exact : h.range ? h.range : h.all;
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
