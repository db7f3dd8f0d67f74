#include "plan_wire.h"
#include "frame.h"
#include "plan_columns.h"
#include "plan_frames.h"
#include <stdlib.h>

bool plan_key_split(str key, str *name, str *version)
{
	size_t at = str_find(key, '@', 1);

	if (at == SIZE_MAX)
		return false;
	*name = str_head(key, at);
	*version = str_from(key, at + 1);
	return true;
}

static str unscoped(str name)
{
	str scope, rest;

	return str_starts(name, STR("@")) && str_cut(name, '/', &scope, &rest) ? rest : name;
}

str plan_tarball_tail(struct arena *a, str name, str version)
{
	str bare = unscoped(name);

	return arena_join(a, name, STR("/-/"), bare, STR("-"), version, STR(".tgz"));
}

/* ---- whole plans ---- */

/* Messages go out in batches, in bytes. Nothing of one can be read before its end, whether it is columns or a block of
 * zstd's, so the first one is small and each is as large as all before it: on a link in slow start each round trip
 * brings some. Fewer than MIN messages are smaller as they are than as columns. */
enum { COLUMNS_MIN = 16, BATCH_FIRST = 8 * 1024, BATCH_MOST = 1 << 20 };

struct plan_writer {
	struct plan_enc *enc;
	struct frame_out *fo;
	struct buf msg, out;
	struct columns *columns; /* NULL: messages go out as they are */
	struct buf held;         /* messages that wait for company */
	VEC(size_t) held_end;    /* where each of them ends there */
	size_t batch;            /* bytes that are company enough */
};

struct plan_writer *plan_writer_new(int level)
{
	struct plan_writer *pw = xcalloc(1, sizeof(*pw));

	pw->enc = plan_enc_new();
	pw->fo = frame_out_new(level);
	pw->batch = BATCH_FIRST;
	return pw;
}

void plan_writer_columns(struct plan_writer *pw)
{
	pw->columns = columns_new();
}

/* What waits goes to the compressor. */
static int release_held(struct plan_writer *pw, struct err *e)
{
	bool columns = pw->columns && pw->held_end.n >= COLUMNS_MIN;
	size_t at = 0, tail;
	int rc = 0;

	for (size_t i = 0; i < pw->held_end.n && rc == 0; i++) {
		str msg = { pw->held.p + at, pw->held_end.p[i] - at };
		rc = columns ? columns_put(pw->columns, msg, e) : frame_out_put(pw->fo, msg, &pw->out, e);
		at = pw->held_end.p[i];
	}
	buf_clear(&pw->held);
	pw->held_end.n = 0;
	if (rc < 0 || !columns)
		return rc;
	buf_clear(&pw->msg);
	columns_take(pw->columns, &pw->msg, &tail);
	return frame_out_put_apart(pw->fo, buf_str(&pw->msg), tail, &pw->out, e);
}

int plan_writer_add(struct plan_writer *pw, const struct frame *f, struct err *e)
{
	if (plan_enc_frame(pw->enc, f, &pw->held, e) < 0)
		return e->code;
	*vec_add(&pw->held_end) = pw->held.n;
	if (pw->held.n < pw->batch)
		return 0;
	pw->batch = 2 * pw->batch < BATCH_MOST ? 2 * pw->batch : BATCH_MOST;
	return release_held(pw, e) < 0 ? e->code : frame_out_flush(pw->fo, &pw->out, e);
}

int plan_writer_take(struct plan_writer *pw, struct buf *out, bool end, struct err *e)
{
	int rc = release_held(pw, e);

	if (rc == 0)
		rc = end ? frame_out_end(pw->fo, &pw->out, e) : frame_out_flush(pw->fo, &pw->out, e);
	buf_add(out, buf_str(&pw->out));
	buf_clear(&pw->out);
	return rc;
}

void plan_writer_free(struct plan_writer *pw)
{
	if (!pw)
		return;
	plan_enc_free(pw->enc);
	frame_out_free(pw->fo);
	columns_free(pw->columns);
	buf_release(&pw->msg);
	buf_release(&pw->held);
	vec_release(&pw->held_end);
	buf_release(&pw->out);
	free(pw);
}

int plan_encode(struct buf *out, const struct frame *f, size_t n, int level, struct err *e)
{
	struct plan_writer *pw = plan_writer_new(level);
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = plan_writer_add(pw, &f[i], e);
	if (rc == 0)
		rc = plan_writer_take(pw, out, true, e);
	plan_writer_free(pw);
	return rc;
}

struct plan_reader {
	struct frame_in *fi;
	struct plan_dec *dec;
	struct columns_in *columns;
};

struct plan_reader *plan_reader_new(void)
{
	struct plan_reader *pr = xcalloc(1, sizeof(*pr));

	pr->fi = frame_in_new();
	pr->dec = plan_dec_new();
	pr->columns = columns_in_new();
	return pr;
}

static int read_message(struct plan_reader *pr, str msg, frame_sink *sink, void *ctx, struct err *e)
{
	struct frame f;
	int rc = plan_dec_frame(pr->dec, msg, &f, e);

	return rc > 0 ? sink(ctx, &f, e) : rc;
}

static int read_columns(struct plan_reader *pr, str columns, frame_sink *sink, void *ctx, struct err *e)
{
	str msg;
	int rc = columns_in_open(pr->columns, columns, e);

	while (rc == 0 && (rc = columns_in_next(pr->columns, &msg, e)) > 0)
		rc = read_message(pr, msg, sink, ctx, e);
	return rc;
}

int plan_reader_push(struct plan_reader *pr, str bytes, frame_sink *sink, void *ctx, struct err *e)
{
	str msg;
	int rc;

	frame_in_push(pr->fi, bytes.p, bytes.n);
	while ((rc = frame_in_next(pr->fi, &msg, e)) > 0) {
		bool many = msg.n && (unsigned char)msg.p[0] == COLUMNS_TAG;
		rc = (many ? read_columns : read_message)(pr, msg, sink, ctx, e);
		if (rc < 0)
			return rc;
	}
	return rc;
}

int plan_reader_end(const struct plan_reader *pr, struct err *e)
{
	if (!plan_dec_complete(pr->dec))
		return err_set(e, ERR_PROTOCOL, "the plan broke off before its last frame");
	return frame_in_end(pr->fi, e);
}

void plan_reader_free(struct plan_reader *pr)
{
	if (!pr)
		return;
	frame_in_free(pr->fi);
	plan_dec_free(pr->dec);
	columns_in_free(pr->columns);
	free(pr);
}

int plan_decode(str bytes, frame_sink *sink, void *ctx, struct err *e)
{
	struct plan_reader *pr = plan_reader_new();
	int rc = plan_reader_push(pr, bytes, sink, ctx, e);

	if (rc == 0)
		rc = plan_reader_end(pr, e);
	plan_reader_free(pr);
	return rc;
}
