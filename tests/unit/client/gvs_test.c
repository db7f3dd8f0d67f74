/* Names of shared slots: what they depend on and what they do not; paths between folders; images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "temp.h"
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gvs.h"
#include "image.h"
#include "image_install.h"
#include "shared.h"

/* "name > dep dep": slots of a plan, all at version 1.0.0. */
struct plan {
	struct arena a;
	struct tree t;
	uint8_t key[32];
};

static void plan_add(struct plan *p, const char *line, const char *integrity)
{
	str name, deps, dep;
	struct frame_package *fp = arena_new(&p->a, struct frame_package, 1);
	struct frame_slot *fs = arena_new(&p->a, struct frame_slot, 1);
	struct tree_package *tp;
	struct slot *s;
	struct err e;

	str_cut(str_of(line), '>', &name, &deps);
	name = arena_str(&p->a, str_trim(name));
	fp->id = (uint32_t)p->t.npackages;
	fp->name = name;
	fp->version = STR("1.0.0");
	fp->meta.key = arena_printf(&p->a, STR_FMT "@1.0.0", STR_ARG(name));
	fp->meta.resolution.integrity = str_of(integrity);
	fs->id = (uint32_t)p->t.nslots;
	fs->package = fp->id;
	fs->snap.key = fp->meta.key;
	fs->snap.dependencies.p = arena_new(&p->a, struct lock_dep, 16);
	deps = str_trim(deps);
	while (deps.n) {
		str_cut(deps, ' ', &dep, &deps);
		fs->snap.dependencies.p[fs->snap.dependencies.n++] =
			(struct lock_dep){ arena_str(&p->a, dep), STR("1.0.0") };
	}
	assert_int_equal(tree_add_package(&tp, &p->t, fp, &e), 0);
	assert_int_equal(tree_add_slot(&s, &p->t, fs, &e), 0);
}

static void plan_init(struct plan *p, const char *const *lines, size_t n)
{
	*p = (struct plan){ .a = ARENA_INIT(4096) };
	tree_init(&p->t);
	for (size_t i = 0; i < n; i++)
		plan_add(p, lines[i], "sha512-aaaa");
}

static void plan_name(struct plan *p, const char *node, const char *root)
{
	struct platform here = { STR("linux"), STR("x64"), STR("glibc"), str_of(node) };
	struct gvs_opts o = { .root = str_of(root), .platform = &here };

	gvs_name(&p->t, p->key, &o);
}

static const char *dir_of(const struct plan *p, const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), "%s@1.0.0", name);
	return tree_slot(&p->t, str_of(key))->dir;
}

static void plan_release(struct plan *p)
{
	tree_release(&p->t);
	arena_release(&p->a);
}

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* Two cycles that share a member, and what stands before and behind them, in two orders. */
static void test_order_does_not_matter(void **state)
{
	static const char *const one[] = { "app > a", "a > b leaf", "b > a c", "c > b", "leaf >" };
	static const char *const two[] = { "leaf >", "c > b", "b > c a", "a > leaf b", "app > a" };
	static const char *const names[] = { "app", "a", "b", "c", "leaf" };
	struct plan p, q;
	(void)state;

	plan_init(&p, one, N(one));
	plan_init(&q, two, N(two));
	plan_name(&p, "20.1.0", "/one");
	plan_name(&q, "22.0.0", "/two"); /* neither node nor project count where nothing builds and nothing is local */
	for (size_t i = 0; i < N(names); i++) {
		assert_string_equal(dir_of(&p, names[i]), dir_of(&q, names[i]));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(
				dir_of(&p, names[i]) + strlen(names[i]), dir_of(&p, names[k]) + strlen(names[k]));
	}
	plan_release(&p);
	plan_release(&q);
}

/* An optional package that could not be had may have failed before the names are made, or after: that says nothing of
 * what slots hold. One that is not for this platform is no part of them. */
static void test_failed_counts(void **state)
{
	static const char *const lines[] = { "app > a b", "a > opt", "b >", "opt >" };
	static const char *const names[] = { "app", "a", "b", "opt" };
	struct plan p, q, r;
	(void)state;

	plan_init(&p, lines, N(lines));
	plan_init(&q, lines, N(lines));
	plan_init(&r, lines, N(lines));
	tree_slot(&q.t, STR("opt@1.0.0"))->state = SLOT_FAILED;
	tree_slot(&r.t, STR("opt@1.0.0"))->state = SLOT_SKIPPED;
	plan_name(&p, "20.1.0", "/one");
	plan_name(&q, "20.1.0", "/one");
	plan_name(&r, "20.1.0", "/one");
	for (size_t i = 0; i < N(names); i++)
		assert_string_equal(dir_of(&p, names[i]), dir_of(&q, names[i]));
	assert_memory_equal(p.key, q.key, sizeof(p.key));
	assert_string_not_equal(dir_of(&p, "a"), dir_of(&r, "a"));
	assert_string_equal(dir_of(&p, "b"), dir_of(&r, "b"));
	plan_release(&p);
	plan_release(&q);
	plan_release(&r);
}

/* A change at the bottom is a change of everything above, through a cycle too, and of nothing else. */
static void test_closure_counts(void **state)
{
	static const char *const lines[] = { "app > a", "a > b", "b > a leaf", "other >" };
	struct plan p, q;
	(void)state;

	plan_init(&p, lines, N(lines));
	plan_add(&p, "leaf >", "sha512-aaaa");
	plan_init(&q, lines, N(lines));
	plan_add(&q, "leaf >", "sha512-bbbb");
	plan_name(&p, "20.1.0", "/x");
	plan_name(&q, "20.1.0", "/x");
	assert_string_not_equal(dir_of(&p, "leaf"), dir_of(&q, "leaf"));
	assert_string_not_equal(dir_of(&p, "b"), dir_of(&q, "b"));
	assert_string_not_equal(dir_of(&p, "a"), dir_of(&q, "a"));
	assert_string_not_equal(dir_of(&p, "app"), dir_of(&q, "app"));
	assert_string_equal(dir_of(&p, "other"), dir_of(&q, "other"));
	assert_memory_not_equal(p.key, q.key, 32);
	plan_release(&p);
	plan_release(&q);
}

/* What builds belongs to a node's major version, and so does what depends on it. */
static void test_builds(void **state)
{
	static const char *const lines[] = { "app > native", "native > leaf", "leaf >" };
	static const char *const nodes[] = { "20.1.0", "20.9.0", "22.0.0" };
	struct plan p[3], plain;
	(void)state;

	plan_init(&plain, lines, N(lines));
	plan_name(&plain, "20.1.0", "/x");
	for (size_t i = 0; i < 3; i++) {
		plan_init(&p[i], lines, N(lines));
		tree_slot(&p[i].t, STR("native@1.0.0"))->builds = true;
		plan_name(&p[i], nodes[i], "/x");
		assert_string_equal(dir_of(&p[i], "leaf"), dir_of(&plain, "leaf"));
		assert_string_not_equal(dir_of(&p[i], "native"), dir_of(&plain, "native"));
	}
	assert_string_equal(dir_of(&p[0], "app"), dir_of(&p[1], "app"));
	assert_string_not_equal(dir_of(&p[0], "native"), dir_of(&p[2], "native"));
	assert_string_not_equal(dir_of(&p[0], "app"), dir_of(&p[2], "app"));
	for (size_t i = 0; i < 3; i++)
		plan_release(&p[i]);
	plan_release(&plain);
}

static void image_check(const struct image_item *item, size_t n, int want)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct image_slot slot = { STR("x@1.0.0-1"), STR("x"), 0 };
	struct image im = { .item = (struct image_item *)(uintptr_t)item, .nitems = n, .slot = &slot, .nslots = 1 };
	struct image back;
	struct err e;

	image_print(&b, &im);
	assert_int_equal(image_parse(&back, buf_str(&b), &a, &e), want);
	if (want < 0)
		return;
	for (size_t cut = 0; cut < b.n; cut++)
		assert_int_equal(image_parse(&back, (str){ b.p, cut }, &a, &e), ERR_PARSE);
	for (size_t i = 0; i < b.n; i++) {
		b.p[i] ^= 1;
		assert_int_equal(image_parse(&back, buf_str(&b), &a, &e), ERR_PARSE);
		b.p[i] ^= 1;
	}
}

/* Nothing of an image may be made anywhere but below folders that it makes. */
static void test_image_stays_inside(void **state)
{
	const struct image_item dir = { IMAGE_DIR, STR("node_modules"), STR(""), false, false, false };
	const struct image_item good[] = { dir, { IMAGE_LINK, STR("node_modules/x"), STR("/etc"), false, false, false },
		{ IMAGE_FILE, STR("node_modules/y"), STR("text\n"), true, false, false } };
	const struct image_item through[] = { dir,
		{ IMAGE_LINK, STR("node_modules/x"), STR("/etc"), false, false, false },
		{ IMAGE_FILE, STR("node_modules/x/passwd"), STR(""), false, false, false } };
	const struct image_item up[] = { dir, { IMAGE_FILE, STR("node_modules/../x"), STR(""), false, false, false } };
	const struct image_item beside[] = { dir, { IMAGE_FILE, STR("package.json"), STR(""), false, false, false } };
	const struct image_item absolute[] = { dir, { IMAGE_DIR, STR("/tmp"), STR(""), false, false, false } };
	const struct image_item late[] = { dir, { IMAGE_FILE, STR("node_modules/a/b"), STR(""), false, false, false },
		{ IMAGE_DIR, STR("node_modules/a"), STR(""), false, false, false } };
	const struct image_item link[] = { { IMAGE_LINK, STR("node_modules"), STR("/etc"), false, false, false } };
	(void)state;

	image_check(good, N(good), 0);
	image_check(through, N(through), ERR_PARSE);
	image_check(up, N(up), ERR_PARSE);
	image_check(beside, N(beside), ERR_PARSE);
	image_check(absolute, N(absolute), ERR_PARSE);
	image_check(late, N(late), ERR_PARSE);
	image_check(link, N(link), ERR_PARSE);
}

/* The lockfile is not kept with an image, and nothing else can be called by its name. */
static void test_image_lockfile(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct image_item item[] = { { IMAGE_DIR, STR("node_modules"), STR(""), false, false, false },
		{ IMAGE_FILE, STR("node_modules/lock.yaml"), STR("lockfileVersion"), false, false, true } };
	struct image_slot slot = { STR("x@1.0.0-1"), STR("x"), 1234567890123456789 };
	struct image im = { .item = item, .nitems = 2, .slot = &slot, .nslots = 1 }, back;
	struct err e;

	(void)state;
	image_print(&b, &im);
	assert_int_equal(str_find_str(buf_str(&b), STR("lockfileVersion"), 0), SIZE_MAX);
	assert_int_equal(image_parse(&back, buf_str(&b), &a, &e), 0);
	assert_true(back.item[1].lockfile && !back.item[0].lockfile);
	assert_int_equal(back.item[1].text.n, 0);
	assert_int_equal(back.slot[0].modules_ns, slot.modules_ns);
	item[0].lockfile = true;
	b.n = 0;
	image_print(&b, &im);
	assert_int_equal(image_parse(&back, buf_str(&b), &a, &e), ERR_PARSE);
}

/* What leads to the shared slots does so from a project elsewhere; where that cannot be told, there is no text. */
static void test_image_moves(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	const struct image im = { .shared = STR("../store/links") };
	const struct image_item link = { IMAGE_LINK, STR("node_modules/x"), STR("../../store/links/x-1/node_modules/x"),
		false, true, false };
	const struct image_item shim = { IMAGE_FILE, STR("node_modules/.bin/x"),
		STR("a \"$here\"/'../../../store/links/x-1' b '../../../store/links/y'\n"), true, true, false };
	const struct image_item own = { IMAGE_LINK, STR("node_modules/y"), STR("../store/links"), false, false, false };
	(void)state;

	assert_string_equal(image_text(&im, &link, STR("../../s/links"), &a).p, "../../../s/links/x-1/node_modules/x");
	assert_string_equal(image_text(&im, &shim, STR("../../s/links"), &a).p,
		"a \"$here\"/'../../../../s/links/x-1' b '../../../../s/links/y'\n");
	assert_string_equal(image_text(&im, &own, STR("../../s/links"), &a).p, "../store/links");
	assert_string_equal(image_text(&im, &link, im.shared, &a).p, link.text.p);
	assert_null(image_text(&im, &shim, STR("../it's/links"), &a).p);
	assert_null(image_text(&im, &link, STR("links"), &a).p);
}

/* At most 64 images stay, and the one that was just kept is among them. */
static void test_images_are_bounded(void **state)
{
	char dir[TEMP_PATH], path[128], name[65];
	const struct image_item item = { IMAGE_DIR, STR("node_modules"), STR(""), false, false, false };
	struct image im = { .item = (struct image_item *)(uintptr_t)&item, .nitems = 1 };
	uint8_t key[32] = { 0 };
	struct err e;
	(void)state;

	temp_make(dir);
	for (int i = 0; i < 70; i++) {
		key[0] = (uint8_t)i;
		assert_int_equal(image_keep(&im, dir, key, &e), 0);
	}
	int found = 0;
	for (int i = 0; i < 70; i++) {
		snprintf(name, sizeof(name), "%02x%062d", i, 0);
		snprintf(path, sizeof(path), "%s/plans/%s", dir, name);
		found += access(path, F_OK) == 0;
		if (i == 69)
			assert_int_equal(access(path, F_OK), 0);
		unlink(path);
	}
	assert_int_equal(found, 64);
	snprintf(path, sizeof(path), "%s/plans", dir);
	rmdir(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_failed_counts), cmocka_unit_test(test_closure_counts),
		cmocka_unit_test(test_builds), cmocka_unit_test(test_image_stays_inside),
		cmocka_unit_test(test_image_lockfile), cmocka_unit_test(test_image_moves),
		cmocka_unit_test(test_images_are_bounded) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
