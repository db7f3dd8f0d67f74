/* setting_value — one setting's value, of a pnpm-workspace.yaml or of a variable, by its shape.
 *
 * Each GET refuses another shape with an error that names the setting and, of
 * a file, the place. What it gives borrows from the tree or lives in the
 * context's arena. Private to workspace_yaml. Pure. */
#pragma once
#include "workspace_yaml.h"
#include "yaml_tree.h"

struct setting_ctx {
	struct workspace_yaml *w;
	struct arena *a;
	str path;      /* the file, or the variable's name */
	bool from_env; /* values have no place */
	bool machine;  /* PATH is the machine's file */
	struct err *e;
};

/* A line for people. */
void setting_warn(struct setting_ctx *c, str text);
/* ERR_PARSE with the place in the file; ERR_USAGE where the value comes from the environment. */
int setting_bad(struct setting_ctx *c, const struct yaml_node *n, const char *name, const char *what);
/* A truth value as pnpm's YAML reader takes it: true, yes, on, y and their opposites, in any case, quoted or not. */
bool setting_bool(const struct yaml_node *n, bool *out);
int setting_get_bool(struct setting_ctx *c, const char *name, const struct yaml_node *n, bool *out);
int setting_get_u64(struct setting_ctx *c, const char *name, const struct yaml_node *n, uint64_t max, uint64_t *out);
int setting_get_str(struct setting_ctx *c, const char *name, const struct yaml_node *n, str *out);
int setting_get_list(struct setting_ctx *c, const char *name, const struct yaml_node *n, struct str_list *out);
int setting_get_map(struct setting_ctx *c, const char *name, const struct yaml_node *n, struct str_map *out);
/* One of NAMES (up to a NULL); its index. */
int setting_get_one_of(
	struct setting_ctx *c, const char *name, const struct yaml_node *n, const char *const *names, unsigned *out);
