#include "scripts.h"
#include <stdlib.h>

#include "link.h"
#include "script_run.h"

/* Lines that are kept of a script, for when it fails. */
#define KEPT_LINES 40

struct task {
	struct slot *slot; /* NULL: a project */
	struct script script[8];
	size_t n, at; /* scripts in order; the next one */
	bool running, ended;
	uint8_t *needs; /* by task: reachable through dependencies */
	str kept[KEPT_LINES];
	size_t nkept;
};
struct run {
	const struct scripts_opts *o;
	struct arena a;
	struct task *task;
	size_t n;
	struct script_set *set;
	struct scripts_counts *counts;
	struct err err;
};

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
	return p->state == PACKAGE_READY && (p->flags & (PKG_HAS_INSTALL_SCRIPT | PKG_HAS_BINDING_GYP));
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
	qsort(out->p, out->n, sizeof(str), strs_order);
}

/* ---- running tasks ---- */

static void on_line(void *arg, const struct script *s, str line)
{
	struct run *r = arg;
	struct task *t = s->owner;

	t->kept[t->nkept++ % KEPT_LINES] = arena_str(&r->a, line);
	progress_output(r->o->progress, s->title, line);
}

static void say_kept(struct run *r, const struct task *t, str title)
{
	if (progress_shows_output(r->o->progress))
		return;
	for (size_t i = t->nkept > KEPT_LINES ? t->nkept - KEPT_LINES : 0; i < t->nkept; i++)
		progress_warn(r->o->progress, STR_FMT ": " STR_FMT, STR_ARG(title), STR_ARG(t->kept[i % KEPT_LINES]));
}

static void on_done(void *arg, const struct script *s, int code, const struct err *e)
{
	struct run *r = arg;
	struct task *t = s->owner;

	t->running = false;
	if (code == 0 && t->at < t->n)
		return;
	t->ended = true;
	if (t->slot)
		slot_stands(r->o->vstore, t->slot); /* its package's folder has changed */
	if (code == 0) {
		r->counts->built++;
		return;
	}
	say_kept(r, t, s->title);
	if (t->slot && t->slot->snap->optional) {
		r->counts->failed++;
		progress_warn(r->o->progress, "optional dependency did not build: %s", e->msg);
	} else if (r->err.code == 0) {
		r->err = *e;
	}
}

static bool task_blocked(const struct run *r, size_t i)
{
	const struct task *t = &r->task[i];

	for (size_t k = 0; t->needs && k < r->n; k++) {
		/* in a cycle the first in the list goes first */
		bool before = t->needs[k] && (!r->task[k].needs[i] || k < i);
		if (k != i && before && !r->task[k].ended)
			return true;
	}
	return false;
}

static int run_tasks(struct run *r, size_t at_once, struct err *e)
{
	struct script_opts so = { .line = on_line, .done = on_done, .arg = r };
	int code = 0;

	r->set = script_set_new(&so);
	for (;;) {
		bool left = false;
		for (size_t i = 0; i < r->n && r->err.code == 0 && code == 0; i++) {
			struct task *t = &r->task[i];
			left |= !t->ended;
			if (t->ended || t->running || script_running(r->set) >= at_once || task_blocked(r, i))
				continue;
			t->running = true;
			code = script_start(r->set, &t->script[t->at++], e);
		}
		if (code < 0 || (script_running(r->set) == 0 && (!left || r->err.code < 0)))
			break;
		code = script_turn(r->set, r->o->cancel_fd, e);
	}
	script_set_free(r->set);
	if (code == 0 && r->err.code < 0) {
		*e = r->err;
		code = e->code;
	}
	return code;
}

static void task_add(struct run *r, struct task *t, struct script like, const char *stage, str command)
{
	if (!command.n)
		return;
	like.stage = str_of(stage);
	like.command = command;
	like.owner = t;
	like.title = arena_printf(&r->a, STR_FMT "%s" STR_FMT " %s", STR_ARG(like.name), like.version.n ? "@" : "",
		STR_ARG(like.version), stage);
	t->script[t->n++] = like;
}

static struct script script_like(const struct run *r, str dir, str name, str version)
{
	const struct project *p = r->o->project;

	return (struct script){ .dir = dir,
		.name = name,
		.version = version,
		.project_dir = p->root,
		.shell = p->client.script_shell,
		.node_options = p->client.node_options,
		.user_agent = p->client.user_agent.n ? p->client.user_agent : STR("dray/" DRAY_VERSION) };
}

/* ---- dependencies ---- */

static void task_of_slot(struct run *r, struct task *t, struct slot *s)
{
	struct pkg rec = s->package->rec;
	str below = slot_package_dir(s, &r->a);
	str slots = r->o->tree->shared.n ? r->o->tree->shared : STR("node_modules/.pnpm");
	str dir = arena_printf(
		&r->a, STR_FMT "/" STR_FMT "/" STR_FMT, STR_ARG(r->o->project->root), STR_ARG(slots), STR_ARG(below));
	struct script like = script_like(r, dir, s->name, s->package->f->version);
	str pre = pkg_script(rec, "preinstall"), mid = pkg_script(rec, "install");

	t->slot = s;
	if (!pre.n && !mid.n && (pkg_flags(rec) & PKG_HAS_BINDING_GYP))
		mid = STR("node-gyp rebuild"); /* npm's default */
	task_add(r, t, like, "preinstall", pre);
	task_add(r, t, like, "install", mid);
	task_add(r, t, like, "postinstall", pkg_script(rec, "postinstall"));
	t->ended = t->n == 0;
}

/* Marks in FROM->needs every task that FROM reaches through dependencies. */
static void task_needs(struct run *r, struct task *from, const uint32_t *task_of)
{
	const struct tree *t = r->o->tree;
	AUTO(arena_release) struct arena a = ARENA_INIT(64 * 1024);
	bool *seen = arena_new(&a, bool, t->nslots);
	VEC(const struct slot *) todo = VEC_INIT;

	*vec_add(&todo) = from->slot;
	while (todo.n) {
		const struct slot *s = todo.p[--todo.n];
		const struct lock_deps *list[] = { &s->snap->dependencies, &s->snap->optional_dependencies };
		for (size_t k = 0; k < 2; k++) {
			for (size_t i = 0; i < list[k]->n; i++) {
				struct tree_edge edge;
				if (!tree_edge(&edge, t, list[k]->p[i].alias, list[k]->p[i].ref, &a) || !edge.to ||
					seen[edge.to->id])
					continue;
				seen[edge.to->id] = true;
				if (task_of[edge.to->id])
					from->needs[task_of[edge.to->id] - 1] = 1;
				*vec_add(&todo) = edge.to;
			}
		}
	}
	vec_release(&todo);
}

static bool slot_is_to_build(const struct slot *s)
{
	return s->state == SLOT_LINKED && s->builds && scripts_wanted(s->package);
}

int scripts_build(struct str_list *ignored, struct scripts_counts *counts, const struct scripts_opts *o,
	struct arena *a, struct err *e)
{
	struct run r = { .o = o, .a = ARENA_INIT(64 * 1024), .counts = counts };
	const struct tree *t = o->tree;

	*ignored = (struct str_list){ 0 };
	*counts = (struct scripts_counts){ 0 };
	if (o->ignore)
		return 0;
	ignored_list(ignored, o, a);
	uint32_t *task_of = arena_new(&r.a, uint32_t, t->nslots + 1);
	for (size_t i = 0; i < t->nslots; i++) {
		if (slot_is_to_build(t->slot[i]))
			task_of[i] = (uint32_t)++r.n;
	}
	r.task = arena_new(&r.a, struct task, r.n + 1);
	for (size_t i = 0; i < t->nslots; i++) {
		if (task_of[i])
			task_of_slot(&r, &r.task[task_of[i] - 1], t->slot[i]);
	}
	for (size_t i = 0; i < r.n; i++) {
		r.task[i].needs = arena_new(&r.a, uint8_t, r.n);
		task_needs(&r, &r.task[i], task_of);
	}
	size_t at_once = o->project->client.child_concurrency ? o->project->client.child_concurrency : 5;
	int code = r.n ? run_tasks(&r, at_once, e) : 0;
	arena_release(&r.a);
	return code;
}

/* ---- projects ---- */

static const char *const project_stages[] = { "preinstall", "install", "postinstall", "preprepare", "prepare",
	"postprepare" };
enum { PROJECT_STAGES = sizeof(project_stages) / sizeof(project_stages[0]) };

static bool project_has_scripts(const struct manifest *m)
{
	for (size_t k = 0; k < PROJECT_STAGES; k++) {
		if (str_map_get(m->scripts, str_of(project_stages[k])))
			return true;
	}
	return false;
}

bool scripts_due(const struct scripts_opts *o)
{
	const struct request *q = &o->project->req;

	for (size_t i = 0; !o->ignore && i < o->tree->nslots; i++) {
		if (slot_is_to_build(o->tree->slot[i]))
			return true;
	}
	for (size_t i = 0; !o->ignore && i < q->nimporters; i++) {
		if ((!o->selected || o->selected[i]) && project_has_scripts(&q->importer[i].manifest))
			return true;
	}
	return false;
}

int scripts_projects(const struct scripts_opts *o, struct err *e)
{
	struct scripts_counts counts = { 0 };
	struct run r = { .o = o, .a = ARENA_INIT(16 * 1024), .counts = &counts };
	const struct request *q = &o->project->req;

	if (o->ignore)
		return 0;
	r.task = arena_new(&r.a, struct task, q->nimporters + 1);
	for (size_t i = 0; i < q->nimporters; i++) {
		if (o->selected && !o->selected[i])
			continue;
		const struct manifest *m = &q->importer[i].manifest;
		struct task *t = &r.task[r.n];
		struct script like = script_like(
			&r, o->project->importer[i].dir, m->name.n ? m->name : q->importer[i].path, m->version);
		for (size_t k = 0; k < PROJECT_STAGES; k++) {
			const str *command = str_map_get(m->scripts, str_of(project_stages[k]));
			if (command)
				task_add(&r, t, like, project_stages[k], *command);
		}
		r.n += t->n > 0;
	}
	int code = r.n ? run_tasks(&r, 1, e) : 0;
	arena_release(&r.a);
	return code;
}
