#include "base/clock.h"
#include "lock_timed.h"
#include "meta_table.h"
#include "url.h"
#include "workq.h"
#include <time.h>

/* Longer keys than LMDB takes are not kept on disk. */
#define MAX_KEY 500u
#define DEFAULT_MEMORY ((size_t)512 << 20)
/* A body that arrived whole but broken is asked for once more. */
#define BROKEN_BODIES 1u
/* After a failure, stale records serve this long before the registry is asked again. */
#define STALE_GRACE_MS 5000
/* Work for all compile workers for some 50 ms. */
#define DEFAULT_PENDING ((size_t)2 << 20)
/* Bodies from here on take a worker for some milliseconds. */
#define LARGE_BODY ((size_t)128 << 10)
/* Buffers of a compile job up to this size are kept for the next one. */
#define KEEP_JSON ((size_t)2 << 20)

/* What the index holds in front of a record, as bytes. Little-endian, like the record. */
struct stored_head {
	uint32_t magic;
	uint16_t validator_n, unused_n; /* behind the head; the second is empty in new rows */
	int64_t fetched_ms;
};
#define STORED_MAGIC 0x314d5244u /* "DRM1" */

enum step { STEP_LOAD, STEP_COMPILE, STEP_ANSWER };
/* Work for the pool; owned by the list, then by a worker. */
struct task {
	struct task *next;
	enum step step;
	struct entry *entry;
	/* compile */
	struct buf raw;
	bool gzip;
	char *validator;
	/* answer */
	struct meta_record *record;
	struct err *absent;
	struct waiter waiter;
};

struct task_list {
	struct task *first, **end;
};

/* A worker's memory, kept from one packument to the next: fresh pages cost more than what is written to them. */
struct scratch {
	struct scratch *next;
	struct buf json, out;
	struct packument_compiler *compiler;
};

struct meta {
	struct store *store;
	struct registry *registry;
	struct meta_opts o;
	struct workq *pool;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct meta_table table;
	struct task_list quick, small, large; /* the latter are to be compiled; see list_next() */
	unsigned at_large;                    /* workers that compile a large one */
	unsigned runners;                     /* pool jobs that take tasks */
	unsigned live;                        /* busy entries and answers on their way */
	unsigned compiling;
	bool held;               /* the registry, since too much waits to be compiled */
	struct scratch *scratch; /* not in use; as many as ever compiled at once */
	struct meta_counts counts;
};

static bool still_good(const struct entry *t)
{
	return clock_ms() < t->good_until;
}

/* The entry that can answer, or that somebody is working on; NULL when there is none. */
static struct entry *entry_find(struct meta *m, str registry, str name, enum packument_form form, struct buf *key)
{
	buf_clear(key);
	meta_table_put_key(&m->table, key, registry, name, PACKUMENT_FULL);
	if (form == PACKUMENT_ABBREVIATED) {
		struct entry *full = meta_table_find(&m->table, buf_str(key));
		if (full && (full->busy || still_good(full)))
			return full;
	}
	meta_key_set_form(key, form);
	return meta_table_find(&m->table, buf_str(key));
}

/* ---- the pool ---- */

static bool is_large(const struct task *t)
{
	return t->step == STEP_COMPILE && t->raw.n >= LARGE_BODY;
}

/* What a worker does next. To ask comes first, so that the network does not wait for the workers. Small bodies do
 * not wait for large ones, since each may bring more to ask for; but those have half of the workers while both are
 * there, for they bring as much. */
static struct task_list *list_next(struct meta *m)
{
	if (m->quick.first)
		return &m->quick;
	bool large = m->large.first && (!m->small.first || m->at_large < m->o.workers / 2);
	return large ? &m->large : &m->small;
}

/* Hands T to the pool; never blocks. Under the lock. The lists are as long as there are wants, at most. */
static void task_push(struct meta *m, struct task *t)
{
	struct task_list *l = t->step != STEP_COMPILE ? &m->quick : is_large(t) ? &m->large : &m->small;

	*l->end = t;
	l->end = &t->next;
	if (m->runners == m->o.workers)
		return;
	while (workq_pop(m->pool)) /* finished runners make room */
		;
	m->runners++;
	if (!workq_push(m->pool, m))
		abort(); /* depth is four runners per worker */
}

/* N more bytes wait to be compiled. Under the lock. Past the limit the fetch thread takes what it has begun to read, no
 * more, and goes on when half of it is left. */
static void pending_add(struct meta *m, size_t n)
{
	struct meta_counts *c = &m->counts;

	c->pending += n;
	if (c->pending > c->most_pending)
		c->most_pending = c->pending;
	if (c->pending > m->o.max_pending && !m->held) {
		m->held = true;
		registry_hold(m->registry, true);
	}
}

/* A worker has taken N bytes of them: what it compiles is not behind anything. Under the lock. */
static void pending_end(struct meta *m, size_t n)
{
	m->counts.pending -= n;
	if (m->held && m->counts.pending <= m->o.max_pending / 2) {
		m->held = false;
		registry_hold(m->registry, false);
	}
}

static struct task *task_take(struct meta *m)
{
	struct task_list *l = list_next(m);
	struct task *t = l->first;

	if (t) {
		l->first = t->next;
		if (!l->first)
			l->end = &l->first;
		m->at_large += is_large(t);
		pending_end(m, t->raw.n);
	}
	return t;
}

static void task_free(struct task *t)
{
	buf_release(&t->raw);
	free(t->validator);
	free(t->absent);
	free(t);
}

/* Under the lock; nothing of the table may be touched by the caller afterwards when meta_free() waits. */
static void live_end(struct meta *m)
{
	if (--m->live == 0)
		pthread_cond_broadcast(&m->idle);
}

/* ---- the end of an entry's work ---- */

/* In GOOD_MS from now. */
static int64_t until(int64_t good_ms)
{
	int64_t now = clock_ms();

	return good_ms < INT64_MAX - now ? now + good_ms : INT64_MAX;
}

/* RECORD (adopted) or E goes to all who wait; from memory it is good for GOOD_MS. An entry that failed is gone before
 * they wake, unless its failure is an answer: the registry has no such package. */
static void entry_settle(struct entry *t, struct meta_record *record, int64_t good_ms, const struct err *e)
{
	struct meta *m = t->m;
	VEC(struct waiter) waiters = VEC_INIT;

	lock_timed(&m->lock, m->o.lock_waits);
	memcpy(&waiters, &t->waiters, sizeof(waiters));
	memset(&t->waiters, 0, sizeof(t->waiters));
	t->busy = false;
	t->broken = 0;
	meta_record_release(t->record);
	t->record = record;
	m->counts.failed += !record;
	if (!record && e->code == ERR_NOTFOUND && !m->o.offline && m->o.absent_ms > 0) {
		t->absent = err_copy(e);
		good_ms = m->o.absent_ms;
	}
	if (record && m->o.max_age_ms == 0)
		good_ms = INT64_MAX; /* see meta_opts */
	if (record || t->absent) {
		for (size_t i = 0; i < waiters.n && record; i++)
			meta_record_hold(record);
		t->good_until = until(good_ms);
		meta_table_used(&m->table, t);
		meta_table_shrink(&m->table, m->o.memory);
	} else {
		meta_table_drop(&m->table, t);
	}
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < waiters.n; i++)
		waiters.p[i].done(waiters.p[i].arg, record, e);
	vec_release(&waiters);
	lock_timed(&m->lock, m->o.lock_waits);
	live_end(m);
	pthread_mutex_unlock(&m->lock);
}

static void count(struct meta *m, uint64_t *what, uint64_t n)
{
	lock_timed(&m->lock, m->o.lock_waits);
	*what += n;
	pthread_mutex_unlock(&m->lock);
}

/* No answer: what is stale serves where the registry is in trouble, not where it said no. */
static void entry_fail(struct entry *t, const struct err *e)
{
	struct meta *m = t->m;
	bool trouble = e->code == ERR_NET || e->code == ERR_TIMEOUT || e->code == ERR_PARSE || e->code == ERR_BUSY ||
		       e->code == ERR_TOOBIG || e->code == ERR_UNSUPPORTED;

	if (t->record && trouble) {
		count(m, &m->counts.stale_used, 1);
		meta_record_set_origin(t->record, META_KEPT);
		entry_settle(t, meta_record_hold(t->record), STALE_GRACE_MS, e);
	} else {
		entry_settle(t, NULL, 0, e);
	}
}

/* ---- the index ---- */

/* What stands in front of a record that was fetched now. */
static void head_put(struct buf *value, str validator)
{
	struct stored_head h = { STORED_MAGIC, (uint16_t)validator.n, 0, clock_wall_ms() };

	buf_add(value, (str){ (const char *)&h, sizeof(h) });
	buf_add(value, validator);
}

static void index_put(struct entry *t, enum packument_form form, const struct task *c, str value)
{
	struct meta *m = t->m;
	AUTO(buf_release) struct buf key = BUF_INIT;

	if (!m->store || str_of(c->validator).n > UINT16_MAX)
		return;
	meta_key_put(&key, str_of(t->registry), str_of(t->name), form);
	if (key.n <= MAX_KEY && !store_kv_put(m->store, "meta", buf_str(&key), value))
		count(m, &m->counts.put_dropped, 1);
}

/* Only the age, in a table of its own: records are large. */
static void index_touch(struct entry *t, enum packument_form form)
{
	struct meta *m = t->m;
	int64_t now = t->checked_ms;
	AUTO(buf_release) struct buf key = BUF_INIT;

	meta_key_put(&key, str_of(t->registry), str_of(t->name), form);
	if (!m->store || key.n > MAX_KEY)
		return;
	if (!store_kv_put(m->store, "meta-age", buf_str(&key), (str){ (const char *)&now, sizeof(now) }))
		count(m, &m->counts.put_dropped, 1);
}

int64_t meta_row_ms(str value)
{
	struct stored_head h;

	if (value.n < sizeof(h))
		return 0;
	memcpy(&h, value.p, sizeof(h));
	return h.magic == STORED_MAGIC ? h.fetched_ms : 0;
}

/* Reads one form's row into T (record, validator, when it was confirmed). 1 found, 0 not, negative:
 * the index cannot be read. */
static int index_get(struct entry *t, enum packument_form form, struct store_read *r, struct err *e)
{
	AUTO(buf_release) struct buf key = BUF_INIT;
	struct stored_head h;
	struct err bad;
	str v, age;

	meta_key_put(&key, str_of(t->registry), str_of(t->name), form);
	int rc = key.n > MAX_KEY ? 0 : store_kv_get(&v, r, "meta", buf_str(&key), e);
	if (rc <= 0)
		return rc;
	if (v.n < sizeof(h))
		return 0;
	memcpy(&h, v.p, sizeof(h));
	if (h.magic != STORED_MAGIC || v.n - sizeof(h) < (size_t)h.validator_n + h.unused_n)
		return 0; /* of another version: as if it were not there */
	t->record = meta_record_new(str_from(v, sizeof(h) + h.validator_n + h.unused_n), &bad);
	if (!t->record)
		return 0;
	if (h.validator_n)
		t->validator = xstrndup((str){ v.p + sizeof(h), h.validator_n });
	t->asked_form = form;
	t->checked_ms = h.fetched_ms;
	rc = store_kv_get(&age, r, "meta-age", buf_str(&key), e);
	if (rc > 0 && age.n == sizeof(int64_t)) {
		int64_t ms;
		memcpy(&ms, age.p, sizeof(ms));
		t->checked_ms = ms > h.fetched_ms ? ms : h.fetched_ms;
	}
	return rc < 0 ? rc : 1;
}

/* ---- steps ---- */

static void fetch(struct entry *t);

/* For how long what was CHECKED then is good; 0: no more. Of a later time than it is now nobody knows its age. */
static int64_t good_for(const struct meta *m, int64_t checked_ms)
{
	int64_t age = clock_wall_ms() - checked_ms;

	if (m->o.offline)
		return INT64_MAX;
	return age >= 0 && age < m->o.max_age_ms ? m->o.max_age_ms - age : 0;
}

static int load_from_index(struct entry *t, struct err *e)
{
	struct store_read *r;

	if (!t->m->store)
		return 0;
	int rc = store_read_begin(&r, t->m->store, e);
	if (rc < 0)
		return rc;
	rc = index_get(t, t->form, r, e);
	if (rc == 0 && t->form == PACKUMENT_ABBREVIATED)
		rc = index_get(t, PACKUMENT_FULL, r, e);
	store_read_end(r);
	return rc;
}

static void step_load(struct entry *t)
{
	struct meta *m = t->m;
	struct err e = { 0 };

	if (!t->record) {
		t->asked_form = t->form;
		int rc = load_from_index(t, &e);
		if (rc < 0) {
			err_ctx(&e, "packument of %s", t->name);
			entry_settle(t, NULL, 0, &e);
			return;
		}
		int64_t good_ms = rc > 0 ? good_for(m, t->checked_ms) : 0;
		if (good_ms > 0) {
			count(m, &m->counts.from_cache, 1);
			entry_settle(t, meta_record_hold(t->record), good_ms, &e);
			return;
		}
	}
	if (m->o.offline) { /* with a record of any age we are not here */
		err_set(&e, ERR_NOTFOUND,
			"package \"%s\" is not in the store and --offline forbids to ask the registry", t->name);
		entry_settle(t, NULL, 0, &e);
		return;
	}
	fetch(t);
}

static void on_fetched(void *arg, int code, const struct registry_packument *p, const struct err *e)
{
	struct entry *t = arg;
	struct meta *m = t->m;

	if (code < 0) {
		entry_fail(t, e);
		return;
	}
	if (p->not_modified && t->record) {
		count(m, &m->counts.revalidated, 1);
		t->checked_ms = clock_wall_ms();
		index_touch(t, t->asked_form);
		meta_record_set_origin(t->record, META_REVALIDATED);
		entry_settle(t, meta_record_hold(t->record), m->o.max_age_ms, e);
		return;
	}
	if (p->not_modified) {
		struct err odd;
		err_set(&odd, ERR_PROTOCOL, "package %s: the registry answered 304 to a request without condition",
			t->name);
		entry_settle(t, NULL, 0, &odd);
		return;
	}
	struct task *c = xcalloc(1, sizeof(*c));
	c->step = STEP_COMPILE;
	c->entry = t;
	c->raw = *p->memory;
	*p->memory = BUF_INIT;
	c->gzip = p->gzip;
	c->validator = xstrndup(p->validator);
	lock_timed(&m->lock, m->o.lock_waits);
	m->counts.fetched++;
	m->counts.bytes += c->raw.n;
	pending_add(m, c->raw.n);
	task_push(m, c);
	pthread_mutex_unlock(&m->lock);
}

static void fetch(struct entry *t)
{
	registry_packument(t->m->registry, str_of(t->registry), str_of(t->name), t->asked_form, str_of(t->validator),
		true, on_fetched, t);
}

static struct meta_record *compile(struct entry *t, struct task *c, struct scratch *w, struct err *e)
{
	buf_clear(&w->json);
	buf_clear(&w->out);
	head_put(&w->out, str_of(c->validator));
	size_t head = w->out.n;
	if (registry_decode(&w->json, buf_str(&c->raw), c->gzip, e) < 0 ||
		packument_compiler_run(w->compiler, &w->out, buf_str(&w->json), str_of(t->name), e) < 0) {
		AUTO(buf_release) struct buf shown = BUF_INIT;
		url_put_public(&shown, str_of(t->registry));
		err_ctx(e, "package %s from " STR_FMT, t->name, STR_ARG(buf_str(&shown)));
		return NULL;
	}
	struct meta_record *r = meta_record_new(str_from(buf_str(&w->out), head), e);
	if (r) {
		meta_record_set_origin(r, META_FETCHED);
		index_put(t, t->asked_form, c, buf_str(&w->out));
		free(t->validator);
		t->validator = c->validator;
		c->validator = NULL;
	}
	return r;
}

/* What a compile job works with: one that has been used, if there is one. */
static struct scratch *scratch_take(struct meta *m)
{
	lock_timed(&m->lock, m->o.lock_waits);
	struct scratch *w = m->scratch;
	if (w)
		m->scratch = w->next;
	if (++m->compiling > m->counts.most_compiling)
		m->counts.most_compiling = m->compiling;
	pthread_mutex_unlock(&m->lock);
	if (!w) {
		w = xcalloc(1, sizeof(*w));
		w->compiler = packument_compiler_new();
	}
	return w;
}

static void scratch_give(struct meta *m, struct scratch *w)
{
	if (w->json.cap > KEEP_JSON)
		buf_release(&w->json);
	if (w->out.cap > KEEP_JSON)
		buf_release(&w->out);
	lock_timed(&m->lock, m->o.lock_waits);
	m->compiling--;
	w->next = m->scratch;
	m->scratch = w;
	pthread_mutex_unlock(&m->lock);
}

static void scratch_free(struct scratch *w)
{
	for (struct scratch *next; w; w = next) {
		next = w->next;
		buf_release(&w->json);
		buf_release(&w->out);
		packument_compiler_free(w->compiler);
		free(w);
	}
}

static void step_compile(struct entry *t, struct task *c)
{
	struct err e = { 0 };
	struct scratch *w = scratch_take(t->m);
	struct meta_record *r = compile(t, c, w, &e);

	scratch_give(t->m, w);
	if (r)
		t->checked_ms = clock_wall_ms();
	if (r)
		entry_settle(t, r, t->m->o.max_age_ms, &e);
	else if (e.code == ERR_PARSE && t->broken++ < BROKEN_BODIES)
		fetch(t);
	else
		entry_fail(t, &e);
}

static void step_answer(struct meta *m, struct task *c)
{
	struct err none = { 0 };

	c->waiter.done(c->waiter.arg, c->record, c->absent ? c->absent : &none);
	lock_timed(&m->lock, m->o.lock_waits);
	live_end(m);
	pthread_mutex_unlock(&m->lock);
}

/* A pool job: takes tasks until there are none. */
static void run_tasks(void *arg)
{
	struct meta *m = arg;

	lock_timed(&m->lock, m->o.lock_waits);
	for (struct task *c; (c = task_take(m));) {
		pthread_mutex_unlock(&m->lock);
		if (c->step == STEP_LOAD)
			step_load(c->entry);
		else if (c->step == STEP_COMPILE)
			step_compile(c->entry, c);
		else
			step_answer(m, c);
		bool large = is_large(c);
		task_free(c);
		lock_timed(&m->lock, m->o.lock_waits);
		m->at_large -= large;
	}
	m->runners--;
	pthread_mutex_unlock(&m->lock);
}

static void drop_runner(void *job)
{
	(void)job; /* the meta itself */
}

/* ---- for the owner ---- */

int meta_new(struct meta **out, struct store *s, struct registry *reg, const struct meta_opts *o, struct err *e)
{
	struct meta *m = xcalloc(1, sizeof(*m));

	m->store = s;
	m->registry = reg;
	m->o = *o;
	if (m->o.workers == 0)
		m->o.workers = workq_cpus();
	if (m->o.max_pending == 0)
		m->o.max_pending = DEFAULT_PENDING;
	if (m->o.memory == 0)
		m->o.memory = DEFAULT_MEMORY;
	m->quick.end = &m->quick.first;
	m->small.end = &m->small.first;
	m->large.end = &m->large.first;
	/* At most `workers` runners take tasks, and as many again have stopped to and are not yet back. */
	struct workq_opts q = { .name = "meta",
		.workers = m->o.workers,
		.depth = 4 * m->o.workers,
		.run = run_tasks,
		.drop = drop_runner };
	if (workq_new(&m->pool, &q, e) < 0) {
		free(m);
		return e->code;
	}
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->idle, NULL);
	*out = m;
	return 0;
}

void meta_forget(struct meta *m)
{
	lock_timed(&m->lock, m->o.lock_waits);
	meta_table_shrink(&m->table, 0);
	struct scratch *idle = m->scratch;
	m->scratch = NULL;
	pthread_mutex_unlock(&m->lock);
	scratch_free(idle);
}

void meta_free(struct meta *m)
{
	if (!m)
		return;
	lock_timed(&m->lock, m->o.lock_waits);
	while (m->live)
		pthread_cond_wait(&m->idle, &m->lock);
	pthread_mutex_unlock(&m->lock);
	workq_free(m->pool);
	meta_table_release(&m->table);
	scratch_free(m->scratch);
	pthread_cond_destroy(&m->idle);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* T is not busy and can answer: its record, as the caller's, or NULL when it is known to be absent. Under the lock. */
static struct meta_record *entry_use(struct meta *m, struct entry *t)
{
	meta_table_unused(&m->table, t);
	meta_table_used(&m->table, t);
	return t->record ? meta_record_hold(t->record) : NULL;
}

void meta_want(struct meta *m, str registry_url, str name, enum packument_form form, meta_done *done, void *arg)
{
	AUTO(buf_release) struct buf key = BUF_INIT;
	struct waiter w = { done, arg };

	lock_timed(&m->lock, m->o.lock_waits);
	struct entry *t = entry_find(m, registry_url, name, form, &key);
	if (t && t->busy) {
		*vec_add(&t->waiters) = w;
	} else {
		struct task *c = xcalloc(1, sizeof(*c));
		m->live++;
		if (t && still_good(t)) {
			c->step = STEP_ANSWER;
			c->waiter = w;
			c->record = entry_use(m, t);
			c->absent = t->absent ? err_copy(t->absent) : NULL;
			*(t->absent ? &m->counts.absent : &m->counts.from_cache) += 1;
		} else {
			if (t) {
				meta_table_unused(&m->table, t); /* what it has is stale from now on */
				free(t->absent);
				t->absent = NULL;
			} else {
				t = meta_table_add(&m->table, buf_str(&key), registry_url, name, form);
				t->m = m;
			}
			t->busy = true;
			*vec_add(&t->waiters) = w;
			c->step = STEP_LOAD;
			c->entry = t;
		}
		task_push(m, c);
	}
	pthread_mutex_unlock(&m->lock);
}

struct meta_record *meta_peek(struct meta *m, str registry_url, str name, enum packument_form form)
{
	AUTO(buf_release) struct buf key = BUF_INIT;

	lock_timed(&m->lock, m->o.lock_waits);
	struct entry *t = entry_find(m, registry_url, name, form, &key);
	struct meta_record *r = t && !t->busy && t->record && still_good(t) ? entry_use(m, t) : NULL;
	m->counts.from_cache += r != NULL;
	pthread_mutex_unlock(&m->lock);
	return r;
}

/* What T, which was read from the index without asking, has. It stays for whoever wants it next: under its name,
 * where nobody else is at it. */
static struct meta_record *entry_keep(struct meta *m, struct entry *x, struct buf *key)
{
	struct meta_record *r = meta_record_hold(x->record);

	lock_timed(&m->lock, m->o.lock_waits);
	if (!entry_find(m, str_of(x->registry), str_of(x->name), x->form, key)) {
		struct entry *t =
			meta_table_add(&m->table, buf_str(key), str_of(x->registry), str_of(x->name), x->form);
		t->m = m;
		t->record = x->record;
		t->validator = x->validator;
		t->asked_form = x->asked_form;
		t->checked_ms = x->checked_ms;
		t->good_until = until(good_for(m, x->checked_ms));
		x->record = NULL;
		x->validator = NULL;
		meta_table_used(&m->table, t);
		meta_table_shrink(&m->table, m->o.memory);
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

struct meta_record *meta_kept(struct meta *m, int64_t *checked_ms, str registry_url, str name, enum packument_form form)
{
	AUTO(buf_release) struct buf key = BUF_INIT;
	struct err e;

	lock_timed(&m->lock, m->o.lock_waits);
	struct entry *t = entry_find(m, registry_url, name, form, &key);
	bool known = t && !t->busy;
	struct meta_record *r = known && t->record ? entry_use(m, t) : NULL;
	if (r)
		*checked_ms = t->checked_ms;
	pthread_mutex_unlock(&m->lock);
	if (known)
		return r;
	struct entry x = { .m = m, .registry = xstrndup(registry_url), .name = xstrndup(name), .form = form };
	(void)load_from_index(&x, &e); /* of what cannot be read meta_want() says why */
	if (x.record) {
		*checked_ms = x.checked_ms;
		r = entry_keep(m, &x, &key);
	}
	meta_record_release(x.record);
	free(x.registry);
	free(x.name);
	free(x.validator);
	return r;
}

struct meta_record *meta_look(struct meta *m, str registry_url, str name, enum packument_form form)
{
	struct entry t = { .m = m, .registry = xstrndup(registry_url), .name = xstrndup(name), .form = form };
	struct err e;

	(void)load_from_index(&t, &e); /* of what cannot be read meta_want() says why */
	free(t.registry);
	free(t.name);
	free(t.validator);
	return t.record;
}

struct meta_counts meta_counts(const struct meta *m)
{
	struct meta *mutable = (struct meta *)(uintptr_t)m; /* for its lock */

	lock_timed(&mutable->lock, mutable->o.lock_waits);
	struct meta_counts n = m->counts;
	n.memory = m->table.memory;
	pthread_mutex_unlock(&mutable->lock);
	return n;
}
