#include "options.h"
#include <stddef.h>

const char options_help[] =
	"dray " DRAY_VERSION " installs npm dependencies: pnpm's lockfile, pnpm's node_modules.\n"
	"\n"
	"usage: dray install [options]        (also: dray i)   what package.json and pnpm-workspace.yaml ask for\n"
	"       dray verify [--store] [options]                whether node_modules, or the store, is what the registry has\n"
	"       dray store path|status|verify|prune|sync       the folder of package contents: where, how much; hash every file,\n"
	"                                                      remove what no tree uses, have all of it on disk\n"
	"       dray doctor --server URL                       whether a drayd can be used here, and what to do if not\n"
	"\n"
	"where\n"
	"  -C, --dir DIR            work in DIR; in a workspace all of its projects are installed, from any of its folders\n"
	"      --ignore-workspace   take no notice of pnpm-workspace.yaml\n"
	"  -F, --filter SELECTOR    only these projects of the workspace and its root (may be repeated): name, @scope/*,\n"
	"                           ./folder, {folder/*}, [commit] (changed since), name... (with its dependencies),\n"
	"                           ...name (with its dependents), ^ next to the dots (without itself), !selector\n"
	"      --filter-prod SEL    the same, without the way through devDependencies\n"
	"      --fail-if-no-match   fail when no project is selected\n"
	"  -w, --workspace-root     the workspace's root only, or with --filter the root, too; from any folder\n"
	"      --store-dir DIR      where package contents are kept (storeDir; default ~/.local/share/dray/store)\n"
	"      --registry URL       default registry (also pnpm_config_registry, npm_config_registry, .npmrc)\n"
	"lockfile\n"
	"      --frozen-lockfile    fail, with all differences, when pnpm-lock.yaml does not fit (default when CI is set)\n"
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
	"      --server-fallback H  direct (default) or error: what to do when the server cannot be used\n"
	"      --materialization M  server (default): contents come as packs from the drayd that made the plan; registry: never\n"
	"      --bad-pack H         tarball (default) or stop: what to do about a pack that is wrong\n"
	"checks and output\n"
	"      --trust-lockfile     do not check the lockfile against minimumReleaseAge and trustPolicy\n"
	"      --verify-store HOW   stat (default), full or none: what is checked before a stored file is used again\n"
	"      --reporter NAME      default (a bar on a terminal, else lines), append-only, ndjson or silent\n"
	"      --json               the same as --reporter ndjson\n"
	"  -s, --silent             the same as --reporter silent\n"
	"      --store              dray verify: the store instead of node_modules\n"
	"  -h, --help               this text\n"
	"  -v, --version            the version\n"
	"\n"
	"Settings are pnpm's, from pnpm-workspace.yaml and pnpm_config_*; one that dray does not implement is refused by name.\n"
	"\n"
	"exit status: 0 done · 1 lockfile does not fit, ignored builds, failed script · 2 usage or configuration ·\n"
	"  3 malformed file · 4 no such package, version or file · 5 file system, disk full · 6 integrity or limits ·\n"
	"  7 network, time-out, overload · 8 credentials or policy · 9 not supported · 10 protocol · 130 interrupted.\n"
	"  Every other status than 0 comes with one line \"ERR_DRAY_…: what, where\" on standard error.\n";

/* What an option does to its field of struct options. */
enum kind {
	FLAG, /* true; takes no value, nor does SET */
	SET,  /* an enumeration's VALUE */
	TEXT,
	WORD,   /* a text that is one of WORDS */
	CHOICE, /* an enumeration: one of WORDS, by its place among them */
	FILTER, /* one more of several */
};
struct option_row {
	const char *name, *alias;
	enum kind kind;
	size_t at;
	unsigned value;
	const char *const *words; /* up to a NULL */
};
#define AT(field) .at = offsetof(struct options, field)
#define WORDS(...)                                                                                                     \
	.words = (const char *const[])                                                                                 \
	{                                                                                                              \
		__VA_ARGS__, NULL                                                                                      \
	}
static const struct option_row rows[] = {
	{ "--dir", "-C", TEXT, AT(dir) },
	{ "--frozen-lockfile", NULL, SET, AT(frozen), .value = FROZEN_YES },
	{ "--no-frozen-lockfile", NULL, SET, AT(frozen), .value = FROZEN_NO },
	{ "--lockfile-only", NULL, FLAG, AT(lockfile_only) },
	{ "--prod", "-P", FLAG, AT(prod) },
	{ "--production", NULL, FLAG, AT(prod) },
	{ "--dev", "-D", FLAG, AT(dev) },
	{ "--no-optional", NULL, FLAG, AT(no_optional) },
	{ "--ignore-scripts", NULL, FLAG, AT(ignore_scripts) },
	{ "--force", NULL, FLAG, AT(force) },
	{ "--enable-global-virtual-store", NULL, FLAG, AT(global_virtual_store) },
	{ "--offline", NULL, FLAG, AT(offline) },
	{ "--prefer-offline", NULL, FLAG, AT(prefer_offline) },
	{ "--trust-lockfile", NULL, FLAG, AT(trust_lockfile) },
	{ "--ignore-workspace", NULL, FLAG, AT(ignore_workspace) },
	{ "--registry", NULL, TEXT, AT(registry) },
	{ "--store-dir", NULL, TEXT, AT(store_dir) },
	{ "--verify-store", NULL, WORD, AT(verify_store), WORDS("stat", "full", "none") },
	{ "--server", NULL, TEXT, AT(server) },
	{ "--direct", NULL, FLAG, AT(direct) },
	{ "--server-fallback", NULL, WORD, AT(server_fallback), WORDS("direct", "error") },
	{ "--materialization", NULL, TEXT, AT(materialization) }, /* pack_policy.h knows the words */
	{ "--bad-pack", NULL, TEXT, AT(bad_pack) },
	{ "--reporter", NULL, CHOICE, AT(reporter), WORDS("default", "append-only", "ndjson", "silent") },
	{ "--recursive", "-r", FLAG, AT(recursive) },
	{ "--filter", "-F", FILTER, AT(filter) },
	{ "--filter-prod", NULL, FILTER, AT(filter_prod) },
	{ "--fail-if-no-match", NULL, FLAG, AT(fail_if_no_match) },
	{ "--workspace-root", "-w", FLAG, AT(workspace_root) },
	{ "--silent", "-s", SET, AT(reporter), .value = REPORTER_SILENT },
	{ "--json", NULL, SET, AT(reporter), .value = REPORTER_NDJSON },
	{ "--store", NULL, FLAG, AT(store) },
	{ "--help", "-h", SET, AT(command), .value = COMMAND_HELP },
	{ "--version", "-v", SET, AT(command), .value = COMMAND_VERSION },
};
enum { NROWS = sizeof(rows) / sizeof(rows[0]) };
static const struct {
	const char *name;
	enum command command;
} commands[] = { { "install", COMMAND_INSTALL }, { "i", COMMAND_INSTALL }, { "store", COMMAND_STORE },
	{ "doctor", COMMAND_DOCTOR }, { "verify", COMMAND_VERIFY }, { "help", COMMAND_HELP } };
enum { NCOMMANDS = sizeof(commands) / sizeof(commands[0]) };
#define NO_NAMES "edit package.json and run `dray install`, or use `pnpm add`"
/* What pnpm has and dray has not, with what to do instead. */
static const char *const refused[][2] = {
	{ "add", NO_NAMES },
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
	{ "--save", NO_NAMES },
	{ "-S", NO_NAMES },
	{ "--save-dev", NO_NAMES },
	{ "--save-exact", NO_NAMES },
	{ "-E", NO_NAMES },
	{ "--save-peer", NO_NAMES },
	{ "--save-optional", NO_NAMES },
	{ "-O", NO_NAMES },
	{ "--dry-run", "use --lockfile-only, and look at what becomes of pnpm-lock.yaml" },
	{ "--omit", "use --prod or --no-optional" },
	{ "--include", "use --dev; without it all groups are installed" },
	{ "--immutable", "use --frozen-lockfile" },
	{ "--legacy-peer-deps", "leave it out: peers that do not fit are reported, and installed" },
	{ "--no-audit", "leave it out: dray audits nothing" },
	{ "--no-fund", "leave it out: dray asks for nothing" },
	{ "--color", "leave it out: dray prints no colours" },
	{ "--no-color", "leave it out: dray prints no colours" },
	{ "--loglevel", "use --reporter" },
	{ "--verbose", "use --reporter append-only" },
	{ "--stream", "use --reporter append-only" },
	{ "--aggregate-output", "use --reporter append-only" },
	{ "--use-stderr", "redirect standard output: `dray install >&2`" },
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

/* What pnpm takes as an option, too, and dray as a setting alone. 0: it is none. */
static int only_setting(str given, options_setting *setting, struct err *e)
{
	bool no = str_starts(given, STR("--no-"));
	str option = str_from(given, no ? 5 : str_starts(given, STR("--config.")) ? 9 : 2);
	const char *name = setting && str_starts(given, STR("--")) ? setting(option) : NULL;

	if (!name)
		return 0;
	return err_set(e, ERR_UNSUPPORTED, STR_FMT " is not supported: set %s%s in pnpm-workspace.yaml", STR_ARG(given),
		name, no ? ": false" : "");
}

static int unknown_option(str given, options_setting *setting, struct err *e)
{
	const char *best = NULL;
	unsigned least = given.n > 7 ? 4 : given.n > 4 ? 2 : 0; /* of few letters nearly all would be near */

	for (size_t i = 0; i < sizeof(refused_options) / sizeof(refused_options[0]); i++) {
		if (str_eq(given, str_of(refused_options[i][0])))
			return err_set(e, ERR_UNSUPPORTED, STR_FMT " is not supported: %s", STR_ARG(given),
				refused_options[i][1]);
	}
	if (only_setting(given, setting, e) < 0)
		return e->code;
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
		const char *name = commands[i].name;
		if (distance(given, str_of(name)) <= 2 && strlen(name) > 2)
			return err_set(
				e, ERR_USAGE, "unknown command " STR_FMT ": did you mean %s?", STR_ARG(given), name);
	}
	return err_set(e, ERR_USAGE, "unknown command " STR_FMT "; see dray --help", STR_ARG(given));
}

/* The place of V among the words of ROW, or an error that names them. */
static int word_at(const struct option_row *row, str v, struct err *e)
{
	AUTO(buf_release) struct buf known = BUF_INIT;

	for (int i = 0; row->words[i]; i++) {
		if (str_eq(v, str_of(row->words[i])))
			return i;
		buf_printf(&known, "%s%s", !i ? "" : row->words[i + 1] ? ", " : " or ", row->words[i]);
	}
	return err_set(e, ERR_USAGE, "%s " STR_FMT ": " STR_FMT, row->name, STR_ARG(v), STR_ARG(buf_str(&known)));
}

static int take_filter(struct options_filters *f, str v, struct err *e)
{
	if (f->n == OPTIONS_FILTERS_MAX)
		return err_set(e, ERR_USAGE, "more than %d filters", OPTIONS_FILTERS_MAX);
	f->p[f->n++] = v;
	return 0;
}

_Static_assert(sizeof(enum frozen) == sizeof(unsigned) && sizeof(enum reporter) == sizeof(unsigned) &&
		       sizeof(enum command) == sizeof(unsigned),
	"SET and CHOICE are stored as numbers");

static int take_option(struct options *o, const struct option_row *row, str v, struct err *e)
{
	void *at = (char *)o + row->at;
	int word = row->words ? word_at(row, v, e) : 0;

	if (word < 0)
		return word;
	switch (row->kind) {
	case FLAG:
		*(bool *)at = true;
		return 0;
	case SET:
		*(unsigned *)at = row->value;
		return 0;
	case TEXT:
	case WORD:
		*(str *)at = v;
		return 0;
	case CHOICE:
		*(unsigned *)at = (unsigned)word;
		return 0;
	case FILTER:
		return take_filter(at, v, e);
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
static int parse_option(struct options *o, int argc, char **argv, int *i, options_setting *setting, struct err *e)
{
	str name, value, arg = str_of(argv[*i]);
	bool has_value = str_cut(arg, '=', &name, &value);
	const struct option_row *row = option_find(name);

	if (!row)
		return unknown_option(name, setting, e);
	if (row->kind == FLAG || row->kind == SET) {
		if (has_value && !str_eq(value, STR("true")))
			return err_set(e, ERR_USAGE, STR_FMT " takes no value%s", STR_ARG(name),
				row->at == offsetof(struct options, frozen) ? ": there are --frozen-lockfile and "
									      "--no-frozen-lockfile"
									    : "; leave it out");
		return take_option(o, row, STR_NONE, e);
	}
	if (!has_value) {
		if (*i + 1 >= argc)
			return err_set(e, ERR_USAGE, STR_FMT " needs a value", STR_ARG(name));
		value = str_of(argv[++*i]);
	}
	if (!value.n)
		return err_set(e, ERR_USAGE, STR_FMT " needs a value", STR_ARG(name));
	return take_option(o, row, value, e);
}

static int parse_command(struct options *o, str word, struct err *e)
{
	if (o->command == COMMAND_STORE && !o->store_command.n) {
		o->store_command = word;
		return 0;
	}
	if (o->command == COMMAND_INSTALL)
		return err_set(e, ERR_USAGE,
			"unexpected \"" STR_FMT "\": dray install takes no package names: " NO_NAMES, STR_ARG(word));
	if (o->command != COMMAND_NONE)
		return err_set(e, ERR_USAGE, "unexpected \"" STR_FMT "\"; see dray --help", STR_ARG(word));
	for (size_t i = 0; i < NCOMMANDS; i++) {
		if (str_eq(word, str_of(commands[i].name))) {
			o->command = commands[i].command;
			return 0;
		}
	}
	return unknown_command(word, e);
}

bool options_filtered(const struct options *o)
{
	return o->workspace_root || o->filter.n || o->filter_prod.n;
}

int options_parse(struct options *out, int argc, char **argv, options_setting *setting, struct err *e)
{
	struct options o = { 0 };

	for (int i = 1; i < argc; i++) {
		int code = argv[i][0] == '-' && argv[i][1] ? parse_option(&o, argc, argv, &i, setting, e)
							   : parse_command(&o, str_of(argv[i]), e);
		if (code < 0)
			return code;
		if (o.command == COMMAND_HELP || o.command == COMMAND_VERSION)
			break;
	}
	if (o.prod && o.dev)
		return err_set(e, ERR_USAGE, "--prod and --dev exclude each other");
	if (o.ignore_workspace && options_filtered(&o))
		return err_set(e, ERR_USAGE, "--ignore-workspace leaves nothing for --filter and --workspace-root");
	if (o.store && o.command != COMMAND_VERIFY && o.command != COMMAND_HELP && o.command != COMMAND_VERSION)
		return err_set(e, ERR_USAGE, "--store belongs to dray verify");
	if (o.command == COMMAND_VERIFY && o.offline)
		return err_set(e, ERR_USAGE, "dray verify asks the registry: --offline leaves nothing to it");
	if (o.command == COMMAND_VERIFY && options_filtered(&o))
		return err_set(e, ERR_UNSUPPORTED, "dray verify looks at the whole tree: --filter is not supported");
	if (o.direct && o.server.n)
		return err_set(e, ERR_USAGE, "--direct and --server exclude each other");
	*out = o;
	return 0;
}
