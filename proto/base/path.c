#include "base/base.h"

/* The components of S but "." onto PART, of which there are N; ".." takes one away. Returns how many there are then. */
static size_t parts_add(str *part, size_t n, str s)
{
	str head;
	for (bool more = s.n > 0; more;) {
		more = str_cut(s, '/', &head, &s);
		if (!head.n || str_eq(head, STR(".")))
			continue;
		if (str_eq(head, STR("..")) && n && !str_eq(part[n - 1], STR("..")))
			n--;
		else
			part[n++] = head;
	}
	return n;
}

str path_join(struct arena *a, str base, str path)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	bool own = str_starts(path, STR("/")), absolute = own || str_starts(base, STR("/"));
	str *part = arena_new(a, str, base.n + path.n + 2); /* no path has more components than bytes */
	size_t n = parts_add(part, own ? 0 : parts_add(part, 0, base), path);

	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s" STR_FMT, i || absolute ? "/" : "", STR_ARG(part[i]));
	return b.n ? arena_str(a, buf_str(&b)) : absolute ? STR("/") : STR(".");
}

str path_relative(struct arena *a, str from, str to)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	str *f = arena_new(a, str, from.n + 1), *t = arena_new(a, str, to.n + 1);
	size_t same = 0;

	if (str_starts(to, STR("/")))
		return to;
	size_t nf = parts_add(f, 0, from), nt = parts_add(t, 0, to);
	while (same < nf && same < nt && str_eq(f[same], t[same]))
		same++;
	for (size_t i = same; i < nf; i++)
		buf_add(&b, i + 1 < nf || same < nt ? STR("../") : STR(".."));
	for (size_t i = same; i < nt; i++)
		buf_printf(&b, STR_FMT "%s", STR_ARG(t[i]), i + 1 < nt ? "/" : "");
	return arena_str(a, buf_str(&b));
}

str path_between(struct arena *a, str from, str to)
{
	str way = path_relative(a, str_from(from, 1), str_from(to, 1));

	return way.n ? way : STR(".");
}

str path_from_home(struct arena *a, str home, str path)
{
	return home.n && str_starts(path, STR("~/")) ? arena_join(a, home, str_from(path, 1)) : path;
}

str path_slashed(struct arena *a, str s)
{
	return str_ends(s, STR("/")) ? s : arena_join(a, s, STR("/"));
}
