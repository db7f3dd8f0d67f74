// minimumReleaseAge, trustPolicy and what always holds of a lockfile: the same verdicts as pnpm 12.21's on every case of policy-cases.mjs, directly
// and through drayd; kept verdicts ask for nothing.
// usage: policy.mjs DRAY DRAYD            compares with policy-expected.json
//        policy.mjs --oracle PNPM         writes it
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cases, table } from './policy-cases.mjs'
import { registryStart } from './policy-registry.mjs'
import { draydStart, run } from './rig.mjs'

const expectedFile = join(dirname(fileURLToPath(import.meta.url)), 'policy-expected.json')
const work = mkdtempSync(join(tmpdir(), 'dray-e2e-policy-'))
const registry = await registryStart(table)
const parallel = 4
let count = 0

function project(dir, c, deps, yaml) {
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: deps }))
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), yaml + '\n')
}
// Makes the case's lockfile with INSTALL and runs what is judged; versions that came into the lockfile, and the rules that were violated.
async function judge(name, c, install, kinds) {
  const dir = join(work, `p${count++}`)
  if (c.made) {
    project(dir, c, c.deps, c.made)
    const r = await install(dir, ['--lockfile-only'], 'making')
    assert.equal(r.status, 0, `${name}: ${r.out}`)
    const file = join(dir, 'pnpm-lock.yaml'), was = readFileSync(file, 'utf8')
    if (c.edit) writeFileSync(file, c.edit(was, registry.url, registry.docs))
  }
  const deps = { ...(c.manifest ?? c.deps), ...c.add }
  for (const d of c.drop ?? []) delete deps[d]
  project(dir, c, deps, c.used)
  const before = existsSync(join(dir, 'pnpm-lock.yaml')) ? readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8') : ''
  const r = await install(dir, c.args ?? (c.made ? ['--frozen-lockfile'] : []), 'judging')
  const after = existsSync(join(dir, 'pnpm-lock.yaml')) ? readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8') : ''
  if (r.status) assert.equal(after, before, `${name}: a failed install changes no lockfile`)
  const rules = Object.entries(kinds).filter(([, re]) => re.test(r.out)).map(([k]) => k).sort()
  const locked = [...after.matchAll(/^  '?(@?[\w./-]+@[\d][\w.-]*)'?:$/gm)].map((m) => m[1])
  return { dir, out: r.out, got: r.status ? { fails: rules } : { installs: [...new Set(locked)].sort() } }
}
// FN over all cases, a few at a time.
async function each(fn) {
  const todo = Object.entries(cases)
  await Promise.all(Array.from({ length: parallel }, async () => {
    for (let next; (next = todo.shift());) await fn(...next)
  }))
}

async function oracle(pnpm) {
  const kinds = { age: /MINIMUM_RELEASE_AGE_VIOLATION/, trust: /TRUST_DOWNGRADE|trust downgrade/, integrity: /MISSING_TARBALL_INTEGRITY/, url: /TARBALL_URL_MISMATCH/, shape: /RESOLUTION_SHAPE_MISMATCH/ }
  const expected = {}
  const install = (dir, args, what) => run(pnpm, ['install', '--ignore-scripts', '--reporter=append-only', `--config.cacheDir=${dir}-cache-${what}`, ...args], { cwd: dir, env: { PATH: process.env.PATH, HOME: work, pnpm_config_registry: registry.url + '/', XDG_CACHE_HOME: dir + '-cache', XDG_DATA_HOME: dir + '-data', NO_COLOR: '1' } })
  await each(async (name, c) => { expected[name] = (await judge(name, c, install, kinds)).got })
  writeFileSync(expectedFile, '{\n' + Object.keys(cases).map((k) => `  ${JSON.stringify(k)}: ${JSON.stringify(expected[k])}`).join(',\n') + '\n}\n')
}

// The words of dray for each rule.
const kinds = { age: /\(minimumReleaseAge\)/, trust: /\(trustPolicy(: no-downgrade)?\)/, integrity: /has no integrity/, url: /tarball URL/, shape: /comes from somewhere else/ }
const installer = (dray, how) => (dir, args, what, more = {}) => run(dray, ['install', '--ignore-scripts', '--reporter', 'ndjson', '--store-dir', more.store ?? `${dir}-store-${what}`, '--registry', registry.url, ...how, ...args], { cwd: dir, env: { PATH: process.env.PATH, HOME: work } })

async function compare(dray, how, label) {
  const expected = JSON.parse(readFileSync(expectedFile, 'utf8')), install = installer(dray, how)
  let same = 0
  await each(async (name, c) => {
    const { got, out } = await judge(name, c, install, kinds)
    try {
      assert.deepEqual(got, expected[name])
      same++
    } catch {
      console.log(`FAIL ${label} ${name}: expected ${JSON.stringify(expected[name])}, got ${JSON.stringify(got)}\n${out}`)
    }
  })
  console.log(`${same} of ${Object.keys(cases).length} as pnpm, ${label}`)
  assert.equal(same, Object.keys(cases).length)
}

const event = (out, name) => out.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l)).find((e) => e.event === name)
const source = (r) => event(r.out, 'verdict')?.source

// A verdict is given once: for the lockfile that was resolved here, for one that came from elsewhere, and again when the rule is sharper.
async function testKept(dray) {
  const install = installer(dray, ['--direct']), dir = join(work, `p${count++}`), store = { store: join(work, 'kept') }
  project(dir, {}, { old: '^1.0.0' }, '')
  let r = await install(dir, [], '', store)
  assert.equal(r.status, 0, r.out)
  const again = async (want, args = [], asked = []) => {
    rmSync(join(dir, 'node_modules'), { recursive: true, force: true })
    registry.asked.length = 0
    r = await install(dir, ['--frozen-lockfile', ...args], '', store)
    assert.equal(r.status, 0, r.out)
    assert.equal(source(r), want)
    assert.deepEqual(registry.asked, asked)
  }
  await again('kept') // it was resolved under the rules
  project(dir, {}, { old: '^1.0.0' }, 'minimumReleaseAge: 10080') // sharper, and the packument in the store says enough
  await again('direct')
  await again('kept')
  project(dir, {}, { old: '^1.0.0' }, 'minimumReleaseAge: 60') // milder: the sharper verdict answers
  await again('kept')
  project(dir, {}, { old: '^1.0.0' }, 'minimumReleaseAge: 0') // nothing to check: nothing is said
  await again(undefined)
  project(dir, {}, { old: '^1.0.0' }, 'minimumReleaseAge: 60\nminimumReleaseAgeExclude:\n  - other') // another list
  await again('direct')
  await again('kept', ['--offline'])
  // a kept verdict starts no network: libcurl, which takes longer to load than a warm install may take, stays on disk
  const quiet = async () => (await run(dray, ['install', '--frozen-lockfile', '--force', '--store-dir', store.store, '--registry', registry.url, '--direct'], { cwd: dir, env: { PATH: process.env.PATH, HOME: work, LD_DEBUG: 'files', ASAN_OPTIONS: 'detect_leaks=0' } })).out
  assert.doesNotMatch(await quiet(), /libcurl/)
  project(dir, {}, { old: '^1.0.0' }, 'minimumReleaseAge: 10081\ntrustPolicy: no-downgrade') // the packument in the store is the short one
  assert.match(await quiet(), /libcurl/)
}

// Of what is downloaded in any case the time of the last change is enough, as it is for pnpm; packuments are asked for where that is too late, where
// the registry tells none, and for what the store has already.
async function testHeads(dray) {
  const install = installer(dray, ['--direct']), dir = join(work, `p${count++}`)
  project(dir, {}, { old: '^1.0.0', recent: '^1.0.0' }, 'minimumReleaseAge: 0')
  assert.equal((await install(dir, ['--lockfile-only'], 'making')).status, 0)
  const gets = () => registry.asked.filter((a) => a.startsWith('GET') && !a.endsWith('.tgz')), heads = () => registry.asked.filter((a) => a.startsWith('HEAD')).sort()
  const cold = async (what, more) => {
    rmSync(join(dir, 'node_modules'), { recursive: true, force: true })
    registry.asked.length = 0
    const r = await install(dir, ['--frozen-lockfile'], what, more)
    assert.equal(r.status, 0, r.out)
    return source(r)
  }
  project(dir, {}, { old: '^1.0.0', recent: '^1.0.0' }, 'minimumReleaseAge: 1')
  assert.equal(await cold('heads'), 'direct')
  assert.deepEqual(heads(), ['HEAD /old', 'HEAD /recent'])
  assert.deepEqual(gets(), [])
  assert.equal(await cold('heads'), 'kept')
  assert.deepEqual(registry.asked, [])
  // what the store has is not downloaded, and shows nothing
  project(dir, {}, { old: '^1.0.0', recent: '^1.0.0' }, 'minimumReleaseAge: 2')
  assert.equal(await cold('heads'), 'direct')
  assert.deepEqual(heads(), [])
  assert.deepEqual(gets().sort(), ['GET /old', 'GET /recent'])
  // changed since the cutoff: the times of all versions are asked for, at once
  const ago = (Date.now() - Date.parse(registry.docs.get('recent').time.modified)) / 60e3
  registry.docs.get('old').time.modified = new Date().toISOString()
  project(dir, {}, { old: '^1.0.0', recent: '^1.0.0' }, `minimumReleaseAge: ${Math.floor(ago / 2)}`)
  assert.equal(await cold('changed'), 'direct')
  assert.deepEqual(heads(), ['HEAD /old', 'HEAD /recent'])
  assert.deepEqual(gets(), ['GET /old'])
  // a registry that does not tell
  registry.setSilent(true)
  assert.equal(await cold('silent'), 'direct')
  assert.deepEqual([...new Set(gets())].sort(), ['GET /old', 'GET /recent'])
  registry.setSilent(false)
  // an optional package that cannot be had: nothing shows that it is there, and the verdict is not kept
  const optional = join(work, `p${count++}`)
  project(optional, {}, { old: '^1.0.0' }, '')
  writeFileSync(join(optional, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { old: '^1.0.0' }, optionalDependencies: { recent: '^1.0.0' } }))
  const used = 'minimumReleaseAge: 1\nfetchRetries: 0'
  writeFileSync(join(optional, 'pnpm-workspace.yaml'), used + '\n')
  assert.equal((await install(optional, ['--lockfile-only'], 'making')).status, 0)
  const gone = [...registry.files.keys()].filter((f) => f.startsWith('/recent/')).map((f) => [f, registry.files.get(f)])
  for (const [f] of gone) registry.files.delete(f)
  for (let i = 0; i < 2; i++) {
    rmSync(join(optional, 'node_modules'), { recursive: true, force: true })
    const r = await install(optional, ['--frozen-lockfile'], 'gone')
    assert.equal(r.status, 0, r.out)
    assert.match(r.out, /could not be fetched/)
    assert.equal(source(r), 'direct')
  }
  for (const [f, bytes] of gone) registry.files.set(f, bytes)
}

// Nothing is built before the verdict, and a bad one leaves no tree behind.
async function testGate(dray) {
  const install = installer(dray, ['--direct']), dir = join(work, `p${count++}`)
  project(dir, {}, { young: '^1.0.0' }, 'minimumReleaseAge: 0')
  assert.equal((await install(dir, ['--lockfile-only'], 'making')).status, 0)
  project(dir, {}, { young: '^1.0.0' }, '')
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { young: '^1.0.0' }, scripts: { postinstall: 'touch built' } }))
  const r = await run(dray, ['install', '--frozen-lockfile', '--store-dir', `${dir}-store`, '--registry', registry.url, '--direct'], { cwd: dir, env: { PATH: process.env.PATH, HOME: work } })
  assert.notEqual(r.status, 0, r.out)
  assert.match(r.out, /young@1\.1\.0 was published at/)
  assert.deepEqual(readdirSync(dir).sort(), ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml'])
  // A registry that cannot be asked is no licence.
  registry.setDown(true)
  const down = await install(dir, ['--frozen-lockfile', '--lockfile-only', '--offline'], 'down')
  assert.notEqual(down.status, 0)
  assert.match(down.out, /cannot be checked/)
  registry.setDown(false)
}

// What an install writes into pnpm-workspace.yaml itself is nothing to do for the next one, also where only some projects were asked for.
async function testExcluded(dray) {
  for (const args of [[], ['--filter', 'p']]) {
    const dir = join(work, `p${count++}`), yaml = join(dir, 'pnpm-workspace.yaml')
    project(dir, {}, { young: '^1.1.0' }, 'packages:\n  - q')
    mkdirSync(join(dir, 'q'))
    writeFileSync(join(dir, 'q/package.json'), JSON.stringify({ name: 'q', version: '1.0.0', dependencies: { old: '^1.0.0' } }))
    const install = (...more) => run(dray, ['install', '--store-dir', `${dir}-store`, '--registry', registry.url, '--direct', ...more], { cwd: dir, env: { PATH: process.env.PATH, HOME: work } })
    const r = await install(...args)
    assert.equal(r.status, 0, r.out)
    assert.match(readFileSync(yaml, 'utf8'), /minimumReleaseAgeExclude:\n +- '?young@1\.1\.0/, r.out)
    const whole = await install()
    assert.equal(whole.status, 0, whole.out)
    if (!args.length) assert.match(whole.out, /up to date/)
    assert.match((await install()).out, /up to date/)
    writeFileSync(yaml, readFileSync(yaml, 'utf8') + '# an edit\n')
    assert.doesNotMatch((await install()).out, /up to date/)
  }
}

// drayd judges for everybody: the second client's question goes no further than drayd.
async function testServer(dray, drayd) {
  const d = await draydStart(drayd, join(work, 'drayd'), '--registry', registry.url, '--pack-settle-level', '0')
  await compare(dray, ['--server', d.url, '--server-fallback', 'error'], 'through drayd')
  const install = installer(dray, ['--server', d.url, '--server-fallback', 'error']), dir = join(work, `p${count++}`)
  project(dir, {}, { old: '^1.0.0', recent: '^1.0.0' }, '')
  assert.equal((await install(dir, ['--lockfile-only'], 'making')).status, 0)
  for (const client of ['first', 'second']) {
    let r
    // A machine that lets it be silent for a second is not what this is about; each try has a store of its own.
    for (let i = 0; i === 0 || (i < 30 && /no answer within \d+ ms/.test(r.out)); i++) {
      registry.asked.length = 0
      r = await install(dir, ['--frozen-lockfile', '--lockfile-only'], `${client}${i}`)
      assert.equal(r.status, 0, r.out)
    }
    assert.equal(source(r), 'server', r.out)
    if (client === 'second') assert.deepEqual(registry.asked.filter((a) => !a.endsWith('.tgz')), []) // it makes packs when it gets to it
  }
  await d.stop()
  // gone: this process judges, and says so
  const r = await installer(dray, ['--server', d.url])(dir, ['--frozen-lockfile', '--lockfile-only'], 'gone')
  assert.equal(r.status, 0, r.out)
  assert.equal(source(r), 'direct')
  assert.match(r.out, /did not check the lockfile/)
  // silent: not waited for
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await new Promise((ok) => silent.on('listening', ok))
  const s = await installer(dray, ['--server', `http://127.0.0.1:${silent.address().port}`])(dir, ['--frozen-lockfile', '--lockfile-only'], 'silent')
  assert.equal(s.status, 0, s.out)
  assert.equal(source(s), 'direct')
  silent.close()
}

try {
  const [a, b] = process.argv.slice(2)
  if (a === '--oracle') {
    await oracle(b)
  } else {
    await compare(a, ['--direct'], 'directly')
    await testKept(a)
    await testHeads(a)
    await testGate(a)
    await testExcluded(a)
    await testServer(a, b)
  }
} finally {
  registry.close()
  rmSync(work, { recursive: true, force: true })
}
