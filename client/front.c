/* dray — what is called: says that there is nothing to do, or becomes dray-work, which does it.
 *
 * The dynamic linker takes longer to load the libraries of dray-work than it
 * takes to look whether a tree is up to date. So there are two programs: this one
 * needs the C library alone. dray-work lies beside it, or in ../libexec/dray. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "account.h"
#include "fs.h"
#include "nothing_to_do.h"

static int work(char **argv)
{
	static const char *const places[] = { "dray-work", "../libexec/dray/dray-work" };
	char self[PATH_MAX], path[PATH_MAX + 64];

	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	while (n > 0 && self[n - 1] != '/')
		n--;
	for (size_t i = 0; n > 0 && i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%.*s%s", (int)n, self, places[i]);
		execv(path, argv);
	}
	fprintf(stderr, "dray: cannot start dray-work, which belongs beside it or in ../libexec/dray: %s\n",
		strerror(errno));
	return err_exit_status(ERR_NOTFOUND);
}

int main(int argc, char **argv)
{
	struct progress progress;
	struct options o;
	struct err e;

	if (fs_std() < 0)
		return err_exit_status(ERR_IO);
	/* what is wrong with the command line, dray-work says */
	if (options_parse(&o, argc, argv, NULL, &e) < 0 || o.command != COMMAND_INSTALL || !nothing_to_do(&o))
		return work(argv);
	progress_init(&progress, o.reporter);
	progress_say(&progress, "Already up to date");
	account_nothing(&progress);
	return 0;
}
