/* Requests for packs and look-ups: what goes into them, and packs taken out of the answers. */
#include "base/clock.h"
#include "pack_conn_impl.h"
#include <stdlib.h>

enum {
	DEPTH = 4,          /* requests under way on a connection: none of their round trips is idle */
	BATCH = 512 * 1024, /* bytes of packs in a request, at least one pack */
	BATCH_PACKS = 256,  /* packs in a request */
	BATCH_FIND = 512,   /* look-ups in a request: they fit the ten segments that a connection begins with */
	PROGRESS = 64, /* an answer that broke off counts as a try unless it brought more than this part of the pack */
	MOST_FAILED = 8, /* answers in a row that the server could not give */
	STREAMS = 2,     /* large packs at once: while one is unpacked the next begins to arrive */
	HUNGRY = 3, /* a large pack wants more of the link while less than this part of what may be ahead is there */
};

/* -- wants ----------------------------------------------------------------------- */

/* What has arrived of a pack that is unpacked meanwhile. */
static void feed_tell(struct thread *t, struct pack_want *w, enum pack_end end, const struct err *why)
{
	pthread_mutex_lock(&t->f->lock);
	feed_give(w, end, why);
	pthread_mutex_unlock(&t->f->lock);
	t->tell = true;
}

void want_absent(struct thread *t, struct pack_want *w, const struct err *why)
{
	struct err e = why ? *why : (struct err){ 0 };

	fetch_body_release(&w->body, &t->f->bodies);
	if (w->feed)
		t->all_large.moved += w->size - w->got;
	if (why)
		err_ctx(&e, "pack of " STR_FMT "@" STR_FMT, STR_ARG(w->p->f->name), STR_ARG(w->p->f->version));
	if (w->feed) {
		feed_tell(t, w, PACK_ABSENT, &e);
		return;
	}
	w->arrived = false;
	w->err = e;
	want_add(&t->news, w);
}

static void want_arrived(struct thread *t, struct pack_want *w)
{
	if (w->feed) {
		feed_tell(t, w, PACK_ARRIVED, NULL);
		return;
	}
	w->arrived = true;
	want_add(&t->news, w);
}

void want_known(struct thread *t, struct pack_want *w)
{
	struct pack_want *before = NULL;

	if (w->size < t->f->o.stream_from) {
		t->all_small.bytes += w->size;
		want_add(&t->get, w);
		return;
	}
	t->all_large.bytes += w->size;
	feed_new(w);
	/* What broke off goes first: it may be the one that is being unpacked, for which the others wait. */
	for (struct pack_want *o = t->large.head; o && (o->got || o->size >= w->size); o = o->next)
		before = o;
	want_insert(&t->large, before, w);
}

static struct want_list *want_home(struct thread *t, enum ask_kind kind)
{
	return kind == ASK_FIND ? &t->find : kind == ASK_LARGE ? &t->large : &t->get;
}

/* Whether W, which was found, is kept until its base has come, or handed back since that will not. */
static bool want_waits(struct thread *t, struct pack_want *w)
{
	struct pack_fetcher *f = t->f;

	if (!w->has_base)
		return false;
	pthread_mutex_lock(&f->lock);
	bool left = w->left, awaits = w->awaits && !left;
	if (awaits)
		want_add(&f->parked, w);
	pthread_mutex_unlock(&f->lock);
	if (left)
		want_add(&t->news, w);
	return awaits || left;
}

/* What an answer did not bring is asked for again, or given up: the first BLAMED of it have failed once more,
 * unless one came further. */
static void ask_return(struct ask *a, const struct err *why, size_t blamed)
{
	struct thread *t = a->c->t;
	struct want_list again = { 0 };
	size_t i = 0;

	for (struct pack_want *w; (w = want_take(&a->want)); i++) {
		if (a->kind != ASK_FIND)
			atomic_fetch_sub(&t->f->held, w->hold);
		w->tries += i < blamed && w->got - w->from <= w->size / PROGRESS;
		if (w->tries >= MOST_TRIES) {
			want_absent(t, w, why);
			continue;
		}
		if (a->kind == ASK_GET)
			t->all_small.moved -= w->size - w->got;
		want_add(&again, w);
	}
	want_return(want_home(t, a->kind), &again);
}

void ask_free(struct ask *a)
{
	buf_release(&a->body);
	free(a);
}

void thread_useless(struct thread *t, const struct err *why)
{
	if (t->useless)
		return;
	t->useless = true;
	t->why = *why;
}

/* -- answers ------------------------------------------------------------------------ */

static int found_row(struct ask *a)
{
	struct thread *t = a->c->t;
	struct pack_want *w = want_take(&a->want);

	if (!w)
		return err_set(&a->err, ERR_PROTOCOL, "more answers than look-ups");
	w->size = packs_row_get(w->digest, a->row);
	unsigned open = WANT_OPEN;
	if (w->size == 0 || w->size > 1u << 30 || !atomic_compare_exchange_strong(&w->fate, &open, WANT_FOUND))
		want_absent(t, w, NULL);
	else if (!want_waits(t, w))
		want_known(t, w);
	return 0;
}

/* The head of the next pack: it must be the one that was asked for, as long as was promised. */
static int pack_row(struct ask *a)
{
	struct thread *t = a->c->t;
	struct pack_want *w = a->want.head;
	uint8_t digest[32];
	uint64_t n = packs_row_get(digest, a->row);

	if (!w)
		return err_set(&a->err, ERR_PROTOCOL, "more packs than were asked for");
	if (n == PACKS_ABSENT) {
		atomic_fetch_sub(&t->f->held, w->hold);
		want_absent(t, want_take(&a->want), NULL);
		return 0;
	}
	if (memcmp(digest, w->digest, 32) != 0)
		return err_set(&a->err, ERR_PROTOCOL, "the server sent another pack in its place");
	if (n != w->size - w->got)
		return err_set(&a->err, ERR_PROTOCOL, "%llu bytes where the server had promised %llu",
			(unsigned long long)n, (unsigned long long)(w->size - w->got));
	if (!w->feed) /* then there is an end to it: `stream_from` */
		fetch_body_reserve(&w->body, &t->f->bodies, (size_t)w->size);
	a->inside = true;
	return 0;
}

/* Of the N bytes at P those of the pack that is under way. Returns how many. */
static size_t take_pack(struct ask *a, const char *p, size_t n)
{
	struct thread *t = a->c->t;
	struct pack_want *w = a->want.head;
	size_t take = n < w->size - w->got ? n : (size_t)(w->size - w->got);

	if (w->feed) {
		bool full;
		take = feed_add(w, p, take, &full);
		t->all_large.moved += take;
		t->large_at = clock_ms();
		if (full)
			feed_tell(t, w, PACK_COMES, NULL);
	} else {
		fetch_body_add(&w->body, &t->f->bodies, p, take);
	}
	w->got += take;
	return take;
}

/* Of the N bytes at P those of the row that is under way. Returns how many. */
static size_t take_row(struct ask *a, const char *p, size_t n)
{
	size_t take = n < PACKS_ROW - a->nrow ? n : PACKS_ROW - a->nrow;

	memcpy(a->row + a->nrow, p, take);
	a->nrow += take;
	return take;
}

static int row_whole(struct ask *a)
{
	a->nrow = 0;
	return a->kind == ASK_FIND ? found_row(a) : pack_row(a);
}

static int on_data(void *arg, const struct h2_response *r, const void *bytes, size_t n)
{
	struct ask *a = arg;
	struct thread *t = a->c->t;
	const char *p = bytes;

	/* Memory is bounded by what is asked for; and, where that is large, by the window. */
	if (a->kind != ASK_LARGE || r->status != 200)
		h2_consume(a->c->h, a->id, n);
	a->moved_ms = clock_ms();
	if (r->status != 200)
		return 0;
	t->add.bytes += a->kind == ASK_FIND ? 0 : n;
	for (size_t take; n > 0; p += take, n -= take) {
		take = a->inside ? take_pack(a, p, n) : take_row(a, p, n);
		if (!a->inside && a->nrow == PACKS_ROW && row_whole(a) < 0)
			return a->err.code;
		if (a->inside && a->want.head->got == a->want.head->size) {
			a->inside = false;
			want_arrived(t, want_take(&a->want));
		}
	}
	return 0;
}

/* What is wrong with an answer that has ended: the first thing that was. Its code is 0 where nothing is. */
static struct err done_why(const struct ask *a, int code, const struct h2_response *r, const struct err *e)
{
	struct err why = a->err;

	if (why.code)
		return why;
	if (code < 0)
		return *e;
	if (r->status != 200)
		err_set(&why, r->status == 401 || r->status == 403 ? ERR_AUTH : ERR_NET,
			"the server answered %d to a request for packs", r->status);
	else if (a->want.n)
		err_set(&why, ERR_NET, "the answer ended early");
	return why;
}

static void conn_forget(struct conn *c, struct ask *a)
{
	struct ask **at = &c->asks;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	c->nasks--;
	c->t->streams -= a->kind == ASK_LARGE;
}

static void on_done(void *arg, int code, const struct h2_response *r, const struct err *e)
{
	struct ask *a = arg;
	struct conn *c = a->c;
	struct err why = done_why(a, code, r, e);

	conn_forget(c, a);
	if (!why.code)
		c->failures = c->t->failed = 0;
	bool stalled = a->err.code == ERR_TIMEOUT;
	bool refused = code == 0 && r->status >= 400 && r->status < 500;
	if (refused && a->from && r->status != 401 && r->status != 403)
		c->t->plain = true; /* asked again, as any server understands it */
	else if (refused || ((stalled || (code == 0 && r->status >= 500)) && ++c->t->failed == MOST_FAILED))
		thread_useless(c->t, &why); /* it will not say otherwise next time, or has too much to do */
	/* The one at which it broke off: those behind it had no chance. A server that gives no answer fails all of
	 * them, or each would be asked for on its own account, thousands of times in all. */
	ask_return(a, &why, stalled || (code == 0 && r->status != 200) ? SIZE_MAX : 1);
	ask_free(a);
}

/* -- requests ---------------------------------------------------------------------------- */

static void find_row(struct buf *b, const struct pack_want *w, bool from)
{
	static const uint8_t none[PACKS_KEY];

	buf_add(b, (str){ (const char *)w->key, PACKS_KEY });
	if (from)
		buf_add(b, (str){ (const char *)(w->has_base ? w->base.key : none), PACKS_KEY });
}

static void body_find(struct thread *t, struct ask *a)
{
	bool from = false;

	while (t->find.n && a->want.n < BATCH_FIND) {
		struct pack_want *w = want_take(&t->find);
		if (atomic_load(&w->fate) == WANT_TAKEN) { /* while the connection was made */
			want_absent(t, w, NULL);
			continue;
		}
		from |= w->has_base && !t->plain;
		want_add(&a->want, w);
	}
	a->from = from;
	buf_add(&a->body, from ? STR(PACKS_FROM_MAGIC) : STR(PACKS_FIND_MAGIC));
	for (const struct pack_want *w = a->want.head; w; w = w->next)
		find_row(&a->body, w, from);
}

static bool has_room(const struct thread *t, uint64_t hold)
{
	uint64_t held = atomic_load(&t->f->held);

	return held == 0 || held + hold <= t->f->o.max_bytes;
}

/* Whether more of a large pack could be unpacked, or be there when its turn comes, than has arrived. */
static bool is_hungry(const struct thread *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		for (const struct ask *a = t->conn[i].asks; a; a = a->next) {
			const struct pack_want *w = a->want.head;
			if (a->kind == ASK_LARGE && w && w->got - atomic_load(&w->feed->fed) < t->f->o.ahead / HUNGRY)
				return true;
		}
	}
	return false;
}

int64_t share_ends_ms(const struct thread *t)
{
	return t->large_at + t->f->o.share_ms;
}

/* Small packs take their share of the link, large ones theirs, so that both end at once: small ones are what the CPU is
 * busy with, of large ones one at a time is unpacked, and either alone leaves the link or a core idle. Where large ones
 * are behind, and it is bytes that they lack, no more small ones are asked for. */
static bool has_share(const struct thread *t)
{
	double part = (double)t->all_large.moved / (double)(t->all_large.bytes + 1);
	double ahead = (double)t->all_small.moved - part * (double)t->all_small.bytes;

	return ahead <= t->f->o.small_ahead || !is_hungry(t) || clock_ms() >= share_ends_ms(t);
}

/* When there is room for a whole request, of what is left or a quarter of what may be held: where unpacking is what all
 * waits for, room comes back pack by pack, and each would be asked for by itself. */
static bool may_ask(const struct thread *t)
{
	uint64_t quarter = t->f->o.max_bytes / 4, most = quarter < BATCH ? quarter : BATCH, n = 0;

	for (const struct pack_want *w = t->get.head; w && n < most; w = w->next)
		n += w->size;
	return n > 0 && has_room(t, n);
}

/* Of a large pack what is ahead of its unpacking counts, and a half: it may end while the next goes on. */
static uint64_t hold_of(const struct thread *t, const struct pack_want *w)
{
	uint64_t most = t->f->o.ahead + t->f->o.ahead / 2;

	return w->feed && w->size > most ? most : w->size;
}

/* One that broke off is asked for in any case: what counts may be waiting behind it. */
static bool may_stream(const struct thread *t)
{
	const struct pack_want *w = t->large.head;

	return w && t->streams < STREAMS && (w->got || has_room(t, hold_of(t, w)));
}

/* W, from the byte where it broke off. */
static void ask_add(struct thread *t, struct ask *a, struct pack_want *w)
{
	packs_row_put(&a->body, w->digest, w->got);
	if (!w->feed)
		t->all_small.moved += w->size - w->got;
	w->from = w->consumed = w->got;
	w->hold = hold_of(t, w);
	a->bytes += w->size;
	uint64_t held = atomic_fetch_add(&t->f->held, w->hold) + w->hold;
	if (held > t->add.most_bytes)
		t->add.most_bytes = held;
	want_add(&a->want, w);
}

static void body_get(struct thread *t, struct ask *a)
{
	buf_add(&a->body, STR(PACKS_MAGIC));
	if (a->kind == ASK_LARGE) {
		ask_add(t, a, want_take(&t->large));
		return;
	}
	for (const struct pack_want *w; (w = t->get.head) && a->want.n < BATCH_PACKS;) {
		if (!has_room(t, w->size) || (a->want.n > 0 && a->bytes + w->size > BATCH))
			return;
		ask_add(t, a, want_take(&t->get));
	}
}

/* A request for the next batch on C. False: the connection takes none. */
static bool conn_ask(struct conn *c, enum ask_kind kind)
{
	struct thread *t = c->t;
	struct ask *a = xcalloc(1, sizeof(*a));
	struct err e = { 0 };

	a->c = c;
	a->kind = kind;
	if (kind == ASK_FIND)
		body_find(t, a);
	else
		body_get(t, a);
	if (!a->want.n) { /* all of them were taken back */
		ask_free(a);
		return true;
	}
	struct h2_request q = { .method = STR("POST"),
		.path = kind == ASK_FIND ? t->f->path_find : t->f->path_get,
		.authority = t->f->url.authority,
		.content_type = kind == ASK_FIND ? STR(PACKS_FIND_TYPE) : STR(PACKS_TYPE),
		.authorization = t->f->authorization,
		.body = buf_str(&a->body),
		.data = on_data,
		.done = on_done,
		.arg = a };
	a->next = c->asks;
	a->moved_ms = clock_ms();
	c->asks = a;
	c->nasks++;
	if (h2_send(c->h, &a->id, &q, &e) == 0) {
		t->add.requests++;
		t->streams += kind == ASK_LARGE;
		t->large_at = kind == ASK_LARGE ? clock_ms() : t->large_at;
		return true;
	}
	c->asks = a->next;
	c->nasks--;
	c->over = true;
	ask_return(a, &e, 0); /* nothing was sent: that does not count */
	ask_free(a);
	return false;
}

static bool is_open(const struct conn *c)
{
	return c->h && h2_ready(c->h) && !c->over && !h2_going(c->h);
}

/* Where the next request goes, or NULL: the connection with the fewest requests. But as long as there are
 * large packs they have the last connection and the others the rest: a window that several large ones share
 * in turn never falls idle. Of look-ups each has one as long as more are about to open. */
static struct conn *conn_for(struct thread *t, enum ask_kind kind)
{
	bool apart = kind != ASK_FIND && (t->streams || t->large.n);
	struct conn *best = NULL, *last = NULL;
	bool opening = false;

	for (unsigned i = t->n; i-- > 0;) {
		struct conn *c = &t->conn[i];
		opening |= c->h && !h2_ready(c->h);
		if (!is_open(c))
			continue;
		if (!last)
			last = c;
		else if (!best || c->nasks < best->nasks)
			best = c;
	}
	if (!best || (apart && kind == ASK_LARGE) || (!apart && last->nasks < best->nasks))
		best = last;
	return best && best->nasks < (kind == ASK_FIND && opening ? 1 : DEPTH) ? best : NULL;
}

static bool ask_next(struct thread *t, enum ask_kind kind)
{
	struct conn *c = conn_for(t, kind);

	return c && conn_ask(c, kind);
}

bool ask_all(struct thread *t)
{
	bool any = false;

	while (t->find.n && ask_next(t, ASK_FIND))
		any = true;
	while (may_stream(t) && ask_next(t, ASK_LARGE))
		any = true;
	while (may_ask(t) && has_share(t) && ask_next(t, ASK_GET))
		any = true;
	t->share = may_ask(t) && !has_share(t);
	return any;
}

/* Whether a large pack is about to be through: then the next may go on before it is unpacked, so that the
 * link does not wait for that. */
static bool is_ending(const struct thread *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		for (const struct ask *a = t->conn[i].asks; a; a = a->next) {
			const struct pack_want *w = a->want.head;
			if (a->kind == ASK_LARGE && w && w->size - w->got < t->f->o.ahead / 2)
				return true;
		}
	}
	return t->streams == 1;
}

/* What the loop has unpacked of W may arrive anew. True: it may. */
static bool stream_go(struct ask *a, struct pack_want *w, bool ends)
{
	struct thread *t = a->c->t;
	uint64_t room = atomic_load(&w->feed->fed) + (ends ? t->f->o.ahead : 0);

	room = room < w->got ? room : w->got;
	if (room <= w->consumed)
		return false;
	h2_consume(a->c->h, a->id, (size_t)(room - w->consumed));
	w->consumed = room;
	a->moved_ms = clock_ms();
	return true;
}

bool streams_go(struct thread *t)
{
	bool ends = is_ending(t), any = false;

	for (unsigned i = 0; i < t->n; i++) {
		for (struct ask *a = t->conn[i].asks; a; a = a->next) {
			if (a->kind == ASK_LARGE && a->want.head)
				any |= stream_go(a, a->want.head, ends);
		}
	}
	return any;
}

/* Whether it is the server that A waits for: of a large pack there may be as much as the window has, which is given
 * back as far as that was unpacked, and told by halves. */
static bool is_awaited(const struct ask *a)
{
	const struct pack_want *w = a->want.head;

	return a->err.code == 0 && (a->kind != ASK_LARGE || !w || w->got - w->consumed < a->c->t->f->o.ahead / 2);
}

int64_t asks_stall_ms(const struct conn *c)
{
	int64_t at = INT64_MAX;

	for (const struct ask *a = c->asks; a; a = a->next) {
		if (is_awaited(a) && a->moved_ms + c->t->f->o.stall_ms < at)
			at = a->moved_ms + c->t->f->o.stall_ms;
	}
	return at;
}

void asks_stalled(struct conn *c)
{
	int64_t now = clock_ms();

	for (struct ask *a = c->asks; a; a = a->next) {
		if (!is_awaited(a) || now < a->moved_ms + c->t->f->o.stall_ms)
			continue;
		err_set(&a->err, ERR_TIMEOUT, "the server sent no byte for %u ms", c->t->f->o.stall_ms);
		h2_cancel(c->h, a->id);
		c->over = c->stalled = true; /* another connection may be better off */
	}
}
