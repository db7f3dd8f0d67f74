// Shared slots where an optional package cannot be fetched: their names say what the plan has, not what could be had.
// usage: shared-optional.mjs DRAY FIXTURE_REGISTRY PACKAGES
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fixtureStart, run } from './rig.mjs'

const [dray, program, packages] = process.argv.slice(2)
const work = realpathSync(mkdtempSync(join(tmpdir(), 'dray-shared-optional-')))
const fixture = await fixtureStart(program, ['--packages', packages])
const lost = /^\/fx-platform-linux-x64(-musl)?\/-\//

// The registry, at times without the tarballs of what is optional.
let there = false
const server = createServer(async (q, s) => {
  if (lost.test(q.url) && !there) return s.writeHead(404).end()
  const r = await fetch(fixture.url + q.url.slice(1), { headers: { accept: q.headers.accept ?? '*/*' } })
  const body = Buffer.from(await r.arrayBuffer()), from = fixture.url.slice(0, -1), to = `http://${q.headers.host}`
  const type = r.headers.get('content-type') ?? 'application/octet-stream'
  s.writeHead(r.status, { 'content-type': type }).end(type.includes('json') ? body.toString().replaceAll(from, to) : body)
})
await new Promise((ok) => server.listen(0, '127.0.0.1', ok))
const registry = `http://127.0.0.1:${server.address().port}/`

const dray1 = (args) => run(dray, args, { env: { ...process.env, CI: '', HOME: work } })
// A project without a lockfile, installed; leftOut: whether the optional package was said to be missing.
async function install(name, store, leftOut, ...more) {
  const dir = join(work, name)
  mkdirSync(dir)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'optional', version: '1.0.0', dependencies: { 'fx-platform': '1.0.0', 'fx-app': '1.0.0' } }))
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'enableGlobalVirtualStore: true\n')
  const at = ['--registry', registry, '--dir', dir, '--store-dir', store]
  const r = await dray1(['install', '--reporter', 'ndjson', ...at, ...more])
  assert.equal(r.status, 0, r.out)
  assert.equal(r.out.includes('could not be fetched'), leftOut, r.out)
  return at
}
async function verified(at) {
  there = true
  const v = await dray1(['verify', ...at])
  there = false
  assert.equal(v.status, 0, v.out)
}
const slotsOf = (store) => readdirSync(join(store, 'links')).filter((n) => !n.startsWith('.') && !n.startsWith('hoisted-')).sort()
const optional = (n) => n.startsWith('fx-platform-linux-x64')

// -- it fails ------------------------------------------------
const store = join(work, 'store')
await verified(await install('failed', store, true))
const failed = slotsOf(store)
assert.deepEqual(failed.filter(optional), [])

// -- not at all: the same slots, and its own; what led nowhere leads there ------------------------------------------------
there = true
await verified(await install('there', store, false))
const all = slotsOf(store)
assert.deepEqual(all.filter((n) => !optional(n)), failed, 'names do not depend on it')
assert.ok(all.some(optional))
const platform = join(store, 'links', all.find((n) => n.startsWith('fx-platform@')), 'node_modules')
assert.ok(readdirSync(platform).some(optional))
for (const n of readdirSync(platform).filter(optional)) assert.ok(realpathSync(join(platform, n)).startsWith(join(store, 'links')))
assert.deepEqual(readdirSync(join(platform, 'fx-platform/node_modules/.bin')), ['fx-native'], 'its commands came, too')

// -- its slot stands, and its bytes are gone: kept, and counted once ------------------------------------------------
for (const part of ['index', 'pkgs', 'plans']) rmSync(join(store, part), { recursive: true, force: true })
there = false
await install('kept', store, true)
assert.deepEqual(slotsOf(store), all)
server.close()
rmSync(work, { recursive: true })
process.exit(0)
