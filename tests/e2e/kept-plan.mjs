// A warm isolated install reads the lockfile from a kept plan: used, the same tree, not used when something that counts has changed, when it is
// spoiled, or when it cannot be written; and never after the lockfile or a manifest has moved.
// usage: kept-plan.mjs DRAY FIXTURE_REGISTRY PACKAGES
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, differences } from './compare-trees.mjs'
import { eventsOf, fixtureStart } from './rig.mjs'

const [dray, program, packages] = process.argv.slice(2)
const work = realpathSync(mkdtempSync(join(tmpdir(), 'dray-kept-')))
const { url } = await fixtureStart(program, ['--packages', packages])

const env = { ...process.env, CI: '', HOME: work }
const store = join(work, 'store'), plans = join(store, 'plans'), dir = join(work, 'project')
const lock = join(dir, 'pnpm-lock.yaml'), manifest = join(dir, 'package.json')
const args = (more) => ['install', '--registry', url, '--reporter', 'ndjson', '--dir', dir, '--store-dir', store, ...more]
function install(...more) {
  rmSync(join(dir, 'node_modules'), { recursive: true, force: true })
  const r = spawnSync(dray, args(more), { env, encoding: 'utf8' })
  assert.equal(r.status, 0, `${r.status ?? r.signal}: ${r.stderr}${r.stdout}`)
  const events = eventsOf(r.stdout)
  return { ...events.find((e) => e.event === 'summary'), events }
}
const tree = () => describe(dir)
const put = (deps) => writeFileSync(manifest, JSON.stringify({ name: 'kept', version: '1.0.0', dependencies: deps }))
const same = (a, b, what) => { const d = differences(a, b); assert.equal(d.length, 0, `${what}: ${d.slice(0, 10).join('\n')}`) }

mkdirSync(dir)
put({ 'fx-app': '1.0.0', 'fx-bin': '1.0.0', 'fx-bundled': '1.0.0', 'fx-cycle-a': '1.0.0', 'fx-files': '1.0.0', 'fx-platform': '1.0.0' })
assert.equal(install().source, 'direct')
const whole = tree(), text = readFileSync(lock, 'utf8')
assert.equal(readdirSync(plans).length, 1, 'an install that resolved keeps its lockfile')
const again = install()
assert.equal(again.source, 'locked')
assert.equal(again.kept_plan, true)
same(tree(), whole, 'from the plan')
assert.equal(install('--frozen-lockfile').kept_plan, true)
same(tree(), whole, 'from the plan, frozen')
assert.equal(readFileSync(lock, 'utf8'), text)
assert.equal(install('--registry', url.replace('127.0.0.1', 'localhost')).kept_plan, true, 'where bytes come from is not what they are')

// -- a server has nothing to add where all is here: it is not even called ------------------------------------------------
{
  let calls = 0
  const mute = createServer((socket) => { calls++; socket.on('error', () => {}) }) // takes connections, never answers
  await new Promise((ok) => mute.listen(0, '127.0.0.1', ok))
  rmSync(join(dir, 'node_modules'), { recursive: true })
  const child = spawn(dray, args(['--server', `http://127.0.0.1:${mute.address().port}`, '--server-fallback', 'error']), { env, stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (d) => (out += d))
  assert.equal(await new Promise((ok) => child.on('close', ok)), 0)
  assert.equal(calls, 0, 'connections to the server')
  same(tree(), whole, 'with a server that never answers')
  // what a colleague resolved was not judged here yet: then it is called
  rmSync(join(dir, 'node_modules'), { recursive: true })
  writeFileSync(join(dir, 'pnpm-lock.yaml'), `${text}\n`)
  const second = spawn(dray, args(['--server', `http://127.0.0.1:${mute.address().port}`]), { env, stdio: 'ignore' })
  await new Promise((ok) => second.on('close', ok))
  assert.ok(calls > 0, 'the test sees connections')
  writeFileSync(join(dir, 'pnpm-lock.yaml'), text)
  mute.close()
}

// -- what an install that finds all of it here does not load: it would take longer than all else of a small one -----------------
{
  rmSync(join(dir, 'node_modules'), { recursive: true })
  const libraries = (more, how) => [...spawnSync(dray, args(more), { env: { ...env, LD_DEBUG: 'files', ASAN_OPTIONS: 'detect_leaks=0', ...how }, encoding: 'utf8', maxBuffer: 1 << 26 }).stderr.matchAll(/file=lib(crypto|ssl|curl)\.so/g)].map((m) => m[1])
  assert.deepEqual(libraries([]), [])
  same(tree(), whole, 'without them')
  rmSync(join(dir, 'node_modules'), { recursive: true })
  assert.ok(libraries(['--store-dir', join(work, 'other')]).includes('crypto'), 'the test sees what is loaded')
}

// -- spoiled ------------------------------------------------
for (const spoil of [(f) => truncateSync(f, 30), (f) => { const b = readFileSync(f); b[b.length >> 1] ^= 1; writeFileSync(f, b) }, (f) => writeFileSync(f, 'garbage'), (f) => writeFileSync(f, '')]) {
  for (const f of readdirSync(plans)) spoil(join(plans, f))
  assert.equal(install().kept_plan, false)
  same(tree(), whole, 'spoiled')
  assert.equal(install().kept_plan, true, 'a new one took its place')
}

// -- what counts ------------------------------------------------
assert.equal(install('--prod').kept_plan, false, 'other groups')
writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'overrides:\n  fx-leaf: 1.0.0\n')
assert.notEqual(spawnSync(dray, args(['--frozen-lockfile']), { env }).status, 0, 'an override that the lockfile does not have')
rmSync(join(dir, 'pnpm-workspace.yaml'))
writeFileSync(lock, text.replace(/fx-bin:\n +specifier: 1.0.0/, (m) => m.replace('1.0.0', '^1.0.0')))
assert.notEqual(spawnSync(dray, args(['--frozen-lockfile']), { env }).status, 0, 'a lockfile that does not fit')
writeFileSync(lock, text)
put({ 'fx-app': '1.0.0' })
assert.notEqual(spawnSync(dray, args(['--frozen-lockfile']), { env }).status, 0, 'a manifest that it does not fit')
const fewer = install()
assert.equal(fewer.kept_plan, false)
assert.notEqual(readFileSync(lock, 'utf8'), text, 'the lockfile follows the manifest')
assert.equal(install().kept_plan, true, 'and is kept as it is now')

// -- not written: counted, not fatal ------------------------------------------------
rmSync(plans, { recursive: true })
writeFileSync(plans, 'no folder')
const unkept = install()
assert.equal(unkept.kept_plan, false)
assert.ok(unkept.events.some((e) => e.event === 'plan' && e.kept === false), 'said')
rmSync(plans)

// -- prune ------------------------------------------------
install()
const [name] = readdirSync(plans)
const prune = () => spawnSync(dray, ['store', 'prune', '--store-dir', store], { env, encoding: 'utf8' }).stdout
prune()
assert.ok(existsSync(join(plans, name)), 'used lately')
utimesSync(join(plans, name), 1000, 1000)
assert.match(prune(), /removed 1 kept plan/)
assert.ok(!existsSync(join(plans, name)))
rmSync(work, { recursive: true })
console.log('ok')
