/* packument_compile — a packument on its way from JSON to a record.
 *
 * Internal to the compiler: packument.c reads the document and writes the record, packument_version.c reads one
 * version, packument_intern.c gives equal strings, maps and lists one number. All work on a struct compile, which
 * one thread has at a time. */
#pragma once
#include "packument_format.h"
#include "packument_scan.h"
#include "packument_words.h"

/* Kinds of raw text that are remembered, because the next version mostly repeats them. */
enum memo { MEMO_MAP, MEMO_LIST = MEMO_MAP + PACKUMENT_NMAPS, MEMO_N = MEMO_LIST + PACKUMENT_NLISTS };
enum { MEMO_WAYS = 4, MAX_VERSION = 256, TIME_EMPTY = 0, KEEP_STRINGS = 1 << 15, KEEP_CELLS = 1 << 10 };

struct memo_entry {
	str raw;
	uint32_t group;
};
struct source { /* one version while it is read */
	struct pk_version v;
	struct semver sv;
	str text;
	bool ok;   /* its text is a version */
	bool gone; /* null: unpublished */
};
/* A version's place: compared by KEY first, which has the three numbers as far as they fit. */
struct rank {
	uint64_t key;
	struct source *v;
};
struct compile {
	struct scan s;
	struct arena a;
	str name;
	VEC(str) string;
	VEC(uint32_t) mark;  /* by string: place + 1 in the map being read, see map_read() */
	VEC(uint32_t) group; /* starts */
	VEC(uint32_t) pool;
	VEC(uint32_t) scratch;
	VEC(struct source) version;
	VEC(struct rank) rank;  /* in the record's order, once all are known */
	VEC(struct pk_tag) tag; /* .version is a string id until the versions are sorted */
	uint32_t *scell, smask; /* string id + 1 by hash of its bytes */
	uint32_t nscell;        /* how many are taken: most strings are not looked up */
	uint32_t *gcell, gmask; /* group id + 1 by hash of its members */
	VEC(uint32_t) hash;     /* the record's, once they are sorted */
	struct words fields, dist, map[PACKUMENT_NMAPS];
	struct memo_entry memo[MEMO_N][MEMO_WAYS];
	unsigned memo_at[MEMO_N];
	uint32_t tarball_head; /* string; 0: not known yet */
	str time_raw;          /* the `time` object, read when the versions are known */
	bool has_time, time_seen;
	int64_t modified, time_modified;
	struct err *e;
};

/* A string that is not expected to occur again: no look-up. */
uint32_t pk_string_push(struct compile *c, str s);
/* The number of S, which must live as long as the compilation. */
uint32_t pk_string_id(struct compile *c, str s);
/* The number of the group whose members are in .scratch. */
uint32_t pk_group_id(struct compile *c);
/* Whether the value that comes next was read before as what KIND says: then it is consumed. */
bool pk_memo_hit(struct compile *c, unsigned kind, uint32_t *group);
/* Remembers the text from FROM to the cursor. */
void pk_memo_put(struct compile *c, unsigned kind, const char *from, uint32_t group);
/* Puts KEY: VALUE into .scratch: a repeated key keeps its first place and gets the last value, as in JavaScript. */
void pk_map_put(struct compile *c, uint32_t key, uint32_t value);
/* The group of what was put since the last time. */
uint32_t pk_map_end(struct compile *c);

/* Reads the object of one version into V, the three numbers and the text apart. */
void pk_version_body(struct compile *c, struct pk_version *v);
