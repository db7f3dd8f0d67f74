#include "lockfile_order.h"

static const str entry_rank[] = { STR_INIT("resolution"), STR_INIT("id"), STR_INIT("name"), STR_INIT("version"),
	STR_INIT("engines"), STR_INIT("cpu"), STR_INIT("os"), STR_INIT("libc"), STR_INIT("deprecated"),
	STR_INIT("hasBin"), STR_INIT("prepare"), STR_INIT("requiresBuild"), STR_INIT("bundleDependencies"),
	STR_INIT("peerDependencies"), STR_INIT("peerDependenciesMeta"), STR_INIT("dependencies"),
	STR_INIT("optionalDependencies"), STR_INIT("transitivePeerDependencies"), STR_INIT("dev"),
	STR_INIT("optional") };
static const str root_rank[] = { STR_INIT("lockfileVersion"), STR_INIT("settings"), STR_INIT("catalogs"),
	STR_INIT("overrides"), STR_INIT("packageExtensionsChecksum"), STR_INIT("pnpmfileChecksum"),
	STR_INIT("patchedDependencies"), STR_INIT("importers"), STR_INIT("packages") };

/* By first letter: a bit for each length that a key of either table has. Nearly all keys are names of
 * packages and have no rank. */
static const uint32_t ranked_lengths[26] = { ['b' - 'a'] = 1u << 18,
	['c' - 'a'] = 1u << 3 | 1u << 8,
	['d' - 'a'] = 1u << 3 | 1u << 10 | 1u << 12,
	['e' - 'a'] = 1u << 7,
	['h' - 'a'] = 1u << 6,
	['i' - 'a'] = 1u << 2 | 1u << 9,
	['l' - 'a'] = 1u << 4 | 1u << 15,
	['n' - 'a'] = 1u << 4,
	['o' - 'a'] = 1u << 2 | 1u << 8 | 1u << 9 | 1u << 20,
	['p' - 'a'] = 1u << 7 | 1u << 8 | 1u << 16 | 1u << 19 | 1u << 20 | 1u << 25,
	['r' - 'a'] = 1u << 10 | 1u << 13,
	['s' - 'a'] = 1u << 8,
	['t' - 'a'] = 1u << 26,
	['v' - 'a'] = 1u << 7 };

static size_t rank_of(const str *name, size_t n, str key)
{
	unsigned letter = (unsigned char)key.p[0] - 'a';

	if (letter >= 26 || key.n >= 32 || !(ranked_lengths[letter] >> key.n & 1))
		return n;
	for (size_t i = 0; i < n; i++) {
		if (str_eq(name[i], key))
			return i;
	}
	return n;
}

static int ranked_cmp(const str *name, size_t n, str a, str b)
{
	size_t ra = a.n ? rank_of(name, n, a) : n, rb = b.n ? rank_of(name, n, b) : n;

	return ra != rb ? (ra < rb ? -1 : 1) : ra < n ? 0 : str_cmp(a, b);
}

int lock_entry_cmp(str a, str b)
{
	return ranked_cmp(entry_rank, sizeof(entry_rank) / sizeof(entry_rank[0]), a, b);
}

int lock_importer_cmp(str a, str b)
{
	return ranked_cmp(root_rank, sizeof(root_rank) / sizeof(root_rank[0]), a, b);
}
