#include "accepted.h"
#include "dep_path.h"
#include <stdlib.h>

/* The parts of a dep path are the whole; refs come back; a directory name stays one component within its length. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	str s = { (const char *)data, n }, name, version, suffix, alias, ref;

	if (n && memchr(data, 0, n)) /* neither YAML nor the wire lets one through */
		return 0;
	dep_path_split(s, &name, &version, &suffix);
	if (name.n + (version.p ? 1 + version.n : 0) + suffix.n != s.n || dep_path_package_key(s).n + suffix.n != s.n)
		abort();
	accepted();
	for (size_t max = 40; max <= 120; max += 80) {
		str file = dep_path_filename(s, max, &a);
		if (file.n > max)
			abort();
		for (size_t i = 0; i < file.n; i++) {
			if (file.p[i] == '/' || file.p[i] == '\\' || file.p[i] == ':')
				abort();
		}
	}
	if (str_cut(s, '\n', &alias, &ref)) {
		str path = dep_path_from_ref(alias, ref, &a);
		if (path.p && !str_eq(path, ref) && !str_eq(dep_path_to_ref(path, alias), ref))
			abort();
	}
	return 0;
}
