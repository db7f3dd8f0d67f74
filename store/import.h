/* import — the sink that puts a package's files into the store, unseen until the whole of it is verified.
 *
 * A package's files are written, numbered, into a directory of their own below
 * the process's temporary directory; import_publish() renames that into place
 * and queues the index row, which alone makes it visible. Whatever happens
 * before leaves only what the next process sweeps away. The public functions
 * are in store.h; these are for import.c and import_dir.c. */
#pragma once
#include "integrity.h"
#include "store_impl.h"
#include "unpack.h"

struct import {
	struct store *s; /* NULL: nothing is written, only the record is made */
	struct arena a;
	str key, label;   /* label: name@version as asked for, or the key */
	struct unpack *u; /* NULL when the files come from elsewhere */
	int fd;           /* the package's directory, in tmp/ until published */
	char tmp[24];     /* its name there */
	int tmp_fd;       /* borrowed from the store */
	int64_t mtime;
	VEC(struct pkg_entry) file;
	struct map by_path;
	uint32_t next_num;
	bool mode_known, must_chmod; /* whether new files need chmod(): a group that may write, a default ACL */
	/* the file that is being written */
	uint32_t cur;
	int out; /* -1: none open */
	uint64_t got;
	bool crc; /* the record gets CRCs: PKG_CRC */
	uint64_t sum;
	struct hasher *sha; /* of a file that comes in pieces */
	bool as_it_is;      /* a folder: no package.json is made where it has none. Source: pnpm 12.21 */
	bool keep;          /* it is package.json: its bytes are kept */
	struct buf manifest;
};

/* Everything but the source of the files. */
MUST_USE int import_new(struct import **out, struct store *s, const struct import_opts *o, struct err *e);
/* The unpack_sink's calls; ARG is the struct import. */
int import_file_begin(void *arg, str path, uint64_t size, bool exec, struct err *e);
int import_file_data(void *arg, const uint8_t *p, size_t n, struct err *e);
int import_file_end(void *arg, struct err *e);
/* All files are there and believed: record, rename, index row. *OUT may be NULL. */
MUST_USE int import_publish(struct import *im, struct pkg *out, struct err *e);
