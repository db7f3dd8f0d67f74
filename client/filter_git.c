/* filter_git — what git says has changed since a commit. One child, its output read from a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filter.h"
#include "project_local.h"

enum { OUTPUT_MAX = 64 << 20 };
extern char **environ;

/* *fd reads git's standard output; what it complains about goes where dray's complaints go. */
static int git_start(pid_t *pid, int *fd, const char *const *argv, struct err *e)
{
	posix_spawn_file_actions_t fa;
	int p[2];

	if (pipe2(p, O_CLOEXEC) != 0)
		return err_os(e, "pipe");
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, p[1], 1);
	errno = posix_spawnp(pid, argv[0], &fa, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	close(p[1]);
	if (errno) {
		close(p[0]);
		return err_os(e, "--filter \"[…]\" needs git, which cannot be started");
	}
	*fd = p[0];
	return 0;
}

/* Runs git and takes all that it prints. ERR_NOTFOUND when it fails. */
static int git_run(struct buf *out, const char *const *argv, struct err *e)
{
	pid_t pid;
	int fd = -1, status = 0;
	char part[64 * 1024];

	if (git_start(&pid, &fd, argv, e) < 0)
		return e->code;
	for (ssize_t n; (n = read(fd, part, sizeof(part))) != 0;) {
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && out->n < OUTPUT_MAX)
			buf_add(out, (str){ part, (size_t)n });
	}
	close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (out->n >= OUTPUT_MAX)
		return err_set(e, ERR_TOOBIG, "git lists more than %d MiB of changed files", OUTPUT_MAX >> 20);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, ERR_NOTFOUND,
			"--filter: git cannot say what has changed (see above): no repository, or no such commit");
	return 0;
}

int filter_changed_dirs(struct str_list *out, str dir, str commit, struct arena *a, struct err *e)
{
	AUTO(buf_release) struct buf top = BUF_INIT, names = BUF_INIT;
	const char *d = arena_str(a, dir).p, *c = arena_str(a, commit).p;
	/* --end-of-options: what looks like an option is no commit; -z: names as they are, NUL behind each */
	const char *const where[] = { "git", "-C", d, "rev-parse", "--show-toplevel", NULL };
	const char *const diff[] = { "git", "-C", d, "diff", "--name-only", "-z", "--end-of-options", c, "--", d,
		NULL };
	struct stat st;
	size_t n = 0;

	*out = (struct str_list){ 0 };
	if (stat(d, &st) != 0)
		return err_set(e, ERR_NOTFOUND, "--filter: there is no folder %s", d);
	if (git_run(&top, where, e) < 0 || git_run(&names, diff, e) < 0)
		return e->code;
	str root = arena_str(a, str_trim(buf_str(&top))), rest = buf_str(&names), name, base;
	for (size_t i = 0; i < names.n; i++)
		n += names.p[i] == 0;
	out->p = arena_new(a, str, n + 1);
	while (str_cut(rest, 0, &name, &rest)) {
		str parent = STR_NONE;
		if (!str_rcut(name, '/', &parent, &base))
			parent = STR_NONE;
		str full = parent.n ? path_join(a, root, parent) : root;
		if (out->n == 0 || !str_eq(out->p[out->n - 1], full))
			out->p[out->n++] = full;
	}
	return 0;
}
