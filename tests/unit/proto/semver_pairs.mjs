// Writes what node-semver says of generated versions and ranges, for semver_pairs_test.c.
//
//	npm install semver@7 && node semver_pairs.mjs | zstd -19 > semver_pairs.zst
//
// One JSON array a line, in this order:
//	["v", text, printed strictly or null, printed loosely or null]
//	["c", I, loose, row]	compare(versions I, J) for J > I in steps: "<", "=", ">", "!" where one is no version
//	["r", text, strict Range#range or null, loose Range#range or null, hits × 4]
//		hits: satisfies() of every version in hex, four a digit, highest bit first; modes are strict, loose, strict and
//		loose with includePrerelease
//	["p", I, row × 4]	intersects (1) + subset (2) of range I and its partners, per mode; "!" where one is invalid
import semver from "semver";

let seed = Number(process.argv[2] ?? 20261121);
const nRanges = Number(process.argv[3] ?? 6000);
const nVersions = Number(process.argv[4] ?? 400);
const next = () => {
	seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
	return seed / 4294967296;
};
const below = (n) => Math.floor(next() * n);
const pick = (list) => list[below(list.length)];
const chance = (p) => next() < p;

const MAX = "9007199254740991";
const blanks = [" ", " ", " ", "  ", "\t", "\n", "\u00a0", "\ufeff", "\u2003", "\u2028", "\v\f\r", "\u3000", "\u1680"];
const number = () =>
	chance(0.9) ? String(pick([0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 9, 10, 17, 99]))
	: chance(0.5) ? pick(["00", "01", "007", "000", "10000", "20261121", "34", "123"])
	: pick([MAX, "9007199254740990", "9007199254740992", "999999999999999999999", "1" + "0".repeat(21),
		"1" + "0".repeat(20), "123456789012345678901234", "9".repeat(256), "9".repeat(257), "0".repeat(20) + "5", "1".repeat(300)]);
const identifier = () =>
	pick(["0", "0", "1", "2", "10", "01", "alpha", "beta", "beta", "rc", "x", "X", "a", "A", "-", "--", "-1", "1a", "0a", "01a", "v", "b-c",
		MAX, "9007199254740992", "9007199254740993", "123456789012345678901234", "123456789012345678901235", "999999999999999999",
		"a".repeat(40), "next", "canary", "20200101"]);
const prerelease = () => {
	let s = identifier();
	while (chance(0.4))
		s += "." + identifier();
	return s;
};
const core = () => `${number()}.${number()}.${number()}`;
const version = () => {
	let s = core();
	if (chance(0.5))
		s += pick(["-", "-", "-", "-", "-", ""]) + prerelease();
	if (chance(0.1))
		s += "+" + pick(["b", "build.1", "001", "a-b.c", "x", ""]);
	if (chance(0.15))
		s = pick(["v", "=", "v=", "= ", "=v", "vv", " v ", "V"]) + s;
	if (chance(0.03))
		s = pick(blanks) + s + pick(blanks);
	return s;
};
const xid = () => (chance(0.25) ? pick(["x", "X", "*", ""]) : number());
const partial = () => {
	let s = xid();
	for (let i = below(4); i > 0; i--)
		s += "." + xid();
	if (chance(0.2))
		s += pick(["-", "-", ""]) + prerelease();
	if (chance(0.05))
		s += "+" + pick(["b", "1.2", ""]);
	return s;
};
const operator = () => pick(["", "", "^", "^", "^", "~", "~", "~>", ">=", ">=", ">", "<", "<=", "=", "==", "=>", "><", "^^", "~^", "~>=", ">=<"]);
const gap = () => (chance(0.85) ? "" : pick(blanks));
const comparator = () => operator() + gap() + (chance(0.1) ? pick(["v", "=", "=v", "v "]) : "") + (chance(0.5) ? version() : partial());
const garbage = () => {
	const alphabet = ["0", "1", "2", "3", ".", ".", "-", "+", "x", "X", "*", "v", "=", ">", "<", "~", "^", "|", "||", " ", "a", "beta", "\u0000", "\u0001",
		"\u007f", "\u00e9", "\u{1f600}", ",", "&&", "latest", "\t", "\u00a0", "/", ":", "1.2.3", "0.0.0", "-0", " - ", "||", "(", "_"];
	let s = "";
	for (let i = below(9); i >= 0; i--)
		s += pick(alphabet);
	return s;
};
const conjunction = () => {
	if (chance(0.12))
		return partial() + pick([" - ", " - ", " - ", "  -  ", "-", " -", " -\t", " +b - "]) + (chance(0.7) ? partial() : version());
	let s = comparator();
	while (chance(0.35))
		s += pick([" ", " ", " ", "  ", ", ", "\t", " +a ", ""]) + comparator();
	return s;
};
const range = () => {
	if (chance(0.08))
		return garbage();
	let s = conjunction();
	while (chance(0.25))
		s += pick(["||", " || ", "|| ", " ||", "|", " | ", "||||"]) + (chance(0.1) ? garbage() : conjunction());
	if (chance(0.03))
		s = pick([...blanks, "||", "*||"]) + s + pick([...blanks, "||", "||*"]);
	return s;
};
const mutate = (s) => {
	const i = below(s.length + 1);
	return chance(0.5) ? s.slice(0, i) + s.slice(i + 1) : s.slice(0, i) + garbage() + s.slice(i);
};
const simple = () => {
	const v = () => `${below(3)}.${below(4)}.${below(4)}` + (chance(0.3) ? "-" + pick(["0", "1", "alpha", "beta.1", "beta.2", "rc"]) : "");
	const c = () => pick(["^", "~", ">=", ">", "<", "<=", "", "^", ">="]) + v();
	let s = c();
	while (chance(0.3))
		s += " " + c();
	if (chance(0.2))
		s = `${v()} - ${v()}`;
	while (chance(0.2))
		s += " || " + c();
	return s;
};

const fixedVersions = ["", " ", "1", "1.2", "1.2.3", "v1.2.3", "=v1.2.3", "1.2.3.4", "1.2.34.5", "1.2.34.b", "1.2.3-", "1.2.3--", "1.2.3-.a", "1.2.3+", "1.2.3-a..b",
	"1.2.3-01", "1.2.3-0", "0.0.0", "0.0.0-0", "0.0.0-a", "1.2.3-beta+x.y", "1.2.3+x-y", "1.2.3beta", "1.2.3beta.1", "01.2.3", `${MAX}.${MAX}.${MAX}`,
	"9007199254740992.0.0", "1.2.3-" + "a".repeat(250), "1.2.3-" + "a".repeat(251), "1.2.3+" + "a".repeat(250), "v1.2.3-" + "a".repeat(249),
	"\u00a01.2.3\ufeff", "\u00a0".repeat(125) + "1.2.3" + "\u00a0".repeat(126), "\u00a0".repeat(126) + "1.2.3" + "\u00a0".repeat(126), "1.2.3\n", "1.2.3\u0000",
	"1. 2.3", "x.y.z", "latest", "1.2.3-9007199254740993", "1.2.3-9007199254740992", "1.2.3-9007199254740992.1", "1.2.3-9007199254740993.0", "1.2.3-" + "1".repeat(250)];
const fixedRanges = ["", "*", " ", "||", "||||", "x", "X", "*.*.*", "x.1", "1.x.3", "*-beta", "1.x.x-beta", "1.2.3*", "1.2.3-*", "**", "~", "^", "~>", ">", "<", ">=", "=", "v",
	">*", "<*", ">=*", "<=*", ">x", "<x || 1", "<0.0.0-0", "<0.0.0", "<0.0.0-1 || >1", ">2 <1", ">2 <1 || >4 <3", ">=0.0.0", ">= 0.0.0", ">=0.0.0-0", "v>=1", "> =1.2.3",
	"1 - 2", "1.2 - 3.x", "* - 1", "1 - *", "v1.2.3 - v2", "=1.2.3 - 2", "1.2.3 - 2.3.4", "1.2.3-a - 2.3.4-b", "1 -2", "1- 2", "1 - 2 - 3", "1 - 2 3", "1 - 2 || 3 - 4",
	"1.2.3 +a - 2", " +a 1 - 2", "> +a 1.2.3", "1 +a +b 2", `1 - ${"1" + "0".repeat(21)}`, `1 - 1.${"1" + "0".repeat(21)}`, `1 - 1.2.${"1" + "0".repeat(21)}`,
	`1 - 1.2.${MAX}`, `1.2.${MAX}`, `^${MAX}`, `^0.0.${MAX}`, `~1.${MAX}.0`, `>1.${"1" + "0".repeat(21)}`, `>1.${"1" + "0".repeat(21)} || 2`, `<=1.${MAX}`, "^00.1.2", "^0.00.3", "^0", "^0.0",
	"^0.0.x", "^0.x.5", "^x.2.3", "~x.2", "~0.x.9", "^1.2.3-0", "^0.0.0-0", "~> 1.2", "~>=1.2", "^ 1", "~ 1", "^v1", "~=v1.2", "latest", "next || 1", "foo 1.2.3", "1.2.3 foo",
	"foo bar", "1.2.3 x y", "http://a/b", "file:../a", "npm:a@1", "workspace:*", "1.2.3 <2 || foo", "1.2.34.5", "^1.2.34.b", "1.2.3.4", ">=1.2.3 >=1.2.3", ">=01.02.03",
	"1.2.3-01", ">1.2.3-01 <1.2.3-9", "x || 1.x", "1.x || *", "<0.0.0-0 || *", "\u00a0^1.2.3\ufeff", "^1.2.3\u0000", "a".repeat(300), "1.2.3-" + "a".repeat(251), "1.2.3-" + "a".repeat(252),
	">=1.2.3-" + "a".repeat(250), "1.2." + "3".repeat(256), "1.2." + "3".repeat(257), "1.2." + "3".repeat(300), "1 || ".repeat(60) + "2", ">=1 ".repeat(90)];

const versions = [...fixedVersions];
while (versions.length < nVersions)
	versions.push(chance(0.4) ? `${below(3)}.${below(4)}.${below(4)}` + (chance(0.5) ? "-" + pick(["0", "1", "alpha", "beta.1", "beta.2", "beta.10", "rc", "x.y"]) : "")
		: chance(0.85) ? version() : mutate(version()));
const ranges = [...fixedRanges];
while (ranges.length < nRanges)
	ranges.push(chance(0.3) ? simple() : chance(0.9) ? range() : mutate(range()));

const attempt = (f) => {
	try {
		return f();
	} catch (e) {
		if (!(e instanceof TypeError))
			throw e;
		return null;
	}
};
const print = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const valid = (r, o) => attempt(() => new semver.Range(r, { loose: o.loose })) !== null;
const modes = [{}, { loose: true }, { includePrerelease: true }, { loose: true, includePrerelease: true }];

for (const v of versions)
	print(["v", v, semver.valid(v), semver.valid(v, { loose: true })]);
for (let i = 0; i < versions.length; i++) {
	for (const loose of [false, true]) {
		let row = "";
		for (let j = i + 1; j < versions.length && row.length < 60; j += 1 + (i % 3))
			row += attempt(() => "<=>"[semver.compare(versions[i], versions[j], loose) + 1]) ?? "!";
		print(["c", i, loose, row]);
	}
}
for (const r of ranges) {
	const text = (o) => attempt(() => new semver.Range(r, o).range);
	const hits = (o) => {
		// Past 1e21 an exponent can make a range that is only valid with includePrerelease; range_parse() has one answer.
		const range = !valid(r, o) ? null : attempt(() => new semver.Range(r, o));
		let row = "";
		for (let i = 0; i < versions.length; i += 4)
			row += [8, 4, 2, 1].reduce((sum, bit, k) => sum + (range && i + k < versions.length && range.test(versions[i + k]) ? bit : 0), 0).toString(16);
		return row;
	};
	print(["r", r, text({}), text({ loose: true }), ...modes.map(hits)]);
}
for (let i = 0; i < ranges.length; i++) {
	const row = (o) => {
		let s = "";
		for (let k = 0; k < 12; k++) {
			const other = ranges[(i + 1 + k * k * 7) % ranges.length];
			s += !valid(ranges[i], o) || !valid(other, o) ? "!" : attempt(() => String(Number(semver.intersects(ranges[i], other, o)) + 2 * Number(semver.subset(ranges[i], other, o)))) ?? "!";
		}
		return s;
	};
	print(["p", i, ...modes.map(row)]);
}
