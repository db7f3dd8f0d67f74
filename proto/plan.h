/* plan — the frames that a plan consists of, as values.
 *
 * A plan source (locked, remote, direct) hands frames to a sink in order; the client knows nothing else of
 * resolution. plan_wire.h carries them over HTTP/2 and into drayd's plan cache. Everything a frame points at is
 * borrowed for the call unless stated.
 *
 * Order: HELLO first; PEER_ISSUEs before all that the finished resolution has to say; a PACKAGE before the first SLOT
 * that uses it; IMPORTERs and LOCK_HEAD after the last SLOT; DONE or FAILURE last. A PACKAGE frame means: this version
 * is in the plan and its bytes are wanted on this platform, so fetching may start. PACKAGEs are sent already during the
 * resolution, whenever it has to wait for a packument; one that no SLOT uses before DONE is withdrawn: it is not in the
 * lockfile and its bytes are ignored. When such early ones come, and so their order, depends on what arrived when;
 * everything else, and the lockfile, does not. What is sent at the end comes ready before not ready, largest expected
 * work first. A plan that is kept replays the frames of the walk that made it. A SLOT frame is final. Where the request
 * asks for the lockfile (nothing locked fits), packages and slots that are not materialised here (other platforms, dev
 * groups) are sent too, flagged `skip`, after all others. */
#pragma once
#include "lockfile.h"
#include "request.h"

#ifndef PLAN_PROTOCOL /* tests build a pair that speaks the next one */
#define PLAN_PROTOCOL 1u
#endif
/* Each side speaks the protocol before its own, too. */
#define PLAN_PROTOCOL_MIN (PLAN_PROTOCOL > 1u ? PLAN_PROTOCOL - 1u : 1u)

enum frame_kind {
	FRAME_HELLO = 1,
	FRAME_PACKAGE,
	FRAME_SLOT,
	FRAME_IMPORTER,
	FRAME_VERDICT,
	FRAME_WARNING,
	FRAME_LOCK_HEAD,
	FRAME_DONE,
	FRAME_FAILURE,
	FRAME_PEER_ISSUE,
};

struct frame_hello {
	uint32_t protocol;
	str server; /* "drayd/0.1.0", "direct", "locked" */
	uint8_t settings_digest[32];
	bool cached; /* the plan comes from the server's plan cache */
};
struct frame_package {
	uint32_t id; /* dense from 0, in order of first appearance */
	struct lock_package meta;
	str name, version;
	str url;                 /* tarball's absolute URL without credentials; empty for directories */
	uint64_t unpacked_size;  /* bytes, 0 unknown */
	uint32_t file_count;     /* 0 unknown */
	bool skip;               /* not for this platform or group: lockfile only */
	bool has_install_script; /* registry says so; the package's own files decide */
	uint8_t pack[32];        /* SHA-256 of the pack that drayd has ready, or zeros */
	uint64_t pack_size;      /* bytes of it; 0: there is none */
};
struct frame_slot {
	uint32_t id;      /* dense from 0 */
	uint32_t package; /* frame_package.id */
	bool skip;
	struct lock_snapshot snap;
};
struct frame_importer {
	struct lock_importer importer;
};
enum verdict_kind { VERDICT_OK = 0, VERDICT_VIOLATION };
struct frame_verdict {
	enum verdict_kind kind;
	str text; /* for people: package, rule, remedy */
};
/* On the wire. */
enum warning_kind { WARN_DEPRECATED = 1, WARN_OTHER = 5, WARN_AGE_EXCLUDED = 6 };
struct frame_warning {
	enum warning_kind kind;
	str package; /* dep path or name@version */
	str text;
};
enum peer_issue_kind {
	PEER_BAD = 1, /* there is one, but not in the range */
	PEER_MISSING,
	PEER_CONFLICT /* missing, and no version would do for all who want it */
};
struct frame_peer_issue {
	enum peer_issue_kind kind;
	str importer, peer, wanted; /* path; name; range */
	str found;                  /* version that is there; empty: missing */
	str by;                     /* name@version that declares the peer */
	str chain;                  /* "importer > a@1.0.0 > b@1.0.0", BY last; of a long one the nearest */
	bool optional;
};
struct frame_done {
	uint32_t packages, slots;                          /* frames, withdrawn packages included */
	uint32_t fetched, revalidated, from_cache, failed; /* packuments: what it took to have them */
	uint64_t resolve_us, total_us;
	uint8_t lockfile_digest[32]; /* SHA-256 of the lockfile's bytes that these frames make */
	str lockfile; /* those bytes, to the engine's sink alone; absent in what was copied or came over the wire */
};
struct frame_failure {
	int code;    /* ERR_… */
	str package; /* what failed */
	str chain;   /* "importer > a@1.0.0 > b@^2" */
	str text;
};
struct frame {
	enum frame_kind kind;
	union {
		struct frame_hello hello;
		struct frame_package package;
		struct frame_slot slot;
		struct frame_importer importer;
		struct frame_verdict verdict;
		struct frame_warning warning;
		struct lock_head lock_head;
		struct frame_done done;
		struct frame_failure failure;
		struct frame_peer_issue peer_issue;
	};
};

/* Takes one frame. Returns 0, or a negative code that stops the source (which then returns it). Called on the source's
 * driving thread only. */
typedef int frame_sink(void *ctx, const struct frame *f, struct err *e);
