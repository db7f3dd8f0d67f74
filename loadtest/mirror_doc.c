#include "mirror_doc.h"
#include "base/json.h"
#include <stdio.h>
#include <time.h>

/* Where the string behind the "tarball" key at HIT starts, or SIZE_MAX: some registries print spaces, some don't. */
static size_t url_start(str json, size_t hit)
{
	static const str blank = STR_INIT(" \t\r\n:");
	size_t at = hit + 9;

	while (at < json.n && memchr(blank.p, json.p[at], blank.n))
		at++;
	return at < json.n && json.p[at] == '"' ? at + 1 : SIZE_MAX;
}

void mirror_doc_rebase(struct buf *out, str json, str base)
{
	size_t at = 0;

	for (size_t hit, from = 0; (hit = str_find_str(json, STR("\"tarball\""), from)) != SIZE_MAX; from = hit + 1) {
		size_t url = url_start(json, hit);
		if (url == SIZE_MAX)
			continue;
		size_t end = str_find(json, '"', url), scheme = str_find_str(json, STR("://"), url);
		size_t slash = scheme == SIZE_MAX ? SIZE_MAX : str_find(json, '/', scheme + 3);
		if (end == SIZE_MAX || slash == SIZE_MAX || scheme > end || slash > end)
			continue;
		buf_add(out, (str){ json.p + at, url - at });
		buf_add(out, base);
		at = slash + 1;
	}
	buf_add(out, str_from(json, at));
}

static bool is_kept(str key, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (str_eq(key, str_of(names[i])))
			return true;
	}
	return false;
}

/* npm's abbreviated form: what an installer needs of a version. */
static void put_abbreviated_version(struct buf *out, const struct json *v)
{
	static const char *const fields[] = { "name", "version", "deprecated", "dependencies", "optionalDependencies",
		"devDependencies", "bundleDependencies", "bundledDependencies", "peerDependencies",
		"peerDependenciesMeta", "bin", "directories", "dist", "engines", "os", "cpu", "libc",
		"hasInstallScript", "_hasShrinkwrap", "funding", "acceptDependencies" };
	static const char *const install[] = { "preinstall", "install", "postinstall" };
	const struct json *scripts = json_get(v, "scripts");
	bool builds = false;

	buf_addc(out, '{');
	for (uint32_t i = 0, n = 0; v->type == JSON_OBJECT && i < v->n; i++) {
		if (!is_kept(v->key[i], fields, sizeof(fields) / sizeof(*fields)))
			continue;
		if (n++)
			buf_addc(out, ',');
		json_put_str(out, v->key[i]);
		buf_addc(out, ':');
		json_put(out, &v->child[i]);
	}
	for (size_t i = 0; i < 3; i++)
		builds |= json_get(scripts, install[i]) != NULL;
	if (builds && !json_get(v, "hasInstallScript"))
		buf_add(out, STR(",\"hasInstallScript\":true"));
	buf_addc(out, '}');
}

/* When DOC changed last. Not every registry says so, npm's does: then it is when the youngest version came out. */
static str modified_of(const struct json *doc)
{
	const struct json *time = json_get(doc, "time"), *said = json_get(doc, "modified");
	str newest = json_str(said ? said : json_get(time, "modified"));

	if (newest.n || !json_is(time, JSON_OBJECT))
		return newest;
	for (uint32_t i = 0; i < time->n; i++) {
		if (str_cmp(json_str(&time->child[i]), newest) > 0)
			newest = json_str(&time->child[i]); /* ISO 8601: the order of text is that of time */
	}
	return newest;
}

bool mirror_doc_abbreviate(struct buf *out, str json)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 20);
	struct json *doc;
	struct err e;

	if (json_parse(&doc, json, &a, &e) < 0)
		return false;
	const struct json *versions = json_get(doc, "versions"), *tags = json_get(doc, "dist-tags");
	str modified = modified_of(doc);
	if (!json_is(versions, JSON_OBJECT) || !json_is(tags, JSON_OBJECT))
		return false;
	buf_add(out, STR("{\"name\":"));
	json_put_str(out, json_str(json_get(doc, "name")));
	if (modified.n) {
		buf_add(out, STR(",\"modified\":"));
		json_put_str(out, modified);
	}
	buf_add(out, STR(",\"dist-tags\":"));
	json_put(out, tags);
	buf_add(out, STR(",\"versions\":{"));
	for (uint32_t i = 0; i < versions->n; i++) {
		if (i)
			buf_addc(out, ',');
		json_put_str(out, versions->key[i]);
		buf_addc(out, ':');
		put_abbreviated_version(out, &versions->child[i]);
	}
	buf_add(out, STR("}}"));
	return true;
}

void mirror_doc_modified(char out[MIRROR_DOC_DATE], str json)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 20);
	char text[32];
	struct json *doc;
	struct err e;
	struct tm tm = { 0 };

	str iso = json_parse(&doc, json, &a, &e) < 0 ? STR_NONE : modified_of(doc);
	snprintf(text, sizeof(text), STR_FMT, STR_ARG(str_head(iso, 19)));
	out[0] = 0;
	if (strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
		strftime(out, MIRROR_DOC_DATE, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}
