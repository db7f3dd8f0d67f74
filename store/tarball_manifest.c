#include "tarball_manifest.h"
#include "integrity.h"
#include "unpack.h"

enum { MANIFEST_MAX = 16 << 20 };

struct pick {
	struct buf text;
	bool in; /* the current file is package.json */
	bool there;
};

static int pick_begin(void *arg, str path, uint64_t size, bool exec, struct err *e)
{
	struct pick *p = arg;

	(void)exec;
	p->in = str_eq(path, STR("package.json"));
	if (p->in && size > MANIFEST_MAX)
		return err_set(e, ERR_TOOBIG, "package.json is larger than %d bytes", MANIFEST_MAX);
	if (p->in)
		buf_clear(&p->text);
	p->there = p->there || p->in;
	return 0;
}

static int pick_data(void *arg, const uint8_t *b, size_t n, struct err *e)
{
	struct pick *p = arg;

	(void)e;
	if (p->in)
		buf_add(&p->text, (str){ (const char *)b, n });
	return 0;
}

static int pick_end(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	return 0;
}

int tarball_manifest(struct tarball_package *out, str bytes, str where, bool lenient, struct arena *a, struct err *e)
{
	struct pick pick = { .text = BUF_INIT };
	struct unpack_opts o = { .sink = { &pick, pick_begin, pick_data, pick_end }, .label = where };
	struct manifest m = { 0 };
	struct digest d;
	int rc = unpack_tarball(&o, bytes.p, bytes.n, e);

	if (rc == 0 && pick.there) {
		str text = arena_str(a, buf_str(&pick.text));
		rc = lenient ? manifest_parse_package(&m, text, where, a, e)
			     : manifest_parse_folder(&m, text, where, a, e);
	}
	buf_release(&pick.text);
	if (rc)
		return rc;
	struct hasher *h = hasher_new(DIGEST_SHA512);
	hasher_add(h, bytes.p, bytes.n);
	hasher_end(h, &d);
	hasher_free(h);
	*out = (struct tarball_package){ m, pick.there, integrity_print(&d, a) };
	return 0;
}
