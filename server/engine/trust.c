#include "trust.h"
#include "match.h"
#include "name.h"

#define MINUTE_MS 60000

/* Whether "1.0.0 || 2.0.0" has VERSION. */
static bool alternative(str versions, str version)
{
	str head, tail = versions;
	do {
		str rest = tail;
		size_t at = str_find_str(rest, STR("||"), 0);
		head = at == SIZE_MAX ? rest : str_head(rest, at);
		tail = at == SIZE_MAX ? STR_NONE : str_from(rest, at + 2);
		if (str_eq(str_trim(head), version))
			return true;
	} while (tail.n);
	return false;
}

bool version_listed(struct str_list l, str name, str version, bool *whole)
{
	bool exact = false;
	*whole = false;
	for (size_t i = 0; i < l.n; i++) {
		str n, versions;
		name_split(l.p[i], &n, &versions);
		if (!versions.n) {
			if (match_list((struct str_list){ &l.p[i], 1 }, name))
				return *whole = true;
			continue;
		}
		exact = exact || (str_eq(n, name) && alternative(versions, version));
	}
	return exact;
}

const char *trust_word(int rank)
{
	static const char *const word[] = { "nothing that vouches for it", "a provenance attestation",
		"a trusted publisher", "an approved staged publish" };
	return word[rank >= 0 && rank < (int)(sizeof(word) / sizeof(*word)) ? rank : 0];
}

/* The best that vouches for a version published before AT. */
static int best_before(struct packument p, int64_t at, bool prereleases)
{
	int best = 0;
	for (uint32_t i = 0; i < packument_nversions(p); i++) {
		int64_t t = packument_time(p, i);
		int rank = packument_trust(p, i);
		struct semver v;
		if (rank <= best || !t || t >= at)
			continue;
		packument_semver(p, i, &v);
		if (prereleases || !v.pre.n)
			best = rank;
	}
	return best;
}

bool trust_allows(const struct settings *s, int64_t now_ms, struct packument p, uint32_t i, int *before, int *has)
{
	int64_t at = packument_time(p, i);
	struct semver v;
	bool whole;
	if (s->trust_policy == TRUST_OFF || !at ||
		version_listed(s->trust_policy_exclude, packument_name(p), packument_version(p, i), &whole))
		return true;
	if (s->trust_policy_ignore_after && now_ms > at &&
		(uint64_t)(now_ms - at) / MINUTE_MS > s->trust_policy_ignore_after)
		return true;
	packument_semver(p, i, &v);
	int had = best_before(p, at, v.pre.n > 0), now = packument_trust(p, i);
	if (before)
		*before = had;
	if (has)
		*has = now;
	return now >= had;
}
