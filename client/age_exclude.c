#include "age_exclude.h"
#include "name.h"
#include "semver.h"

#define KEY "minimumReleaseAgeExclude:"

/* One line of TEXT from AT, without its line feed; *NEXT is where the following starts. */
static str line_at(str text, size_t at, size_t *next)
{
	size_t end = str_find(text, '\n', at);

	*next = end == SIZE_MAX ? text.n : end + 1;
	return str_head(str_from(text, at), (end == SIZE_MAX ? text.n : end) - at);
}

/* "  - entry" is one; *ENTRY without what surrounds it. */
static bool is_item(str line, str *entry)
{
	str s = str_trim(line);

	if (!str_starts(s, STR("- ")))
		return false;
	*entry = str_trim(str_from(s, 2));
	return true;
}

static bool is_space(str line)
{
	str s = str_trim(line);

	return !s.n || s.p[0] == '#';
}

static void put_item(struct buf *out, str indent, str entry)
{
	bool quote = entry.p[0] == '@'; /* a plain scalar may not start so */

	buf_printf(out, STR_FMT "- %s" STR_FMT "%s\n", STR_ARG(indent), quote ? "'" : "", STR_ARG(entry),
		quote ? "'" : "");
}

/* Whether ENTRY is a plain "name@versions" of ADD's package, to which its version can be written. */
static bool joins(str entry, str add)
{
	str name, versions, own, version;

	name_split(entry, &name, &versions);
	name_split(add, &own, &version);
	return versions.n && str_eq(name, own) && entry.p[entry.n - 1] != '"' && entry.p[entry.n - 1] != '\'' &&
	       str_find(entry, '#', 0) == SIZE_MAX;
}

/* Where the line with the key starts, SIZE_MAX without one. */
static size_t key_find(str yaml)
{
	for (size_t at = 0, next; at < yaml.n; at = next) {
		if (str_starts(line_at(yaml, at, &next), STR(KEY)))
			return at;
	}
	return SIZE_MAX;
}

/* The name of the top-level key that LINE starts with; absent where it starts with none. */
static str key_of(str line)
{
	size_t colon = str_find(line, ':', 0);
	if (!line.n || colon == SIZE_MAX || line.p[0] == ' ' || line.p[0] == '\t' || line.p[0] == '#' ||
		line.p[0] == '-')
		return STR_NONE;
	bool quoted = line.p[0] == '"' || line.p[0] == '\'';
	return quoted && colon > 1 ? str_head(str_from(line, 1), colon - 2) : str_trim(str_head(line, colon));
}

/* Where a new key goes: into the order that the keys are in, "packages" in front aside, else to the end. *APART: there
 * is a blank line between each two of them. */
static size_t key_place(str yaml, bool *apart)
{
	str above = STR_NONE, name = STR(KEY);
	size_t place = yaml.n, keys = 0;
	bool sorted = true, blank = false;

	name.n--; /* the colon */
	*apart = true;
	for (size_t at = 0, next; at < yaml.n; at = next) {
		str line = line_at(yaml, at, &next), key = key_of(line);
		blank |= !str_trim(line).n;
		if (!key.n)
			continue;
		*apart &= !keys || blank;
		blank = false;
		if (!keys++ && str_eq(key, STR("packages")))
			continue;
		sorted = sorted && (!above.n || str_cmp(above, key) < 0);
		above = key;
		if (place == yaml.n && str_cmp(key, name) > 0)
			place = at;
	}
	*apart = *apart && keys > 1;
	return sorted ? place : yaml.n;
}

/* How far the first list of YAML is indented. */
static str list_indent(str yaml)
{
	for (size_t at = 0, next; at < yaml.n; at = next) {
		str line = line_at(yaml, at, &next), entry;
		if (is_item(line, &entry))
			return str_head(line, str_find(line, '-', 0));
	}
	return STR("  ");
}

static void put_end_of_line(struct buf *out)
{
	if (out->n && out->p[out->n - 1] != '\n')
		buf_addc(out, '\n');
}

/* Copies the list's lines from AT on, joining what joins; returns where the list ends. */
static size_t put_list(struct buf *out, str yaml, size_t at, struct str_list add, bool *joined, str *indent)
{
	size_t end = at, next;

	for (size_t k = at; k < yaml.n; k = next) {
		str line = line_at(yaml, k, &next), entry;
		if (!is_item(line, &entry)) {
			if (is_space(line))
				continue;
			break;
		}
		buf_add(out, str_head(str_from(yaml, end), k - end)); /* comments between */
		*indent = str_head(line, (size_t)(str_find(line, '-', 0)));
		buf_add(out, str_head(line, (size_t)(entry.p + entry.n - line.p)));
		for (size_t i = 0; i < add.n; i++) {
			str name, version;
			if (joined[i] || !joins(entry, add.p[i]))
				continue;
			name_split(add.p[i], &name, &version);
			buf_printf(out, " || " STR_FMT, STR_ARG(version));
			joined[i] = true;
		}
		buf_addc(out, '\n');
		end = next;
	}
	return end;
}

static bool below(str x, str y)
{
	struct semver v, w;

	return semver_parse(&v, x, true) && semver_parse(&w, y, true) && semver_cmp(&v, &w) < 0;
}

/* ADD[AT] as an entry, with the other versions of its package that nothing has joined yet:
 * "name@1.0.0 || 2.0.0", ascending. */
static str together(struct arena *a, struct str_list add, size_t at, bool *joined)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	str name, own, *v = arena_new(a, str, add.n);
	size_t n = 0;

	for (size_t i = at; i < add.n; i++) {
		str other, version;
		name_split(add.p[at], &name, &own);
		name_split(add.p[i], &other, &version);
		if (joined[i] || !str_eq(name, other))
			continue;
		joined[i] = true;
		size_t k = n++;
		for (; k && below(version, v[k - 1]); k--)
			v[k] = v[k - 1];
		v[k] = version;
	}
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, STR_FMT "%s" STR_FMT, STR_ARG(i ? STR(" || ") : name), i ? "" : "@", STR_ARG(v[i]));
	return arena_str(a, buf_str(&b));
}

int age_exclude_edit(struct buf *out, str yaml, struct str_list add, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	bool *joined = arena_new(&a, bool, add.n + 1);
	size_t key = key_find(yaml), next, end = yaml.n;
	str indent = list_indent(yaml);
	bool apart = false;

	if (key == SIZE_MAX) {
		end = key_place(yaml, &apart);
		buf_add(out, str_head(yaml, end));
		put_end_of_line(out);
		if (apart && end == yaml.n && !str_ends(yaml, STR("\n\n")))
			buf_addc(out, '\n');
		buf_add(out, STR(KEY "\n"));
	} else {
		str rest = str_trim(str_from(line_at(yaml, key, &next), sizeof(KEY) - 1));
		if (rest.n && rest.p[0] != '#')
			return err_set(e, ERR_UNSUPPORTED, "minimumReleaseAgeExclude is not written one entry a line");
		buf_add(out, str_head(yaml, next));
		put_end_of_line(out);
		end = put_list(out, yaml, next, add, joined, &indent);
	}
	for (size_t i = 0; i < add.n; i++) {
		if (!joined[i])
			put_item(out, indent, together(&a, add, i, joined));
	}
	if (apart && end < yaml.n)
		buf_addc(out, '\n');
	buf_add(out, str_from(yaml, end));
	return 0;
}
