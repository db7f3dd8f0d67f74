// A project that pins pnpm: the lockfile's first document, as pnpm 12.21 writes it against the same packages, and what stays of it.
// usage: pins.mjs DRAY FIXTURE_REGISTRY
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fixtureStart } from './rig.mjs'

const [dray, program] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'dray-pins-'))
const project = join(work, 'project'), packages = join(work, 'packages')
function pack(name, version, more = {}) {
  mkdirSync(join(packages, name, version), { recursive: true })
  writeFileSync(join(packages, name, version, 'package.json'), JSON.stringify({ name, version, ...more }))
}
for (const v of ['12.20.0', '12.21.0']) {
  pack('pnpm', v, { bin: { pnpm: 'pnpm' }, engines: { node: '>=18' }, optionalDependencies: { '@pnpm/exe.linux-x64-musl': v, '@pnpm/exe.win32-x64': v } })
  pack('@pnpm/exe.linux-x64-musl', v, { os: ['linux'], cpu: ['x64'], libc: ['musl'] })
  pack('@pnpm/exe.win32-x64', v, { os: ['win32'], cpu: ['x64'] })
}
for (const v of ['1.0.0', '1.1.0', '1.2.0']) pack('leaf', v)
const { url } = await fixtureStart(program, ['--packages', packages])

const env = { ...process.env, CI: '', HOME: work }
function install(manifest, ...args) {
  mkdirSync(project, { recursive: true })
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', ...manifest }))
  const r = spawnSync(dray, ['install', '--dir', project, '--store-dir', join(work, 'store'), '--registry', url, ...args], { encoding: 'utf8', env })
  const path = join(project, 'pnpm-lock.yaml')
  return { ...r, lock: existsSync(path) ? readFileSync(path, 'utf8').replace(/sha512-[^}]*/g, 'X') : '' }
}
const fresh = () => rmSync(project, { recursive: true, force: true })
const document = (spec, v) => `---
lockfileVersion: '9.0'

importers:

  .:
    configDependencies: {}
    packageManagerDependencies:
      pnpm:
        specifier: ${spec}
        version: ${v}

packages:

  '@pnpm/exe.linux-x64-musl@${v}':
    resolution: {integrity: X}
    cpu: [x64]
    os: [linux]
    libc: [musl]

  '@pnpm/exe.win32-x64@${v}':
    resolution: {integrity: X}
    cpu: [x64]
    os: [win32]

  pnpm@${v}:
    resolution: {integrity: X}
    engines: {node: '>=18'}
    hasBin: true

snapshots:

  '@pnpm/exe.linux-x64-musl@${v}':
    optional: true

  '@pnpm/exe.win32-x64@${v}':
    optional: true

  pnpm@${v}:
    optionalDependencies:
      '@pnpm/exe.linux-x64-musl': ${v}
      '@pnpm/exe.win32-x64': ${v}

---
`
const first = (lock) => lock.slice(0, lock.indexOf("lockfileVersion: '9.0'\n\nsettings:"))
const dev = (packageManager) => ({ devEngines: { packageManager } })
const leaf = (range) => ({ dependencies: { leaf: range } })

for (const [manifest, spec, v] of [
  [{ packageManager: 'pnpm@12.21.0+sha512.abc' }, '12.21.0', '12.21.0'],
  [{ packageManager: 'pnpm@12.20.0' }, '12.20.0', '12.20.0'],
  [dev({ name: 'pnpm', version: '>=12.0.0' }), "'>=12.0.0'", '12.21.0'],
  [dev([{ name: 'npm' }, { name: 'pnpm', version: '12.x' }]), '12.x', '12.21.0'],
  [dev({ name: 'pnpm', version: '12.20.0', onFail: 'warn' })],
  [dev({ name: 'pnpm', version: '12.21.0', onFail: 'ignore' })],
  [{ packageManager: 'pnpm@10.0.0' }],
  [{}],
]) {
  fresh()
  const r = install({ ...manifest, ...leaf('1.0.0') }, '--lockfile-only')
  assert.equal(r.status, 0, r.stderr)
  assert.equal(first(r.lock), spec ? document(spec, v) : '', JSON.stringify(manifest))
}

// What the registry doesn't have is said and left out.
fresh()
let r = install({ packageManager: 'pnpm@12.99.0', ...leaf('1.0.0') }, '--lockfile-only')
assert.equal(r.status, 0, r.stderr)
assert.match(r.stdout + r.stderr, /pins pnpm 12\.99\.0, which is not recorded/)
assert.equal(first(r.lock), '')

// It is added to a lockfile that fits, not where that is frozen; and it stays when the rest is resolved anew, is only moved, or is frozen.
const pin = { packageManager: 'pnpm@12.21.0' }
assert.equal(first(install({ ...pin, ...leaf('1.0.0') }, '--frozen-lockfile').lock), '')
r = install({ ...pin, ...leaf('1.0.0') })
assert.equal(first(r.lock), document('12.21.0', '12.21.0'))
for (const [range, version, arg] of [['1.1.0', '1.1.0'], ['^1.0.0', '1.1.0'], ['^1.0.0', '1.1.0', '--frozen-lockfile']]) {
  r = install({ ...pin, ...leaf(range) }, ...(arg ? [arg] : []))
  assert.equal(r.status, 0, r.stderr)
  assert.equal(first(r.lock), document('12.21.0', '12.21.0'))
  assert.ok(r.lock.includes(`specifier: ${range}\n        version: ${version}\n`), r.lock)
  assert.equal(JSON.parse(readFileSync(join(project, 'node_modules/leaf/package.json'))).version, version)
}
// Another pin takes its place; without a pin it stays, as pnpm leaves it.
assert.equal(first(install({ packageManager: 'pnpm@12.20.0', ...leaf('1.0.0') }).lock), document('12.20.0', '12.20.0'))
assert.equal(first(install(leaf('1.2.0')).lock), document('12.20.0', '12.20.0'))
rmSync(work, { recursive: true, force: true })
process.exit(0)
