#include "rig.h"
#include "draw.h"
#include "measure.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TO_REGISTRY, TO_SERVER, NROUTES };
struct shared {
	struct mirror_counts mirror;
	struct relay_counts relay[NROUTES];
	struct relay_counts upstream;
	_Atomic int mirror_port, relay_port[NROUTES], upstream_port;
	_Atomic uint32_t error_ppm;
	_Atomic uint64_t error_seed;
	char failure[1024];
};
struct rig {
	struct rig_opts o;
	struct shared *sh;
	pid_t mirror, relay, upstream, drayd;
	unsigned round;
	double drayd_cpu_before, relay_cpu_before; /* of those that have ended */
	uint16_t drayd_port, port[NROUTES];        /* the relay's, 0 before its first start */
	uint16_t upstream_at;                      /* where drayd finds the registry when it is far; likewise */
	char registry[64], server[64], drayd_registry[64];
};

static uint16_t free_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
		getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		at.sin_port = 0;
	if (fd >= 0)
		close(fd);
	return ntohs(at.sin_port);
}

static _Noreturn void child_failed(struct rig *r, const struct err *e)
{
	snprintf(r->sh->failure, sizeof(r->sh->failure), "%s", e->msg);
	_exit(1);
}

/* A pipe that nobody writes to: the children end with their parent by signal, never by it. */
static int never(void)
{
	int p[2];

	return pipe2(p, O_CLOEXEC) < 0 ? -1 : p[0];
}

static _Noreturn void mirror_child(struct rig *r)
{
	struct mirror *m;
	struct err e;
	uint16_t port;
	struct mirror_opts o = { .dir = r->o.mirror_dir,
		.upstream = r->o.upstream,
		.counts = &r->sh->mirror,
		.error_ppm = &r->sh->error_ppm,
		.error_seed = &r->sh->error_seed };

	if (mirror_new(&m, &o, &port, &e) < 0)
		child_failed(r, &e);
	r->sh->mirror_port = port;
	if (mirror_run(m, never(), &e) < 0)
		child_failed(r, &e);
	_exit(0);
}

static _Noreturn void relay_child(struct rig *r, bool upstream)
{
	const struct link_profile *l = r->o.link;
	uint16_t mirror = (uint16_t)r->sh->mirror_port;
	struct relay_route client[NROUTES] = {
		[TO_REGISTRY] = { .listen = r->port[TO_REGISTRY], .target = mirror, .rtt_us = l->registry_rtt_us },
		[TO_SERVER] = { .listen = r->port[TO_SERVER], .target = r->drayd_port, .rtt_us = l->server_rtt_us },
	};
	struct relay_route up = { .listen = r->upstream_at, .target = mirror, .rtt_us = l->upstream_rtt_us };
	struct relay_opts o = { .route = client,
		.nroutes = NROUTES,
		.rate_bps = l->rate_bps,
		.faults = l->faults,
		.seed = draw_seed(r->round) };
	struct relay *relay;
	struct err e;

	o.counts = r->sh->relay;
	if (upstream)
		o = (struct relay_opts){ .route = &up, .nroutes = 1, .counts = &r->sh->upstream };
	if (relay_new(&relay, &o, &e) < 0)
		child_failed(r, &e);
	if (upstream) {
		r->sh->upstream_port = up.listen;
	} else {
		r->sh->relay_port[TO_REGISTRY] = client[TO_REGISTRY].listen;
		r->sh->relay_port[TO_SERVER] = client[TO_SERVER].listen;
	}
	if (relay_run(relay, never(), &e) < 0)
		child_failed(r, &e);
	_exit(0);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static int wait_port(struct rig *r, _Atomic int *port, const char *what, struct err *e)
{
	for (int i = 0; i < 500 && *port == 0 && !r->sh->failure[0]; i++)
		pause_ms(10);
	if (*port == 0)
		return err_set(e, ERR_IO, "%s did not start: %s", what, r->sh->failure);
	return 0;
}

static pid_t child_start(void)
{
	pid_t pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static int relay_start(struct rig *r, struct err *e)
{
	for (int i = 0; i < NROUTES; i++)
		r->sh->relay_port[i] = 0;
	if ((r->relay = child_start()) == 0)
		relay_child(r, false);
	if (wait_port(r, &r->sh->relay_port[TO_SERVER], "relay", e) < 0)
		return e->code;
	for (int i = 0; i < NROUTES; i++)
		r->port[i] = (uint16_t)r->sh->relay_port[i];
	r->sh->error_ppm = r->o.link->error_ppm;
	r->sh->error_seed = draw_seed(r->round);
	return 0;
}

static int upstream_start(struct rig *r, struct err *e)
{
	r->sh->upstream_port = 0;
	if ((r->upstream = child_start()) == 0)
		relay_child(r, true);
	if (wait_port(r, &r->sh->upstream_port, "upstream relay", e) < 0)
		return e->code;
	r->upstream_at = (uint16_t)r->sh->upstream_port;
	return 0;
}

int rig_start(struct rig **out, const struct rig_opts *o, struct err *e)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->o = *o;
	r->sh = mmap(NULL, sizeof(*r->sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r->sh == MAP_FAILED) {
		err_os(e, "map shared counters");
		free(r);
		return e->code;
	}
	r->drayd_port = free_port();
	if ((r->mirror = child_start()) == 0)
		mirror_child(r);
	if (wait_port(r, &r->sh->mirror_port, "mirror", e) < 0)
		goto fail;
	if (relay_start(r, e) < 0)
		goto fail;
	int up = r->sh->mirror_port;
	if (o->far_upstream) {
		if (upstream_start(r, e) < 0)
			goto fail;
		up = r->upstream_at;
	}
	snprintf(r->registry, sizeof(r->registry), "http://127.0.0.1:%d/", r->sh->relay_port[TO_REGISTRY]);
	snprintf(r->server, sizeof(r->server), "http://127.0.0.1:%d", r->sh->relay_port[TO_SERVER]);
	snprintf(r->drayd_registry, sizeof(r->drayd_registry), "http://127.0.0.1:%d/", up);
	*out = r;
	return 0;
fail:
	rig_stop(r);
	return e->code;
}

const char *rig_registry(const struct rig *r)
{
	return r->registry;
}

int rig_drayd_port(const struct rig *r)
{
	return r->drayd_port;
}

const char *rig_server(const struct rig *r)
{
	return r->server;
}

const char *rig_last_miss(const struct rig *r)
{
	return r->sh->mirror.last_miss;
}

/* /proc/PID/NAME as text, or false when the process is gone. */
static bool proc_read(char *line, size_t cap, pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	int fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = fd < 0 ? -1 : read(fd, line, cap - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	line[n] = 0;
	return true;
}

/* utime + stime of a live process, in seconds. */
static double proc_cpu(pid_t pid)
{
	char line[1024];
	unsigned long user = 0, sys = 0;

	const char *after = proc_read(line, sizeof(line), pid, "stat") ? strrchr(line, ')') : NULL;
	if (!after || sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
		return 0;
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static uint64_t proc_rss_kb(pid_t pid)
{
	char line[256];
	unsigned long pages = 0;

	if (!proc_read(line, sizeof(line), pid, "statm") || sscanf(line, "%*u %lu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

void rig_drayd_stop(struct rig *r)
{
	if (r->drayd <= 0)
		return;
	r->drayd_cpu_before += proc_cpu(r->drayd);
	kill(r->drayd, SIGTERM);
	for (int i = 0; i < 500; i++) {
		if (waitpid(r->drayd, NULL, WNOHANG) == r->drayd) {
			r->drayd = 0;
			return;
		}
		pause_ms(10);
	}
	kill(r->drayd, SIGKILL);
	waitpid(r->drayd, NULL, 0);
	r->drayd = 0;
}

static void log_to(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);

	if (fd >= 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
	}
}

static _Noreturn void drayd_child(struct rig *r, const char *store_dir, bool settles, const char *ready)
{
	char listen[64], log[4096];

	snprintf(listen, sizeof(listen), "127.0.0.1:%u", r->drayd_port);
	snprintf(log, sizeof(log), "%s/drayd.log", r->o.log_dir);
	log_to(log);
	/* The registry is frozen, so packuments don't age. Clients know the mirror by its relay's URL, drayd
	 * without the relay: co-located. */
	execl(r->o.drayd, r->o.drayd, "--listen", listen, "--store-dir", store_dir, "--registry", r->drayd_registry,
		"--registry-alias", r->registry, "--ready-file", ready, "--packument-age", "86400",
		settles ? (char *)NULL : "--pack-settle-level", "0", (char *)NULL);
	_exit(127);
}

int rig_drayd(struct rig *r, const char *store_dir, bool settles, struct err *e)
{
	char ready[4096];

	rig_drayd_stop(r);
	snprintf(ready, sizeof(ready), "%s/drayd.ready", r->o.log_dir);
	unlink(ready);
	if ((r->drayd = child_start()) == 0)
		drayd_child(r, store_dir, settles, ready);
	for (int i = 0; i < 6000; i++) { /* a large store on a slow disk */
		int status;
		if (access(ready, F_OK) == 0)
			return 0;
		if (waitpid(r->drayd, &status, WNOHANG) == r->drayd) {
			r->drayd = 0;
			break;
		}
		pause_ms(10);
	}
	return err_set(e, ERR_IO, "drayd did not start; see %s/drayd.log", r->o.log_dir);
}

static int child_check(pid_t *pid, const char *what, struct err *e)
{
	int status;

	if (*pid <= 0 || waitpid(*pid, &status, WNOHANG) == 0)
		return 0;
	*pid = 0;
	return err_set(e, ERR_IO, "the %s ended with status %d", what, status);
}

int rig_check(struct rig *r, struct err *e)
{
	if (child_check(&r->mirror, "mirror", e) < 0 || child_check(&r->relay, "relay", e) < 0)
		return e->code;
	return child_check(&r->upstream, "upstream relay", e);
}

int rig_drayd_settle(struct rig *r, const char *store_dir, struct err *e)
{
	char log[4096];
	int status = 0;

	rig_drayd_stop(r);
	snprintf(log, sizeof(log), "%s/drayd.log", r->o.log_dir);
	double cpu = measure_cpu(RUSAGE_CHILDREN);
	pid_t pid = child_start();
	if (pid == 0) {
		log_to(log);
		execl(r->o.drayd, r->o.drayd, "--wait-settled", "--store-dir", store_dir, "--registry",
			r->drayd_registry, "--registry-alias", r->registry, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return err_os(e, "drayd --wait-settled");
	r->drayd_cpu_before += measure_cpu(RUSAGE_CHILDREN) - cpu;
	/* Packages that could not be had are named in the log, and come as tarballs. */
	bool good = WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == err_exit_status(ERR_NET));
	return good ? 0 : err_set(e, ERR_IO, "drayd --wait-settled ended with wait status %#x; see %s", status, log);
}

struct rig_counts rig_counts(const struct rig *r)
{
	const struct relay_counts *a = &r->sh->relay[TO_REGISTRY], *b = &r->sh->relay[TO_SERVER];

	return (struct rig_counts){
		.requests = r->sh->mirror.requests,
		.misses = r->sh->mirror.misses,
		.down_bytes = a->down_bytes + b->down_bytes,
		.up_bytes = a->up_bytes + b->up_bytes,
		.connections = a->connections + b->connections,
		.server_bytes = b->down_bytes,
		.mirror_cpu_s = proc_cpu(r->mirror),
		.relay_cpu_s = r->relay_cpu_before + proc_cpu(r->relay) + proc_cpu(r->upstream),
		.drayd_cpu_s = r->drayd_cpu_before + proc_cpu(r->drayd),
		.drayd_rss_kb = proc_rss_kb(r->drayd),
	};
}

static void child_end(pid_t pid)
{
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

int rig_relink(struct rig *r, const struct link_profile *l, unsigned round, struct err *e)
{
	if (r->o.link == l && !link_fails(l))
		return 0;
	bool moved = r->o.far_upstream && r->o.link->upstream_rtt_us != l->upstream_rtt_us;
	r->o.link = l;
	r->round = round;
	r->relay_cpu_before += proc_cpu(r->relay);
	child_end(r->relay);
	if (relay_start(r, e) < 0)
		return e->code;
	if (!moved)
		return 0;
	r->relay_cpu_before += proc_cpu(r->upstream);
	child_end(r->upstream);
	return upstream_start(r, e);
}

void rig_stop(struct rig *r)
{
	if (!r)
		return;
	rig_drayd_stop(r);
	child_end(r->upstream);
	child_end(r->relay);
	child_end(r->mirror);
	munmap(r->sh, sizeof(*r->sh));
	free(r);
}
