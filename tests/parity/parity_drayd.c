#include "parity_drayd.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_TRIES = 4000, START_PAUSE_MS = 50 };

struct parity_drayd {
	pid_t registry, drayd;
	char dir[64], url[64];
};

/* Starts ARGV, its standard output at FD; it dies with this process. */
static pid_t spawn(const char *const *argv, int fd)
{
	pid_t parent = getpid(), pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || (fd >= 0 && dup2(fd, STDOUT_FILENO) < 0))
		_exit(127);
	execv(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* The first line of PATH once it is whole; PID writes it. */
static int line_await(char *line, size_t cap, const char *path, pid_t pid, struct err *e)
{
	for (int i = 0; i < START_TRIES; i++) {
		FILE *f = fopen(path, "r");
		bool whole = f && fgets(line, (int)cap, f) && strchr(line, '\n');
		if (f)
			fclose(f);
		if (whole) {
			*strchr(line, '\n') = '\0';
			return 0;
		}
		if (waitpid(pid, NULL, WNOHANG) != 0)
			break;
		nanosleep(&(struct timespec){ 0, START_PAUSE_MS * 1000000L }, NULL);
	}
	return err_set(e, ERR_IO, "%s: never written; did its program start?", path);
}

static int registry_start(
	struct parity_drayd *d, const struct parity_drayd_opts *o, char *url, size_t cap, struct err *e)
{
	char path[128];
	const char *argv[] = { o->fixture, "--recording", o->recording, NULL };

	snprintf(path, sizeof(path), "%s/registry", d->dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_os(e, "%s", path);
	d->registry = spawn(argv, fd);
	close(fd);
	return line_await(url, cap, path, d->registry, e);
}

static int drayd_start(struct parity_drayd *d, const struct parity_drayd_opts *o, const char *upstream, struct err *e)
{
	char ready[128], store[128], alias[128], line[128];
	const char *argv[] = { o->drayd, "--listen", "127.0.0.1:0", "--ready-file", ready, "--store-dir", store,
		"--registry", upstream, "--registry-alias", alias, "--pack-settle-level", "0", "--log-level", "error",
		NULL };

	snprintf(ready, sizeof(ready), "%s/ready", d->dir);
	snprintf(store, sizeof(store), "%s/store", d->dir);
	snprintf(alias, sizeof(alias), STR_FMT, STR_ARG(o->alias));
	d->drayd = spawn(argv, -1);
	if (line_await(line, sizeof(line), ready, d->drayd, e) < 0)
		return e->code;
	const char *colon = strrchr(line, ':');
	snprintf(d->url, sizeof(d->url), "http://127.0.0.1:%d", colon ? atoi(colon + 1) : 0);
	return 0;
}

int parity_drayd_new(struct parity_drayd **out, const struct parity_drayd_opts *o, struct err *e)
{
	struct parity_drayd *d = xcalloc(1, sizeof(*d));
	char upstream[128];

	snprintf(d->dir, sizeof(d->dir), "/tmp/parity-drayd.XXXXXX");
	if (!mkdtemp(d->dir)) {
		err_os(e, "%s", d->dir);
		free(d);
		return e->code;
	}
	if (registry_start(d, o, upstream, sizeof(upstream), e) < 0 || drayd_start(d, o, upstream, e) < 0) {
		parity_drayd_free(d);
		return e->code;
	}
	*out = d;
	return 0;
}

str parity_drayd_url(const struct parity_drayd *d)
{
	return str_of(d->url);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int stop(pid_t pid)
{
	int status = -1;

	if (pid <= 0)
		return 0;
	kill(pid, SIGTERM);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int parity_drayd_free(struct parity_drayd *d)
{
	if (!d)
		return 0;
	int rc = stop(d->drayd) | stop(d->registry);
	nftw(d->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(d);
	return rc;
}
