/* ctest label: threads
 * The packument cache is a stand-in whose answers come from two workers that wait for each other. */
#include "preload.h"
#include "workq.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the ones above */
#include <cmocka.h>

enum { WANTS = 64 };

struct meta_record {
	struct packument pk;
};
struct meta {
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct workq *q;
	unsigned entered, together; /* answers begun; the first `together` wait for each other */
	unsigned alive;             /* records not released */
	bool closed;                /* nobody answers until it opens */
};
struct job {
	struct meta *m;
	meta_done *done;
	void *arg;
	bool fails;
};

struct packument meta_packument(const struct meta_record *r)
{
	return r->pk;
}

enum meta_origin meta_record_origin(const struct meta_record *r)
{
	(void)r;
	return META_REVALIDATED;
}

static unsigned count(struct meta *m, int step)
{
	pthread_mutex_lock(&m->lock);
	unsigned n = m->alive += (unsigned)step;
	pthread_mutex_unlock(&m->lock);
	return n;
}

struct owned {
	struct meta_record r;
	struct meta *m;
};

void meta_record_release(struct meta_record *r)
{
	struct owned *o = (struct owned *)(void *)r;

	if (r) {
		count(o->m, -1);
		free(o);
	}
}

static struct meta_record *record_new(struct meta *m)
{
	struct owned *o = xcalloc(1, sizeof(*o));

	o->m = m;
	o->r.pk = (struct packument){ (const uint8_t *)"record", 6 };
	count(m, 1);
	return &o->r;
}

struct meta_record *meta_peek(struct meta *m, str registry, str name, enum packument_form form)
{
	(void)registry;
	(void)form;
	return str_eq(name, STR("in-memory")) ? record_new(m) : NULL;
}

/* The same, last confirmed at 5. */
struct meta_record *meta_kept(struct meta *m, int64_t *checked_ms, str registry, str name, enum packument_form form)
{
	*checked_ms = 5;
	return meta_peek(m, registry, name, form);
}

void meta_want(struct meta *m, str registry, str name, enum packument_form form, meta_done *done, void *arg)
{
	struct job *j = xcalloc(1, sizeof(*j));

	assert_true(str_eq(registry, STR("http://registry.test/")));
	assert_int_equal(form, PACKUMENT_FULL);
	*j = (struct job){ m, done, arg, str_eq(name, STR("missing")) };
	assert_true(workq_push(m->q, j));
}

static void answer(void *arg)
{
	struct job *j = arg;
	struct meta *m = j->m;
	struct err e;

	pthread_mutex_lock(&m->lock);
	m->entered++;
	pthread_cond_broadcast(&m->change);
	while (m->entered < m->together || m->closed)
		pthread_cond_wait(&m->change, &m->lock);
	pthread_mutex_unlock(&m->lock);
	if (j->fails)
		err_set(&e, ERR_NOTFOUND, "missing: 404");
	j->done(j->arg, j->fails ? NULL : record_new(m), j->fails ? &e : NULL);
}

struct fixture {
	struct meta m;
	struct preload *p;
	const struct engine_io *io;
	struct err e;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	pthread_mutex_init(&f->m.lock, NULL);
	pthread_cond_init(&f->m.change, NULL);
	if (workq_new(&f->m.q,
		    &(struct workq_opts){ .name = "meta", .workers = 2, .depth = 128, .run = answer, .drop = free },
		    &f->e) < 0)
		return -1;
	f->p = preload_new(&f->m, &(struct preload_opts){ .now_ms = 7 });
	f->io = preload_io(f->p);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	preload_free(f->p);
	for (void *j; (j = workq_pop(f->m.q));)
		free(j);
	workq_free(f->m.q);
	assert_int_equal(f->m.alive, 0); /* every record was given back */
	free(f);
	return 0;
}

static void want(struct fixture *f, uint32_t ticket, str name)
{
	f->io->want(f->io->ctx, ticket, STR("http://registry.test/"), name, PACKUMENT_FULL);
}

static void test_all_arrive_once(void **state)
{
	struct fixture *f = *state;
	uint32_t ticket[5], seen[WANTS] = { 0 };
	const struct engine_packument *got[5];

	f->m.together = 2; /* both workers must be in meta's callback at once, or this never ends */
	assert_int_equal(f->io->now_ms, 7);
	for (uint32_t i = 0; i < WANTS; i++)
		want(f, i, i == 3 ? STR("missing") : i == 5 ? STR("in-memory") : STR("a"));
	for (uint32_t all = 0; all < WANTS;) {
		int n = f->io->wait(f->io->ctx, ticket, got, 5, &f->e);
		assert_in_range(n, 1, 5);
		for (int i = 0; i < n; i++, all++) {
			seen[ticket[i]]++;
			if (ticket[i] == 3) {
				assert_null(got[i]->rec.p);
				assert_int_equal(got[i]->err->code, ERR_NOTFOUND);
			} else {
				assert_int_equal(got[i]->rec.n, 6);
				assert_int_equal(
					got[i]->origin, ticket[i] == 5 ? PACKUMENT_KEPT : PACKUMENT_REVALIDATED);
			}
		}
	}
	for (uint32_t i = 0; i < WANTS; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(f->io->poll(f->io->ctx, ticket, got, 5, &f->e), 0);
	assert_int_equal(f->io->wait(f->io->ctx, ticket, got, 5, &f->e), ERR_PROTOCOL); /* nothing can come any more */
}

static void test_kept(void **state)
{
	struct fixture *f = *state;
	struct preload_opts o = { .now_ms = 7, .kept_ages = true };
	struct packument got = { 0 };
	int64_t ms = -1;

	assert_false(f->io->kept(f->io->ctx, &got, &ms, STR("http://registry.test/"), STR("a"), PACKUMENT_FULL));
	assert_true(f->io->kept(f->io->ctx, &got, &ms, STR("http://registry.test/"), STR("in-memory"), PACKUMENT_FULL));
	assert_int_equal(got.n, 6);
	assert_int_equal(ms, 0); /* ages prove nothing, unless told that they do */
	assert_int_equal(f->m.alive, 1);
	struct preload *p = preload_new(&f->m, &o);
	const struct engine_io *io = preload_io(p);
	assert_true(io->kept(io->ctx, &got, &ms, STR("http://registry.test/"), STR("in-memory"), PACKUMENT_FULL));
	assert_int_equal(ms, 5);
	preload_free(p);
	assert_int_equal(f->m.alive, 1);
}

static void set_closed(struct meta *m, bool closed)
{
	pthread_mutex_lock(&m->lock);
	m->closed = closed;
	pthread_cond_broadcast(&m->change);
	pthread_mutex_unlock(&m->lock);
}

static void *cancel_it(void *arg)
{
	preload_cancel(arg);
	return NULL;
}

static void test_cancel_ends_a_wait(void **state)
{
	struct fixture *f = *state;
	uint32_t ticket;
	const struct engine_packument *got;
	pthread_t t;

	set_closed(&f->m, true);
	want(f, 0, STR("a"));
	assert_int_equal(f->io->poll(f->io->ctx, &ticket, &got, 1, &f->e), 0);
	assert_int_equal(workq_thread(&t, "cancel", cancel_it, f->p, &f->e), 0);
	assert_int_equal(f->io->wait(f->io->ctx, &ticket, &got, 1, &f->e), ERR_CANCELLED);
	assert_int_equal(f->io->poll(f->io->ctx, &ticket, &got, 1, &f->e), ERR_CANCELLED);
	pthread_join(t, NULL);
	set_closed(&f->m, false); /* teardown waits for the answer that is still under way */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_arrive_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel_ends_a_wait, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
