#include "installable.h"
#include "semver.h"

enum axis { AXIS_OS, AXIS_CPU, AXIS_LIBC, NAXES };
enum { NAMED_MOST = 8 }; /* of one axis in one name */

/* Words in packages' names and the platform that they stand for. */
static const struct {
	str word;
	enum axis axis;
	str value;
} word_table[] = {
#define W(word, axis, value)                                                                                           \
	{                                                                                                              \
		STR_INIT(word), AXIS_##axis, STR_INIT(value)                                                           \
	}
	/* clang-format off */
	W("aix", OS, "aix"), W("android", OS, "android"), W("darwin", OS, "darwin"), W("macos", OS, "darwin"),
	W("osx", OS, "darwin"), W("freebsd", OS, "freebsd"), W("linux", OS, "linux"), W("netbsd", OS, "netbsd"),
	W("openbsd", OS, "openbsd"), W("openharmony", OS, "openharmony"), W("sunos", OS, "sunos"),
	W("win32", OS, "win32"), W("windows", OS, "win32"),
	W("arm", CPU, "arm"), W("armv6", CPU, "arm"), W("armv7", CPU, "arm"), W("arm64", CPU, "arm64"),
	W("aarch64", CPU, "arm64"), W("ia32", CPU, "ia32"), W("loong64", CPU, "loong64"),
	W("mips64el", CPU, "mips64el"), W("ppc64", CPU, "ppc64"), W("ppc64le", CPU, "ppc64"),
	W("riscv64", CPU, "riscv64"), W("s390x", CPU, "s390x"), W("x64", CPU, "x64"), W("amd64", CPU, "x64"),
	W("wasm32", CPU, "wasm32"),
	W("glibc", LIBC, "glibc"), W("gnu", LIBC, "glibc"), W("gnueabihf", LIBC, "glibc"),
	W("musl", LIBC, "musl"), W("musleabihf", LIBC, "musl"),
/* clang-format on */
#undef W
};

struct named {
	str value[NAXES][NAMED_MOST];
	size_t n[NAXES];
};

static bool same_word(str a, str lower)
{
	for (size_t i = 0; a.n == lower.n && i < a.n; i++) {
		char c = a.p[i] >= 'A' && a.p[i] <= 'Z' ? (char)(a.p[i] + 32) : a.p[i];
		if (c != lower.p[i])
			return false;
	}
	return a.n == lower.n;
}

static void named_word(struct named *d, str word)
{
	for (size_t i = 0; i < sizeof(word_table) / sizeof(word_table[0]); i++) {
		enum axis x = word_table[i].axis;
		if (same_word(word, word_table[i].word) && d->n[x] < NAMED_MOST)
			d->value[x][d->n[x]++] = word_table[i].value;
	}
}

/* The words of NAME, without its scope, between "-", "_" and ".". */
static void named_find(struct named *d, str name)
{
	size_t slash = str_find(name, '/', 0), from = slash == SIZE_MAX ? 0 : slash + 1;

	for (size_t i = from; i <= name.n; i++) {
		if (i < name.n && name.p[i] != '-' && name.p[i] != '_' && name.p[i] != '.')
			continue;
		named_word(d, str_head(str_from(name, from), i - from));
		from = i + 1;
	}
}

/* Fills what LIST (by axis) lacks. A name alone, without any of the three fields, must name a
 * system: "x64" is not enough. */
static void lists_complete(struct str_list list[NAXES], struct named *d, str name)
{
	bool declares = list[AXIS_OS].n || list[AXIS_CPU].n || list[AXIS_LIBC].n;

	if (list[AXIS_OS].n && list[AXIS_CPU].n && list[AXIS_LIBC].n)
		return;
	named_find(d, name);
	if (!declares && !d->n[AXIS_OS])
		return;
	for (int x = 0; x < NAXES; x++) {
		if (!list[x].n)
			list[x] = (struct str_list){ d->value[x], d->n[x] };
	}
}

/* 1: LIST names VALUE, -1: it excludes it, 0: neither. */
static int list_says(struct str_list list, str value)
{
	for (size_t i = 0; i < list.n; i++) {
		bool no = str_starts(list.p[i], STR("!"));
		if (str_eq(no ? str_from(list.p[i], 1) : list.p[i], value))
			return no ? -1 : 1;
	}
	return 0;
}

static bool only_exclusions(struct str_list list)
{
	for (size_t i = 0; i < list.n; i++) {
		if (!str_starts(list.p[i], STR("!")))
			return false;
	}
	return true;
}

static bool axis_takes(struct str_list list, str here, struct str_list supported)
{
	struct str_list one = { &here, 1 }, have = supported.n ? supported : one;
	bool named = false;

	if (!list.n || (list.n == 1 && str_eq(list.p[0], STR("any"))))
		return true;
	for (size_t i = 0; i < have.n; i++) {
		int says = list_says(list, str_eq(have.p[i], STR("current")) ? here : have.p[i]);
		if (says < 0)
			return false;
		named |= says > 0;
	}
	return named || only_exclusions(list);
}

/* What is no range takes no node, as node-semver has it. */
static bool node_takes(str wanted, str version, struct arena *a)
{
	struct semver v;

	if (!wanted.n || !version.n || !semver_parse(&v, version, true))
		return true;
	const struct range *r = range_parse_apart(wanted, true, a);
	return r && range_has(r, &v, true);
}

enum installable installable_on(
	const struct runs_on *p, const struct platform *here, const struct settings *s, bool optional, struct arena *a)
{
	struct str_list list[NAXES] = { [AXIS_OS] = p->os, [AXIS_CPU] = p->cpu, [AXIS_LIBC] = p->libc };
	struct named d = { .n = { 0 } };

	if (optional)
		lists_complete(list, &d, p->name);
	if (!axis_takes(list[AXIS_OS], here->os, s->supported_os) ||
		!axis_takes(list[AXIS_CPU], here->cpu, s->supported_cpu) ||
		(here->libc.n && !axis_takes(list[AXIS_LIBC], here->libc, s->supported_libc)))
		return INSTALLABLE_OTHER_PLATFORM;
	return node_takes(p->node, here->node_version, a) ? INSTALLABLE_YES : INSTALLABLE_OTHER_NODE;
}
