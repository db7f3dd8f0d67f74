/* bin_shim — the text of a shim. Pure. */
#include "bins.h"

/* 'It'\''s': safe in sh whatever the name holds. */
static void put_quoted(struct buf *b, str s)
{
	buf_addc(b, '\'');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\'')
			buf_add(b, STR("'\\''"));
		else
			buf_addc(b, s.p[i]);
	}
	buf_addc(b, '\'');
}

static void put_here(struct buf *b, str path)
{
	buf_add(b, STR("\"$here\"/"));
	put_quoted(b, path);
}

void shim_runtime(struct shim *s, str head, str path)
{
	static const struct {
		str ext, program;
	} known[] = { { STR_INIT(".js"), STR_INIT("node") }, { STR_INIT(".cjs"), STR_INIT("node") },
		{ STR_INIT(".mjs"), STR_INIT("node") }, { STR_INIT(".sh"), STR_INIT("sh") } };
	str line, rest, env = STR("/usr/bin/env");

	s->program = s->args = STR_NONE;
	str_cut(head, '\n', &line, &rest);
	if (str_starts(line, STR("#!"))) {
		line = str_trim(str_from(line, 2));
		if (str_starts(line, env)) {
			line = str_trim(str_from(line, env.n));
			if (str_starts(line, STR("-S")))
				line = str_trim(str_from(line, 2));
		}
		size_t n = 0;
		while (n < line.n && line.p[n] != ' ' && line.p[n] != '\t')
			n++;
		s->program = str_head(line, n);
		s->args = str_trim(str_from(line, n));
		if (s->program.n)
			return;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (str_ends(path, known[i].ext))
			s->program = known[i].program;
	}
}

static void put_node_path(struct buf *b, const struct shim *s)
{
	if (!s->node_path.n)
		return;
	buf_add(b, STR("NODE_PATH="));
	for (size_t i = 0; i < s->node_path.n; i++) {
		if (i)
			buf_addc(b, ':');
		put_here(b, s->node_path.p[i]);
	}
	buf_add(b, STR("${NODE_PATH:+:$NODE_PATH}\nexport NODE_PATH\n"));
}

void shim_print(struct buf *b, const struct shim *s)
{
	/* A shim runs with .bin at the front of PATH: readlink comes from the system's path,
	 * lest a dependency stand in. */
	buf_add(b, STR("#!/bin/sh\n"
		       "link=$0\n"
		       "case $link in */*) ;; *) link=./$link ;; esac\n"
		       "hops=0\n"
		       "while [ -L \"$link\" ] && [ $hops -lt 40 ]; do\n"
		       "  hops=$((hops+1))\n"
		       "  to=$(command -p readlink \"$link\") || exit\n"
		       "  case $to in /*) link=$to ;; *) link=${link%/*}/$to ;; esac\n"
		       "done\n"
		       "here=$(CDPATH= cd -P -- \"${link%/*}\" && pwd -P) || exit\n"));
	put_node_path(b, s);
	if (s->program.n) {
		/* A node beside the shim (a pinned runtime) wins over the one in PATH. */
		buf_add(b, STR("if [ -x \"$here\"/"));
		put_quoted(b, s->program);
		buf_add(b, STR(" ]; then\n  exec \"$here\"/"));
		put_quoted(b, s->program);
		buf_printf(b, " " STR_FMT " ", STR_ARG(s->args));
		put_here(b, s->target);
		buf_add(b, STR(" \"$@\"\nfi\nexec "));
		put_quoted(b, s->program);
		buf_printf(b, " " STR_FMT " ", STR_ARG(s->args));
	} else {
		buf_add(b, STR("exec "));
	}
	put_here(b, s->target);
	buf_add(b, STR(" \"$@\"\n# cmd-shim-target="));
	buf_add(b, s->target);
	buf_addc(b, '\n');
}

/* What stands between HEAD and TAIL, both behind AT of TEXT; absent when one is missing. */
static str between(str text, size_t at, str head, str tail)
{
	size_t from = str_find_str(text, head, at);

	if (from == SIZE_MAX)
		return STR_NONE;
	from += head.n;
	size_t to = str_find_str(text, tail, from);
	return to == SIZE_MAX ? STR_NONE : (str){ text.p + from, to - from };
}

bool shim_of_pnpm(struct shim *out, str text, struct arena *a)
{
	str dir = STR("\"$basedir_abs\"/'");
	struct shim s = { 0 };

	if (!str_starts(text, STR("#!/bin/sh\n")))
		return false;
	s.target = between(text, 0, STR("\n# cmd-shim-target="), STR("\n"));
	str exec = between(text, 0, STR("\nelse\n  exec "), STR("\n"));
	if (!exec.n) /* a program by itself */
		exec = between(text, 0, STR("\nexec "), STR("\nexit $?\n"));
	size_t at = str_find_str(exec, dir, 0);
	if (!s.target.n || at == SIZE_MAX || str_find(s.target, '\'', 0) != SIZE_MAX)
		return false;
	str command = str_head(exec, at), rest = str_from(exec, at + dir.n), end_args = STR("\"$@\"");
	if (!str_starts(rest, s.target) || !str_starts(str_from(rest, s.target.n), STR("' ")) ||
		!str_ends(rest, end_args))
		return false;
	str after = str_trim((str){ rest.p + s.target.n + 1, rest.n - s.target.n - 1 - end_args.n });
	str_cut(command, ' ', &s.program, &s.args);
	s.args = str_trim(s.args);
	if (after.n && s.program.n)
		return false;
	if (!s.program.n)
		s.args = after;
	rest = between(text, 0, STR("\n  export NODE_PATH="), STR("\n"));
	s.node_path.p = arena_new(a, str, rest.n / dir.n + 1);
	while (rest.n) {
		size_t end = str_starts(rest, dir) ? str_find(rest, '\'', dir.n) : SIZE_MAX;
		if (end == SIZE_MAX)
			return false;
		s.node_path.p[s.node_path.n++] = (str){ rest.p + dir.n, end - dir.n };
		rest = str_from(rest, end + 1);
		if (rest.n && rest.p[0] != ':')
			return false;
		rest = str_from(rest, rest.n > 0);
	}
	*out = s;
	return true;
}
