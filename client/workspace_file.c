#include "workspace_file.h"
#include "file_put.h"
#include "fs.h"
#include "manifest.h"
#include "yaml_put.h"
#include <fcntl.h>

enum { MANIFEST_MAX = 16 << 20 };

static struct str_list patterns(int dir, struct arena *a)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct manifest m;
	struct err ignored; /* whoever loads the project says what is wrong with it */

	if (fs_read_file(&text, dir, "package.json", MANIFEST_MAX, &ignored) < 0 ||
		manifest_parse(&m, arena_str(a, buf_str(&text)), STR("package.json"), a, &ignored) < 0 ||
		!m.workspaces_list)
		return (struct str_list){ 0 };
	return m.workspaces;
}

int workspace_file_make(str dir, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(16 * 1024);
	AUTO(buf_release) struct buf text = BUF_INIT;

	AUTO(fs_close_auto) int fd = open(arena_str(&a, dir).p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	struct str_list l = patterns(fd, &a);
	if (!l.n)
		return 0;
	buf_add(&text, STR("packages:\n"));
	for (size_t i = 0; i < l.n; i++) {
		buf_add(&text, STR("  - "));
		yaml_put_scalar(&text, l.p[i], 2, false, true);
		buf_addc(&text, '\n');
	}
	if (file_put(fd, "pnpm-workspace.yaml", buf_str(&text), true, e) < 0)
		return err_ctx(e, "make " STR_FMT "/pnpm-workspace.yaml", STR_ARG(dir));
	return 1;
}
