#include "scripts.h"
#include <stdlib.h>

enum build_policy scripts_allowed(const struct tree_package *p, const struct client_settings *c)
{
	switch (project_may_build(c, p->f->name, p->f->version)) {
	case 1:
		return BUILD_ALLOWED;
	case 0:
		return BUILD_DENIED;
	default:
		return c->dangerously_allow_all_builds ? BUILD_ALLOWED : BUILD_UNLISTED;
	}
}

bool scripts_wanted(const struct tree_package *p)
{
	return p->state == PACKAGE_READY && (pkg_flags(p->rec) & (PKG_HAS_INSTALL_SCRIPT | PKG_HAS_BINDING_GYP));
}

static int ignored_cmp(const void *a, const void *b)
{
	return str_cmp(*(const str *)a, *(const str *)b);
}

static void ignored_list(struct str_list *out, const struct scripts_opts *o, struct arena *a)
{
	const struct tree *t = o->tree;

	*out = (struct str_list){ .p = arena_new(a, str, t->npackages + 1) };
	for (size_t i = 0; i < t->npackages; i++) {
		const struct tree_package *p = t->package[i];
		bool used = false;
		for (const struct slot *s = p->slots; s; s = s->next)
			used |= slot_wanted(s);
		if (used && scripts_wanted(p) && scripts_allowed(p, &o->project->client) == BUILD_UNLISTED)
			out->p[out->n++] =
				arena_printf(a, STR_FMT "@" STR_FMT, STR_ARG(p->f->name), STR_ARG(p->f->version));
	}
	qsort(out->p, out->n, sizeof(str), ignored_cmp);
}

int scripts_run(struct str_list *ignored, const struct scripts_opts *o, struct arena *a, struct err *e)
{
	const struct tree *t = o->tree;

	*ignored = (struct str_list){ 0 };
	if (o->ignore)
		return 0;
	ignored_list(ignored, o, a);
	for (size_t i = 0; i < t->nslots; i++) {
		if (t->slot[i]->state == SLOT_LINKED && t->slot[i]->builds && scripts_wanted(t->slot[i]->package))
			return err_set(e, ERR_UNSUPPORTED, STR_FMT ": dray does not run build scripts yet",
				STR_ARG(t->slot[i]->snap->key));
	}
	return 0;
}
