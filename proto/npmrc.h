/* npmrc — the settings in the text of an .npmrc file.
 *
 * The dialect is pnpm 12's of npm's ini: one `key = value` a line, lines that
 * start with # or ; are comments (a # behind a value is part of it), quotes
 * around a key or value, `key[] =` for lists, sections ignored, and ${VAR}
 * from the environment, with ${VAR-default} and ${VAR:-default}. Pure: the
 * environment is a callback, files are the caller's. Entries keep the file's
 * order; later ones win. Values may be credentials: nothing here puts one
 * into a message. */
#pragma once
#include "base/base.h"

struct npmrc_entry {
	str key, value; /* decoded; "key =" gives an empty value, "key" alone "true" */
	bool list;      /* written as key[] = value */
	/* A ${VAR} was written in the key, or in the value: pnpm refuses that in registry URLs, and ignores it in
	 * credentials, where the file belongs to a project, since others can write there. */
	bool key_from_env, value_from_env;
	uint32_t line;
};
struct npmrc {
	struct npmrc_entry *p;
	size_t n;
	struct str_list unresolved; /* "${VAR}" without value or default: read as empty; to be warned about by name */
};

/* Whether NAME is set; *VALUE then. */
typedef bool npmrc_env(void *ctx, str name, str *value);

/* Reads TEXT (at most 1 MiB, and 1 MiB after expansion, else ERR_TOOBIG) into A; nothing borrows TEXT. ENV may be NULL:
 * no variable is set. Lines that are no setting (sections, "= x") are skipped, as pnpm does. */
int npmrc_parse(struct npmrc *out, str text, npmrc_env *env, void *ctx, struct arena *a, struct err *e);
/* S with its ${VAR} filled in, as npmrc_parse() does it, in A. *FOUND is set where there was one; one without value or
 * default is empty, and is added to UNRESOLVED. */
str npmrc_expand(bool *found, struct str_list *unresolved, str s, npmrc_env *env, void *ctx, struct arena *a);
