/* pnpm-workspace.yaml: what is read, warned about, refused, with its place; the checksum is pnpm's. */
#include "workspace_yaml.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int parse(struct workspace_yaml *w, const char *text, struct arena *a, struct err *e)
{
	workspace_yaml_init(w);
	return workspace_yaml_parse(w, str_of(text), STR("pnpm-workspace.yaml"), a, e);
}

static void test_values(void **state)
{
	const char *text = "packages: [apps/*, '!apps/old']\n"
			   "autoInstallPeers: false\n"
			   "dedupePeers: 'true'\n"
			   "peersSuffixMaxLength: 60\n"
			   "linkWorkspacePackages: deep\n"
			   "resolutionMode: time-based\n"
			   "minimumReleaseAge: 10\n"
			   "overrides:\n  a: ^1\n  b@<2>c: '3'\n"
			   "catalog:\n  react: ^18\n"
			   "catalogs:\n  old:\n    react: ^17\n"
			   "patchedDependencies:\n  a@1.0.0: patches/a.patch\n"
			   "allowBuilds:\n  esbuild: true\n  core-js: false\n  new: set this to true or false\n"
			   "registries:\n  default: https://registry.test/npm\n  '@x': https://x.test\n"
			   "peerDependencyRules:\n  allowedVersions:\n    react: '*'\n"
			   "supportedArchitectures:\n  os: [linux, current]\n"
			   "shamefullyHoist: true\n"
			   "sharedWorkspaceLockfile: yes\n"
			   "legacyDirFiltering: 'Off'\n"
			   "hoistPattern:\n"
			   "drayServer: http://127.0.0.1:1\n";
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct workspace_yaml w;
	struct err e;
	(void)state;

	if (parse(&w, text, &a, &e))
		fail_msg("%s", e.msg);
	assert_true(w.has_packages && w.packages.n == 2 && str_eq(w.packages.p[1], STR("!apps/old")));
	assert_true(!w.settings.auto_install_peers && w.settings.dedupe_peers && w.settings.block_exotic_subdeps);
	assert_int_equal(w.settings.peers_suffix_max_length, 60);
	assert_true(w.settings.link_workspace_packages && w.settings.link_workspace_packages_deep);
	assert_int_equal(w.settings.resolution_mode, RESOLVE_TIME_BASED);
	assert_true(w.settings.minimum_release_age_set && w.settings.minimum_release_age == 10);
	assert_true(w.settings.overrides.n == 2 && str_eq(w.settings.overrides.p[1].k, STR("b@<2>c")));
	assert_true(w.settings.ncatalog == 2 && str_eq(w.settings.catalog[0].catalog, STR("default")));
	assert_true(str_eq(w.settings.catalog[1].catalog, STR("old")));
	assert_true(w.settings.npatch == 1 && str_eq(w.settings.patch[0].path, STR("patches/a.patch")));
	assert_true(w.client.nallow_build == 2 && w.client.allow_build[0].allow && !w.client.allow_build[1].allow);
	assert_true(str_eq(w.registry, STR("https://registry.test/npm/")));
	assert_true(w.settings.nregistry == 1 && str_eq(w.settings.registry[0].url, STR("https://x.test/")));
	assert_true(w.settings.peer_allowed_versions.n == 1 && w.settings.supported_os.n == 2);
	assert_true(w.client.public_hoist_pattern.n == 1 && w.client.hoist_pattern.n == 1);
	assert_true(str_eq(w.client.dray_server, STR("http://127.0.0.1:1")));
	assert_int_equal(w.warnings.n, 0);
}

static void test_byte_order_mark(void **state)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct workspace_yaml w;
	struct err e;
	(void)state;

	assert_int_equal(
		parse(&w, "\xEF\xBB\xBFpackages: [a]\r\noverrides:\r\n  a: '1'\r\nhoist: false\r\n", &a, &e), 0);
	assert_true(w.packages.n == 1 && w.settings.overrides.n == 1 && !w.client.hoist);
	assert_true(str_eq(w.settings.overrides.p[0].v, STR("1")));
	assert_int_equal(w.warnings.n, 0);
	assert_int_equal(
		parse(&w, "--- \nminimumReleaseAgeExclude: [a, '@s/*', 'b@1.0.0 || 2.0.0-rc.1']\nlockfileDir: .\n...\n",
			&a, &e),
		0);
	assert_int_equal(w.settings.minimum_release_age_exclude.n, 3);
}

/* What a map says itself stays, and stands first; of what "<<" brings the first wins. Order and values are pnpm's. */
static void test_merged(void **state)
{
	static const struct {
		const char *yaml, *overrides;
	} t[] = {
		{ "x: &b\n  z: 1\n  a: 1\noverrides:\n  m: 1\n  <<: *b\n  b: 2\n  a: 3\n", "m=1 b=2 a=3 z=1 " },
		{ "x: &a {z: 1, a: 1}\ny: &b {z: 2, y: 1}\noverrides:\n  m: 1\n  <<: [*a, *b]\n  b: 2\n",
			"m=1 b=2 z=1 a=1 y=1 " },
		{ "x: &a {z: 1, a: 1}\ny: &b\n  <<: *a\n  a: 2\n  y: 1\noverrides:\n  <<: *b\n  m: 1\n",
			"m=1 a=2 y=1 z=1 " },
		{ "overrides:\n  <<: {b: 1}\n  <<: {c: 1, b: 2}\n  a: 2\n", "a=2 b=1 c=1 " },
		{ "overrides:\n  <<:\n  a: 2\n", "a=2 " },
		{ "x: &a\n  overrides: {z: 1}\n<<: *a\n", "z=1 " },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct arena a AUTO(arena_release) = ARENA_INIT(0);
		AUTO(buf_release) struct buf b = BUF_INIT;
		struct workspace_yaml w;
		struct err e = { 0 };
		if (parse(&w, t[i].yaml, &a, &e))
			fail_msg("%zu: %s", i, e.msg);
		for (size_t k = 0; k < w.settings.overrides.n; k++)
			buf_printf(&b, STR_FMT "=" STR_FMT " ", STR_ARG(w.settings.overrides.p[k].k),
				STR_ARG(w.settings.overrides.p[k].v));
		if (!str_eq(buf_str(&b), str_of(t[i].overrides)))
			fail_msg("%zu: " STR_FMT, i, STR_ARG(buf_str(&b)));
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *says;
	} t[] = {
		{ "autoInstallPeers: maybe\n", ERR_PARSE,
			"pnpm-workspace.yaml:1:19: autoInstallPeers: invalid boolean" },
		{ "a: 1\nhoistPattern: x\n", ERR_PARSE, ":2:15: hoistPattern: expected a list" },
		{ "peersSuffixMaxLength: -1\n", ERR_PARSE, "invalid number" },
		{ "peersSuffixMaxLength: 99999999999\n", ERR_PARSE, "invalid number" },
		{ "peersSuffixMaxLength: 017\n", ERR_PARSE, "invalid number" },
		{ "peersSuffixMaxLength: 1__0\n", ERR_PARSE, "invalid number" },
		{ "peersSuffixMaxLength: 10_\n", ERR_PARSE, "invalid number" },
		{ "peersSuffixMaxLength: 0x\n", ERR_PARSE, "invalid number" },
		{ "peersSuffixMaxLength: 0b12\n", ERR_PARSE, "invalid number" },
		{ "fetchTimeout: 18446744073709551616\n", ERR_PARSE, "invalid number" },
		{ "catalogs: {x: null}\n", ERR_PARSE, "catalogs" },
		{ "packageExtensions: {x: null}\n", ERR_PARSE, "packageExtensions" },
		{ "resolutionMode: newest\n", ERR_PARSE, "resolutionMode" },
		{ "overrides:\n  a: [1]\n", ERR_PARSE, "overrides" },
		{ "nodeLinker: hoisted\n", ERR_UNSUPPORTED, "nodeLinker: hoisted" },
		{ "nodeLinker: pnp\n", ERR_UNSUPPORTED, "nodeLinker: pnp" },
		{ "pnpmfile: x.cjs\n", ERR_UNSUPPORTED, "pnpmfile" },
		{ "configDependencies:\n  a: 1.0.0\n", ERR_UNSUPPORTED, "configDependencies" },
		{ "sharedWorkspaceLockfile: false\n", ERR_UNSUPPORTED, "sharedWorkspaceLockfile" },
		{ "sharedWorkspaceLockfile: 'no'\n", ERR_UNSUPPORTED, "sharedWorkspaceLockfile" },
		{ "autoDedupe: true\n", ERR_UNSUPPORTED, "autoDedupe" },
		{ "projectScopedOptionalPeers: true\n", ERR_UNSUPPORTED, "projectScopedOptionalPeers" },
		{ "addMissingPeerTypes: true\n", ERR_UNSUPPORTED, "addMissingPeerTypes" },
		{ "include: [more.yaml]\n", ERR_UNSUPPORTED, "include" },
		{ "permissions: {a: {build: true}}\n", ERR_UNSUPPORTED, "permissions" },
		{ "allowSkills: {a: true}\n", ERR_UNSUPPORTED, "allowSkills" },
		{ "bootConfig: {minimumReleaseAge: 5}\n", ERR_UNSUPPORTED, "bootConfig" },
		{ "nodePackageMap: {mode: load}\n", ERR_UNSUPPORTED, "nodePackageMap" },
		{ "maxTarballUnpackedSize: 1000\n", ERR_UNSUPPORTED, "maxTarballUnpackedSize: 1000" },
		{ "legacyDirFiltering: true\n", ERR_UNSUPPORTED, "legacyDirFiltering" },
		{ "testPattern: ['**/t']\n", ERR_UNSUPPORTED, "testPattern" },
		{ "changedFilesIgnorePattern: ['*.md']\n", ERR_UNSUPPORTED, "changedFilesIgnorePattern" },
		{ "tag: next\n", ERR_UNSUPPORTED, "tag: next" },
		{ "ignoreWorkspace: true\n", ERR_UNSUPPORTED, "--ignore-workspace" },
		{ "forceIgnoresPlatform: true\n", ERR_UNSUPPORTED, "supportedArchitectures" },
		{ "catalogPrune: perhaps\n", ERR_PARSE, "catalogPrune: invalid boolean" },
		{ "runtimeOnFail: download\n", ERR_UNSUPPORTED, "runtimeOnFail: download" },
		{ "runtimeOnFail: perhaps\n", ERR_PARSE, "runtimeOnFail" },
		{ "lockfile:\n  format: v13\n", ERR_UNSUPPORTED, ":2: lockfile.format is not supported" },
		{ "lockfile: [true]\n", ERR_PARSE, "lockfile: invalid boolean" },
		{ "sideEffectsCache: {exclude: [a]}\n", ERR_UNSUPPORTED, "sideEffectsCache.exclude" },
		{ "optional: false\n", ERR_UNSUPPORTED, "--no-optional" },
		{ "production: true\n", ERR_UNSUPPORTED, "--prod" },
		{ "lockfileDir: ../x\n", ERR_UNSUPPORTED, "lockfileDir" },
		{ "catalog: {a: 1}\ncatalogs: {default: {a: 1}}\n", ERR_PARSE, ":2:21: catalogs: \"default\"" },
		{ "catalogs: {default: {a: 1}}\ncatalog: {a: 1}\n", ERR_PARSE, ":2:10: catalog: catalogs has" },
		{ "minimumReleaseAgeExclude: ['a@>1']\n", ERR_PARSE, "minimumReleaseAgeExclude: expected names" },
		{ "trustPolicyExclude: ['@s/a@1.0.0 || 2']\n", ERR_PARSE, "trustPolicyExclude: expected names" },
		{ "trustPolicyExclude: ['a*@1.0.0']\n", ERR_PARSE, "trustPolicyExclude: expected names" },
		{ "hoist: true\n---\nhoist: false\n", ERR_PARSE, ":3:1: a second document" },
		{ "hoist: true\n---\n'\n", ERR_PARSE, "pnpm-workspace.yaml:" },
		{ "a: [\n", ERR_PARSE, "pnpm-workspace.yaml:" },
		{ "- a\n", ERR_PARSE, "expected a map" },
		{ "a: 1\na: 2\n", ERR_PARSE, "twice" },
		{ "overrides:\n  <<: 5\n", ERR_PARSE, ":2:3: expected a map, or a list" },
		{ "overrides:\n  <<: [{a: 1}, x]\n", ERR_PARSE, ":2:3: expected a map, or a list" },
		{ "overrides: &a\n  <<: *a\n", ERR_PARSE, "deeper than 64" },
		{ "a: &a {x: 1}\nb: &b {<<: [*a,*a,*a,*a,*a,*a,*a,*a]}\nc: &c {<<: [*b,*b,*b,*b,*b,*b,*b,*b]}\n"
		  "d: &d {<<: [*c,*c,*c,*c,*c,*c,*c,*c]}\ne: &e {<<: [*d,*d,*d,*d,*d,*d,*d,*d]}\n"
		  "f: &f {<<: [*e,*e,*e,*e,*e,*e,*e,*e]}\ng: {<<: [*f,*f,*f,*f,*f,*f,*f,*f]}\n",
			ERR_PARSE, "100,000 nodes" },
		{ "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c "
		  "[*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
		  "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e]\n",
			ERR_PARSE, "100,000 nodes" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct arena a AUTO(arena_release) = ARENA_INIT(0);
		struct workspace_yaml w;
		struct err e = { 0 };
		int rc = parse(&w, t[i].text, &a, &e);
		bool no_tree = rc == 0 && w.client.no_tree.n;
		const char *says = no_tree ? w.client.no_tree.p : e.msg;
		if ((no_tree ? ERR_UNSUPPORTED : rc) != t[i].code || !strstr(says, t[i].says))
			fail_msg("%zu: %d %s", i, rc, says);
	}
}

/* As YAML 1.1 has them, quoted or not; pnpm 12.21 reads the same. */
static void test_spellings(void **state)
{
	static const struct {
		const char *text;
		uint32_t means;
	} numbers[] = { { "1_000", 1000 }, { "0x10", 16 }, { "0X1_0", 16 }, { "+0o17", 15 }, { "0b11", 3 },
		{ "'0x10'", 16 }, { "+5", 5 }, { "0", 0 } };
	static const struct {
		const char *text;
		bool means;
	} words[] = { { "no", false }, { "Off", false }, { "n", false }, { "falsE", false }, { "'no'", false },
		{ "yEs", true }, { "on", true }, { "Y", true }, { "\"TRUE\"", true } };
	(void)state;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers) + sizeof(words) / sizeof(*words); i++) {
		struct arena a AUTO(arena_release) = ARENA_INIT(0);
		struct workspace_yaml w;
		struct err e;
		size_t n = sizeof(numbers) / sizeof(*numbers);
		char text[64];
		snprintf(text, sizeof(text), "%s: %s\n", i < n ? "peersSuffixMaxLength" : "autoInstallPeers",
			i < n ? numbers[i].text : words[i - n].text);
		if (parse(&w, text, &a, &e) < 0)
			fail_msg("%s: %s", text, e.msg);
		if (i < n ? w.settings.peers_suffix_max_length != numbers[i].means
			  : w.settings.auto_install_peers != words[i - n].means)
			fail_msg("%s: means something else", text);
	}
}

static void test_warned(void **state)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct workspace_yaml w;
	struct err e;
	(void)state;

	assert_int_equal(
		parse(&w, "fooBar: 1\nauto-install-peers: false\nnodeLinker: isolated\nsaveExact: true\n", &a, &e), 0);
	assert_int_equal(w.warnings.n, 2);
	assert_true(str_find_str(w.warnings.p[0], STR("\"fooBar\" is not known"), 0) != SIZE_MAX);
	assert_true(str_find_str(w.warnings.p[1], STR("use \"autoInstallPeers\""), 0) != SIZE_MAX);
	assert_true(w.settings.auto_install_peers);
}

static void test_machine(void **state)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct workspace_yaml w;
	struct err e;
	(void)state;

	workspace_yaml_init(&w);
	const char *text =
		"minimumReleaseAge: 5\nstoreDir: /s\noverrides: {a: 1}\nnodeLinker: hoisted\nnpmrcAuthFile: /f\n"
		"fooBar: 1\nsaveExact: true\ndrayServer: http://127.0.0.1:1\nregistry: https://m.test\n";
	assert_int_equal(workspace_yaml_machine(&w, str_of(text), STR("config.yaml"), &a, &e), 0);
	assert_true(w.settings.minimum_release_age == 5 && w.settings.minimum_release_age_set);
	assert_true(str_eq(w.client.store_dir, STR("/s")) && str_eq(w.client.npmrc_auth_file, STR("/f")));
	assert_true(str_eq(w.client.dray_server, STR("http://127.0.0.1:1")));
	assert_true(str_eq(w.registry, STR("https://m.test/")));
	assert_true(w.settings.overrides.n == 0);
	assert_int_equal(w.warnings.n, 3);
	assert_true(str_find_str(w.warnings.p[0], STR("config.yaml: \"overrides\" is ignored"), 0) != SIZE_MAX);
	assert_true(str_find_str(w.warnings.p[1], STR("\"nodeLinker\""), 0) != SIZE_MAX);
	assert_true(str_find_str(w.warnings.p[2], STR("\"fooBar\" is not known"), 0) != SIZE_MAX);
	assert_int_equal(workspace_yaml_machine(&w, STR("tag: next\n"), STR("config.yaml"), &a, &e), ERR_UNSUPPORTED);
}

/* A repository must not point at a file with credentials. */
static void test_auth_file(void **state)
{
	char *env[] = { "pnpm_config_npmrc_auth_file=/mine", NULL };
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct workspace_yaml w;
	struct err e;
	(void)state;

	assert_int_equal(parse(&w, "npmrcAuthFile: theirs\n", &a, &e), 0);
	assert_int_equal(w.client.npmrc_auth_file.n, 0);
	assert_int_equal(w.warnings.n, 1);
	assert_int_equal(workspace_yaml_env(&w, env, &a, &e), 0);
	assert_true(str_eq(w.client.npmrc_auth_file, STR("/mine")));
}

static void test_env(void **state)
{
	char *env[] = { "HOME=/x", "pnpm_config_auto_install_peers=false",
		"PNPM_CONFIG_IGNORED_OPTIONAL_DEPENDENCIES=[\"a\",\"b\"]", "pnpm_config_no_such_thing=1",
		"npm_config_dedupe_peers=true", NULL };
	char *wrong[] = { "pnpm_config_hoist=perhaps", NULL }, *refused[] = { "pnpm_config_tag=next", NULL };
	char *no_tree[] = { "pnpm_config_node_linker=pnp", NULL };
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct workspace_yaml w;
	struct err e;
	(void)state;

	workspace_yaml_init(&w);
	assert_int_equal(workspace_yaml_env(&w, env, &a, &e), 0);
	assert_true(!w.settings.auto_install_peers && !w.settings.dedupe_peers && w.settings.ignored_optional.n == 2);
	assert_int_equal(workspace_yaml_env(&w, wrong, &a, &e), ERR_USAGE);
	assert_non_null(strstr(e.msg, "pnpm_config_hoist"));
	assert_int_equal(workspace_yaml_env(&w, refused, &a, &e), ERR_UNSUPPORTED);
	assert_int_equal(workspace_yaml_env(&w, no_tree, &a, &e), 0);
	assert_non_null(strstr(w.client.no_tree.p, "node_linker = pnp"));
}

/* Value from pnpm's own lockfile of the case "package-extensions". */
static void test_checksum(void **state)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct workspace_yaml w;
	struct err e;
	(void)state;

	assert_int_equal(parse(&w,
				 "packageExtensions:\n  react-redux@7:\n    peerDependencies:\n      react-dom: '*'\n"
				 "  'debug@4':\n    dependencies:\n      is-number: ^7\n",
				 &a, &e),
		0);
	assert_true(str_eq(
		w.settings.package_extensions_checksum, STR("sha256-Hnyrh/3/fe4d6BLnhqXUZaQnikNEOgtbOqxLqQbE3Ek=")));
	assert_true(w.settings.nextension == 2 && w.settings.extension[1].dependencies.n == 1);
	assert_int_equal(parse(&w, "packageExtensions: {}\n", &a, &e), 0);
	assert_int_equal(w.settings.package_extensions_checksum.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_byte_order_mark),
		cmocka_unit_test(test_merged),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_warned),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_auth_file),
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_checksum),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
