#include "image.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "fs.h"
#include "kept.h"

#define IMAGE_MAGIC 0x3330656d61726400u /* "\0drame03" */
#define IMAGE_FILE_MAX (64u << 20)
#define IMAGE_ITEMS_MAX 200000u

void image_print(struct buf *out, const struct image *im)
{
	size_t head = kept_begin(out, IMAGE_MAGIC);

	buf_add(out, (str){ (const char *)im->record, 32 });
	put_u64(out, im->packages);
	put_name(out, im->shared);
	put_u64(out, im->nslots);
	put_u64(out, im->nitems);
	for (size_t i = 0; i < im->nslots; i++) {
		put_name(out, im->slot[i].dir);
		put_name(out, im->slot[i].name);
		put_u64(out, (uint64_t)im->slot[i].modules_ns);
	}
	for (size_t i = 0; i < im->nitems; i++) {
		put_u64(out, (uint64_t)im->item[i].kind | (im->item[i].exec ? 256u : 0u) |
				     (im->item[i].leads ? 512u : 0u) | (im->item[i].lockfile ? 1024u : 0u));
		put_name(out, im->item[i].path);
		put_name(out, im->item[i].lockfile ? STR("") : im->item[i].text);
	}
	kept_end(out, head);
}

/* Items are made with plain calls relative to the project, so each one's folder must be one
 * that the image itself made. */
static bool item_safe(const struct image_item *it, struct map *dirs)
{
	str parent, name;

	if (!path_safe(it->path) || strlen(it->path.p) != it->path.n)
		return false;
	if (it->lockfile && (it->kind != IMAGE_FILE || it->text.n || it->leads))
		return false;
	if (it->kind == IMAGE_LINK && (!it->text.n || strlen(it->text.p) != it->text.n))
		return false;
	if (str_rcut(it->path, '/', &parent, &name)) {
		if (map_get(dirs, parent) == MAP_NONE)
			return false;
	} else if (!str_eq(it->path, STR("node_modules")) || it->kind != IMAGE_DIR) {
		return false;
	}
	if (it->kind == IMAGE_DIR)
		map_set(dirs, it->path, 1);
	return true;
}

static bool slot_safe(const struct image_slot *s)
{
	return path_safe(s->dir) && !memchr(s->dir.p, '/', s->dir.n) && s->dir.p[0] != '.' && path_safe(s->name) &&
	       strlen(s->dir.p) == s->dir.n && strlen(s->name.p) == s->name.n;
}

static bool image_body(struct image *im, struct cursor *c, struct arena *a)
{
	AUTO(map_release) struct map dirs = MAP_INIT;
	uint64_t left = (uint64_t)(c->end - c->p);
	const char *record = take(c, 32);

	if (record)
		memcpy(im->record, record, 32);
	im->packages = take_u64(c);
	im->shared = take_name(c);
	uint64_t slots = take_u64(c), items = take_u64(c);
	/* each of them has at least two lengths' worth of bytes, so counts are bounded by the file */
	if (c->bad || slots > left / 26 || items > left / 26)
		return false;
	im->slot = arena_new(a, struct image_slot, slots + 1);
	im->item = arena_new(a, struct image_item, items + 1);
	for (im->nslots = 0; im->nslots < slots && !c->bad; im->nslots++) {
		struct image_slot *s = &im->slot[im->nslots];
		s->dir = take_name(c);
		s->name = take_name(c);
		s->modules_ns = (int64_t)take_u64(c);
		if (c->bad || !slot_safe(s))
			return false;
	}
	for (im->nitems = 0; im->nitems < items && !c->bad; im->nitems++) {
		struct image_item *it = &im->item[im->nitems];
		uint64_t kind = take_u64(c);
		it->path = take_name(c);
		it->text = take_text(c, IMAGE_FILE_MAX);
		if (c->bad || (kind & 255u) >= IMAGE_KINDS || kind > 2047)
			return false;
		it->kind = (enum image_kind)(kind & 255u);
		it->exec = (kind & 256u) != 0;
		it->leads = (kind & 512u) != 0;
		it->lockfile = (kind & 1024u) != 0;
		if (!item_safe(it, &dirs))
			return false;
	}
	return !c->bad && c->p == c->end;
}

int image_parse(struct image *out, str bytes, struct arena *a, struct err *e)
{
	struct image im = { 0 };
	str body;

	if (!kept_body(&body, bytes, IMAGE_MAGIC))
		return err_set(e, ERR_PARSE, "image: not one, cut off, or spoiled");
	struct cursor c = { body.p, body.p + body.n, false };
	if (!image_body(&im, &c, a))
		return err_set(e, ERR_PARSE, "image: its body does not hold together");
	*out = im;
	return 0;
}

/* Both ways go up first and end in a name, so one is found in a text at one place only, whatever stands before it; and
 * it may stand in a shim's quotes. */
static bool way_plain(str way)
{
	if (!str_starts(way, STR("../")))
		return false;
	for (size_t i = 0; i < way.n; i++) {
		unsigned char c = (unsigned char)way.p[i];
		if (c < 0x20 || c == '\'' || c == '"' || c == '\\')
			return false;
	}
	return true;
}

str image_text(const struct image *im, const struct image_item *it, str shared, struct arena *a)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	size_t from = 0, at;

	if (!it->leads || str_eq(shared, im->shared))
		return it->text;
	if (!way_plain(shared) || !way_plain(im->shared))
		return STR_NONE;
	while ((at = str_find_str(it->text, im->shared, from)) != SIZE_MAX) {
		buf_add(&b, (str){ it->text.p + from, at - from });
		buf_add(&b, shared);
		from = at + im->shared.n;
	}
	buf_add(&b, str_from(it->text, from));
	return arena_str(a, buf_str(&b));
}

/* ---- scan ---- */

struct scan {
	VEC(struct image_item) item;
	uint64_t bytes;
	int root;
	struct arena *a;
	str shared, lockfile;
	bool unfit;
	struct err *e;
};

static void scan_dir(struct scan *s, str path, int depth);

/* Links, shims, and the file that names the folder; not the lockfile, which has other projects' words in it. */
static bool item_leads(const struct scan *s, const struct image_item *it)
{
	bool may = it->kind == IMAGE_LINK ||
		   (it->kind == IMAGE_FILE && (str_find_str(it->path, STR("/.bin/"), 0) != SIZE_MAX ||
						      str_eq(it->path, STR("node_modules/.modules.yaml"))));

	return may && s->shared.n && str_find_str(it->text, s->shared, 0) != SIZE_MAX;
}

static void scan_file(struct scan *s, struct image_item *it, const struct stat *st)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	it->kind = IMAGE_FILE;
	it->exec = (st->st_mode & 0100) != 0;
	s->bytes += (uint64_t)st->st_size;
	if (s->bytes > IMAGE_FILE_MAX || fs_read_file(&b, s->root, it->path.p, IMAGE_FILE_MAX, s->e) < 0)
		s->unfit = true;
	else if (str_eq(it->path, STR("node_modules/.pnpm/lock.yaml")) && str_eq(buf_str(&b), s->lockfile))
		it->lockfile = true;
	else
		it->text = arena_str(s->a, buf_str(&b));
}

static void scan_add(struct scan *s, str path, int depth)
{
	struct image_item it = { .path = path };
	char target[4096];
	struct stat st;

	if (fstatat(s->root, path.p, &st, AT_SYMLINK_NOFOLLOW) != 0 || s->item.n >= IMAGE_ITEMS_MAX) {
		s->unfit = true;
		return;
	}
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(s->root, path.p, target, sizeof(target));
		s->unfit |= n <= 0 || n >= 4095;
		it.kind = IMAGE_LINK;
		it.text = arena_str(s->a, (str){ target, n > 0 ? (size_t)n : 0 });
	} else if (S_ISREG(st.st_mode)) {
		scan_file(s, &it, &st);
	} else {
		s->unfit |= !S_ISDIR(st.st_mode);
		it.kind = IMAGE_DIR;
	}
	it.leads = item_leads(s, &it);
	*vec_add(&s->item) = it;
	if (it.kind == IMAGE_DIR)
		scan_dir(s, path, depth + 1);
}

/* Of names that begin with a dot an install makes these; other tools' caches are not its business. */
static bool of_an_install(const char *name, int depth)
{
	static const char *const dotted[] = { ".bin", ".pnpm", ".modules.yaml" };

	if (name[0] != '.')
		return true;
	for (size_t i = 0; i < sizeof(dotted) / sizeof(dotted[0]); i++) {
		if (depth == 1 && strcmp(name, dotted[i]) == 0)
			return true;
	}
	return false;
}

static void scan_dir(struct scan *s, str path, int depth)
{
	DIR *d = fs_list(s->root, path.p);

	if (!d || depth > 4)
		s->unfit = true;
	while (d && !s->unfit) {
		errno = 0;
		struct dirent *en = readdir(d);
		if (!en) {
			s->unfit = errno != 0;
			break;
		}
		if (of_an_install(en->d_name, depth))
			scan_add(s, arena_printf(s->a, STR_FMT "/%s", STR_ARG(path), en->d_name), depth);
	}
	if (d)
		closedir(d);
}

int image_scan(struct image *out, int root, struct arena *a, struct err *e)
{
	struct scan s = { .root = root, .a = a, .shared = out->shared, .lockfile = out->lockfile, .e = e };

	scan_add(&s, STR("node_modules"), 0);
	if (!s.unfit) {
		out->item = arena_new(a, struct image_item, s.item.n + 1);
		memcpy(out->item, s.item.p, s.item.n * sizeof(*s.item.p));
		out->nitems = s.item.n;
	}
	vec_release(&s.item);
	return !s.unfit;
}
