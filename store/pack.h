/* pack — one package's files, deduplicated and compressed harder than gzip, in one run of bytes.
 *
 * Built once from a tarball whose integrity was verified, kept by the digest of
 * its own bytes, static and immutable. The digest travels in the plan, so a pack
 * is verified before a byte of it is visible: pack_unpack() takes the digest
 * and hashes what it was given first. Pure. Why it is so: docs/decisions/packs.md.
 *
 *	header   32 bytes, little-endian: magic, version, files, table's size raw and compressed, bytes of the tarball
 *		that it was made of (0: unknown), content's raw size
 *	table    one zstd frame: a row a file (path by shared prefix, mode, size, same content as an earlier file)
 *	         and the SHA-256 of each content
 *	content  one zstd frame: every different content once, in the table's order */
#pragma once
#include "base/base.h"
#include <stdatomic.h>

#define PACK_FORMAT 1u

/* Past them a package is not packed (the plan says tarball), and a pack that claims more is refused. */
#define PACK_MOST_FILES 500000u
#define PACK_MOST_RAW (512ull << 20)
#define PACK_MOST_TOTAL (4ull << 30) /* with files that are the same counted each */
#define PACK_MOST_TABLE (64u << 20)
/* A client needs no more memory than that for a pack's content: a smaller one is unpacked in one piece, a larger one
 * streams through a window. */
#define PACK_PIECE (8u << 20)
enum { PACK_WINDOW_LOG = 25 };
/* A delta's content comes in segments of at most so many bytes, each behind as many of the other version's. */
#define PACK_SEGMENT (8u << 20)
#define PACK_MOST_PREFIX (20u << 20)

struct pack_file {
	str path; /* safe, below the package */
	bool exec;
	const uint8_t *p; /* content */
	uint64_t n;
	uint8_t sha256[32]; /* filled by pack_build() */
};
struct pack_opts {
	int level;               /* zstd's: 9 at first demand, 19 when settling */
	uint32_t tarball;        /* bytes of the tarball, for whoever counts what was saved; 0: unknown */
	const atomic_bool *stop; /* once it is true, encoding ends with ERR_CANCELLED; NULL: never */
};
/* Appends the pack of N files to OUT; *digest is its SHA-256. ERR_TOOBIG names the limit; ERR_CANCELLED. */
MUST_USE int pack_build(struct buf *out, uint8_t digest[32], struct pack_file *file, uint32_t n,
	const struct pack_opts *o, struct err *e);

/* One file on its way out, or a piece of one. Everything is borrowed for the call. */
struct pack_row {
	str path;
	bool exec;
	uint64_t n;                  /* bytes of the file */
	const uint8_t *p;            /* LEN of them, from AT on */
	uint64_t at, len;            /* all of it, but for PACK_PIECES */
	const struct pack_row *same; /* PACK_PIECES: the content is that earlier row's, P is NULL */
	const uint8_t *sha256;       /* a whole pack's table's word for the content; NULL: a delta's, which has */
	uint64_t crc;                /* content_crc() of all of it, with its last piece */
};
typedef int pack_row_fn(void *arg, const struct pack_row *row, struct err *e);
enum {
	PACK_CHECK = 1, /* each content is hashed, too */
	/* FN takes files of large packs in pieces, in order, and SAME: memory is bounded by the window. */
	PACK_PIECES = 2,
};
/* Verifies the N bytes at P against DIGEST, then gives every file to FN in the table's order. FLAGS: PACK_… . A
 * negative return of FN ends it. ERR_INTEGRITY: other bytes than promised; ERR_PARSE: no pack, or an unsafe path;
 * ERR_TOOBIG; ERR_UNSUPPORTED: another version. LABEL names the package. */
MUST_USE int pack_unpack(const void *p, size_t n, const uint8_t digest[32], str label, unsigned flags, pack_row_fn *fn,
	void *arg, struct err *e);
/* Bytes of memory that unpacking it with PACK_PIECES, or applying it, takes beside its table and a context of
 * zstd's (94 KiB); 0: no pack. */
uint64_t pack_memory(const void *p, size_t n);

/* Raw bytes and files that a pack claims, from its first 32 bytes; false when they are no pack's. */
bool pack_claims(const void *p, size_t n, uint64_t *raw, uint32_t *files);
/* Bytes of the tarball that the pack was made of; 0: unknown, or no pack. */
uint32_t pack_tarball_bytes(const void *p, size_t n);
