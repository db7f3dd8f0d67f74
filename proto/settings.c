#include "settings.h"
#include "name.h"

struct settings settings_default(void)
{
	return (struct settings){
		.auto_install_peers = true,
		.dedupe_peer_dependents = true,
		.dedupe_injected_deps = true,
		.resolve_peers_from_workspace_root = true,
		.block_exotic_subdeps = true,
		.peers_suffix_max_length = 1000,
		.minimum_release_age = 1440,
	};
}

int64_t settings_age_cutoff(const struct settings *s, int64_t now_ms)
{
	int64_t age, at;

	if (__builtin_mul_overflow(s->minimum_release_age, 60000, &age) || __builtin_sub_overflow(now_ms, age, &at))
		return 1;
	return at > 0 ? at : 1;
}

str settings_registry(const struct settings *s, str name)
{
	str scope = name_scope(name), any = STR_NONE;

	for (size_t i = 0; i < s->nregistry; i++) {
		if (!s->registry[i].scope.n)
			any = any.n ? any : s->registry[i].url;
		else if (str_eq(s->registry[i].scope, scope))
			return s->registry[i].url;
	}
	return any;
}

str settings_tarball_url(const struct settings *s, str name, str version, struct arena *a)
{
	str base, rest;

	if (!str_rcut(name, '/', &rest, &base))
		base = name;
	size_t plus = str_find(version, '+', 0); /* build metadata is not part of the file's name */
	return arena_join(a, settings_registry(s, name), name, STR("/-/"), base, STR("-"),
		plus == SIZE_MAX ? version : str_head(version, plus), STR(".tgz"));
}
