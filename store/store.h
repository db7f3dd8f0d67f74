/* store — package contents on disk: an LMDB index of flat records and the files behind it.
 *
 * One directory, shared by all projects, by several processes at once, and by
 * the daemon. Only this component knows how content lies on disk; the linker
 * asks it to put a package's files into a directory. Source: docs/store.md.
 *
 * Threads: a struct store may be used by all; a struct store_read by one at a
 * time. Index writes go through one writer thread, in batches. */
#pragma once
#include "base/base.h"

struct store;
enum store_verify { STORE_VERIFY_STAT = 0, STORE_VERIFY_NONE, STORE_VERIFY_FULL };
struct store_opts {
	size_t map_size;          /* bytes of address space for the index; 0: 64 GiB */
	enum store_verify verify; /* what is checked before a stored file is reused */
	bool readahead;           /* much of the index is about to be read */
};
/* Opens DIR, making it when it is missing. ERR_UNSUPPORTED names another format version; ERR_IO.
 * Never twice in a process. */
MUST_USE int store_open(struct store **out, const char *dir, const struct store_opts *o, struct err *e);
/* Waits for the writer, then closes. */
void store_close(struct store *s);
/* As it was opened. Borrowed. */
const char *store_dir(const struct store *s);

/* A read transaction; what comes out of it lives until it ends. */
struct store_read;
/* ERR_BUSY: a process with the same id, in another pid namespace, has the index open. */
MUST_USE int store_read_begin(struct store_read **out, struct store *s, struct err *e);
/* What came out of it is gone, but for copies. */
void store_read_end(struct store_read *r);

/* A package's record, read in place: its files in path order, its directories parents first. */
struct pkg {
	const uint8_t *p;
	size_t n;
};
enum {
	PKG_HAS_INSTALL_SCRIPT = 1,
	PKG_HAS_BINDING_GYP = 2,
	PKG_HAS_BUNDLED = 4,
	PKG_CRC = 8,       /* store/content_sum.h */
	PKG_UNPROVEN = 16, /* came back after a power loss: its bytes are hashed before its first use */
};
struct pkg_bin {
	str command, path; /* path below the package, normalised, never outside */
};
str pkg_name(struct pkg p); /* from its package.json */
str pkg_version(struct pkg p);
uint32_t pkg_flags(struct pkg p);
uint32_t pkg_nfiles(struct pkg p);
uint32_t pkg_ndirs(struct pkg p);
uint64_t pkg_bytes(struct pkg p);
void pkg_file(struct pkg p, uint32_t i, str *path, uint64_t *size, bool *exec, const uint8_t **sha256);
str pkg_dir(struct pkg p, uint32_t i);
uint32_t pkg_nbins(struct pkg p);
struct pkg_bin pkg_bin(struct pkg p, uint32_t i);
/* preinstall, install, postinstall (and prepare for git): empty when there is none. */
str pkg_script(struct pkg p, const char *stage);

/* KEY is the package's SRI ("sha512-…", the strongest digest counts) or, for what has none, a URL or other stable name.
 * 1 and *out when the index has it, 0 when not, negative on error. The view dies with R. */
MUST_USE int store_get(struct pkg *out, struct store_read *r, str key, struct err *e);

/* How files are put into a tree. */
enum pkg_import_method { PKG_HARDLINK = 0, PKG_CLONE, PKG_COPY, PKG_AUTO };
struct pkg_link_stats {
	uint64_t dirs, links, clones, copies, bytes_copied;
	uint64_t misfits; /* copied because the store's file has another mode than the umask leaves */
	int refused;      /* the error with which hard links were, or 0 */
};
/* Puts all of P's files below DIRFD, an open, empty directory: directories once, files by METHOD with fallback
 * (hardlink -> reflink -> copy), empty files created. FRESH: this process has imported P and links it at once, so that
 * STORE_VERIFY_STAT need look at none of them; whoever waits for anything else in between passes false. ERR_NOTFOUND
 * or ERR_INTEGRITY: the store lost or spoiled a file; the record has been dropped from the index and the caller
 * fetches the package again. */
MUST_USE int store_link(struct store *s, struct pkg p, bool fresh, int dirfd, enum pkg_import_method method,
	struct pkg_link_stats *stats, struct err *e);

/* An import in progress: tarball bytes in, a record and files out, or nothing at all. One thread at a time. Without a
 * store (S NULL) it leaves no file: out comes the record that a store would have, for who compares. */
struct import;
struct import_opts {
	str key; /* as for store_get() */
	str sri; /* verified over the tarball's bytes before anything becomes visible; may be empty */
	/* Expected in package.json, for messages; a differing name or version is accepted as npm does. */
	str name, version;
	uint64_t max_unpacked;             /* bytes; 0: 4 GiB */
	uint32_t max_entries;              /* 0: 500,000 */
	struct unpack_scratch *scratch;    /* a tarball's: unpack.h; NULL: of its own */
	struct pack_scratch *pack_scratch; /* a pack's: pack_stream.h; likewise */
};
/* A directory in tmp/ for it. ERR_IO, ERR_NOSPACE; ERR_PARSE: the SRI cannot be read. */
MUST_USE int import_begin(struct import **out, struct store *s, const struct import_opts *o, struct err *e);
/* The next bytes of the .tgz as received. */
MUST_USE int import_feed(struct import *im, const void *p, size_t n, struct err *e);
/* Verifies, publishes, queues the index row, and frees IM. *out (may be NULL) is a heap copy of the record, free() p.
 * After an error IM is still the caller's: import_abort(). */
MUST_USE int import_end(struct import *im, struct pkg *out, struct err *e);
/* Leaves nothing behind; also after an error of the others. NULL is fine. */
void import_abort(struct import *im);
/* All of it in one call, for bytes that are in memory. */
MUST_USE int import_tarball(
	struct store *s, const struct import_opts *o, const void *p, size_t n, struct pkg *out, struct err *e);
/* The same from a directory (file: dependencies): what npm would pack, copied. */
MUST_USE int import_directory(struct store *s, const struct import_opts *o, int dirfd, struct pkg *out, struct err *e);

/* Says now what the first write says, that there is unsynced work: two syncs of the disk, for who has the time. Where
 * they fail the write fails, too. */
void store_expect_writes(struct store *s);
/* Small values for other modules, in named tables of the same index ("meta", "plans", "verdicts", …). Puts are queued
 * to the writer and dropped (returning false) when its queue is full. */
MUST_USE int store_kv_get(str *out, struct store_read *r, const char *table, str key, struct err *e);
/* A VALUE of STR_NONE deletes. */
bool store_kv_put(struct store *s, const char *table, str key, str value);
/* Calls FN for each row of TABLE, in key order; a nonzero return ends it and is returned. */
int store_kv_each(
	struct store_read *r, const char *table, int (*fn)(void *arg, str key, str value), void *arg, struct err *e);
/* Waits until everything queued before is in the index. */
void store_flush(struct store *s);
