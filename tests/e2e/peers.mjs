// Peers that are missing or bad: what is said of them, exit status and lockfile as pnpm 12.21's on every case of peers-cases.mjs, directly and
// through drayd; with strictPeerDependencies nothing is written.
// usage: peers.mjs DRAY DRAYD            compares with peers-expected.json
//        peers.mjs --oracle PNPM         writes it
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cases, table } from './peers-cases.mjs'
import { registryStart } from './policy-registry.mjs'
import { draydStart, run } from './rig.mjs'

const expectedFile = join(dirname(fileURLToPath(import.meta.url)), 'peers-expected.json')
const work = mkdtempSync(join(tmpdir(), 'dray-e2e-peers-'))
const registry = await registryStart(table)
let count = 0

function project(c, more = '') {
  const dir = join(work, `p${count++}`)
  mkdirSync(dir)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: c.deps, devDependencies: c.dev, optionalDependencies: c.optional, peerDependencies: c.peer }))
  for (const [path, manifest] of Object.entries(c.packages ?? {})) {
    mkdirSync(join(dir, path), { recursive: true })
    writeFileSync(join(dir, path, 'package.json'), JSON.stringify({ name: path, ...manifest }))
  }
  const yaml = [c.packages && `packages: [${Object.keys(c.packages).join(', ')}]`, c.yaml, more].filter(Boolean)
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), yaml.join('\n') + '\n')
  return dir
}
// The list as lines, from its first cross (or the project above it) to what follows it.
function listed(out) {
  const lines = out.split('\n'), first = lines.findIndex((l) => /^ *✕/.test(l))
  if (first < 0) return []
  let from = first, to = first
  if (lines[first].startsWith(' ')) from--
  while (to < lines.length && (/^(✕|  )/.test(lines[to]) || /^  ✕/.test(lines[to + 1] ?? '') || (lines[to] === '' && /^ *✕/.test(lines[to + 1] + lines[to + 2])))) to++
  return lines.slice(from, to).filter(Boolean)
}
// pnpm names the packages that want the same range in the order of a hash table.
function sorted(list) {
  const out = []
  for (let i = 0, k; i < list.length; i = k) {
    for (k = i + 1; /@/.test(list[i]) && !/[:✕]/.test(list[i]) && list[k] && !/[:✕]/.test(list[k]);) k++
    out.push(...list.slice(i, k).sort())
  }
  return out
}
const lockfileOf = (dir) => readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8').replace(/sha512-[\w+/=]+/g, 'SRI')

async function oracle(pnpm) {
  const expected = {}
  const install = (dir, ...args) => run(pnpm, ['install', '--ignore-scripts', '--reporter=append-only', ...args], { cwd: dir, env: { PATH: process.env.PATH, HOME: work, pnpm_config_registry: registry.url + '/', XDG_CACHE_HOME: join(work, 'cache'), XDG_DATA_HOME: join(work, 'data'), NO_COLOR: '1' } })
  for (const [name, c] of Object.entries(cases)) {
    const strict = await install(project(c, 'strictPeerDependencies: true')), dir = project(c), plain = await install(dir)
    assert.equal(plain.status, 0, `${name}: ${plain.out}`)
    expected[name] = { warns: /Issues with peer dependencies/.test(plain.out), strict: strict.status, list: sorted(listed(strict.out)), lockfile: lockfileOf(dir) }
    if (strict.status) assert.match(strict.out, /ERR_PNPM_PEER_DEP_ISSUES/, `${name}: ${strict.out}`)
  }
  writeFileSync(expectedFile, '{\n' + Object.keys(cases).map((k) => `  ${JSON.stringify(k)}: ${JSON.stringify(expected[k])}`).join(',\n') + '\n}\n')
}

const installer = (dray, how) => (dir, ...args) => run(dray, ['install', '--ignore-scripts', '--reporter', 'append-only', '--store-dir', join(work, 'store'), '--registry', registry.url, ...how, ...args], { cwd: dir, env: { PATH: process.env.PATH, HOME: work } })
const has = (dir) => readdirSync(dir).filter((f) => f === 'node_modules' || f === 'pnpm-lock.yaml')

async function compare(dray, how, label) {
  const expected = JSON.parse(readFileSync(expectedFile, 'utf8')), install = installer(dray, how), wrong = []
  for (const [name, c] of Object.entries(cases)) {
    const want = expected[name], dir = project(c), plain = await install(dir)
    const strictDir = project(c, 'strictPeerDependencies: true'), strict = await install(strictDir)
    try {
      assert.equal(plain.status, 0, plain.out)
      assert.equal(/issues with peer dependencies/.test(plain.out), want.warns, plain.out)
      assert.deepEqual(listed(plain.out), want.list)
      if (!c.listOnly) assert.equal(lockfileOf(dir), want.lockfile)
      assert.equal(strict.status !== 0, want.strict !== 0, strict.out)
      assert.deepEqual(listed(strict.out), want.list)
      if (strict.status) assert.match(strict.out, /unmet peer dependencies/)
      if (strict.status) assert.deepEqual(has(strictDir), [], 'nothing is written')
      // what is there already is no reason to fail, nor to say it again: no resolution, as with pnpm
      const again = await install(dir, '--frozen-lockfile', '--force')
      assert.equal(again.status, 0, again.out)
      assert.deepEqual(listed(again.out), [])
    } catch (e) {
      wrong.push(`${label} ${name}: ${e.message}`)
    }
  }
  assert.equal(wrong.length, 0, wrong.join('\n\n'))
  console.log(`${label}: ${Object.keys(cases).length} cases as pnpm`)
}
// Chains, for machines.
async function events(dray, how) {
  const r = await installer(dray, ['--reporter', 'ndjson', ...how])(project(cases['bad-deep']))
  const issues = r.out.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l)).filter((l) => l.event === 'peer-issue')
  assert.deepEqual(issues.map(({ us, ...x }) => x), [{ event: 'peer-issue', kind: 'bad', project: '.', peer: 'host', wanted: '^2.0.0', found: '1.0.0', by: 'plug-2@1.0.0', chain: '. > deeper@1.0.0 > deep@1.0.0 > plug-2@1.0.0', optional: false }])
}

const [how, what] = process.argv.slice(2)
try {
  if (how === '--oracle') {
    await oracle(what)
  } else {
    await compare(how, [], 'directly')
    await events(how, [])
    const drayd = await draydStart(what, join(work, 'drayd'), '--registry', registry.url, '--pack-settle-level', '0'), through = ['--server', drayd.url, '--server-fallback', 'error']
    await compare(how, through, 'through drayd')
    await events(how, through)
    await drayd.stop()
  }
} finally {
  registry.close()
  rmSync(work, { recursive: true, force: true })
}
