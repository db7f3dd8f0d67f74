#include "parity_io.h"
#include <stdlib.h>

struct record { /* one compiled packument */
	struct err why;
	struct engine_packument got;
	struct buf bytes;
};
struct waiting {
	uint32_t ticket;
	struct record *record;
};
struct parity_io {
	const struct recording *rec;
	struct engine_io io;
	struct arena names;
	struct map by_key; /* form and name -> index in .record */
	VEC(struct record *) record;
	VEC(struct waiting) waiting;
	struct buf json;
	uint64_t seed;
	bool keeps;
	int64_t kept_ms;
	unsigned asked;
};

/* splitmix64 */
static uint32_t dice(struct parity_io *io, size_t n)
{
	uint64_t z = (io->seed += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % n);
}

static void record_fill(struct parity_io *io, struct record *r, str name, enum packument_form form)
{
	struct err *e = &r->why;

	r->got.err = e;
	buf_clear(&io->json);
	if (!recording_json(&io->json, io->rec, name, form, STR(PARITY_BASE))) {
		err_set(e, ERR_NOTFOUND, STR_FMT ": not in the recording (404)", STR_ARG(name));
		return;
	}
	if (packument_compile(&r->bytes, buf_str(&io->json), name, e) == 0)
		(void)packument_open(&r->got.rec, r->bytes.p, r->bytes.n, e);
}

static struct record *record_of(struct parity_io *io, str name, enum packument_form form)
{
	str key = arena_printf(&io->names, "%d" STR_FMT, (int)form, STR_ARG(name));
	bool fresh;
	uint32_t i = map_add(&io->by_key, key, (uint32_t)io->record.n, &fresh);

	if (fresh) {
		struct record *r = xcalloc(1, sizeof(*r));
		*vec_add(&io->record) = r;
		record_fill(io, r, name, form);
	}
	return io->record.p[i];
}

static void io_want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct parity_io *io = ctx;

	(void)registry; /* the recording has one */
	io->asked++;
	*vec_add(&io->waiting) = (struct waiting){ ticket, record_of(io, name, form) };
}

static bool io_kept(
	void *ctx, struct packument *out, int64_t *checked_ms, str registry, str name, enum packument_form form)
{
	struct parity_io *io = ctx;
	const struct record *r = record_of(io, name, form);

	(void)registry;
	*out = r->got.rec;
	*checked_ms = io->kept_ms;
	return r->got.rec.p;
}

static int hand_out(struct parity_io *io, uint32_t *ticket, const struct engine_packument **got, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++) {
		size_t at = io->seed ? dice(io, io->waiting.n) : 0;
		ticket[k] = io->waiting.p[at].ticket;
		got[k] = &io->waiting.p[at].record->got;
		if (io->seed) {
			io->waiting.p[at] = io->waiting.p[--io->waiting.n];
			continue;
		}
		io->waiting.n--;
		memmove(io->waiting.p, io->waiting.p + 1, io->waiting.n * sizeof(*io->waiting.p));
	}
	return (int)n;
}

static uint32_t at_most(const struct parity_io *io, uint32_t cap)
{
	return io->waiting.n < cap ? (uint32_t)io->waiting.n : cap;
}

static int io_wait(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct parity_io *io = ctx;
	uint32_t n = at_most(io, cap);

	if (n == 0)
		return err_set(e, ERR_PROTOCOL, "the engine waits for a packument, but nothing is wanted");
	return hand_out(io, ticket, got, io->seed ? 1 + dice(io, n) : n);
}

static int io_poll(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct parity_io *io = ctx;
	uint32_t n = at_most(io, cap);

	(void)e;
	return hand_out(io, ticket, got, io->seed && n ? dice(io, n + 1) : n);
}

struct parity_io *parity_io_new(const struct recording *rec)
{
	struct parity_io *io = xcalloc(1, sizeof(*io));

	io->rec = rec;
	return io;
}

const struct engine_io *parity_io_begin(struct parity_io *io, uint64_t seed)
{
	io->waiting.n = 0;
	io->seed = seed;
	io->io = (struct engine_io){ .ctx = io,
		.now_ms = PARITY_NOW_MS,
		.early = seed != 0,
		.want = io_want,
		.kept = io->keeps ? io_kept : NULL,
		.wait = io_wait,
		.poll = io_poll };
	return &io->io;
}

void parity_io_keep(struct parity_io *io, int64_t ms)
{
	io->keeps = ms >= 0;
	io->kept_ms = ms;
}

unsigned parity_io_asked(const struct parity_io *io)
{
	return io->asked;
}

void parity_io_free(struct parity_io *io)
{
	for (size_t i = 0; i < io->record.n; i++) {
		buf_release(&io->record.p[i]->bytes);
		free(io->record.p[i]);
	}
	vec_release(&io->record);
	vec_release(&io->waiting);
	map_release(&io->by_key);
	arena_release(&io->names);
	buf_release(&io->json);
	free(io);
}
