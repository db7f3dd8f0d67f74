// What is left out because it does not run here, by a fresh install, a locked one and one through drayd alike, as pnpm 12.21 has it.
// usage: platforms.mjs DRAY DRAYD FIXTURE_REGISTRY
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { draydStart, draydsStop, fixtureStart } from './rig.mjs'

const [dray, drayd, program] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'dray-platforms-'))
const project = join(work, 'project'), packages = join(work, 'packages')
const cpu = process.arch, other = cpu === 'arm64' ? 'x64' : 'arm64'
const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl', otherLibc = libc === 'musl' ? 'glibc' : 'musl'
function pack(name, more = {}) {
  mkdirSync(join(packages, name, '1.0.0'), { recursive: true })
  writeFileSync(join(packages, name, '1.0.0', 'package.json'), JSON.stringify({ name, version: '1.0.0', ...more }))
}
const native = {
  [`native-linux-${cpu}`]: { os: ['linux'], cpu: [cpu] },
  [`native-linux-${other}`]: { os: ['linux'], cpu: [other] },
  [`native-linux-${otherLibc}-${cpu}`]: { os: ['linux'], cpu: [cpu] }, // its libc stands in its name only
  [`native-darwin-${other}`]: {}, // everything does
  'native-modern': { engines: { node: '>=99' } },
  'native-any': { os: ['!win32'] },
}
for (const [name, more] of Object.entries(native)) pack(name, more)
pack('native', { optionalDependencies: Object.fromEntries(Object.keys(native).map((n) => [n, '1.0.0'])) })
pack('modern', { engines: { node: '>=99' } })
pack('foreign', { os: ['darwin'] })
const { url } = await fixtureStart(program, ['--packages', packages])
const server = await draydStart(drayd, join(work, 'drayd'), '--registry', url)

function install(manifest, settings, ...args) {
  mkdirSync(project, { recursive: true })
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', ...manifest }))
  writeFileSync(join(project, 'pnpm-workspace.yaml'), settings)
  const env = { ...process.env, CI: '', HOME: work }
  const r = spawnSync(dray, ['install', '--dir', project, '--store-dir', join(work, 'store'), '--registry', url, ...args], { encoding: 'utf8', env })
  const slots = join(project, 'node_modules/.pnpm')
  return { ...r, slots: existsSync(slots) ? readdirSync(slots).filter((n) => n.includes('@')).map((n) => n.slice(0, n.indexOf('@'))).sort() : [] }
}
const away = (name) => rmSync(join(project, name), { recursive: true, force: true })

const ways = [['--direct'], ['--server', server.url]]
function leaves(settings, kept) {
  for (const way of ways) {
    away('')
    for (const what of ['fresh', 'locked']) {
      const r = install({ dependencies: { native: '1.0.0' } }, settings, ...way)
      assert.equal(r.status, 0, r.stderr)
      assert.deepEqual(r.slots, ['native', ...kept].sort(), `${settings} ${way[0]} ${what}`)
      away('node_modules')
    }
  }
}
leaves('', [`native-linux-${cpu}`, 'native-any'])
leaves(`supportedArchitectures: {os: [current], cpu: [current, ${other}]}\n`, [`native-linux-${cpu}`, `native-linux-${other}`, 'native-any'])
leaves(`supportedArchitectures: {os: [darwin], cpu: [${other}]}\n`, [`native-darwin-${other}`, 'native-any'])
leaves(`supportedArchitectures: {libc: [${otherLibc}]}\n`, [`native-linux-${cpu}`, `native-linux-${otherLibc}-${cpu}`, 'native-any'])
leaves('nodeVersion: 99.1.0\n', [`native-linux-${cpu}`, 'native-any', 'native-modern'])

// What is not optional stays, unless engineStrict says otherwise; the lockfile does not depend on the machine.
for (const [name, wants] of [['modern', 'modern@1.0.0: wants node >=99, this is 20.1.0'], ['foreign', 'foreign@1.0.0: is not for linux']]) {
  for (const way of ways) {
    away('')
    const asked = { dependencies: { [name]: '1.0.0' } }
    assert.deepEqual(install(asked, 'nodeVersion: 20.1.0\n', ...way).slots, [name])
    away('node_modules')
    for (const what of ['locked', 'fresh']) {
      const r = install(asked, 'nodeVersion: 20.1.0\nengineStrict: true\n', ...way)
      assert.equal(r.status, 9, `${name} ${what}: ${r.stderr}`)
      assert.ok(r.stderr.includes(wants), r.stderr)
      assert.ok(!existsSync(join(project, 'node_modules/.pnpm/lock.yaml')))
      away('pnpm-lock.yaml')
    }
    assert.equal(install(asked, 'nodeVersion: 20.1.0\nengineStrict: true\n', '--lockfile-only', ...way).status, 0)
  }
}

// The project's own engines: a warning, or an error with engineStrict, also where only the lockfile is asked for.
away('')
const picky = { engines: { node: '>=99' }, dependencies: { 'native-any': '1.0.0' } }
const warned = install(picky, 'nodeVersion: 20.1.0\n')
assert.equal(warned.status, 0)
assert.match(warned.stderr + warned.stdout, /wants node >=99, this is 20\.1\.0/)
const strict = install(picky, 'nodeVersion: 20.1.0\nengineStrict: true\n', '--lockfile-only')
assert.equal(strict.status, 9)
assert.match(strict.stderr, /ERR_DRAY_UNSUPPORTED: .*project: wants node >=99/)

await draydsStop()
rmSync(work, { recursive: true, force: true })
console.log('what does not run here is left out by every way alike')
process.exit(0)
