#include "parity_diff.h"
#include "dep_path.h"
#include <stdlib.h>

enum { NAMES_SHOWN = 6 };

struct lines {
	VEC(str) v;
	struct map set;
};

static void lines_release(struct lines *l)
{
	vec_release(&l->v);
	map_release(&l->set);
}

/* Name of the root entry that begins on this line, or absent. */
static str root_key(str line)
{
	return line.n > 1 && line.p[0] != ' ' && line.p[0] != '-' ? str_head(line, str_find(line, ':', 0)) : STR_NONE;
}

/* "  key:" or "  'key': {}" of a section: the key without quotes. */
static str entry_key(str line)
{
	if (line.n < 4 || !str_starts(line, STR("  ")) || line.p[2] == ' ')
		return STR_NONE;
	line = str_from(line, 2);
	if (line.p[0] == '\'') {
		size_t end = str_find(line, '\'', 1);
		return end == SIZE_MAX ? STR_NONE : (str){ line.p + 1, end - 1 };
	}
	size_t end = str_find_str(line, STR(": "), 0);
	return end != SIZE_MAX ? str_head(line, end) : str_ends(line, STR(":")) ? str_head(line, line.n - 1) : STR_NONE;
}

/* The lines of SECTION (all lines without one), or only the keys of its entries. */
static struct lines lines_of(str text, str section, bool keys)
{
	struct lines l = { 0 };
	bool in = section.n == 0;

	for (str line; text.n;) {
		str_cut(text, '\n', &line, &text);
		str root = root_key(line);
		if (section.n && root.n)
			in = str_eq(root, section);
		str item = keys ? entry_key(line) : line;
		if (in && item.n) {
			*vec_add(&l.v) = item;
			map_set(&l.set, item, 0);
		}
	}
	return l;
}

/* Counts what A has and B has not, and shows a few. */
static size_t missing(const struct lines *a, const struct lines *b, char sign, struct buf *show)
{
	size_t n = 0;

	for (size_t i = 0; i < a->v.n; i++) {
		if (map_get(&b->set, a->v.p[i]) == MAP_NONE && n++ < NAMES_SHOWN)
			buf_printf(show, " %c" STR_FMT, sign, STR_ARG(str_head(a->v.p[i], 120)));
	}
	return n;
}

/* Compares SECTION by its keys or lines; whether they differ, with counts and names in D. */
static bool section_differs(struct parity_diff *d, str want, str got, str section, bool keys)
{
	AUTO(lines_release) struct lines w = lines_of(want, section, keys);
	AUTO(lines_release) struct lines g = lines_of(got, section, keys);

	buf_clear(&d->names);
	d->nmissing = missing(&w, &g, '-', &d->names);
	d->nextra = missing(&g, &w, '+', &d->names);
	return d->nmissing || d->nextra;
}

static struct lines package_names(str text)
{
	struct lines keys = lines_of(text, STR("packages"), true), names = { 0 };

	for (size_t i = 0; i < keys.v.n; i++) {
		str name, version, suffix;
		dep_path_split(keys.v.p[i], &name, &version, &suffix);
		*vec_add(&names.v) = name;
		map_set(&names.set, name, 0);
	}
	lines_release(&keys);
	return names;
}

static bool names_differ(str want, str got)
{
	AUTO(lines_release) struct lines w = package_names(want), g = package_names(got);
	AUTO(buf_release) struct buf unused = BUF_INIT;

	return missing(&w, &g, '-', &unused) + missing(&g, &w, '+', &unused) > 0;
}

static const char *cause_of(struct parity_diff *d, str want, str got)
{
	const str head[] = { STR("settings"), STR("catalogs"), STR("overrides"), STR("packageExtensionsChecksum"),
		STR("pnpmfileChecksum"), STR("patchedDependencies"), STR("ignoredOptionalDependencies"), STR("time") };

	if (!section_differs(d, want, got, STR_NONE, false))
		return "formatting";
	for (size_t i = 0; i < sizeof(head) / sizeof(*head); i++) {
		if (section_differs(d, want, got, head[i], false))
			return str_eq(head[i], STR("time")) ? "time" : "settings";
	}
	if (section_differs(d, want, got, STR("packages"), true))
		return names_differ(want, got) ? "missing or extra package" : "version choice";
	if (section_differs(d, want, got, STR("snapshots"), true))
		return "peer suffix";
	if (section_differs(d, want, got, STR("packages"), false))
		return "package fields";
	if (section_differs(d, want, got, STR("importers"), false))
		return "importer";
	return section_differs(d, want, got, STR("snapshots"), false) ? "hoisting (edges of a snapshot)" : "formatting";
}

bool parity_compare(struct parity_diff *out, str want, str got)
{
	struct parity_diff d = { 0 };
	str w = want, g = got;

	if (str_eq(want, got))
		return true;
	do {
		d.line++;
		d.want = d.got = STR_NONE;
		if (w.n)
			str_cut(w, '\n', &d.want, &w);
		if (g.n)
			str_cut(g, '\n', &d.got, &g);
		str root = root_key(d.want), entry = entry_key(d.want);
		if (root.n)
			d.section = root;
		if (root.n || entry.n)
			d.entry = entry;
	} while (str_eq(d.want, d.got) && (w.n || g.n));
	d.cause = cause_of(&d, want, got);
	*out = d;
	return false;
}

void parity_diff_release(struct parity_diff *d)
{
	buf_release(&d->names);
}
