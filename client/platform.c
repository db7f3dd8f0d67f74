#include "platform.h"
#include "credentials.h"
#include "fs.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

enum { HEADER_MAX = 1 << 20 };

/* Version of the installed node without running it: its headers lie beside it in node's own
 * archives. Empty when unknown. */
static str node_version(char **env, struct arena *a)
{
	str path = env_get(env, "PATH"), dir, name;
	char real[PATH_MAX];

	while (path.n) {
		str_cut(path, ':', &dir, &path);
		if (!dir.n || !realpath(arena_printf(a, STR_FMT "/node", STR_ARG(dir)).p, real))
			continue;
		struct buf b AUTO(buf_release) = BUF_INIT;
		struct err ignored;
		unsigned v[3];
		str_rcut(arena_str(a, str_of(real)), '/', &dir, &name);
		str header = arena_printf(a, STR_FMT "/../include/node/node_version.h", STR_ARG(dir));
		if (fs_read_file(&b, AT_FDCWD, header.p, HEADER_MAX, &ignored) != 0)
			return STR_NONE;
		buf_addc(&b, 0);
		const char *at = strstr(b.p, "#define NODE_MAJOR_VERSION");
		if (at && sscanf(at,
				  "#define NODE_MAJOR_VERSION %u #define NODE_MINOR_VERSION %u #define "
				  "NODE_PATCH_VERSION %u",
				  &v[0], &v[1], &v[2]) == 3)
			return arena_printf(a, "%u.%u.%u", v[0], v[1], v[2]);
		return STR_NONE;
	}
	return STR_NONE;
}

void platform_here(struct platform *out, str node, char **env, struct arena *a)
{
	struct utsname u;

	*out = (struct platform){ .os = STR("linux"), .cpu = STR("x64") };
	if (uname(&u) == 0 && strcmp(u.machine, "x86_64") != 0)
		out->cpu = strcmp(u.machine, "aarch64") == 0 ? STR("arm64") : arena_str(a, str_of(u.machine));
#ifdef __GLIBC__
	out->libc = STR("glibc");
#else
	out->libc = STR("musl");
#endif
	out->node_version = node.n ? (node.p[0] == 'v' ? str_from(node, 1) : node) : node_version(env, a);
}

int platform_takes(const struct runs_on *p, const struct request *req, struct arena *a, struct err *e)
{
	const struct platform *here = &req->platform;

	switch (installable_on(p, here, &req->settings, false, a)) {
	case INSTALLABLE_YES:
		return 0;
	case INSTALLABLE_OTHER_NODE:
		return err_set(e, ERR_UNSUPPORTED, STR_FMT ": wants node " STR_FMT ", this is " STR_FMT,
			STR_ARG(p->name), STR_ARG(p->node), STR_ARG(here->node_version));
	case INSTALLABLE_OTHER_PLATFORM:
		return err_set(e, ERR_UNSUPPORTED, STR_FMT ": is not for " STR_FMT " on " STR_FMT " (" STR_FMT ")",
			STR_ARG(p->name), STR_ARG(here->os), STR_ARG(here->cpu), STR_ARG(here->libc));
	}
	return 0;
}
