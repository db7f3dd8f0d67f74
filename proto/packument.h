/* packument — everything a registry says of one package name, compiled.
 *
 * packument_compile() turns the JSON of a packument (abbreviated or full) into
 * one flat record: little-endian, position-independent, versions sorted
 * ascending by semver, names and ranges interned, nothing to parse when it is
 * read. The accessors below read such a record in place; it may lie in an LMDB
 * page. Unparsable versions are left out. Pure.
 *
 * A record is trusted only after packument_open() has checked its bounds. */
#pragma once
#include "base/base.h"
#include "semver.h"

struct packument {
	const uint8_t *p; /* the record, borrowed; 8-byte aligned */
	size_t n;
};

/* The two forms in which a registry serves a packument. */
enum packument_form { PACKUMENT_ABBREVIATED = 0, PACKUMENT_FULL };

/* Bytes of JSON accepted at most, and versions. Past them: ERR_TOOBIG. */
#define PACKUMENT_MAX_JSON (256u << 20)
#define PACKUMENT_MAX_VERSIONS 100000u

/* Appends the record to OUT. NAME is what was asked for; another name in the JSON is ERR_PARSE.
 * Either form is accepted. */
int packument_compile(struct buf *out, str json, str name, struct err *e);
/* The same for one document after the other, on one thread at a time: keeps its tables, some hundred KiB. */
struct packument_compiler;
struct packument_compiler *packument_compiler_new(void);
int packument_compiler_run(struct packument_compiler *pc, struct buf *out, str json, str name, struct err *e);
void packument_compiler_free(struct packument_compiler *pc);
/* Checks length, magic, format version and every offset. ERR_PARSE. */
int packument_open(struct packument *out, const void *p, size_t n, struct err *e);

/* A dependency map of one version: entries in the source's order. */
enum packument_map {
	PACKUMENT_DEPS,
	PACKUMENT_OPTIONAL,
	PACKUMENT_PEERS,
	PACKUMENT_ENGINES,
	PACKUMENT_BIN,
	PACKUMENT_NMAPS
};
enum packument_list {
	PACKUMENT_OS,
	PACKUMENT_CPU,
	PACKUMENT_LIBC,
	PACKUMENT_BUNDLED,
	PACKUMENT_PEER_OPTIONAL,
	PACKUMENT_NLISTS
};

/* As the registry calls it. */
str packument_name(struct packument p);
/* Whether the JSON had publish times for versions (the full form has). */
bool packument_has_time(struct packument p);
/* `modified`, or time.modified: milliseconds since 1970, 0 when absent. */
int64_t packument_modified(struct packument p);
/* Those that are no version of semver are not among them. */
uint32_t packument_nversions(struct packument p);
/* Version number I (0 is the lowest), its text as the registry wrote it. */
str packument_version(struct packument p, uint32_t i);
/* The same, taken apart; OUT borrows from the record. */
void packument_semver(struct packument p, uint32_t i, struct semver *out);
/* Index of the version with exactly this text, or UINT32_MAX. */
uint32_t packument_find(struct packument p, str version);
/* Dist-tags: number, and the I-th; packument_tag() gives the version's index under TAG or UINT32_MAX. */
uint32_t packument_ntags(struct packument p);
void packument_tag_at(struct packument p, uint32_t i, str *tag, uint32_t *version);
uint32_t packument_tag(struct packument p, str tag);

/* Publish time in ms, 0 when unknown. */
int64_t packument_time(struct packument p, uint32_t i);
/* The same as the registry wrote it; empty where that is "2024-01-02T03:04:05.678Z" and so follows from the number. */
str packument_time_text(struct packument p, uint32_t i);
/* SRI; from shasum when dist.integrity is missing; may be empty. */
str packument_integrity(struct packument p, uint32_t i);
/* dist.tarball as the registry wrote it; or in A. */
str packument_tarball(struct packument p, uint32_t i, struct arena *a);
str packument_deprecated(struct packument p, uint32_t i);         /* empty: not deprecated */
uint64_t packument_unpacked_size(struct packument p, uint32_t i); /* dist.unpackedSize, 0 unknown */
uint32_t packument_file_count(struct packument p, uint32_t i);
/* hasInstallScript, or one of the scripts that an install runs. */
bool packument_has_install_script(struct packument p, uint32_t i);
/* A non-empty bin or directories.bin: pnpm's hasBin. */
bool packument_has_bin(struct packument p, uint32_t i);
/* bundleDependencies: true, whatever they are. */
bool packument_bundle_all(struct packument p, uint32_t i);
/* libc was one string, not an array: pnpm's lockfile keeps that. One string as os or cpu is none
 * at all to pnpm and here. */
bool packument_libc_scalar(struct packument p, uint32_t i);
/* 3 approved staged publish, 2 trusted publisher and provenance, 1 provenance attestation, 0 none: for trustPolicy. */
int packument_trust(struct packument p, uint32_t i);
/* Entries of the map M of version I, and the K-th; likewise of the list L. */
uint32_t packument_map_n(struct packument p, uint32_t i, enum packument_map m);
void packument_map_at(struct packument p, uint32_t i, enum packument_map m, uint32_t k, str *key, str *value);
uint32_t packument_list_n(struct packument p, uint32_t i, enum packument_list l);
str packument_list_at(struct packument p, uint32_t i, enum packument_list l, uint32_t k);
