#include "project_glob.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRS_MAX = 100000, DEPTH_MAX = 64 };

struct walk {
	str root;
	struct arena *a;
	struct str_list not ; /* exclusions */
	VEC(str) found;
	struct map seen;
	size_t dirs;
	struct err *e;
};

/* One component of a glob, split off REST. */
static str next_part(str *rest)
{
	str part;

	do
		str_cut(*rest, '/', &part, rest);
	while (rest->n && (part.n == 0 || str_eq(part, STR("."))));
	return str_eq(part, STR(".")) ? STR_NONE : part;
}

static bool part_matches(str glob, str name, struct arena *a)
{
	return fnmatch(arena_str(a, glob).p, arena_str(a, name).p, FNM_PERIOD | FNM_EXTMATCH) == 0;
}

static bool path_matches(str glob, str path, struct arena *a, unsigned depth)
{
	str part = next_part(&glob), name, rest;

	if (depth > DEPTH_MAX)
		return false;
	if (!part.n)
		return path.n == 0;
	if (str_eq(part, STR("**"))) {
		if (path_matches(glob, path, a, depth + 1))
			return true;
		if (!path.n)
			return false;
		str_cut(path, '/', &name, &rest);
		str again = arena_printf(a, "**/" STR_FMT, STR_ARG(glob));
		return path_matches(again, rest, a, depth + 1);
	}
	if (!path.n)
		return false;
	str_cut(path, '/', &name, &rest);
	return part_matches(part, name, a) && path_matches(glob, rest, a, depth + 1);
}

static bool has_wildcard(str part)
{
	for (size_t i = 0; i < part.n; i++) {
		if (strchr("*?[(", part.p[i]))
			return true;
	}
	return false;
}

static str join(struct arena *a, str dir, str name)
{
	return dir.n ? arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(dir), STR_ARG(name)) : arena_str(a, name);
}

/* Whether DIR is a project to pnpm, which reads other manifests, too. */
static bool has_manifest(struct walk *w, str dir)
{
	static const char *const names[] = { "package.json", "package.yaml", "package.json5" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		str file = arena_printf(w->a, STR_FMT "/" STR_FMT "/%s", STR_ARG(w->root), STR_ARG(dir), names[i]);
		if (access(file.p, F_OK) == 0)
			return true;
	}
	return false;
}

static int found(struct walk *w, str path)
{
	str dir = path_join(w->a, STR("."), path); /* "a/../b" is "b" */
	bool fresh;

	if (!has_manifest(w, dir))
		return 0;
	if (str_eq(dir, STR("..")) || str_starts(dir, STR("../")))
		return err_set(w->e, ERR_UNSUPPORTED,
			"packages: \"" STR_FMT "\" leads out of the workspace; dray does not support that",
			STR_ARG(path));
	for (size_t i = 0; i < w->not .n; i++) {
		if (path_matches(w->not .p[i], dir, w->a, 0))
			return 0;
	}
	map_add(&w->seen, dir, 0, &fresh);
	if (fresh)
		*vec_add(&w->found) = dir;
	return 0;
}

static int walk_parts(struct walk *w, str dir, str glob, unsigned depth);

/* Whether a pattern goes through DE at all: a folder, hidden only by its name, and not of other tools. */
static bool goes_through(DIR *d, const struct dirent *de, bool hidden)
{
	static const char *const never[] = { ".", "..", "node_modules", "bower_components" };
	struct stat st;

	if (de->d_name[0] == '.' && !hidden)
		return false;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		if (strcmp(de->d_name, never[i]) == 0)
			return false;
	}
	return de->d_type == DT_DIR ||
	       (de->d_type == DT_UNKNOWN && fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		       S_ISDIR(st.st_mode));
}

/* Every folder of DIR that PART takes ("**": all), going on with GLOB. */
static int walk_folders(struct walk *w, str dir, str part, str glob, unsigned depth)
{
	str path = dir.n ? arena_printf(w->a, STR_FMT "/" STR_FMT, STR_ARG(w->root), STR_ARG(dir)) : w->root;
	bool all = str_eq(part, STR("**"));
	DIR *d = opendir(path.p);
	int rc = 0;

	if (!d)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : err_os(w->e, "%s", path.p);
	for (struct dirent *de; rc == 0 && (de = readdir(d));) {
		str name = str_of(de->d_name);
		if (!goes_through(d, de, !all && part.p[0] == '.'))
			continue;
		if (++w->dirs > DIRS_MAX)
			rc = err_set(w->e, ERR_TOOBIG, "%s: the workspace's globs go through more than 100,000 folders",
				w->root.p);
		else if (all || part_matches(part, name, w->a))
			rc = walk_parts(w, join(w->a, dir, name), glob, depth + 1);
	}
	closedir(d);
	return rc;
}

static int walk_parts(struct walk *w, str dir, str glob, unsigned depth)
{
	str here = glob, part = next_part(&glob);
	int rc;

	if (depth > DEPTH_MAX)
		return err_set(w->e, ERR_TOOBIG, "%s: folders nested deeper than 64 below the workspace", w->root.p);
	if (!part.n)
		return found(w, dir);
	if (str_eq(part, STR("**"))) {
		if ((rc = walk_parts(w, dir, glob, depth + 1)))
			return rc;
		return walk_folders(w, dir, part, here, depth);
	}
	if (has_wildcard(part))
		return walk_folders(w, dir, part, glob, depth);
	return walk_parts(w, join(w->a, dir, part), glob, depth + 1);
}

static int include_one(struct walk *w, str glob)
{
	return walk_parts(w, STR_NONE, glob, 0);
}

static int exclude_one(struct walk *w, str glob)
{
	*arena_add(w->a, w->not .p, w->not .n) = glob;
	return 0;
}

/* "a{b,c}d" → abd, acd, to EACH; nested braces too. */
static int braces(struct walk *w, str glob, unsigned depth, int (*each)(struct walk *w, str glob))
{
	size_t open = str_find(glob, '{', 0), level = 0;

	if (open == SIZE_MAX || depth > 8)
		return each(w, glob);
	size_t from = open + 1, close = open;
	for (close = open; close < glob.n; close++) {
		level += glob.p[close] == '{';
		level -= glob.p[close] == '}';
		if (level == 0)
			break;
	}
	if (close == glob.n)
		return err_set(
			w->e, ERR_PARSE, "packages: the glob \"" STR_FMT "\" has no closing brace", STR_ARG(glob));
	level = 0;
	for (size_t i = from; i <= close; i++) {
		level += glob.p[i] == '{';
		if ((glob.p[i] == ',' && level == 0) || i == close) {
			str one = arena_printf(w->a, STR_FMT "%.*s" STR_FMT, STR_ARG(str_head(glob, open)),
				(int)(i - from), glob.p + from, STR_ARG(str_from(glob, close + 1)));
			int rc = braces(w, one, depth + 1, each);
			if (rc)
				return rc;
			from = i + 1;
		}
		level -= glob.p[i] == '}' && i != close;
	}
	return 0;
}

int project_glob(struct str_list *out, str root, struct str_list globs, struct arena *a, struct err *e)
{
	struct walk w = { .root = root, .a = a, .e = e };
	int rc = 0;

	for (size_t i = 0; i < globs.n && rc == 0; i++) {
		if (str_starts(globs.p[i], STR("!")))
			rc = braces(&w, str_from(globs.p[i], 1), 0, exclude_one);
	}
	for (size_t i = 0; i < globs.n && rc == 0; i++) {
		str g = globs.p[i];
		if (str_starts(g, STR("!")) || !str_trim(g).n)
			continue;
		rc = str_starts(g, STR("../")) || str_starts(g, STR("/"))
			     ? err_set(e, ERR_UNSUPPORTED,
				       "packages: \"" STR_FMT
				       "\" leads out of the workspace; dray does not support that",
				       STR_ARG(g))
			     : braces(&w, g, 0, include_one);
	}
	if (rc == 0) {
		out->p = arena_new(a, str, w.found.n);
		out->n = w.found.n;
		if (w.found.n)
			memcpy(out->p, w.found.p, w.found.n * sizeof(str));
		qsort(out->p, out->n, sizeof(str), strs_order);
	}
	vec_release(&w.found);
	map_release(&w.seen);
	return rc;
}
