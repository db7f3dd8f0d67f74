#include "lockfile_text.h"
#include "yaml_tree.h"

static unsigned line_at(str text, size_t at)
{
	unsigned line = 1;

	for (size_t i = 0; i < at; i++)
		line += text.p[i] == '\n';
	return line;
}

static size_t conflict_at(str text)
{
	size_t at = str_find(text, '<', 0);

	while (at != SIZE_MAX && ((at && text.p[at - 1] != '\n') || !str_starts(str_from(text, at), STR("<<<<<<< "))))
		at = str_find(text, '<', at + 1);
	return at;
}

bool lockfile_conflicted(str text)
{
	return conflict_at(text) != SIZE_MAX;
}

static int refuse_conflicts(str text, str path, struct err *e)
{
	size_t at = conflict_at(text);

	if (at == SIZE_MAX)
		return 0;
	return err_set(e, ERR_PARSE,
		STR_FMT ":%u: merge conflict markers; resolve them, or take one side's file and install again",
		STR_ARG(path), line_at(text, at));
}

/* Without a byte order mark and with LF. */
static str normalized(str text, struct arena *a)
{
	if (str_starts(text, STR("\xEF\xBB\xBF")))
		text = str_from(text, 3);
	if (str_find(text, '\r', 0) == SIZE_MAX)
		return text;
	char *p = arena_new(a, char, text.n);
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		/* all of them: what is left would be normalized again */
		while (text.p[i] == '\n' && n && p[n - 1] == '\r')
			n--;
		p[n++] = text.p[i];
	}
	return (str){ p, n };
}

/* Takes the environment document off TEXT: from "---" to the next "---", both lines included. Without the second one
 * pnpm 12.21 finds neither document. */
static str split_documents(str *text)
{
	if (!str_starts(*text, STR("---\n")))
		return STR_NONE;
	size_t at = str_find_str(*text, STR("\n---\n"), 3);
	size_t n = at == SIZE_MAX ? text->n : at + 5;
	str env = at == SIZE_MAX ? STR_NONE : str_head(*text, n);
	*text = str_from(*text, n);
	return env;
}

/* Whether LINE is nothing but MARK, "---" or "...". */
static bool is_mark(str line, str mark)
{
	str behind = str_from(line, 3);

	return str_starts(line, mark) && (!behind.n || behind.p[0] == ' ' || behind.p[0] == '\t') &&
	       (!str_trim(behind).n || str_trim(behind).p[0] == '#');
}

static bool says_nothing(str line)
{
	str s = str_trim(line);

	return !s.n || s.p[0] == '#';
}

/* A document without what YAML allows around it: directives and a "---" before it, "..." behind it. */
static str without_marks(str text)
{
	str line, rest = text, head;

	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		if (is_mark(line, STR("---")))
			text = rest;
		if (!says_nothing(line) && line.p[0] != '%')
			break;
	}
	for (rest = text; str_rcut(rest, '\n', &head, &line); rest = head) {
		if (is_mark(line, STR("...")))
			return str_head(text, head.n + 1);
		if (!says_nothing(line))
			break;
	}
	return text;
}

int lockfile_text_split(struct lockfile_text *out, str text, str path, struct arena *a, struct err *e)
{
	str rest = normalized(text, a), whole = rest;

	int rc = yaml_check_utf8(whole, path, e);
	if (rc == 0)
		rc = refuse_conflicts(whole, path, e);
	if (rc)
		return rc;
	out->environment = split_documents(&rest);
	out->lockfile = without_marks(rest);
	out->line = line_at(whole, rest.n ? (size_t)(out->lockfile.p - whole.p) : whole.n);
	return 0;
}
