#include "fsimage.h"
#include "measure.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static bool run_quiet(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static char *join(const char *dir, const char *name)
{
	size_t n = strlen(dir) + strlen(name) + 2;
	char *p = xmalloc(n);

	snprintf(p, n, "%s/%s", dir, name);
	return p;
}

/* A mount that outlived its run is taken away; a plain folder with something in it is moved aside, never deleted. */
static void clean_stale(const char *dir, const char *mount)
{
	const char *umount[] = { "umount", "-l", mount, NULL };
	struct stat outer, inner;
	char aside[4096];

	for (int i = 0; i < 4 && stat(dir, &outer) == 0 && stat(mount, &inner) == 0 && outer.st_dev != inner.st_dev;
		i++) {
		if (!run_quiet(umount))
			break;
	}
	if (rmdir(mount) == 0 || errno == ENOENT || errno == EBUSY)
		return;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(aside, sizeof(aside), "%s.old-%u", mount, i);
		if (access(aside, F_OK) != 0 && rename(mount, aside) == 0)
			return;
	}
}

int fsimage_make(struct fsimage *out, const char *dir, const char *name, uint64_t size, struct buf *why, struct err *e)
{
	char file[256];
	struct fsimage f = { .mount = join(dir, name) };

	snprintf(file, sizeof(file), "%s.ext4", name);
	f.image = join(dir, file);
	clean_stale(dir, f.mount);
	if ((mkdir(dir, 0755) < 0 && errno != EEXIST) || (mkdir(f.mount, 0755) < 0 && errno != EEXIST)) {
		err_os(e, "make %s", f.mount);
		free(f.image);
		free(f.mount);
		return e->code;
	}
	*out = f;
	if (geteuid() != 0) {
		buf_printf(why, "not root, so no file system of its own");
		return 0;
	}
	/* Another inode: the kernel may still write back what a run that was killed had mounted from the old one. */
	unlink(f.image);
	int fd = open(f.image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		err_os(e, "make %s", f.image);
		if (fd >= 0)
			close(fd);
		fsimage_drop(out);
		return e->code;
	}
	close(fd);
	/* Many small files: an inode for every 8 KiB; tables written now rather than by a
	 * background thread during a run. */
	const char *mkfs[] = { "mkfs.ext4", "-q", "-F", "-i", "8192", "-m", "0", "-E",
		"lazy_itable_init=0,lazy_journal_init=0,nodiscard", f.image, NULL };
	const char *mount[] = { "mount", "-o", "loop,noatime", f.image, f.mount, NULL };
	bool made = run_quiet(mkfs);
	if (!made || !run_quiet(mount)) {
		buf_printf(why, "%s failed here", made ? "mount -o loop" : "mkfs.ext4");
		return 0;
	}
	out->mounted = true;
	return 0;
}

void fsimage_drop(struct fsimage *f)
{
	if (f->mounted) {
		const char *umount[] = { "umount", "-l", f->mount, NULL };
		run_quiet(umount);
	}
	if (f->image)
		unlink(f->image);
	free(f->image);
	free(f->mount);
	*f = (struct fsimage){ 0 };
}
