/* pkg_index — a package's record: one flat run of bytes that is read where it lies.
 *
 * Pure. pkg_build_* collects files and writes the record; pkg_check() proves
 * all of a record's offsets once, after which the accessors of store.h need no
 * checks of their own. Everything is little-endian and may lie unaligned (LMDB
 * promises two bytes). Strings are followed by a NUL, so that they can be given
 * to system calls as they are. Format: docs/store.md. */
#pragma once
#include "store.h"

enum { PKG_ID = 16 }; /* bytes of the name of a package's directory in the store */

/* One file as an importer saw it. */
struct pkg_entry {
	str path; /* safe, borrowed */
	uint64_t size;
	uint32_t num; /* its file's name in the package's directory, in decimal; nothing is kept for empty files */
	bool exec;
	uint8_t sha256[32]; /* or a CRC: content_sum.h */
};
struct pkg_info {
	str key, name, version;
	uint8_t id[PKG_ID];
	int64_t mtime; /* seconds; of every file */
	uint32_t flags;
	struct pkg_bin *bin;
	uint32_t nbin;
	struct str_kv *script; /* stage, command */
	uint32_t nscript;
};
/* Writes the record of N files (sorted in place by path) to OUT, directories derived from the paths. ERR_PARSE: two
 * entries claim the same path, or one is a file and another a directory there. ERR_TOOBIG past 4 GiB. */
MUST_USE int pkg_build(struct pkg *out, const struct pkg_info *info, struct pkg_entry *file, uint32_t n, struct err *e);

/* Whether all of the record is where it says. ERR_PARSE. */
MUST_USE int pkg_check(struct pkg p, struct err *e);

/* Sets or takes PKG_UNPROVEN of the record at P, which pkg_check() has passed. */
void pkg_mark_unproven(uint8_t *p, bool unproven);

/* What only store/ needs of a record. */
str pkg_key(struct pkg p);
const uint8_t *pkg_id(struct pkg p);
int64_t pkg_mtime(struct pkg p);
struct pkg_file_row {
	str path; /* NUL-terminated */
	uint64_t size;
	uint32_t num;
	bool exec;
	const uint8_t *sha256; /* or a CRC: content_sum.h */
};
/* File I, below pkg_nfiles(): in the order of paths. Borrowed from the record. */
struct pkg_file_row pkg_file_row(struct pkg p, uint32_t i);

/* REC, a record that the caller may write to, then has SHA-256 for file I, and no CRC once PKG_CRC is taken off it. */
void pkg_set_sha256(uint8_t *rec, uint32_t i, const uint8_t sha256[32]);
/* REC, which the caller may write to, has these flags from now on. */
void pkg_set_flags(uint8_t *rec, uint32_t flags);
