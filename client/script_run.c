#include "script_run.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Bytes of a line that are kept; the rest of it is dropped. */
#define LINE_MAX_BYTES 4096
/* Reads in a row: who writes faster than it is shown keeps neither the others nor an interruption waiting. It
 * is more than a pipe holds. */
enum { READS = 64 };
enum { END_MS = 5000, END_STEP_MS = 20 };

struct child {
	struct script script;
	pid_t pid;
	int out, pidfd;
	bool reaped, gone; /* when scripts are interrupted: it has been waited for; so is nobody left of its group */
	char line[LINE_MAX_BYTES];
	size_t n;
};
struct script_set {
	struct script_opts o;
	VEC(struct child *) child;
	int cancel_fd; /* of the last turn; -1 */
};

struct script_set *script_set_new(const struct script_opts *o)
{
	struct script_set *set = xcalloc(1, sizeof(*set));

	set->o = *o;
	set->cancel_fd = -1;
	if (!set->o.end_ms)
		set->o.end_ms = END_MS;
	return set;
}

/* ---- environment ---- */

struct env {
	struct arena *a;
	VEC(char *) v;
};

static void env_put(struct env *env, const char *name, str value)
{
	*vec_add(&env->v) = (char *)(uintptr_t)arena_printf(env->a, "%s=" STR_FMT, name, STR_ARG(value)).p;
}

/* Whether WORD stands in NAME, in either case. */
static bool has_word(str name, str word)
{
	for (size_t at = 0; at + word.n <= name.n; at++) {
		if (strncasecmp(name.p + at, word.p, word.n) == 0)
			return true;
	}
	return false;
}

/* What scripts must not inherit: stamps of another run, and credentials; npm reads its settings in either case. */
static bool env_dropped(const char *v)
{
	static const char *const heads[] = { "npm_package_", "npm_lifecycle_", "NODE=", "INIT_CWD=",
		"PNPM_SCRIPT_SRC_DIR=", "PATH=", "DRAY_TOKEN=", "npm_node_execpath=", "npm_execpath=" };
	str name, value;

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		if (strncmp(v, heads[i], strlen(heads[i])) == 0)
			return true;
	}
	str_cut(str_of(v), '=', &name, &value);
	bool config = strncasecmp(v, "npm_config_", 11) == 0 || strncasecmp(v, "pnpm_config_", 12) == 0;
	return config && (has_word(name, STR("_auth")) || has_word(name, STR("_password")) ||
				 str_find_str(name, STR("//"), 0) != SIZE_MAX);
}

/* "<dir>/node_modules/.bin" of every folder of DIR that holds a node_modules on its way, deepest first. */
static void path_put_bins(struct buf *b, str dir)
{
	str rest = dir, mark = STR("/node_modules/");

	buf_printf(b, STR_FMT "/node_modules/.bin:", STR_ARG(rest));
	for (;;) {
		size_t at = SIZE_MAX, next = 0;
		while ((next = str_find_str(rest, mark, next)) != SIZE_MAX)
			at = next++;
		if (at == SIZE_MAX)
			break;
		rest = str_head(rest, at);
		buf_printf(b, STR_FMT "/node_modules/.bin:", STR_ARG(rest));
	}
}

static str find_in_path(const char *name, struct arena *a)
{
	str dir, rest = str_of(getenv("PATH"));

	while (rest.n) {
		str_cut(rest, ':', &dir, &rest);
		str file = arena_printf(a, STR_FMT "/%s", STR_ARG(dir), name);
		if (dir.n && access(file.p, X_OK) == 0)
			return file;
	}
	return STR_NONE;
}

/* npm brings node-gyp: <npm>/node_modules/node-gyp, and a folder with the command for PATH. */
static str npm_folder(struct arena *a)
{
	char real[4096];
	str npm = find_in_path("npm", a), head, tail;

	if (!npm.n || !realpath(npm.p, real)) /* …/npm/bin/npm-cli.js */
		return STR_NONE;
	if (!str_rcut(str_of(real), '/', &head, &tail) || !str_rcut(head, '/', &head, &tail))
		return STR_NONE;
	return arena_str(a, head);
}

static char **env_make(struct env *env, const struct script *s)
{
	AUTO(buf_release) struct buf path = BUF_INIT;
	str node = find_in_path("node", env->a), npm = npm_folder(env->a);
	char self[4096];

	for (char **v = environ; *v; v++) {
		bool given = s->node_options.n && strncmp(*v, "NODE_OPTIONS=", 13) == 0;
		if (!given && !env_dropped(*v))
			*vec_add(&env->v) = *v;
	}
	path_put_bins(&path, s->dir);
	if (npm.n) {
		buf_printf(&path, STR_FMT "/node_modules/@npmcli/run-script/lib/node-gyp-bin:", STR_ARG(npm));
		if (!getenv("npm_config_node_gyp"))
			env_put(env, "npm_config_node_gyp",
				arena_printf(env->a, STR_FMT "/node_modules/node-gyp/bin/node-gyp.js", STR_ARG(npm)));
	}
	buf_add(&path, str_of(getenv("PATH")));
	env_put(env, "PATH", buf_str(&path));
	env_put(env, "npm_lifecycle_event", s->stage);
	env_put(env, "npm_lifecycle_script", s->command);
	env_put(env, "npm_package_name", s->name);
	env_put(env, "npm_package_version", s->version);
	env_put(env, "npm_package_json", arena_printf(env->a, STR_FMT "/package.json", STR_ARG(s->dir)));
	env_put(env, "npm_command", STR("install"));
	env_put(env, "npm_config_user_agent", s->user_agent);
	if (s->node_options.n)
		env_put(env, "NODE_OPTIONS", s->node_options);
	env_put(env, "INIT_CWD", s->project_dir);
	env_put(env, "PNPM_SCRIPT_SRC_DIR", s->dir);
	env_put(env, "pnpm_config_verify_deps_before_run", STR("false"));
	if (node.n) {
		env_put(env, "npm_node_execpath", node);
		env_put(env, "NODE", node);
	}
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
	if (n > 0)
		env_put(env, "npm_execpath", (str){ self, (size_t)n });
	*vec_add(&env->v) = NULL;
	return env->v.p;
}

/* ---- children ---- */

static int child_spawn(struct child *c, char **env, int out, struct arena *a)
{
	const struct script *s = &c->script;
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	char *argv[] = { (char *)(uintptr_t)(s->shell.n ? arena_str(a, s->shell).p : "sh"), (char *)(uintptr_t) "-c",
		(char *)(uintptr_t)arena_str(a, s->command).p, NULL };

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	posix_spawn_file_actions_addchdir_np(&fa, arena_str(a, s->dir).p);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, out, 1);
	posix_spawn_file_actions_adddup2(&fa, out, 2);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&at, 0);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setsigdefault(&at, &all);
	int rc = posix_spawnp(&c->pid, argv[0], &fa, &at, argv, env);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	return rc;
}

int script_start(struct script_set *set, const struct script *s, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(16 * 1024);
	struct env env = { .a = &a };
	struct child *c = xcalloc(1, sizeof(*c));
	int fd[2];

	c->script = *s;
	if (pipe2(fd, O_CLOEXEC) != 0) {
		free(c);
		return err_os(e, "pipe for " STR_FMT, STR_ARG(s->title));
	}
	int rc = child_spawn(c, env_make(&env, s), fd[1], &a);
	vec_release(&env.v);
	close(fd[1]);
	if (rc != 0) {
		close(fd[0]);
		free(c);
		errno = rc;
		return err_os(e, "start " STR_FMT, STR_ARG(s->title));
	}
	c->out = fd[0];
	fcntl(c->out, F_SETFL, O_NONBLOCK);
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	*vec_add(&set->child) = c;
	return 0;
}

size_t script_running(const struct script_set *set)
{
	return set->child.n;
}

static void child_line(struct script_set *set, struct child *c)
{
	size_t n = c->n;

	while (n && (c->line[n - 1] == '\r' || c->line[n - 1] == ' '))
		n--;
	if (n)
		set->o.line(set->o.arg, &c->script, (str){ c->line, n });
	c->n = 0;
}

/* Reads what is there. */
static void child_read(struct script_set *set, struct child *c)
{
	char part[4096];
	ssize_t n = -1;

	for (unsigned reads = 0; reads < READS && (n = read(c->out, part, sizeof(part))) > 0; reads++) {
		for (ssize_t i = 0; i < n; i++) {
			if (part[i] == '\n')
				child_line(set, c);
			else if (c->n < sizeof(c->line))
				c->line[c->n++] = part[i];
		}
	}
	if (n == 0) {
		close(c->out);
		c->out = -1;
	}
}

/* The script itself has ended; what it left in the background may go on writing, unheard. */
static bool child_ended(struct script_set *set, struct child *c)
{
	struct err e = { 0 };
	int status;

	if (waitpid(c->pid, &status, c->pidfd < 0 && c->out < 0 ? 0 : WNOHANG) != c->pid)
		return false;
	if (c->out >= 0)
		child_read(set, c);
	child_line(set, c);
	if (c->out >= 0)
		close(c->out);
	if (c->pidfd >= 0)
		close(c->pidfd);
	int code = 0;
	if (WIFSIGNALED(status))
		code = err_set(
			&e, ERR_SCRIPT, STR_FMT ": killed by signal %d", STR_ARG(c->script.title), WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		code = err_set(&e, ERR_SCRIPT, STR_FMT ": \"" STR_FMT "\" ended with status %d",
			STR_ARG(c->script.title), STR_ARG(c->script.command), WEXITSTATUS(status));
	set->o.done(set->o.arg, &c->script, code, &e);
	free(c);
	return true;
}

static void kill_all(struct script_set *set, int sig)
{
	for (size_t i = 0; i < set->child.n; i++)
		kill(-set->child.p[i]->pid, sig);
}

int script_turn(struct script_set *set, int cancel_fd, struct err *e)
{
	VEC(struct pollfd) fd = VEC_INIT;

	for (size_t i = 0; i < set->child.n; i++) {
		*vec_add(&fd) = (struct pollfd){ .fd = set->child.p[i]->out, .events = POLLIN };
		*vec_add(&fd) = (struct pollfd){ .fd = set->child.p[i]->pidfd, .events = POLLIN };
	}
	*vec_add(&fd) = (struct pollfd){ .fd = cancel_fd, .events = POLLIN };
	poll(fd.p, fd.n, 1000);
	bool cancelled = fd.p[fd.n - 1].revents != 0;
	vec_release(&fd);
	set->cancel_fd = cancel_fd;
	if (cancelled) {
		struct signalfd_siginfo first; /* so that it tells of a second one */
		while (read(cancel_fd, &first, sizeof(first)) > 0) {
		}
		kill_all(set, SIGTERM);
		return err_set(
			e, ERR_CANCELLED, "interrupted while build scripts ran; the next install runs them again");
	}
	for (size_t i = 0; i < set->child.n;) {
		struct child *c = set->child.p[i];
		if (c->out >= 0)
			child_read(set, c);
		if (child_ended(set, c))
			set->child.p[i] = set->child.p[--set->child.n];
		else
			i++;
	}
	return 0;
}

/* Whether C and those who hold its output open have ended; of them only its group's members are waited for, not a
 * daemon that has left it. */
static bool child_over(struct child *c)
{
	siginfo_t info = { 0 };
	char part[65536]; /* unheard: a full pipe would keep them */

	if (c->out >= 0 && read(c->out, part, sizeof(part)) == 0) {
		close(c->out);
		c->out = -1;
	}
	if (!c->reaped && waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0)
		return false;
	if (c->out < 0)
		return true; /* not reaped, its number remains its group's */
	/* reaped, it does as long as the group has other members */
	c->reaped = c->reaped || waitpid(c->pid, NULL, WNOHANG) == c->pid;
	return c->gone = kill(-c->pid, 0) != 0 && errno == ESRCH;
}

/* Asks the scripts to end, which have a while for that, unless there is a second interruption; then whatever is left
 * of their groups is killed. */
static void end_all(struct script_set *set)
{
	bool left = set->child.n > 0;

	kill_all(set, SIGTERM);
	for (unsigned ms = 0; left && ms < set->o.end_ms; ms += END_STEP_MS) {
		left = false;
		for (size_t i = 0; i < set->child.n; i++)
			left |= !set->child.p[i]->gone && !child_over(set->child.p[i]);
		struct pollfd again = { .fd = set->cancel_fd, .events = POLLIN };
		if (left && poll(&again, 1, END_STEP_MS) > 0)
			break;
	}
	for (size_t i = 0; i < set->child.n; i++) {
		struct child *c = set->child.p[i];
		if (!c->gone)
			kill(-c->pid, SIGKILL);
		if (!c->reaped)
			waitpid(c->pid, NULL, 0);
	}
}

void script_set_free(struct script_set *set)
{
	end_all(set);
	for (size_t i = 0; i < set->child.n; i++) {
		if (set->child.p[i]->out >= 0)
			close(set->child.p[i]->out);
		if (set->child.p[i]->pidfd >= 0)
			close(set->child.p[i]->pidfd);
		free(set->child.p[i]);
	}
	vec_release(&set->child);
	free(set);
}
