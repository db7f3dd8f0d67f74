#include "pkg_meta.h"
#include "log.h"
#include "manifest.h"

static const char *const kept_scripts[] = { "preinstall", "install", "postinstall", "prepublish", "prepack",
	"prepare" };
enum { INSTALL_SCRIPTS = 3 }; /* the first of them run for a package from a registry */

/* The characters that encodeURIComponent leaves alone (and "$"): what pnpm allows as the name of a command. */
static bool command_ok(str s)
{
	if (str_eq(s, STR("$")))
		return true;
	if (s.n == 0 || s.n > 255 || str_eq(s, STR(".")) || str_eq(s, STR("..")))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!alnum && (c == 0 || !strchr("-_.!~*'()", c)))
			return false;
	}
	return true;
}

/* "./bin//../cli.js" → "cli.js"; STR_NONE when it leads out, or to the package itself. */
static str path_normal(str path, struct arena *a)
{
	if (path.n == 0 || path.p[0] == '/' || memchr(path.p, 0, path.n))
		return STR_NONE;
	char *out = arena_new(a, char, path.n + 1);
	size_t n = 0;
	for (bool more = true; more;) {
		str part, rest;
		more = str_cut(path, '/', &part, &rest);
		path = rest;
		if (part.n == 0 || str_eq(part, STR(".")))
			continue;
		if (str_eq(part, STR(".."))) {
			if (n == 0)
				return STR_NONE;
			while (n > 0 && out[--n] != '/')
				;
			continue;
		}
		if (n)
			out[n++] = '/';
		memcpy(out + n, part.p, part.n);
		n += part.n;
	}
	return n ? (str){ out, n } : STR_NONE;
}

static void bin_add(struct pkg_info *out, str command, str path)
{
	str scope, rest;

	if (str_starts(command, STR("@")) && str_cut(command, '/', &scope, &rest))
		command = rest;
	if (!command_ok(command) || path.n == 0)
		return;
	for (uint32_t i = 0; i < out->nbin; i++)
		if (str_eq(out->bin[i].command, command))
			return;
	out->bin[out->nbin++] = (struct pkg_bin){ command, path };
}

static void bins_read(
	struct pkg_info *out, const struct manifest *m, const struct pkg_entry *file, uint32_t n, struct arena *a)
{
	if (m->bin.n > 0) {
		out->bin = arena_new(a, struct pkg_bin, m->bin.n);
		for (size_t i = 0; i < m->bin.n; i++)
			bin_add(out, m->bin.p[i].k, path_normal(m->bin.p[i].v, a));
		return;
	}
	if (m->directories_bin.n == 0)
		return;
	str dir = path_normal(m->directories_bin, a);
	bool all = str_eq(str_trim(m->directories_bin), STR(".")) || str_eq(m->directories_bin, STR("./"));
	if (dir.n == 0 && !all)
		return;
	out->bin = arena_new(a, struct pkg_bin, n);
	for (uint32_t i = 0; i < n; i++) {
		str path = file[i].path, head, base;
		bool below = all || (str_starts(path, dir) && path.n > dir.n && path.p[dir.n] == '/');
		if (below)
			bin_add(out, str_rcut(path, '/', &head, &base) ? base : path, path);
	}
}

static void scripts_read(struct pkg_info *out, const struct manifest *m, struct arena *a)
{
	enum { N = sizeof(kept_scripts) / sizeof(*kept_scripts) };

	out->script = arena_new(a, struct str_kv, N);
	for (size_t i = 0; i < N; i++) {
		const str *cmd = str_map_get(m->scripts, str_of(kept_scripts[i]));
		if (!cmd || cmd->n == 0)
			continue;
		out->script[out->nscript++] = (struct str_kv){ str_of(kept_scripts[i]), *cmd };
		if (i < INSTALL_SCRIPTS)
			out->flags |= PKG_HAS_INSTALL_SCRIPT;
	}
}

void pkg_meta_read(struct pkg_info *out, str text, const struct pkg_entry *file, uint32_t n, str label, struct arena *a)
{
	struct manifest m = { 0 };
	struct err e;

	out->flags = 0;
	out->nbin = out->nscript = 0;
	out->name = out->version = STR_NONE;
	for (uint32_t i = 0; i < n; i++)
		if (str_eq(file[i].path, STR("binding.gyp")))
			out->flags |= PKG_HAS_BINDING_GYP;
	if (text.n == 0)
		return;
	if (manifest_parse(&m, text, label, a, &e) < 0) {
		log_debug("store", "%s", e.msg);
		return;
	}
	out->name = m.name;
	out->version = m.version;
	if (m.bundle_all || m.bundled.n > 0)
		out->flags |= PKG_HAS_BUNDLED;
	bins_read(out, &m, file, n, a);
	scripts_read(out, &m, a);
}
