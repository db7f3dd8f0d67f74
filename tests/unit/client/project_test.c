/* The project stage on real folders: what becomes an importer, a registry, a credential; what is refused. */
#include "fs.h"
#include "project.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

struct box {
	char dir[TEMP_PATH], home[80];
	struct project p;
	struct err e;
};

static void put(const char *dir, const char *name, const char *text)
{
	char path[512];
	struct err e;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	char *slash = strrchr(path, '/');
	*slash = 0;
	assert_int_equal(fs_mkdir_p(AT_FDCWD, path, 0755, &e), 0);
	*slash = '/';
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	struct box *b = calloc(1, sizeof(*b));

	temp_make(b->dir);
	snprintf(b->home, sizeof(b->home), "%s/home", b->dir);
	put(b->home, ".keep", "");
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct box *b = *state;
	struct err e;

	project_release(&b->p);
	assert_int_equal(fs_remove_tree(AT_FDCWD, b->dir, &e), 0);
	free(b);
	return 0;
}

static int load_at(struct box *b, const char *sub, char **more)
{
	static char home[100];
	char dir[256], *env[16] = { home };

	snprintf(home, sizeof(home), "HOME=%s", b->home);
	snprintf(dir, sizeof(dir), "%s/%s", b->dir, sub);
	for (size_t i = 0; more && more[i]; i++)
		env[i + 1] = more[i];
	project_release(&b->p);
	return project_load(&b->p, &(struct project_opts){ .dir = str_of(dir), .env = env }, &b->e);
}

static const struct registry_auth *auth_for(const struct box *b, const char *url)
{
	for (size_t i = 0; i < b->p.nauth; i++) {
		if (str_eq(b->p.auth[i].url, str_of(url)))
			return &b->p.auth[i];
	}
	return NULL;
}

static bool warned(const struct box *b, const char *text)
{
	for (size_t i = 0; i < b->p.warnings.n; i++) {
		if (str_find_str(b->p.warnings.p[i], str_of(text), 0) != SIZE_MAX)
			return true;
	}
	return false;
}

static void test_workspace(void **state)
{
	struct box *b = *state;

	put(b->dir, "w/pnpm-workspace.yaml", "packages:\n  - apps/*\n  - 'libs/**'\n  - '!libs/**/test'\n  - x{1,2}\n");
	put(b->dir, "w/package.json", "{\"name\":\"root\"}");
	put(b->dir, "w/apps/web/package.json", "{\"name\":\"web\"}");
	put(b->dir, "w/apps/empty/readme", "");
	put(b->dir, "w/apps/web/deep/package.json", "{\"name\":\"too-deep\"}");
	put(b->dir, "w/libs/a/package.json", "{\"name\":\"a\"}");
	put(b->dir, "w/libs/a/test/package.json", "{\"name\":\"excluded\"}");
	put(b->dir, "w/libs/a/node_modules/x/package.json", "{\"name\":\"installed\"}");
	put(b->dir, "w/libs/.hidden/package.json", "{\"name\":\"hidden\"}");
	put(b->dir, "w/x2/package.json", "{\"name\":\"x2\"}");
	put(b->dir, "w/other/package.json", "{\"name\":\"other\"}");

	assert_int_equal(load_at(b, "w/apps/web/deep/..", NULL), 0);
	const char *want[] = { ".", "apps/web", "libs/a", "x2" };
	assert_int_equal(b->p.req.nimporters, 4);
	for (size_t i = 0; i < 4; i++)
		assert_true(str_eq(b->p.req.importer[i].path, str_of(want[i])));
	assert_true(str_eq(b->p.current, STR("apps/web")) && b->p.is_workspace);
	assert_true(str_ends(b->p.importer[2].dir, STR("/w/libs/a")));
	/* none of the workspace's packages: for itself */
	const char *alone[] = { "w/other", "w/apps/web/deep" };
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(load_at(b, alone[i], NULL), 0);
		assert_int_equal(b->p.req.nimporters, 1);
		assert_true(str_ends(b->p.root, str_of(alone[i])) && !b->p.is_workspace);
		assert_true(str_ends(b->p.around, STR("/w/pnpm-workspace.yaml")));
	}
}

static void test_registries_and_credentials(void **state)
{
	struct box *b = *state;
	char *none[] = { NULL };
	char *both[] = { "npm_config_registry=https://npm.test", "pnpm_config_registry=https://pnpm.test/r", NULL };
	char *npm[] = { "npm_config_registry=https://npm.test", "SECRET=s3cret", "CI=true", NULL };

	put(b->dir, "p/package.json", "{}");
	put(b->dir, "p/.npmrc",
		"; comment\nregistry = https://own.test/npm\n@acme:registry=http://127.0.0.1:4873\n"
		"//own.test/npm/:_authToken=${SECRET}\n//127.0.0.1:4873/:_authToken=plain\nhoist=false\n");
	put(b->home, ".npmrc",
		"//own.test/npm/:_authToken=${SECRET}\n//pair.test/:username=u\n//pair.test/:_password=cGFzcw==\n"
		"//basic.test/:_auth=\"dTpw\"\nregistry=https://users.test/\ncafile=ca.pem\nstrict-ssl=false\n");
	assert_int_equal(load_at(b, "p", none), 0);
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("x")), STR("https://own.test/npm/")));
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("@acme/x")), STR("http://127.0.0.1:4873/")));
	assert_true(b->p.insecure && str_ends(b->p.cafile, STR("/home/ca.pem")) && !b->p.ci);

	assert_int_equal(load_at(b, "p", npm), 0);
	assert_true(b->p.ci);
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("x")), STR("https://npm.test/")));
	assert_true(warned(b, ".npmrc:4: this line is ignored"));
	const struct registry_auth *own = auth_for(b, "https://own.test/npm/");
	assert_true(own && str_eq(own->authorization, STR("Bearer s3cret")));
	const struct registry_auth *local = auth_for(b, "http://127.0.0.1:4873/");
	assert_true(local && str_eq(local->authorization, STR("Bearer plain")));
	const struct registry_auth *pair = auth_for(b, "https://pair.test/");
	assert_true(pair && str_eq(pair->authorization, STR("Basic dTpwYXNz")));
	assert_true(auth_for(b, "https://basic.test/") != NULL);

	assert_int_equal(load_at(b, "p", both), 0);
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("x")), STR("https://pnpm.test/r/")));

	put(b->dir, "p/.npmrc", "node-linker=hoisted\nsave-exact=true\nmy-own=1\ninclude=dev\n");
	assert_int_equal(load_at(b, "p", none), 0);
	assert_true(warned(b, "p/.npmrc:1: node-linker is not read here: write nodeLinker into pnpm-workspace.yaml"));
	for (size_t i = 2; i < 5; i++) {
		char line[16];
		snprintf(line, sizeof(line), "p/.npmrc:%zu", i);
		assert_false(warned(b, line));
	}

	put(b->home, ".npmrc", "//own.test/:tokenHelper=/bin/true\n");
	assert_int_equal(load_at(b, "p", none), ERR_UNSUPPORTED);
	assert_non_null(strstr(b->e.msg, "tokenHelper"));
}

/* Below the project's own settings and, for registries, below .npmrc. */
static void test_machine_settings(void **state)
{
	struct box *b = *state;
	char *none[] = { NULL };

	put(b->dir, "p/package.json", "{}");
	put(b->home, ".config/pnpm/config.yaml",
		"minimumReleaseAge: 7\nfetchRetries: 9\nregistry: https://machine.test\nregistries:\n  '@a': https://a.test\n"
		"  '@b': https://b.test\n");
	put(b->dir, "p/pnpm-workspace.yaml", "fetchRetries: 3\nregistries:\n  '@a': https://own-a.test\n");
	assert_int_equal(load_at(b, "p", none), 0);
	assert_true(b->p.req.settings.minimum_release_age == 7 && b->p.client.fetch_retries == 3);
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("x")), STR("https://machine.test/")));
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("@a/x")), STR("https://own-a.test/")));
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("@b/x")), STR("https://b.test/")));
	assert_true(str_ends(b->p.machine_file, STR("/home/.config/pnpm/config.yaml")));

	put(b->home, ".npmrc", "registry=https://users.test/\n@b:registry=https://users-b.test/\n");
	assert_int_equal(load_at(b, "p", none), 0);
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("x")), STR("https://users.test/")));
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("@b/x")), STR("https://users-b.test/")));

	put(b->home, ".config/pnpm/config.yaml", "fetchRetries: x\n");
	assert_int_equal(load_at(b, "p", none), ERR_PARSE);
	assert_non_null(strstr(b->e.msg, "config.yaml:1:15: fetchRetries"));
}

/* ${VAR} stands for a variable in paths and words, and in the machine's addresses; in the project's it does not. */
static void test_variables(void **state)
{
	struct box *b = *state;
	char *env[] = { (char[]){ "WHERE=here" }, (char[]){ "REG=https://var.test/" }, NULL };
	char want[300];

	put(b->dir, "p/package.json", "{}");
	put(b->home, ".config/pnpm/config.yaml",
		"registry: ${REG}\nhttpsProxy: http://${WHERE}:1\nhttpProxy: http://own:2\n");
	put(b->dir, "p/pnpm-workspace.yaml",
		"storeDir: ./${WHERE}/s\nuserAgent: ${WHERE}-${NOT_THERE:-x}\nscriptShell: /${GONE}\n"
		"httpsProxy: http://${REG}\nhttpProxy: http://${REG}\nregistry: https://${WHERE}.test\n"
		"registries:\n  '@a': https://${WHERE}/\n  '@b': https://b.test\n");
	assert_int_equal(load_at(b, "p", env), 0);
	assert_true(str_ends(b->p.client.store_dir, STR("/p/here/s")));
	assert_true(str_eq(b->p.client.user_agent, STR("here-x")));
	assert_true(str_eq(b->p.client.script_shell, STR("/")) && warned(b, "${GONE} is not set"));
	assert_true(str_eq(b->p.https_proxy, STR("http://here:1")) && str_eq(b->p.http_proxy, STR("http://own:2")));
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("x")), STR("https://var.test/")));
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("@a/x")), STR("https://var.test/")));
	assert_true(str_eq(settings_registry(&b->p.req.settings, STR("@b/x")), STR("https://b.test/")));
	assert_true(warned(b, "\"registries\" is ignored") && warned(b, "\"registry\" is ignored"));

	put(b->dir, "p/pnpm-workspace.yaml", "storeDir: ~/kept\n");
	assert_int_equal(load_at(b, "p", env), 0);
	snprintf(want, sizeof(want), "%s/kept", b->home);
	assert_true(str_eq(b->p.client.store_dir, str_of(want)));
}

static void test_locals_and_patches(void **state)
{
	struct box *b = *state;

	put(b->dir, "p/package.json",
		"{\"dependencies\":{\"a\":\"file:./a\",\"l\":\"link:../"
		"outside\",\"n\":\"^1\"},\"resolutions\":{\"x\":\"1\"},"
		"\"pnpm\":{\"overrides\":{}}}");
	put(b->dir, "p/a/package.json",
		"{\"name\":\"a\",\"dependencies\":{\"b\":\"file:../b\"},\"devDependencies\":{\"z\":\"file:../z\"}}");
	put(b->dir, "p/b/package.json", "{\"name\":\"b\",\"version\":\"2.0.0\"}");
	put(b->dir, "outside/package.json", "{\"name\":\"l\"}");
	put(b->dir, "p/pnpm-workspace.yaml", "patchedDependencies:\n  n@1.0.0: p.patch\noverrides:\n  q: $n\n");
	put(b->dir, "p/p.patch", "a\r\nb\n");
	assert_int_equal(load_at(b, "p", NULL), 0);
	assert_int_equal(b->p.req.nlocal, 3);
	const char *want[] = { "a", "b", "../outside" };
	for (size_t i = 0; i < 3; i++)
		assert_true(str_eq(b->p.req.local[i].path, str_of(want[i])) && b->p.req.local[i].is_dir);
	assert_true(str_eq(b->p.req.local[1].manifest.version, STR("2.0.0")));
	/* sha256 of "a\nb\n" */
	assert_true(str_eq(b->p.req.settings.patch[0].hash,
		STR("911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2")));
	assert_true(warned(b, "\"pnpm.overrides\"") && warned(b, "resolutions"));

	put(b->dir, "p/package.json", "{\"dependencies\":{\"a\":\"file:./gone\"}}");
	put(b->dir, "p/pnpm-workspace.yaml", "");
	assert_int_equal(load_at(b, "p", NULL), 0); /* the resolver says it */
	assert_int_equal(b->p.req.nlocal, 0);
	assert_int_equal(b->p.req.root.n, 0);

	char text[8192];
	snprintf(text, sizeof(text), "{\"dependencies\":{\"a\":\"file:%s/p/a\"}}", b->dir);
	put(b->dir, "p/package.json", text);
	assert_int_equal(load_at(b, "p", NULL), 0);
	assert_true(b->p.req.nlocal == 2 && str_eq(b->p.req.local[0].path, STR("a")));
	assert_true(str_eq(b->p.req.root, b->p.root));
}

static void test_refused(void **state)
{
	struct box *b = *state;

	put(b->dir, "p/x", "");
	assert_int_equal(load_at(b, "p", NULL), ERR_NOTFOUND);
	assert_non_null(strstr(b->e.msg, "package.json"));
	assert_int_equal(load_at(b, "nowhere", NULL), ERR_NOTFOUND);
	put(b->dir, "p/package.json", "{\n  \"name\": }\n");
	assert_int_equal(load_at(b, "p", NULL), ERR_PARSE);
	assert_non_null(strstr(b->e.msg, "p/package.json: line 2, column 11"));
	put(b->dir, "p/package.json", "{}");
	put(b->dir, "p/pnpm-lock.yaml", "lockfileVersion: '5.4'\n");
	assert_int_equal(load_at(b, "p", NULL), 0); /* for who must not change it, it is an error: the caller's */
	assert_false(b->p.has_lockfile);
	assert_int_equal(b->p.lockfile_broken.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(b->p.lockfile_broken.msg, "pnpm-lock.yaml:1"));
	put(b->dir, "p/pnpm-lock.yaml",
		"<<<<<<< ours\nlockfileVersion: '9.0'\n=======\nlockfileVersion: '9.0'\n>>>>>>> theirs\n");
	assert_int_equal(load_at(b, "p", NULL), ERR_PARSE);
	put(b->dir, "p/pnpm-lock.yaml", "");
	assert_int_equal(load_at(b, "p", NULL), 0);
	assert_false(b->p.has_lockfile);
	put(b->dir, "p/.npmrc", "registry=ftp://x/\n");
	assert_int_equal(load_at(b, "p", NULL), ERR_USAGE);
	put(b->dir, "p/.npmrc", "");
	put(b->dir, "p/package.json",
		"{\"devEngines\":{\"runtime\":{\"name\":\"node\",\"version\":\"20\",\"onFail\":\"download\"}}}");
	assert_int_equal(load_at(b, "p", NULL), ERR_UNSUPPORTED);
	assert_non_null(strstr(b->e.msg, "the runtime node"));
	put(b->dir, "p/package.json", "{\"devEngines\":{\"runtime\":{\"name\":\"node\",\"version\":\"20\"}}}");
	assert_int_equal(load_at(b, "p", NULL), 0);
	put(b->dir, "p/.pnpmfile.cjs", "");
	assert_int_equal(load_at(b, "p", NULL), ERR_UNSUPPORTED);
	assert_non_null(strstr(b->e.msg, ".pnpmfile.cjs"));
}

/* What of a manifest pnpm 12.21 writes into the environment document. */
static void test_pins(void **state)
{
	static const struct {
		const char *json, *pin;
	} row[] = { { "{\"packageManager\":\"pnpm@12.21.0\"}", "12.21.0" },
		{ "{\"packageManager\":\"pnpm@12.21.0+sha512.abc\"}", "12.21.0" },
		{ "{\"packageManager\":\"pnpm@11.3.0\"}", "" }, { "{\"packageManager\":\"pnpm@^12.0.0\"}", "" },
		{ "{\"packageManager\":\"pnpm@v12.21.0\"}", "" }, { "{\"packageManager\":\"npm@12.0.0\"}", "" },
		{ "{\"devEngines\":{\"packageManager\":{\"name\":\"pnpm\",\"version\":\">=12\"}}}", ">=12" },
		{ "{\"devEngines\":{\"packageManager\":{\"name\":\"pnpm\",\"version\":\"12\",\"onFail\":\"ignore\"}},"
		  "\"packageManager\":\"pnpm@12.21.0\"}",
			"" },
		{ "{\"devEngines\":{\"packageManager\":[{\"name\":\"npm\"},{\"name\":\"pnpm\",\"version\":\"12\"}]}}",
			"12" },
		{ "{\"devEngines\":{\"packageManager\":[{\"name\":\"pnpm\",\"version\":\"12\"},{\"name\":\"npm\"}]}}",
			"" },
		{ "{\"devEngines\":{\"packageManager\":{\"name\":\"yarn\"}}}", "" } };
	struct box *b = *state;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		put(b->dir, "p/package.json", row[i].json);
		assert_int_equal(load_at(b, "p", NULL), 0);
		if (!str_eq(b->p.req.importer[0].manifest.pnpm_pin, str_of(row[i].pin)))
			fail_msg("%s: another pin", row[i].json);
	}
}

static void test_may_build(void **state)
{
	struct allow_build list[] = { { STR("esbuild"), true }, { STR("@a/b@1.0.0 || 2.0.0"), true },
		{ STR("bad"), false } };
	struct client_settings c = { .allow_build = list, .nallow_build = 3 };
	(void)state;

	assert_int_equal(project_may_build(&c, STR("esbuild"), STR("9.9.9")), 1);
	assert_int_equal(project_may_build(&c, STR("@a/b"), STR("2.0.0")), 1);
	assert_int_equal(project_may_build(&c, STR("@a/b"), STR("3.0.0")), -1);
	assert_int_equal(project_may_build(&c, STR("bad"), STR("1.0.0")), 0);
	assert_int_equal(project_may_build(&c, STR("unknown"), STR("1.0.0")), -1);
	c.dangerously_allow_all_builds = true;
	assert_int_equal(project_may_build(&c, STR("bad"), STR("1.0.0")), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_workspace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registries_and_credentials, setup, teardown),
		cmocka_unit_test_setup_teardown(test_machine_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_variables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locals_and_patches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pins, setup, teardown),
		cmocka_unit_test(test_may_build),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
