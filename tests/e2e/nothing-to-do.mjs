// Nothing to do: found out by a program that loads the C library alone, in a workspace of hundreds of projects, too.
// usage: nothing-to-do.mjs DRAY FIXTURE_REGISTRY PACKAGES
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fixtureStart } from './rig.mjs'

const [dray, program, packages] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'dray-p5-'))
const { url } = await fixtureStart(program, ['--packages', packages])

writeFileSync(join(work, 'package.json'), '{"name":"root","version":"1.0.0"}')
writeFileSync(join(work, 'pnpm-workspace.yaml'), 'packages:\n  - p/*\n')
for (let i = 0; i < 500; i++) { // more than one buffer of what is watched
  mkdirSync(join(work, `p/${i}`), { recursive: true })
  writeFileSync(join(work, `p/${i}/package.json`), JSON.stringify({ name: `p${i}`, version: '1.0.0', dependencies: { 'fx-leaf': '1.1.0' } }))
}
const env = { ...process.env, CI: '', HOME: work }
function install(more = {}) {
  const r = spawnSync(dray, ['install', '--dir', work, '--store-dir', join(work, 'store'), '--registry', url], { encoding: 'utf8', env: { ...env, ...more } })
  assert.equal(r.status, 0, r.stderr)
  return r
}
// The dynamic linker tells which libraries it was asked for, at the start and by dlopen.
const loaded = (r) => [...new Set([...r.stderr.matchAll(/(?:find library|file)=(\S*?)(?: \[|;)/g)].map((m) => m[1].split('/').pop()))]
const heavy = /^lib(curl|ssh2|rtmp|ldap|gssapi|krb5|gnutls|idn2|psl|crypto|ssl|nghttp2|yaml|zstd|lmdb|deflate|isal|protobuf)/

const first = install({ LD_DEBUG: 'libs,files' })
assert.ok(loaded(first).some((n) => heavy.test(n)), `this way of looking sees nothing: ${loaded(first)}`)
const again = install({ LD_DEBUG: 'libs,files' })
assert.match(again.stdout, /up to date/)
assert.deepEqual(loaded(again).filter((n) => heavy.test(n)), [])

// Each of the manifests counts.
const later = new Date(Date.now() + 5000)
utimesSync(join(work, 'p/437/package.json'), later, later)
assert.doesNotMatch(install().stdout, /up to date/)
assert.match(install().stdout, /up to date/)
rmSync(work, { recursive: true, force: true })
process.exit(0)
