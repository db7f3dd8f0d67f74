/* yaml_scan — what yaml_tree reads within a line: line ends and indents, scalars. Private to yaml_tree. Pure. */
#pragma once
#include "yaml_tree.h"

static inline bool yaml_at_eol(const struct yaml_reader *r)
{
	return r->p == r->end || *r->p == '\n';
}

static inline void yaml_skip_spaces(struct yaml_reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
		r->p++;
}

static inline void yaml_newline(struct yaml_reader *r)
{
	r->p++;
	r->line++;
	r->bol = r->p;
}

static inline bool yaml_is_dash(const struct yaml_reader *r)
{
	return r->p < r->end && *r->p == '-' && (r->p + 1 == r->end || r->p[1] == ' ' || r->p[1] == '\n');
}

static inline bool yaml_is_break(const char *p, const char *end)
{
	return p == end || *p == ' ' || *p == '\n' || *p == '\t';
}

/* From the beginning of a line to the next content; sets the indent. */
int yaml_seek_content(struct yaml_reader *r);
/* After a value: only a comment may follow; goes on to the next content. */
int yaml_end_line(struct yaml_reader *r);

/* Quoted text from its first quote to behind its last; decoded. */
int yaml_read_single(struct yaml_reader *r, str *out);
int yaml_read_double(struct yaml_reader *r, str *out);
/* ERR_PARSE for what may not begin a plain scalar, by the name of what it would mean. */
int yaml_refuse_indicator(struct yaml_reader *r);
/* The first byte from P at which a plain scalar may end. */
const char *yaml_skip_plain(const char *p, const char *end);
/* One scalar of one line; sets its kind and text. FLOW: inside "{" or "[", whose delimiters end it. */
int yaml_read_scalar(struct yaml_reader *r, bool flow, struct yaml_node *n);
/* A literal "|": the lines below that are indented more than PARENT. */
int yaml_read_literal(struct yaml_reader *r, ptrdiff_t parent, struct yaml_node *n);
