/* store_impl — what the files of the store share: the open store and its directories.
 *
 * Layout of the store's directory (docs/store.md):
 *	format          "dray store 1\n"
 *	boot            boot id and whether everything written is known to be on disk
 *	lock            flock: shared while a store is open, exclusive while orphans are swept
 *	index/          LMDB
 *	pkgs/<2>/<30>/  one directory a package, files called 0, 1, 2, …
 *	tmp/<16>/       one a process (flock), holding what is not yet, or no longer, part of the store */
#pragma once
#include "kv.h"
#include "pkg_index.h"
#include <pthread.h>
#include <stdatomic.h>

#define STORE_FORMAT "dray store 1\n"
#define STORE_PKG_TABLE "pkg"

struct store {
	char *dir;
	int fd, pkgs_fd, lock_fd;
	struct kv *kv;
	enum store_verify verify;
	mode_t umask, dir_mode; /* dir_mode: of pkgs/, which says what the umask of who made the store was */
	/* this process's temporary directory, made at first use */
	pthread_mutex_t tmp_lock;
	int tmp_fd; /* -1: none yet */
	char tmp_name[17];
	atomic_uint_fast64_t tmp_next;
	pthread_rwlock_t publishing; /* read-held from a package's rename to the queueing of its row */
	atomic_bool dirty;           /* the boot file says so */
};

/* The temporary directory; sweeps those of dead processes when it makes one. */
MUST_USE int store_tmp(int *fd, struct store *s, struct err *e);
/* A name in it that nobody has. */
void store_tmp_name(char out[24], struct store *s);
/* A file's name in its package's directory; lives in ROOM. For each file of an install, several times: snprintf()
 * takes longer than the call. */
enum { STORE_FILE_NAME = 11 };
const char *store_file_name(char room[STORE_FILE_NAME], uint32_t num);
/* The mode of a new file in the store: what the umask leaves of 0644 or 0755, and writable for the group where pkgs/
 * is. Source: pnpm 12.21. */
mode_t store_file_mode(const struct store *s, bool exec);
/* Moves pkgs/… of ID out of the way and removes it. */
MUST_USE int store_trash(struct store *s, const uint8_t id[PKG_ID], struct err *e);
/* "ab/cdef…" below pkgs/. */
void store_pkg_path(char out[PKG_ID * 2 + 2], const uint8_t id[PKG_ID]);
/* States on disk that there is unsynced work, once. */
MUST_USE int store_mark_dirty(struct store *s, struct err *e);
/* The opposite; the caller holds the lock alone. */
MUST_USE int store_mark_clean(struct store *s, struct err *e);
/* The strongest digest of an SRI that has several (a slice of it); everything else as it is. */
str store_key(str key);
