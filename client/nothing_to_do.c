#include "nothing_to_do.h"
#include <fcntl.h>
#include <unistd.h>

#include "state.h"

uint64_t settings_hash(const struct options *o, char **env)
{
	static const char *const names[] = { "pnpm_config_", "npm_config_", "PNPM_CONFIG_", "NPM_CONFIG_",
		"CI=", "DRAY_SERVER=" };
	const str words[] = { STR(DRAY_VERSION), o->registry, o->store_dir, o->server, o->verify_store };
	const bool flags[] = { o->prod, o->dev, o->no_optional, o->ignore_scripts, o->ignore_workspace, o->direct,
		options_filtered(o), o->recursive, o->trust_lockfile, o->global_virtual_store };
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (size_t k = 0; k < words[i].n; k++)
			h = (h ^ (uint8_t)words[i].p[k]) * 0x100000001b3u;
		h = (h ^ 0xff) * 0x100000001b3u;
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		h = (h ^ flags[i]) * 0x100000001b3u;
	for (char **v = env; *v; v++) {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (strncmp(*v, names[i], strlen(names[i])) != 0)
				continue;
			for (const char *c = *v; *c; c++)
				h = (h ^ (uint8_t)*c) * 0x100000001b3u;
		}
	}
	return h;
}

bool nothing_to_do(const struct options *o)
{
	if (o->force || o->lockfile_only || options_filtered(o))
		return false;
	int root = open(o->dir.n ? o->dir.p : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool yes = root >= 0 && state_current(root, settings_hash(o, environ));
	if (root >= 0)
		close(root);
	return yes;
}
