#include "options.h"
#include <stdio.h>

const char options_help[] =
	"dray " DRAY_VERSION " installs npm dependencies: pnpm's lockfile, pnpm's node_modules.\n"
	"\n"
	"usage: dray install [options]        (also: dray i)   what package.json and pnpm-workspace.yaml ask for\n"
	"       dray verify [--store] [options]                whether node_modules, or the store, is what the "
	"registry "
	"has\n"
	"       dray store path|status|verify|prune|sync       the folder that holds package contents\n"
	"       dray doctor --server URL                       whether a drayd can be used here, and what to do if "
	"not\n"
	"\n"
	"where\n"
	"  -C, --dir DIR            work in DIR; in a workspace all of its projects are installed, from any of its "
	"folders\n"
	"      --ignore-workspace   take no notice of pnpm-workspace.yaml\n"
	"  -F, --filter SELECTOR    only these projects of the workspace and its root (may be repeated): name, "
	"@scope/*,\n"
	"                           ./folder, {folder/*}, [commit] (changed since), name... (with its dependencies),\n"
	"                           ...name (with its dependents), ^ next to the dots (without itself), !selector\n"
	"      --filter-prod SEL    the same, without the way through devDependencies\n"
	"      --fail-if-no-match   fail when no project is selected\n"
	"  -w, --workspace-root     the workspace's root only, or with --filter the root, too; from any folder\n"
	"      --store-dir DIR      where package contents are kept (storeDir; default ~/.local/share/dray/store)\n"
	"      --registry URL       default registry (also pnpm_config_registry, npm_config_registry, .npmrc)\n"
	"lockfile\n"
	"      --frozen-lockfile    fail, with all differences, when pnpm-lock.yaml does not fit (default when CI is "
	"set)\n"
	"      --no-frozen-lockfile resolve and write pnpm-lock.yaml when it does not fit\n"
	"      --lockfile-only      write pnpm-lock.yaml, leave node_modules alone\n"
	"what\n"
	"  -P, --prod               no devDependencies\n"
	"  -D, --dev                devDependencies only\n"
	"      --no-optional        no optionalDependencies\n"
	"      --ignore-scripts     run no lifecycle scripts\n"
	"      --force              make every slot anew\n"
	"      --enable-global-virtual-store  slots lie in the store, shared by projects (enableGlobalVirtualStore)\n"
	"  -r, --recursive          all projects of the workspace: always so where the project is one of them\n"
	"network\n"
	"      --offline            never ask the registry\n"
	"      --prefer-offline     ask the registry only for what the store does not have\n"
	"      --server URL         take the plan from a drayd (also DRAY_SERVER, drayServer in pnpm-workspace.yaml)\n"
	"      --direct             resolve in this process, whatever server is configured\n"
	"      --server-fallback H  direct (default) or error: what to do when the server cannot be reached\n"
	"      --materialization M  server (default): contents come as packs from the drayd that made the plan; "
	"registry: never\n"
	"      --bad-pack H         tarball (default) or stop: what to do about a pack that is wrong\n"
	"checks and output\n"
	"      --trust-lockfile     do not check the lockfile against minimumReleaseAge and trustPolicy\n"
	"      --verify-store HOW   stat (default), full or none: what is checked before a stored file is used again\n"
	"      --reporter NAME      default (a bar on a terminal, else lines), append-only, ndjson or silent\n"
	"      --json               the same as --reporter ndjson\n"
	"      --store              dray verify: the store instead of node_modules\n"
	"  -h, --help               this text\n"
	"  -v, --version            the version\n"
	"\n"
	"Settings are pnpm's, from pnpm-workspace.yaml and pnpm_config_*; one that dray does not implement is refused "
	"by name.\n"
	"\n"
	"exit status: 0 done · 1 lockfile does not fit, ignored builds, failed script · 2 usage or configuration ·\n"
	"  3 malformed file · 4 no such package, version or file · 5 file system, disk full · 6 integrity or limits ·\n"
	"  7 network, time-out, overload · 8 credentials or policy · 9 not supported · 10 protocol · 130 interrupted.\n"
	"  Every other status than 0 comes with one line \"ERR_DRAY_…: what, where\" on standard error.\n";

enum kind { FLAG, VALUE };
enum option_id {
	O_DIR,
	O_FROZEN,
	O_NO_FROZEN,
	O_LOCKFILE_ONLY,
	O_PROD,
	O_DEV,
	O_NO_OPTIONAL,
	O_IGNORE_SCRIPTS,
	O_FORCE,
	O_GVS,
	O_OFFLINE,
	O_PREFER_OFFLINE,
	O_TRUST_LOCKFILE,
	O_IGNORE_WORKSPACE,
	O_REGISTRY,
	O_STORE_DIR,
	O_VERIFY,
	O_SERVER,
	O_DIRECT,
	O_FALLBACK,
	O_MATERIALIZATION,
	O_BAD_PACK,
	O_REPORTER,
	O_RECURSIVE,
	O_FILTER,
	O_FILTER_PROD,
	O_NO_MATCH,
	O_ROOT,
	O_JSON,
	O_STORE,
	O_HELP,
	O_VERSION,
};
struct option_row {
	const char *name, *alias;
	enum kind kind;
	enum option_id id;
};
static const struct option_row rows[] = {
	{ "--dir", "-C", VALUE, O_DIR },
	{ "--frozen-lockfile", NULL, FLAG, O_FROZEN },
	{ "--no-frozen-lockfile", NULL, FLAG, O_NO_FROZEN },
	{ "--lockfile-only", NULL, FLAG, O_LOCKFILE_ONLY },
	{ "--prod", "-P", FLAG, O_PROD },
	{ "--production", NULL, FLAG, O_PROD },
	{ "--dev", "-D", FLAG, O_DEV },
	{ "--no-optional", NULL, FLAG, O_NO_OPTIONAL },
	{ "--ignore-scripts", NULL, FLAG, O_IGNORE_SCRIPTS },
	{ "--force", NULL, FLAG, O_FORCE },
	{ "--enable-global-virtual-store", NULL, FLAG, O_GVS },
	{ "--offline", NULL, FLAG, O_OFFLINE },
	{ "--prefer-offline", NULL, FLAG, O_PREFER_OFFLINE },
	{ "--trust-lockfile", NULL, FLAG, O_TRUST_LOCKFILE },
	{ "--ignore-workspace", NULL, FLAG, O_IGNORE_WORKSPACE },
	{ "--registry", NULL, VALUE, O_REGISTRY },
	{ "--store-dir", NULL, VALUE, O_STORE_DIR },
	{ "--verify-store", NULL, VALUE, O_VERIFY },
	{ "--server", NULL, VALUE, O_SERVER },
	{ "--direct", NULL, FLAG, O_DIRECT },
	{ "--server-fallback", NULL, VALUE, O_FALLBACK },
	{ "--materialization", NULL, VALUE, O_MATERIALIZATION },
	{ "--bad-pack", NULL, VALUE, O_BAD_PACK },
	{ "--reporter", NULL, VALUE, O_REPORTER },
	{ "--recursive", "-r", FLAG, O_RECURSIVE },
	{ "--filter", "-F", VALUE, O_FILTER },
	{ "--filter-prod", NULL, VALUE, O_FILTER_PROD },
	{ "--fail-if-no-match", NULL, FLAG, O_NO_MATCH },
	{ "--workspace-root", "-w", FLAG, O_ROOT },
	{ "--json", NULL, FLAG, O_JSON },
	{ "--store", NULL, FLAG, O_STORE },
	{ "--help", "-h", FLAG, O_HELP },
	{ "--version", "-v", FLAG, O_VERSION },
};
enum { NROWS = sizeof(rows) / sizeof(rows[0]) };
static const char *const commands[] = { "install", "i", "store", "doctor", "verify", "help" };
enum { NCOMMANDS = sizeof(commands) / sizeof(commands[0]) };
/* What pnpm has and dray has not, with what to do instead. */
static const char *const refused[][2] = {
	{ "add", "edit package.json and run `dray install`, or use `pnpm add`" },
	{ "remove", "edit package.json and run `dray install`, or use `pnpm remove`" },
	{ "update", "edit the range in package.json and run `dray install`, or use `pnpm update`" },
	{ "run", "use `npm run` or `pnpm run`: the tree is pnpm's" },
	{ "exec", "use `pnpm exec` or node_modules/.bin" },
	{ "rebuild", "use `dray install --force`" },
	{ "prune", "`dray install` prunes; `dray store prune` cleans the store" },
	{ "ci", "use `dray install --frozen-lockfile`" },
	{ "clean-install", "use `dray install --frozen-lockfile`" },
	{ "rm", "edit package.json and run `dray install`, or use `pnpm remove`" },
	{ "uninstall", "edit package.json and run `dray install`, or use `pnpm remove`" },
	{ "up", "edit the range in package.json and run `dray install`, or use `pnpm update`" },
	{ "upgrade", "edit the range in package.json and run `dray install`, or use `pnpm update`" },
	{ "test", "use `npm test` or `pnpm test`: the tree is pnpm's" },
	{ "start", "use `npm start` or `pnpm start`: the tree is pnpm's" },
	{ "dlx", "use `pnpm dlx` or `npx`" },
	{ "create", "use `pnpm create` or `npx`" },
	{ "link", "put \"link:FOLDER\" into package.json and run `dray install`" },
	{ "unlink", "take \"link:FOLDER\" out of package.json and run `dray install`" },
	{ "import", "use `pnpm import`; dray reads the pnpm-lock.yaml that it writes" },
	{ "dedupe", "use `pnpm dedupe`" },
	{ "deploy", "use `pnpm deploy`" },
	{ "fetch", "use `dray install --frozen-lockfile`, which fills the store, too" },
	{ "patch", "use `pnpm patch`; dray applies patchedDependencies" },
	{ "patch-commit", "use `pnpm patch-commit`; dray applies patchedDependencies" },
	{ "approve-builds", "list the packages under allowBuilds in pnpm-workspace.yaml" },
	{ "list", "use `pnpm list`: the tree is pnpm's" },
	{ "ls", "use `pnpm list`: the tree is pnpm's" },
	{ "why", "use `pnpm why`: the tree is pnpm's" },
	{ "outdated", "use `pnpm outdated`" },
	{ "audit", "use `pnpm audit`" },
	{ "licenses", "use `pnpm licenses`" },
	{ "publish", "use `pnpm publish`" },
	{ "pack", "use `pnpm pack`" },
	{ "init", "use `pnpm init` or `npm init`" },
	{ "config", "edit pnpm-workspace.yaml or .npmrc" },
	{ "login", "put the token into ~/.npmrc; `npm login` does" },
	{ "env", "use a version manager for node" },
	{ "install-test", "use `dray install` and then `npm test`" },
	{ "it", "use `dray install` and then `npm test`" },
};
static const char *const refused_options[][2] = {
	{ "--include-workspace-root", "use -w" },
	{ "--lockfile-dir", "the lockfile lies beside pnpm-workspace.yaml, or in the project" },
	{ "--no-lockfile", "set lockfile: false in pnpm-workspace.yaml" },
	{ "--fix-lockfile", "remove what is broken and run `dray install --no-frozen-lockfile`" },
	{ "--merge-git-branch-lockfiles", "dray has one lockfile" },
	{ "--hoist", "set hoist in pnpm-workspace.yaml" },
	{ "--no-hoist", "set hoist: false in pnpm-workspace.yaml" },
	{ "--hoist-pattern", "set hoistPattern in pnpm-workspace.yaml" },
	{ "--public-hoist-pattern", "set publicHoistPattern in pnpm-workspace.yaml" },
	{ "--modules-dir", "the folder is node_modules" },
	{ "--virtual-store-dir", "the folder is node_modules/.pnpm" },
	{ "--package-import-method", "set packageImportMethod in pnpm-workspace.yaml" },
	{ "--side-effects-cache", "builds are not cached" },
	{ "--strict-peer-dependencies", "set strictPeerDependencies in pnpm-workspace.yaml" },
	{ "--resolution-only", "use --lockfile-only" },
	{ "--use-store-server", "dray has no store server; see --server" },
	{ "--cpu", "set supportedArchitectures in pnpm-workspace.yaml" },
	{ "--os", "set supportedArchitectures in pnpm-workspace.yaml" },
	{ "--libc", "set supportedArchitectures in pnpm-workspace.yaml" },
	{ "--ignore-pnpmfile", "dray runs no pnpmfile; remove it, or use pnpm" },
	{ "--shamefully-hoist", "set shamefullyHoist in pnpm-workspace.yaml" },
	{ "--node-linker", "dray makes pnpm's isolated layout" },
	{ "--global", "dray installs into projects" },
	{ "-g", "dray installs into projects" },
};

/* Edits between A and B (Levenshtein), for suggestions; words of the command line are short. */
static unsigned distance(str a, str b)
{
	unsigned row[64];

	if (a.n > 60 || b.n > 60)
		return 99;
	for (unsigned j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 0; i < a.n; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < b.n; j++) {
			unsigned best = diagonal + (a.p[i] != b.p[j]);
			diagonal = row[j + 1];
			if (row[j + 1] + 1 < best)
				best = row[j + 1] + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			row[j + 1] = best;
		}
	}
	return row[b.n];
}

static int unknown_option(str given, struct err *e)
{
	const char *best = NULL;
	unsigned least = 4;

	for (size_t i = 0; i < sizeof(refused_options) / sizeof(refused_options[0]); i++) {
		if (str_eq(given, str_of(refused_options[i][0])))
			return err_set(e, ERR_UNSUPPORTED, STR_FMT " is not supported: %s", STR_ARG(given),
				refused_options[i][1]);
	}
	for (size_t i = 0; i < NROWS; i++) {
		unsigned d = distance(given, str_of(rows[i].name));
		if (d < least) {
			least = d;
			best = rows[i].name;
		}
	}
	return best ? err_set(e, ERR_USAGE, "unknown option " STR_FMT ": did you mean %s?", STR_ARG(given), best)
		    : err_set(e, ERR_USAGE, "unknown option " STR_FMT "; see dray --help", STR_ARG(given));
}

static int unknown_command(str given, struct err *e)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (str_eq(given, str_of(refused[i][0])))
			return err_set(e, ERR_UNSUPPORTED, "dray has no `%s`: %s", refused[i][0], refused[i][1]);
	}
	for (size_t i = 0; i < NCOMMANDS; i++) {
		if (distance(given, str_of(commands[i])) <= 2 && strlen(commands[i]) > 2)
			return err_set(e, ERR_USAGE, "unknown command " STR_FMT ": did you mean %s?", STR_ARG(given),
				commands[i]);
	}
	return err_set(e, ERR_USAGE, "unknown command " STR_FMT "; see dray --help", STR_ARG(given));
}

static int take_reporter(struct options *o, str v, struct err *e)
{
	static const struct {
		str name;
		enum reporter r;
	} known[] = { { STR_INIT("default"), REPORTER_DEFAULT }, { STR_INIT("append-only"), REPORTER_APPEND },
		{ STR_INIT("ndjson"), REPORTER_NDJSON }, { STR_INIT("silent"), REPORTER_SILENT } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (str_eq(v, known[i].name)) {
			o->reporter = known[i].r;
			return 0;
		}
	}
	return err_set(e, ERR_USAGE, "--reporter " STR_FMT ": default, append-only, ndjson or silent", STR_ARG(v));
}

static int one_of(str *out, const char *option, str v, const char *const *known, struct err *e)
{
	for (size_t i = 0; known[i]; i++) {
		if (str_eq(v, str_of(known[i]))) {
			*out = v;
			return 0;
		}
	}
	return err_set(e, ERR_USAGE, "%s does not take \"" STR_FMT "\"; see dray --help", option, STR_ARG(v));
}

static int take_filter(struct options_filters *f, str v, struct err *e)
{
	if (f->n == OPTIONS_FILTERS_MAX)
		return err_set(e, ERR_USAGE, "more than %d filters", OPTIONS_FILTERS_MAX);
	f->p[f->n++] = v;
	return 0;
}

static int take_option(struct options *o, enum option_id id, str v, struct err *e)
{
	static const char *const fallbacks[] = { "direct", "error", NULL }, *const verifies[] = { "stat", "full",
		"none", NULL };

	switch (id) {
	case O_DIR:
		o->dir = v;
		break;
	case O_FROZEN:
	case O_NO_FROZEN:
		o->frozen_set = true;
		o->frozen = id == O_FROZEN;
		break;
	case O_LOCKFILE_ONLY:
		o->lockfile_only = true;
		break;
	case O_PROD:
		o->prod = true;
		break;
	case O_DEV:
		o->dev = true;
		break;
	case O_NO_OPTIONAL:
		o->no_optional = true;
		break;
	case O_IGNORE_SCRIPTS:
		o->ignore_scripts = true;
		break;
	case O_GVS:
		o->global_virtual_store = true;
		break;
	case O_FORCE:
		o->force = true;
		break;
	case O_OFFLINE:
		o->offline = true;
		break;
	case O_PREFER_OFFLINE:
		o->prefer_offline = true;
		break;
	case O_TRUST_LOCKFILE:
		o->trust_lockfile = true;
		break;
	case O_IGNORE_WORKSPACE:
		o->ignore_workspace = true;
		break;
	case O_REGISTRY:
		o->registry = v;
		break;
	case O_STORE_DIR:
		o->store_dir = v;
		break;
	case O_VERIFY:
		return one_of(&o->verify_store, "--verify-store", v, verifies, e);
	case O_SERVER:
		o->server = v;
		break;
	case O_DIRECT:
		o->direct = true;
		break;
	case O_FALLBACK:
		return one_of(&o->server_fallback, "--server-fallback", v, fallbacks, e);
	case O_MATERIALIZATION: /* pack_policy.h knows the words */
		o->materialization = v;
		break;
	case O_BAD_PACK:
		o->bad_pack = v;
		break;
	case O_REPORTER:
		return take_reporter(o, v, e);
	case O_FILTER:
		return take_filter(&o->filter, v, e);
	case O_FILTER_PROD:
		return take_filter(&o->filter_prod, v, e);
	case O_NO_MATCH:
		o->fail_if_no_match = true;
		break;
	case O_ROOT:
		o->workspace_root = true;
		break;
	case O_RECURSIVE:
		o->recursive = true;
		break;
	case O_JSON:
		o->reporter = REPORTER_NDJSON;
		break;
	case O_STORE:
		o->store = true;
		break;
	case O_HELP:
		o->command = COMMAND_HELP;
		break;
	case O_VERSION:
		o->command = COMMAND_VERSION;
		break;
	}
	return 0;
}

static const struct option_row *option_find(str name)
{
	for (size_t i = 0; i < NROWS; i++) {
		if (str_eq(name, str_of(rows[i].name)) || (rows[i].alias && str_eq(name, str_of(rows[i].alias))))
			return &rows[i];
	}
	return NULL;
}

/* One "-x", "--x", "--x=v" or "--x v"; *i moves over a value. */
static int parse_option(struct options *o, int argc, char **argv, int *i, struct err *e)
{
	str name, value, arg = str_of(argv[*i]);
	bool has_value = str_cut(arg, '=', &name, &value);
	const struct option_row *row = option_find(name);

	if (!row)
		return unknown_option(name, e);
	if (row->kind == FLAG) {
		if (has_value && !str_eq(value, STR("true")))
			return err_set(e, ERR_USAGE, STR_FMT " takes no value", STR_ARG(name));
		return take_option(o, row->id, STR_NONE, e);
	}
	if (!has_value) {
		if (*i + 1 >= argc)
			return err_set(e, ERR_USAGE, STR_FMT " needs a value", STR_ARG(name));
		value = str_of(argv[++*i]);
	}
	if (!value.n)
		return err_set(e, ERR_USAGE, STR_FMT " needs a value", STR_ARG(name));
	return take_option(o, row->id, value, e);
}

static int parse_command(struct options *o, str word, struct err *e)
{
	if (o->command == COMMAND_STORE && !o->store_command.n) {
		o->store_command = word;
		return 0;
	}
	if (o->command != COMMAND_NONE)
		return err_set(e, ERR_USAGE,
			"unexpected \"" STR_FMT "\": dray install takes no package names; see dray --help",
			STR_ARG(word));
	if (str_eq(word, STR("install")) || str_eq(word, STR("i")))
		o->command = COMMAND_INSTALL;
	else if (str_eq(word, STR("store")))
		o->command = COMMAND_STORE;
	else if (str_eq(word, STR("doctor")))
		o->command = COMMAND_DOCTOR;
	else if (str_eq(word, STR("verify")))
		o->command = COMMAND_VERIFY;
	else if (str_eq(word, STR("help")))
		o->command = COMMAND_HELP;
	else
		return unknown_command(word, e);
	return 0;
}

bool options_filtered(const struct options *o)
{
	return o->workspace_root || o->filter.n || o->filter_prod.n;
}

int options_parse(struct options *out, int argc, char **argv, struct err *e)
{
	struct options o = { 0 };

	for (int i = 1; i < argc; i++) {
		int code = argv[i][0] == '-' && argv[i][1] ? parse_option(&o, argc, argv, &i, e)
							   : parse_command(&o, str_of(argv[i]), e);
		if (code < 0)
			return code;
		if (o.command == COMMAND_HELP || o.command == COMMAND_VERSION)
			break;
	}
	if (o.prod && o.dev)
		return err_set(e, ERR_USAGE, "--prod and --dev exclude each other");
	if (o.ignore_workspace && (o.workspace_root || o.filter.n || o.filter_prod.n))
		return err_set(e, ERR_USAGE, "--ignore-workspace leaves nothing for --filter and --workspace-root");
	if (o.store && o.command != COMMAND_VERIFY && o.command != COMMAND_HELP && o.command != COMMAND_VERSION)
		return err_set(e, ERR_USAGE, "--store belongs to dray verify");
	if (o.command == COMMAND_VERIFY && options_filtered(&o))
		return err_set(e, ERR_UNSUPPORTED, "dray verify looks at the whole tree: --filter is not supported");
	if (o.direct && o.server.n)
		return err_set(e, ERR_USAGE, "--direct and --server exclude each other");
	*out = o;
	return 0;
}
