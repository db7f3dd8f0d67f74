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
	/* A shim runs with .bin at the front of PATH: readlink comes from the system's path, lest a dependency stand in. */
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
