/* A request's path: what is decoded is no longer than it came, has no NUL, and escaped and decoded again is the same; a
 * tarball's file name gives a version only of the package that it is asked of. */
#include "accepted.h"
#include "npm_rewrite.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *to = malloc(n ? n : 1), *again = NULL;
	AUTO(buf_release) struct buf b = BUF_INIT;
	str path, back, name, file, version;

	if (to && npm_unescape(&path, to, (str){ (const char *)data, n })) {
		if (path.n > n || (path.n && memchr(path.p, 0, path.n)))
			abort();
		npm_put_escaped(&b, path);
		again = malloc(b.n ? b.n : 1);
		if (!again || !npm_unescape(&back, again, buf_str(&b)) || !str_eq(back, path))
			abort();
		accepted();
		if (str_cut(path, ' ', &name, &file) && npm_tarball_version(&version, name, file) &&
			(version.p < file.p || version.p + version.n > file.p + file.n))
			abort();
	}
	free(again);
	free(to);
	return 0;
}
