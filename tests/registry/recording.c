#include "recording.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

struct recording {
	struct buf text;
	struct arena added;
	VEC(str) line;
	VEC(str) name;
	struct map by_name; /* -> index in .line */
};

int file_slurp(struct buf *out, const char *path, struct err *e)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		return errno == ENOENT ? err_set(e, ERR_NOTFOUND, "%s: no such file", path) : err_os(e, "%s", path);
	do {
		n = fread(buf_reserve(out, 1 << 16), 1, 1 << 16, f);
		out->n += n;
	} while (n);
	bool bad = ferror(f);
	if (bad)
		err_os(e, "reading %s", path);
	fclose(f);
	return bad ? e->code : 0;
}

static int decompress(struct buf *out, str zst, const char *path, struct err *e)
{
	ZSTD_DStream *d = ZSTD_createDStream();
	ZSTD_inBuffer in = { zst.p, zst.n, 0 };
	size_t rc = d ? 1 : 0;

	if (!d)
		die_oom(0);
	while (in.pos < in.size && !ZSTD_isError(rc)) {
		ZSTD_outBuffer to = { buf_reserve(out, 1 << 20), 1 << 20, 0 };
		rc = ZSTD_decompressStream(d, &to, &in);
		out->n += to.pos;
	}
	while (rc && !ZSTD_isError(rc)) { /* what is still held back */
		ZSTD_outBuffer to = { buf_reserve(out, 1 << 20), 1 << 20, 0 };
		rc = ZSTD_decompressStream(d, &to, &in);
		if (to.pos == 0)
			break;
		out->n += to.pos;
	}
	ZSTD_freeDStream(d);
	return rc ? err_set(e, ERR_PARSE, "%s: %s", path, ZSTD_isError(rc) ? ZSTD_getErrorName(rc) : "truncated") : 0;
}

static int line_add(struct recording *r, str line, const char *path, struct err *e)
{
	const str head = STR("{\"name\":\"");
	size_t end = str_starts(line, head) ? str_find(line, '"', head.n) : SIZE_MAX;

	if (end == SIZE_MAX)
		return err_set(e, ERR_PARSE, "%s: line %zu does not begin with a name", path, r->line.n + 1);
	*vec_add(&r->name) = (str){ line.p + head.n, end - head.n };
	map_set(&r->by_name, r->name.p[r->name.n - 1], (uint32_t)r->line.n);
	*vec_add(&r->line) = line;
	return 0;
}

struct recording *recording_new(void)
{
	return xcalloc(1, sizeof(struct recording));
}

int recording_add(struct recording *r, str line, struct err *e)
{
	return line_add(r, arena_str(&r->added, line), "added", e);
}

int recording_open(struct recording **out, const char *path, struct err *e)
{
	AUTO(buf_release) struct buf zst = BUF_INIT;
	struct recording *r = recording_new();
	int rc = file_slurp(&zst, path, e);

	if (rc == 0)
		rc = decompress(&r->text, buf_str(&zst), path, e);
	for (str rest = buf_str(&r->text), line; rc == 0 && rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		if (line.n)
			rc = line_add(r, line, path, e);
	}
	if (rc < 0) {
		recording_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void recording_free(struct recording *r)
{
	if (!r)
		return;
	map_release(&r->by_name);
	vec_release(&r->line);
	vec_release(&r->name);
	buf_release(&r->text);
	arena_release(&r->added);
	free(r);
}

/* The lines have one shape: name, [modified,] dist-tags, versions, time. */
static str without_time(str line)
{
	const str head = STR(",\"time\":{");
	size_t last = SIZE_MAX;

	for (size_t at = 0; (at = str_find_str(line, head, at)) != SIZE_MAX; at++)
		last = at;
	return last == SIZE_MAX ? str_head(line, line.n - 1) : str_head(line, last);
}

static void add_with_base(struct buf *out, str json, str base)
{
	const str key = STR("\"tarball\":\"");

	for (size_t at; (at = str_find_str(json, key, 0)) != SIZE_MAX; json = str_from(json, at + key.n)) {
		buf_add(out, str_head(json, at + key.n));
		buf_add(out, base);
	}
	buf_add(out, json);
}

bool recording_json(struct buf *out, const struct recording *r, str name, enum packument_form form, str base)
{
	const str modified = STR(",\"modified\":\"");
	uint32_t i = map_get(&r->by_name, name);

	if (i == MAP_NONE)
		return false;
	str line = r->line.p[i];
	if (form == PACKUMENT_ABBREVIATED) {
		add_with_base(out, without_time(line), base);
		buf_addc(out, '}');
		return true;
	}
	size_t head = STR("{\"name\":\"").n + r->name.p[i].n + 1;
	buf_add(out, str_head(line, head));
	line = str_from(line, head);
	if (str_starts(line, modified))
		line = str_from(line, str_find(line, '"', modified.n) + 1);
	add_with_base(out, line, base);
	return true;
}
