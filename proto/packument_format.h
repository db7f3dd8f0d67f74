/* packument_format — the bytes of a compiled packument, shared by its writer (packument.c) and its reader
 * (packument_read.c).
 *
 * One block, little-endian, no pointers; sections follow the head in this order and have the lengths that the head
 * states:
 *
 *	struct pk_head
 *	struct pk_version	[nversions]	ascending by semver
 *	struct pk_tag		[ntags]		in the source's order
 *	uint32_t strings	[nstrings + 1]	offsets into the blob; string i is blob[strings[i] .. strings[i + 1]]
 *	uint32_t groups		[ngroups + 1]	offsets into the pool; likewise
 *	uint32_t pool		[npool]		string ids: elements of a list, or key and value by turns of a map
 *	uint32_t hash		[nhash]		open addressing by pk_hash() of the version's text: index or PK_NONE
 *	char blob		[nblob]
 *
 * String 0 is empty and group 0 has no members. Equal maps and lists are one group; names and ranges are one string
 * each. */
#pragma once
#include "packument.h"

#define PK_MAGIC 0x6b706472u /* "drpk" */
#define PK_FORMAT 5u
#define PK_NONE UINT32_MAX
#define PK_USUAL UINT32_MAX /* a tarball that is the head of all, the version's text and ".tgz" */

struct pk_head {
	uint32_t magic, format, size, has_time;
	int64_t modified;
	uint32_t name, tarball_head, reserved, nversions, ntags, nstrings, ngroups, npool, nhash, nblob;
};
enum { PK_INSTALL_SCRIPT = 1, PK_BUNDLE_ALL = 2, PK_HAS_BIN = 4, PK_LIBC_SCALAR = 8, PK_TRUST_SHIFT = 8 };
struct pk_version {
	uint64_t major, minor, patch, unpacked_size;
	int64_t time;
	uint32_t text, integrity, tarball, deprecated; /* strings; the tarball may be PK_USUAL */
	uint32_t map[PACKUMENT_NMAPS];                 /* groups */
	uint32_t list[PACKUMENT_NLISTS];
	uint32_t file_count, flags;
	uint16_t pre_at, pre_n, build_at, build_n; /* within the text */
	uint32_t time_text, reserved;              /* string: the publish time where it isn't "….mmmZ" */
};
struct pk_tag {
	uint32_t tag, version; /* string; index or PK_NONE */
};
_Static_assert(sizeof(struct pk_head) == 64, "the record's layout");
_Static_assert(sizeof(struct pk_version) == 120 && sizeof(struct pk_tag) == 8, "the record's layout");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are read in place");

/* Part of the format: FNV-1a, folded. */
static inline uint32_t pk_hash(str s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3u;
	return (uint32_t)(h ^ (h >> 32));
}
