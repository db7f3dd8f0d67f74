#include "accept.h"
#include "base/clock.h"
#include "clients.h"
#include "heap.h"
#include "notify.h"
#include "plan_run.h"
#include "route.h"
#include "tls.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LISTEN = CONFIG_MAX_LISTEN, FLUSH_MS = 5, CLOSE_IDLE_MS = 500, STAGE_MS = 10000 };

/* All that a run owns. */
struct run {
	struct server s;
	h2o_globalconf_t conf;
	int fd[MAX_LISTEN];
	size_t nfd;
	struct door door; /* with the loops */
	size_t nstarted;
	int argc;
	char **argv;
	struct config live; /* as read at the last SIGHUP; empty: none came */
	struct watch *watch;
	struct heap *heap;
	VEC(SSL_CTX *) tls_old; /* replaced ones; a loop may still be handing one out, so they live until the end */
};

static sigset_t signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

void server_signals(bool wait)
{
	sigset_t set = signals();

	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(wait ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* ---- sockets ---- */

static bool is_loopback(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 24 == 127;
	return sa->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
}

/* Other machines are served over TLS, and only who shows a token or certificate (KNOWN), unless the
 * operator says otherwise. */
static int may_listen(const struct config *c, bool known, str where, const struct sockaddr *sa, struct err *e)
{
	if (is_loopback(sa) || (c->tls_cert.n && known))
		return 0;
	const char *what =
		!c->tls_cert.n ? (known ? "without TLS" : "without TLS and without tokens") : "without tokens";
	if (!c->insecure)
		return err_set(e, ERR_USAGE,
			"listen " STR_FMT " %s: set tls-cert and tls-key, make a token (`drayd token add NAME`) or set "
			"tls-client-ca; or say `insecure = true`, for a network that only you can reach",
			STR_ARG(where), what);
	if (c->command == CONFIG_RUN)
		log_warn("listen", "addr=" STR_FMT " insecure=\"%s\"", STR_ARG(where), what);
	return 0;
}

/* From errno. */
static void bind_error(str where, struct err *e)
{
	const char *what = errno == EADDRINUSE      ? " (`ss -ltnp` shows whose it is; `listen` names another)"
			   : errno == EADDRNOTAVAIL ? " (this machine has no such address)"
			   : errno == EACCES
				   ? " (below 1024 it takes the capability CAP_NET_BIND_SERVICE: docs/operations.md)"
				   : "";

	err_os(e, "listen " STR_FMT, STR_ARG(where));
	size_t n = strlen(e->msg);
	snprintf(e->msg + n, sizeof(e->msg) - n, "%s", what);
	e->os = 0; /* all is said: that nobody may read a file is not the cause */
}

/* WHERE's address, which C allows to be listened at; to be freed. */
static int address_of(struct addrinfo **out, const struct config *c, bool known, str where, struct err *e)
{
	char host[256], port[8];
	str h, p;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };

	str_rcut(where, ':', &h, &p);
	if (h.n > 2 && h.p[0] == '[')
		h = (str){ h.p + 1, h.n - 2 };
	snprintf(host, sizeof(host), STR_FMT, STR_ARG(h));
	snprintf(port, sizeof(port), STR_FMT, STR_ARG(p));
	int rc = getaddrinfo(str_eq(h, STR("*")) ? NULL : host, port, &hints, out);
	if (rc != 0)
		return err_set(e, ERR_USAGE, "listen " STR_FMT ": %s", STR_ARG(where), gai_strerror(rc));
	if (may_listen(c, known, where, (*out)->ai_addr, e) < 0) {
		freeaddrinfo(*out);
		return e->code;
	}
	return 0;
}

static bool knows_clients(const struct config *c, struct auth *a)
{
	return auth_required(a) || c->tls_client_ca.n;
}

static int bind_one(struct run *r, str where, struct err *e)
{
	struct addrinfo *ai;

	if (address_of(&ai, r->s.config, knows_clients(r->s.config, r->s.auth), where, e) < 0)
		return e->code;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 4096) < 0) {
		bind_error(where, e);
		if (fd >= 0)
			close(fd);
		freeaddrinfo(ai);
		return e->code;
	}
	freeaddrinfo(ai);
	r->fd[r->nfd++] = fd;
	return 0;
}

static int bind_all(struct run *r, struct err *e)
{
	struct str_list l = r->s.config->listen;

	for (size_t i = 0; i < l.n; i++) {
		if (bind_one(r, l.p[i], e) < 0)
			return config_blame(r->s.config, "listen", e);
	}
	return 0;
}

/* Appends "address:port\n" as bound. */
static void address_print(struct buf *b, int fd)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	char host[128], port[8];

	if (getsockname(fd, (struct sockaddr *)&sa, &n) == 0 &&
		getnameinfo((struct sockaddr *)&sa, n, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		buf_printf(b, sa.ss_family == AF_INET6 ? "[%s]:%s\n" : "%s:%s\n", host, port);
}

/* Written beside and renamed, so that who waits for the file never reads half of it. */
static int ready_write(const struct run *r, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	char tmp[4096];
	str path = r->s.config->ready_file;

	for (size_t i = 0; i < r->nfd; i++)
		address_print(&b, r->fd[i]);
	for (str rest = buf_str(&b), line; rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		log_info("listen", "addr=" STR_FMT " tls=%d", STR_ARG(line), r->s.config->tls_cert.n != 0);
	}
	if (path.n == 0)
		return 0;
	if (snprintf(tmp, sizeof(tmp), STR_FMT ".tmp", STR_ARG(path)) >= (int)sizeof(tmp))
		return err_set(e, ERR_USAGE, "ready-file: path too long");
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool ok = fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n;
	if (fd >= 0)
		close(fd);
	if (!ok || rename(tmp, path.p) < 0)
		return err_os(e, "write %s", tmp);
	return 0;
}

/* ---- SIGHUP ---- */

static void tell_restart(void *arg, const char *name, bool live)
{
	(void)arg;
	if (!live)
		log_warn("reload", "option=\"%s\" needs=restart", name);
}

static int tls_make(SSL_CTX **out, int64_t *expires_s, const struct config *c, struct err *e)
{
	if (tls_load(out, expires_s, c, e) < 0)
		return e->code;
	h2o_ssl_register_alpn_protocols(*out, h2o_http2_alpn_protocols);
	return 0;
}

/* One that has ended is served all the same: a client may not look, and a restart would not make it better. */
static void tls_tell(struct run *r, const struct config *c, int64_t expires_s)
{
	struct err e;

	atomic_store(&r->s.n.tls_expires, (uint64_t)expires_s);
	if (c->tls_cert.n && tls_check_time(expires_s, time(NULL), c, &e) < 0)
		log_error("tls", "error=\"%s\"", e.msg);
}

/* All of it or nothing: a certificate that cannot be read leaves everything as it is. C is taken over. */
static int reload_take(struct run *r, struct config *c, struct err *e)
{
	SSL_CTX *x = NULL;
	int64_t expires_s = 0;

	if (c->tls_cert.n && !r->s.config->tls_cert.n)
		return err_set(
			e, ERR_UNSUPPORTED, "tls-cert: a server that started without TLS needs a restart for it");
	if (r->s.config->tls_cert.n && !c->tls_cert.n)
		return err_set(e, ERR_UNSUPPORTED, "tls-cert is gone: turning TLS off needs a restart");
	if (!c->tls_client_ca.n != !r->s.config->tls_client_ca.n)
		return err_set(
			e, ERR_UNSUPPORTED, "tls-client-ca: turning client certificates on or off needs a restart");
	if (c->tls_cert.n && tls_make(&x, &expires_s, c, e) < 0)
		return e->code;
	if (r->s.backend->reload && r->s.backend->reload(r->s.backend->ctx, c, e) < 0) {
		SSL_CTX_free(x);
		return e->code;
	}
	if (x)
		*vec_add(&r->tls_old) = atomic_exchange(&r->door.tls, x);
	tls_tell(r, c, expires_s);
	log_set_level(c->log_level);
	config_diff(r->s.config, c, tell_restart, NULL);
	config_release(&r->live);
	r->live = *c;
	*c = (struct config){ 0 };
	return 0;
}

static void reload(struct run *r)
{
	AUTO(config_release) struct config c = { 0 };
	struct err e = { 0 };
	int rc = r->argc ? config_load(&c, r->argc, r->argv, &e) : 0;

	if (rc == 0 && r->argc)
		rc = reload_take(r, &c, &e);
	if (rc < 0) {
		atomic_fetch_add(&r->s.n.reloads_failed, 1);
		log_error("reload", "error=\"%s\" kept=all", e.msg);
		notify("STATUS=SIGHUP was refused, all is as before: %s", e.msg);
		return;
	}
	atomic_fetch_add(&r->s.n.reloads, 1);
	log_info("reload", "result=ok tls=%d", r->s.config->tls_cert.n != 0);
	notify("STATUS=Serving; SIGHUP taken over");
}

/* ---- loops ---- */

static void on_messages(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	(void)receiver;
	while (!h2o_linklist_is_empty(messages)) {
		h2o_multithread_message_t *m = H2O_STRUCT_FROM_MEMBER(h2o_multithread_message_t, link, messages->next);
		h2o_linklist_unlink(&m->link);
		h_plan_message(m);
	}
}

static void on_calls(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	(void)receiver;
	while (!h2o_linklist_is_empty(messages)) {
		h2o_multithread_message_t *m = H2O_STRUCT_FROM_MEMBER(h2o_multithread_message_t, link, messages->next);
		struct loop_call *c = (struct loop_call *)m;
		h2o_linklist_unlink(&m->link);
		c->run(c);
	}
}

/* On the loop's own thread: h2o's sockets keep the recycled buffers of the thread that created them, so a context made
 * by another thread would share those with every other loop. */
static int loop_init(struct loop *l, struct err *e)
{
	struct run *r = H2O_STRUCT_FROM_MEMBER(struct run, s, l->s);

	h2o_context_init(&l->ctx, h2o_evloop_create(), &r->conf);
	l->accept = (h2o_accept_ctx_t){ .ctx = &l->ctx, .hosts = r->conf.hosts };
	if (getrandom(&l->next_id, sizeof(l->next_id), 0) != sizeof(l->next_id))
		l->next_id = clock_us();
	h2o_multithread_register_receiver(l->ctx.queue, &l->receiver, on_messages);
	h2o_multithread_register_receiver(l->ctx.queue, &l->calls, on_calls);
	h2o_timeout_init(l->ctx.loop, &l->flush, FLUSH_MS);
	return door_open(l, &r->door, r->fd, r->nfd, e);
}

/* Nothing left, or nothing but idle connections that have had time to see the GOAWAY and the end of the last answer
 * (idle since IDLE), or time is up. */
static bool loop_drained(const struct loop *l, int64_t since, int64_t idle, int64_t now)
{
	return l->nconns == 0 || (l->njobs == 0 && now - idle > CLOSE_IDLE_MS) ||
	       now - since > (int64_t)l->s->config->drain_s * 1000;
}

static void *loop_run(void *arg)
{
	struct loop *l = arg;
	int64_t since = 0, tick = clock_ms(), busy = tick;

	l->rc = loop_init(l, &l->err);
	sem_post(&l->up);
	if (l->rc < 0)
		return NULL;
	for (;;) {
		watch_beat(&l->watch);
		h2o_evloop_run(l->ctx.loop, since ? 50 : l->paused_ms ? DOOR_PAUSE_MS : 500);
		int64_t now = clock_ms();
		door_tick(l, now);
		if (now - tick >= 1000) {
			h_plan_tick(l, now);
			h_packs_tick(l, now);
			h_registry_tick(l, now);
			answer_tick(l, now);
			tick = now;
		}
		if (!since && atomic_load(&l->s->draining)) {
			since = busy = now;
			door_close(l);
			h2o_context_request_shutdown(&l->ctx);
		}
		if (l->njobs || !since)
			busy = now;
		if (since && loop_drained(l, since, busy, now))
			break;
	}
	if (l->njobs)
		log_warn("drain", "cut_off=%u", l->njobs);
	h_plan_abandon(l);
	h_registry_abandon(l);
	watch_rest(&l->watch);
	return NULL;
}

/* ---- the run ---- */

static void conf_init(struct run *r)
{
	const struct config *c = r->s.config;

	h2o_config_init(&r->conf);
	r->conf.server_name = h2o_iovec_init(H2O_STRLIT("drayd/" DRAY_VERSION));
	/* Past h2o's own limit a client gets REFUSED_STREAM and may try for ever, so ours is
	 * below it and answers 413. */
	r->conf.max_request_entity_size = (c->max_body_mib << 20) * 2;
	r->conf.http2.idle_timeout = c->idle_s * 1000;
	r->conf.http2.graceful_shutdown_timeout = c->drain_s * 1000 + 1;
	r->conf.http1.req_timeout = 10 * 1000;
	h2o_hostconf_t *host = h2o_config_register_host(&r->conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
	h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
	h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = route;
	h2o_create_logger(path, sizeof(h2o_logger_t))->log_access = route_log;
}

static int watch_start(struct run *r, struct err *e)
{
	struct watch_slot *slot[64];

	for (size_t i = 0; i < r->door.nloops; i++)
		slot[i] = &r->door.loop[i].watch;
	return watch_new(&r->watch,
		&(struct watch_opts){ .slot = slot, .n = r->door.nloops, .blocked = &r->s.n.loops_blocked }, e);
}

/* As many connections as there may be, or as there are descriptors for: without one more nothing can be accepted, nor
 * refused, and the loops would ask for ever. A quarter is left for what connections ask for. */
static uint64_t connections_most(const struct config *c)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
		return c->max_connections;
	uint64_t most = (uint64_t)r.rlim_cur / 4 * 3;
	return most < c->max_connections ? most : c->max_connections;
}

/* What loops share: the certificate, limits, tokens, the plans' workers and their cache. */
static int shared_start(struct run *r, uint64_t most, struct err *e)
{
	const struct config *c = r->s.config;
	SSL_CTX *tls = NULL;
	int64_t expires_s = 0;

	if (c->tls_cert.n && tls_make(&tls, &expires_s, c, e) < 0)
		return e->code;
	atomic_store(&r->door.tls, tls);
	tls_tell(r, c, expires_s);
	r->s.cache = plan_cache_new(&(struct plan_cache_opts){ .max_bytes = (size_t)c->plan_cache_mib << 20,
		.max_age_ms = (int64_t)c->packument_age_s * 1000,
		.max_waiters = (unsigned)c->plan_queue,
		.now_ms = clock_ms,
		.ref = plan_run_ref,
		.lock_waits = &r->s.n.lock_waits });
	r->door.clients = clients_new(most, c->connections_per_address);
	if (auth_new(&r->s.auth, c, &r->s.n.lock_waits, e) < 0 || bind_all(r, e) < 0)
		return e->code;
	struct workq_opts o = { .name = "plan",
		.workers = (unsigned)c->plans,
		.depth = (unsigned)(c->plans + c->plan_queue),
		.run = plan_run_work,
		.drop = plan_run_drop };
	return workq_new(&r->s.plans, &o, e);
}

/* Each loop starts on its thread: 0 when all accept. */
static int loops_start(struct run *r, struct err *e)
{
	unsigned cpus = workq_cpus();

	r->door.nloops = r->s.config->threads ? (size_t)r->s.config->threads : cpus < 4 ? cpus : 4;
	r->door.loop = xcalloc(r->door.nloops, sizeof(*r->door.loop));
	for (; r->nstarted < r->door.nloops; r->nstarted++) {
		struct loop *l = &r->door.loop[r->nstarted];
		l->s = &r->s;
		watch_slot_init(&l->watch);
		sem_init(&l->up, 0, 0);
		if (workq_thread(&l->tid, "loop", loop_run, l, e) < 0)
			return e->code;
	}
	for (size_t i = 0; i < r->door.nloops; i++) {
		while (sem_wait(&r->door.loop[i].up) < 0 && errno == EINTR)
			;
	}
	for (size_t i = 0; i < r->door.nloops; i++) {
		if (r->door.loop[i].rc < 0)
			return *e = r->door.loop[i].err, e->code;
	}
	return 0;
}

static int run_start(struct run *r, struct err *e)
{
	uint64_t wanted = r->s.config->max_connections, most = connections_most(r->s.config);

	if (shared_start(r, most, e) < 0 || loops_start(r, e) < 0)
		return e->code;
	if (watch_start(r, e) < 0 || heap_new(&r->heap, &r->s.n.heap_trims, e) < 0 || ready_write(r, e) < 0)
		return e->code;
	if (most < wanted)
		log_warn("listen", "connections=%llu max-connections=%llu: there are no more descriptors (ulimit -n)",
			(unsigned long long)most, (unsigned long long)wanted);
	notify("READY=1\nSTATUS=Serving");
	return 0;
}

static void run_drain(struct run *r)
{
	if (r->watch) /* else the start failed half way */
		log_info("drain", "plans=%llu connections=%llu", (unsigned long long)atomic_load(&r->s.n.plans_active),
			(unsigned long long)atomic_load(&r->s.n.connections_open));
	atomic_store(&r->s.draining, true);
	/* A start that failed half way: the rest wakes within a second by itself. */
	for (size_t i = 0; i < r->nstarted && r->nstarted == r->door.nloops; i++) {
		if (r->door.loop[i].rc == 0)
			h2o_multithread_send_message(&r->door.loop[i].receiver, NULL);
	}
}

/* Whether a signal says stop; SIGHUP reloads. */
static bool signals_take(struct run *r, int sfd)
{
	struct signalfd_siginfo si;
	bool stop = false;

	while (read(sfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGHUP)
			reload(r);
		else
			stop = true;
	}
	return stop;
}

/* Until a signal says stop: finished jobs are taken off the queue here. */
static int run_wait(struct run *r, struct err *e)
{
	sigset_t set = signals();
	int sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

	if (sfd < 0)
		return err_os(e, "signalfd");
	struct pollfd p[2] = { { .fd = sfd, .events = POLLIN }, { .fd = workq_fd(r->s.plans), .events = POLLIN } };
	do {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		for (void *job; (job = workq_pop(r->s.plans));)
			plan_run_drop(job);
	} while (!signals_take(r, sfd));
	close(sfd);
	return 0;
}

/* What connections are left die with the process: h2o has no call that closes them all. */
static void loops_release(struct run *r)
{
	for (size_t i = 0; i < r->door.nloops && r->door.loop; i++) {
		struct loop *l = &r->door.loop[i];
		door_close(l);
		free(l->listener);
		watch_slot_release(&l->watch);
	}
	free(r->door.loop);
}

static void tls_release(struct run *r)
{
	for (size_t i = 0; i < r->tls_old.n; i++)
		SSL_CTX_free(r->tls_old.p[i]);
	vec_release(&r->tls_old);
	SSL_CTX_free(atomic_load(&r->door.tls));
}

static void run_stop(struct run *r)
{
	run_drain(r);
	if (r->watch)
		watch_stage(r->watch, "drain", (int64_t)r->s.config->drain_s * 1000 + STAGE_MS);
	for (size_t i = 0; i < r->nstarted; i++)
		pthread_join(r->door.loop[i].tid, NULL);
	if (r->watch)
		watch_stage(r->watch, "workers", STAGE_MS);
	workq_free(r->s.plans); /* its workers were cancelled by their loops */
	plan_cache_free(r->s.cache);
	heap_free(r->heap);
	watch_free(r->watch);
	clients_free(r->door.clients);
	auth_free(r->s.auth);
	loops_release(r);
	for (size_t i = 0; i < r->nfd; i++)
		close(r->fd[i]);
	tls_release(r);
	config_release(&r->live);
}

/* As a start would look at them; only the ports are left alone. */
static int check_listen(const struct config *c, struct err *e)
{
	struct auth *a;
	struct addrinfo *ai;
	int rc = 0;

	if (auth_new(&a, c, NULL, e) < 0)
		return e->code;
	for (size_t i = 0; i < c->listen.n && rc == 0; i++) {
		rc = address_of(&ai, c, knows_clients(c, a), c->listen.p[i], e);
		if (rc == 0)
			freeaddrinfo(ai);
		else
			rc = config_blame(c, "listen", e);
	}
	auth_free(a);
	return rc;
}

int server_check(const struct config *c, struct err *e)
{
	SSL_CTX *tls = NULL;
	int64_t expires_s;

	if (check_listen(c, e) < 0)
		return e->code;
	if (!c->tls_cert.n)
		return 0;
	if (tls_load(&tls, &expires_s, c, e) < 0)
		return e->code;
	SSL_CTX_free(tls);
	return tls_check_time(expires_s, time(NULL), c, e);
}

int server_run(const struct config *c, const struct backend *b, int argc, char **argv, struct err *e)
{
	struct run *r = xcalloc(1, sizeof(*r));

	r->s.config = c;
	r->s.backend = b;
	r->argc = argc;
	r->argv = argv;
	r->s.started_ms = clock_ms();
	r->s.started_at = time(NULL);
	running_init(&r->s.running);
	conf_init(r);
	int rc = run_start(r, e);
	if (rc == 0)
		rc = run_wait(r, e);
	run_stop(r);
	if (rc == 0)
		log_info("stopped", "requests=%llu plans=%llu", (unsigned long long)r->s.n.requests,
			(unsigned long long)r->s.n.plans);
	running_release(&r->s.running);
	free(r);
	return rc;
}
