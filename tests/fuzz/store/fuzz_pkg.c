/* Any bytes as a package record: what pkg_check() lets through can be read to its end, and no path
 * of it leaves the package. */
#include "accepted.h"
#include "fs.h"
#include "pkg_index.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t touch(str s)
{
	if (s.p[s.n] != 0)
		abort();
	return str_hash(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pkg p = { data, n };
	struct err e;
	volatile uint64_t sum = 0;

	if (pkg_check(p, &e) < 0)
		return 0;
	accepted();
	sum += touch(pkg_key(p)) + touch(pkg_name(p)) + touch(pkg_version(p)) + pkg_flags(p) + pkg_bytes(p) +
	       pkg_id(p)[15];
	for (uint32_t i = 0; i < pkg_nfiles(p); i++) {
		struct pkg_file_row f = pkg_file_row(p, i);
		if (!path_safe(f.path))
			abort();
		sum += touch(f.path) + f.sha256[31];
	}
	for (uint32_t i = 0; i < pkg_ndirs(p); i++) {
		if (!path_safe(pkg_dir(p, i)))
			abort();
		sum += touch(pkg_dir(p, i));
	}
	for (uint32_t i = 0; i < pkg_nbins(p); i++)
		sum += touch(pkg_bin(p, i).command) + touch(pkg_bin(p, i).path);
	sum += str_hash(pkg_script(p, "install"));
	(void)sum;
	return 0;
}
