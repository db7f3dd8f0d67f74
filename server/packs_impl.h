/* packs_impl — what packs.c (index and files), packjournal.c and packbuild.c (threads) share. */
#pragma once
#include "age_clock.h"
#include "pack.h"
#include "pack_tarball.h"
#include "packs.h"
#include "workq.h"
#include <pthread.h>

enum pack_state { PACK_COLD = 0, PACK_WANTED, PACK_BUILDING, PACK_WARM, PACK_SETTLED, PACK_FAILED };
struct pack_item {
	uint8_t key[PACKS_KEY], digest[32];
	uint32_t at; /* in packs.item */
	enum pack_state state;
	uint64_t size, tarball, raw;      /* tarball: of one that was too large, how much of it was read */
	char *name, *version, *url, *sri; /* url and sri: NULL for what the journal knew as made */
	bool settling;                    /* a settler is at it */
	bool listed;                      /* in packs.warm */
	bool unmade;                      /* a package that never had a pack */
	uint32_t client;                  /* in packs.client: whose plan named it first; MAP_NONE: nobody with a name */
	bool unproved;                    /* an older drayd made it: nobody is given it before its name is proved */
	bool vain;                        /* failed, for what is in the tarball: no URL mends it, nor a restart */
	int code;                         /* of the failure; vain and ERR_POLICY: the tarball is of package `name` */
	bool delta;                       /* not a package's own pack: what the one of `of` has beyond that of `base` */
	uint8_t of[PACKS_KEY], base[PACKS_KEY];
	bool named;                 /* in the chain of its name */
	uint32_t next_named;        /* the next of them; MAP_NONE: none */
	const uint8_t *chained;     /* digest under which by_digest has it; NULL: none yet */
	uint32_t next_same;         /* the next item with that digest; MAP_NONE: none */
	uint32_t plans;             /* that named it, in this process */
	union {                     /* by `state`, on clock_ms() */
		int64_t begin_ms;   /* wanted, and no delta: it is not begun before */
		int64_t retry_ms;   /* failed: it is not tried again before; INT64_MAX: never */
		int64_t put_off_ms; /* warm: until then others are settled first; 0: it was not put off */
	};
	int64_t used_s, noted_s; /* of its last use, on the age clock; what the journal says of it */
	int64_t born_s, lease_s; /* when its pack was made; until when a plan that names it counts as under way */
};
/* What was made of one, or why not. */
struct pack_made {
	uint8_t digest[32];
	uint64_t size, tarball, raw;
	struct pack_named named;
	bool vain; /* see pack_item */
};
/* Who asks for plans, by name. */
struct pack_client {
	uint64_t unmade; /* packages that never had a pack and that its plans named first */
	bool told;       /* the log knows that it gets no more */
};
/* What this machine could not have, in a row up to now: better encodings, or proofs. */
enum { PACK_MISSES_MOST = 3 };
struct pack_misses {
	unsigned n;
	struct err why; /* the last of them */
};
/* A pack that a better one replaced. */
struct pack_old {
	uint8_t digest[32];
	int64_t until_ms;
};
struct packs {
	struct packs_opts o;
	struct age_clock clock;      /* constant once the journal is read */
	atomic_uint_fast64_t serial; /* of files that are being written */
	int dir, journal;
	uint64_t journal_size, journal_least; /* bytes; as it was when it was last written anew */
	bool torn;                            /* the journal may end within a line */
	pthread_mutex_t writing; /* these four, once threads run; taken before the other, never within it */
	pthread_mutex_t lock;    /* all below */
	struct buf lines;        /* of the journal, not written yet */
	pthread_cond_t work, settle;
	VEC(struct pack_item *) item;
	VEC(uint32_t) warm;     /* items that are, and some that were */
	size_t warm_at;         /* how far they have been compared: next_unsettled() */
	VEC(uint32_t) unproved; /* packages' items, as the journal had them */
	struct map by_key;
	struct map by_digest; /* to the first of a chain */
	struct arena own;     /* items, and digests that are keys */
	struct map by_name;   /* packages that have, or had, a pack: to the first of a chain */
	struct map by_client; /* to `client`; as many as the operator has given names to */
	VEC(struct pack_client) client;
	VEC(uint32_t) queue; /* of items, from `head` on, by begin_ms */
	size_t head;
	VEC(uint32_t) deltas; /* wanted ones, from `deltas_at` on */
	size_t deltas_at;
	/* Items of the journal, and how far packdelta_ahead_some() has come: 2 x stock is the end. */
	size_t stock, stock_at;
	VEC(struct pack_old) old;
	struct packs_counts n; /* but these, which are counted without the lock: */
	_Atomic uint64_t sent, sent_bytes, absent;
	int64_t first_ms, last_ms; /* when something was wanted */
	int64_t settle_after_ms;   /* no encoding is tried before: this machine could not have it */
	struct pack_misses unsettled_misses, unproved_misses;
	uint64_t first_us; /* CPU of the threads until first_ms */
	atomic_bool stop;  /* set under the lock; encoders look at it without */
	pthread_t *thread; /* builders first */
	unsigned nthreads;
	unsigned settlers;    /* of them that have not ended; under the lock */
	pthread_cond_t ended; /* one has */
	pthread_t evictor;
	bool has_evictor;
	pthread_cond_t evict;
};

/* Under the lock. */
struct pack_item *packs_item(struct packs *p, const uint8_t key[PACKS_KEY], bool make);
void packs_want(struct packs *p, struct pack_item *it);
/* IT is none of those any more, if it was, that never had a pack. */
void packs_made(struct packs *p, struct pack_item *it);
/* IT, whose sizes are known, has a pack from now on: warm or settled. */
void packs_ready(struct packs *p, struct pack_item *it, enum pack_state state);
/* IT has none any more, if it had: cold. */
void packs_unready(struct packs *p, struct pack_item *it);
/* CPU of the threads so far. */
uint64_t packs_cpu_us(const struct packs *p);
/* Writes and publishes a pack's file. No lock. */
MUST_USE int packs_write(struct packs *p, const uint8_t digest[32], str bytes, struct err *e);
void packs_remove(struct packs *p, const uint8_t digest[32]);
/* *TO is a copy of S from now on. */
void packs_set(char **to, str s);
/* packjournal.c. Under the lock, both: IT's line, or whole lines, for packjournal_write(). */
void packs_note(struct packs *p, const struct pack_item *it);
void packs_lines(struct packs *p, str text);
/* Writes what is collected. No lock; may wait for the disk. */
void packjournal_write(struct packs *p);
/* Writes it anew when it is more than twice as long as it was, and journal_slack: what is used is noted
 * every ten minutes. No lock. */
void packjournal_shorten(struct packs *p);
/* Reads the journal, writes it anew without what later lines replaced when that pays, and
 * leaves it open for appending. */
MUST_USE int packjournal_open(struct packs *p, struct err *e);
/* IT's pack is the one with DIGEST from now on. Under the lock. */
void packs_name(struct packs *p, struct pack_item *it, const uint8_t digest[32]);

/* A pack's files, in memory. */
struct pack_files {
	struct arena a;
	VEC(struct pack_file) file;
};
#define PACK_FILES_INIT                                                                                                \
	{                                                                                                              \
		.a = ARENA_INIT(1 << 16)                                                                               \
	}
void pack_files_release(struct pack_files *f);
/* No lock, both. ERR_NOTFOUND: the pack is gone. */
MUST_USE int packs_read(struct buf *out, struct packs *p, const uint8_t digest[32], struct err *e);
MUST_USE int packs_files(struct pack_files *out, struct packs *p, const uint8_t digest[32], str label, struct err *e);

/* Under the lock, the next three. */
bool packs_is_ready(const struct pack_item *it);
/* The delta OF a package from BASE, both of which have packs; cold where there was none. NULL: there are too many. */
struct pack_item *packs_delta(struct packs *p, const struct pack_item *of, const struct pack_item *base);
/* IT has its pack: deltas between it and other versions that have one are wanted, too. */
void packdelta_ahead(struct packs *p, struct pack_item *it);
/* The same for all that the journal knew, which a server that ended had not come to: for MOST steps. False: that was
 * all. A million are too many for a start, so a settler does it. */
bool packdelta_ahead_some(struct packs *p, size_t most);
/* The journal is read. */
void packdelta_stock(struct packs *p);

/* packdelta.c. No lock. IT from BASE to OF, which are copies; *GOT has digest and size.
 * ERR_TOOBIG: it would save nothing. */
MUST_USE int packdelta_build(struct packs *p, const struct pack_item *it, const struct pack_item *of,
	const struct pack_item *base, struct pack_made *got, struct err *e);

/* packevict.c. Under the lock: IT is used; LEASE: by a plan whose install begins. */
void packs_touch(struct packs *p, struct pack_item *it, bool lease);
/* Reads a line "used <key> <Unix time>" or "gone <key>" of the journal, whose words are W. False: it is none. */
bool packevict_line(struct packs *p, const str *w, size_t n);
/* Appends IT's line to the journal's text. */
void packevict_line_put(struct buf *b, const struct pack_item *it);
MUST_USE int packevict_start(struct packs *p, struct err *e);
void packevict_stop(struct packs *p);
/* "<text> <checksum>\n" from BUF's byte START on. */
void packs_line_end(struct buf *b, size_t start);

/* packproof.c: proves one pack of an older drayd. Called with the lock, which it lets go of
 * meanwhile. False: there is none. */
bool packproof_one(struct packs *p);
/* Whether CODE, of reading a pack, is about the pack itself, not about this machine at this moment. */
bool packs_says_of_pack(int code);

/* packsweep.c: what a killed process was writing goes; once the journal is read, before threads. */
void packsweep_start(struct packs *p);
/* Files that nobody names are to go. No lock; a million names take seconds. */
void packsweep(struct packs *p);
/* Whether a package's pack is the one with DIGEST. Under the lock. */
bool packs_is_named(const struct packs *p, const uint8_t digest[32]);

/* packbuild.c. Runs RUN, which takes the processor for long and not the lock, with a low priority, on a thread of its
 * own, and waits for it. No lock. Whoever takes the lock has the priority of those who wait for it: with a low one he
 * would hold it for as long as others keep the processors busy. */
struct packs_low {
	int (*run)(void *arg, struct err *e);
	void *arg;
	bool idle; /* not before nobody else wants a processor */
};
MUST_USE int packs_low(const struct packs_low *l, uint64_t *cpu_us, struct err *e);
MUST_USE int packbuild_start(struct packs *p, struct err *e);
/* False: settlers are left that have P. */
MUST_USE bool packbuild_stop(struct packs *p);
