#include "import_stage.h"
#include "fs.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct local {
	struct job job;
	struct local_opts o;
	struct tree_package *p;
	struct arena arena;
	str key, path;
	struct pkg rec;
	int code;
	struct err err;
};

static str local_tarball(const struct tree_package *p)
{
	str t = p->f->meta.resolution.tarball;

	return str_starts(t, STR("file:")) ? str_from(t, 5) : STR_NONE;
}

bool import_is_local(const struct tree_package *p)
{
	return p->f->meta.resolution.kind == LOCK_RES_DIRECTORY || local_tarball(p).n > 0;
}

static int local_tar(struct local *l, const struct import_opts *o, int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return err_set(&l->err, ERR_PARSE, "is no tarball");
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_os(&l->err, "map");
	int code = import_tarball(l->o.store, o, p, (size_t)st.st_size, &l->rec, &l->err);
	munmap(p, (size_t)st.st_size);
	return code;
}

static void local_run(struct job *job)
{
	struct local *l = (struct local *)job;
	const struct frame_package *f = l->p->f;
	bool dir = f->meta.resolution.kind == LOCK_RES_DIRECTORY;
	struct import_opts o = {
		.key = l->key, .sri = f->meta.resolution.integrity, .name = f->name, .version = f->version
	};

	AUTO(fs_close_auto) int fd = openat(l->o.root, l->path.p, O_RDONLY | O_CLOEXEC | (dir ? O_DIRECTORY : 0));
	if (fd < 0)
		l->code = err_os(&l->err, "open");
	else if (dir)
		l->code = import_directory(l->o.store, &o, fd, &l->rec, &l->err);
	else
		l->code = local_tar(l, &o, fd);
	if (l->code < 0)
		err_ctx(&l->err, STR_FMT " from " STR_FMT, STR_ARG(f->meta.key), STR_ARG(l->path));
}

static void local_done(struct job *job, void *ctx)
{
	struct local *l = (struct local *)job;
	struct tree_package *p = l->p;
	struct local_opts o = l->o;
	struct err err = l->err;
	int code = l->code;

	(void)ctx;
	p->state = PACKAGE_IDLE;
	if (code == 0) {
		p->rec = l->rec;
		p->owned = p->cold = true;
		p->state = PACKAGE_READY;
	}
	arena_release(&l->arena);
	free(l);
	o.done(o.arg, p, code, &err);
}

void import_local(struct pool *pool, const struct local_opts *o, struct tree_package *p)
{
	struct local *l = xcalloc(1, sizeof(*l));
	const struct lock_resolution *r = &p->f->meta.resolution;

	l->job = (struct job){ .run = local_run, .done = local_done };
	l->o = *o;
	l->p = p;
	l->arena = ARENA_INIT(1024);
	l->path = arena_str(&l->arena, r->kind == LOCK_RES_DIRECTORY ? r->directory : local_tarball(p));
	l->key = p->key.n ? p->key : arena_printf(&l->arena, "dir:" STR_FMT, STR_ARG(l->path));
	p->state = PACKAGE_COMING;
	pool_submit(pool, &l->job);
}
