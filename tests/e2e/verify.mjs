// dray verify: a tree and a store against the registry's tarballs. Each kind of deviation is found and named, builds and patches are told from it.
// usage: verify.mjs DRAY FIXTURE_REGISTRY PACKAGES
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, realpathSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tarball } from './policy-registry.mjs'
import { eventsOf, fixtureStart } from './rig.mjs'

const [dray, program, packages] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'dray-e2e-verify-'))
const dir = join(work, 'p'), store = join(work, 'store'), kept = join(work, 'kept')
let registry, url

async function start(...options) {
  registry?.stop()
  registry = await fixtureStart(program, ['--packages', packages, ...options])
  url = registry.url
}
function run(...args) {
  const env = { ...process.env, CI: '', HOME: work, DRAY_SERVER: 'http://127.0.0.1:9', DRAY_TOKEN: '' } // verify never asks a server
  const r = spawnSync(dray, [...args, '--dir', dir, '--store-dir', store, '--registry', url], { encoding: 'utf8', env })
  const events = eventsOf(r.stdout)
  return { status: r.status, text: r.stdout + r.stderr, found: events.filter((e) => e.event === 'verify'), sum: events.find((e) => e.event === 'verified') }
}
const file = (pkg, path) => join(dir, 'node_modules/.pnpm', pkg.replace('/', '+'), 'node_modules', pkg.slice(0, pkg.lastIndexOf('@')), path)
// Files are one inode with the store: a new one in their place.
function put(path, text) {
  rmSync(path, { force: true })
  writeFileSync(path, text)
}
// What verify says of PKG after CHANGE, which is undone.
function after(change, status, expected) {
  change()
  const r = run('verify', '--json')
  assert.equal(r.status, status, r.text)
  const bad = r.found.filter((f) => f.status === 'bad').map((f) => [f.package, f.path, ...(f.files ?? []).map((x) => `${x.path} ${x.what}`)])
  if (expected) assert.deepEqual(bad, expected)
  rmSync(join(dir, 'node_modules'), { recursive: true })
  cpSync(kept, join(dir, 'node_modules'), { recursive: true, verbatimSymlinks: true })
  return r
}

const timer = setTimeout(() => { throw new Error('not done within 880 s') }, 880000)
try {
  await start()
  mkdirSync(dir)
  const dependencies = { 'fx-app': '1.0.0', 'fx-bin': '1.0.0', 'fx-bundled': '1.0.0', 'fx-files': '1.0.0', 'fx-peer': '1.0.0', 'fx-postinstall': '1.0.0', local: 'file:lib' }
  mkdirSync(join(dir, 'lib'))
  writeFileSync(join(dir, 'lib/package.json'), '{"name":"local","version":"1.0.0"}')
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies }))
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'strictDepBuilds: false\nstrictPeerDependencies: false\nallowBuilds:\n  fx-postinstall: true\npatchedDependencies:\n  fx-peer@1.0.0: peer.patch\n')
  const peer = readFileSync(join(packages, 'fx-peer/1.0.0/index.js'), 'utf8').split('\n')
  writeFileSync(join(dir, 'peer.patch'), `diff --git a/index.js b/index.js\n--- a/index.js\n+++ b/index.js\n@@ -1,1 +1,2 @@\n+// patched\n ${peer[0]}\n`)
  const install = run('install', '--no-frozen-lockfile', '--direct')
  assert.equal(install.status, 0, install.text)
  cpSync(join(dir, 'node_modules'), kept, { recursive: true, verbatimSymlinks: true })

  const fine = run('verify', '--json')
  assert.equal(fine.status, 0, fine.text)
  const named = fine.found.map((f) => `${f.status} ${f.package.replace(/@.*/, '')}`).sort()
  assert.deepEqual(named, ['built fx-postinstall', 'patched fx-peer', 'unchecked local'])
  assert.equal(fine.sum.bad, 0)
  assert.ok(fine.sum.same >= 5 && fine.sum.files > 20 && fine.sum.bytes > 0)
  console.log('ok a fresh tree: fine; what is built, patched and local is named')

  const index = readFileSync(file('fx-leaf@1.1.0', 'index.js'), 'utf8')
  const leaf = ['fx-leaf@1.1.0', 'node_modules/.pnpm/fx-leaf@1.1.0/node_modules/fx-leaf']
  after(() => put(file('fx-leaf@1.1.0', 'index.js'), index.replace(/^./, (c) => (c === '/' ? 'x' : '/'))), 6, [[...leaf, 'index.js changed']])
  after(() => put(file('fx-leaf@1.1.0', 'index.js'), index + ' '), 6, [[...leaf, 'index.js changed']])
  after(() => put(file('fx-leaf@1.1.0', 'index.node'), ''), 6, [[...leaf, 'index.node extra']])
  after(() => unlinkSync(file('fx-leaf@1.1.0', 'index.js')), 6, [[...leaf, 'index.js missing']])
  after(() => { unlinkSync(file('fx-leaf@1.1.0', 'index.js')); symlinkSync('package.json', file('fx-leaf@1.1.0', 'index.js')) }, 6, [[...leaf, 'index.js not a file']])
  after(() => { put(file('fx-leaf@1.1.0', 'index.js'), index); chmodSync(file('fx-leaf@1.1.0', 'index.js'), 0o755) }, 6, [[...leaf, 'index.js mode: executable']])
  after(() => rmSync(file('fx-leaf@1.1.0', ''), { recursive: true }), 6, [leaf])
  after(() => { const at = join(dir, 'node_modules/.pnpm/fx-leaf@1.1.0'); renameSync(at, at + '-x') }, 6, [['node_modules/.pnpm/fx-leaf@1.1.0-x', 'node_modules/.pnpm/fx-leaf@1.1.0-x'], leaf])
  const many = after(() => { for (let i = 0; i < 30; i++) put(file('fx-leaf@1.1.0', `x${i}`), '') }, 6, undefined)
  assert.deepEqual(many.found.filter((f) => f.status === 'bad').map((f) => [f.files.length, f.differences]), [[20, 30]])
  const links = 'node_modules/.pnpm/fx-app@1.0.0/node_modules/', bad = (path) => [path, path]
  const dependency = Object.keys(JSON.parse(readFileSync(join(packages, 'fx-app/1.0.0/package.json'), 'utf8')).dependencies)[0]
  const at = join(dir, links, dependency), right = readlinkSync(at)
  after(() => unlinkSync(at), 6, [bad(links + dependency)])
  after(() => { unlinkSync(at); symlinkSync('../../fx-files@1.0.0/node_modules/fx-files', at) }, 6, [bad(links + dependency)])
  after(() => { unlinkSync(at); symlinkSync('../../nowhere', at) }, 6, [bad(links + dependency)])
  after(() => { unlinkSync(at); symlinkSync(realpathSync(join(dir, links, right)), at) }, 0, []) // another way to the same
  after(() => symlinkSync('../../fx-files@1.0.0/node_modules/fx-files', join(dir, links, 'fx-stranger')), 6, [bad(links + 'fx-stranger')])
  after(() => { unlinkSync(join(dir, 'node_modules/fx-app')); symlinkSync('.pnpm/fx-files@1.0.0/node_modules/fx-files', join(dir, 'node_modules/fx-app')) }, 6, [bad('node_modules/fx-app')])
  after(() => { unlinkSync(join(dir, 'node_modules/fx-app')) }, 6, [bad('node_modules/fx-app')])
  console.log('ok symlinks that are missing, wrong, dangling or extra')
  console.log('ok content, mode, extra and missing files, missing and extra folders')

  const text = run('verify')
  assert.equal(text.status, 0, text.text)
  assert.match(text.text, /^built: fx-postinstall@1\.0\.0 /m)
  assert.match(text.text, /0 bad, 1 built, 1 patched, 1 not checked/)

  const audit = run('verify', '--store', '--json')
  assert.equal(audit.status, 0, audit.text)
  assert.deepEqual(audit.found.filter((f) => f.status !== 'unchecked'), [])
  assert.ok(audit.sum.same >= 8)
  const pkgs = join(store, 'pkgs')
  // A file of a package that the registry has: what is patched or local is not compared, and folders are listed in any order.
  const spoil = readdirSync(pkgs, { recursive: true }).map((f) => join(pkgs, f)).find((f) => statSync(f).isFile() && readFileSync(f, 'utf8') === index)
  const was = readFileSync(spoil)
  writeFileSync(spoil, Buffer.concat([was.subarray(1), Buffer.from('~')]))
  const spoiled = run('verify', '--store', '--json')
  assert.equal(spoiled.status, 6, spoiled.text)
  assert.equal(spoiled.sum.bad, 1)
  // The store's own sum of a tarball's file is a CRC, which stays the same when its polynomial is added; the audit must see that, too.
  const forged = Buffer.from(was)
  const bits = '1' + 0x42F0E1EBA9EA3693n.toString(2).padStart(64, '0')
  for (let i = 0; i < bits.length; i++) forged[i >> 3] ^= Number(bits[i]) << (i & 7)
  writeFileSync(spoil, forged)
  const unseen = run('store', 'verify')
  assert.equal(unseen.status, 0, unseen.text)
  const seen = run('verify', '--store', '--json')
  assert.equal(seen.status, 6, seen.text)
  assert.equal(seen.sum.bad, 1)
  writeFileSync(spoil, was)
  console.log('ok a store, one with a changed file and one with a forged one')

  // Shared slots: this project's are looked at, where they lie; what other projects have there is theirs.
  {
    const yaml = join(dir, 'pnpm-workspace.yaml'), was = readFileSync(yaml, 'utf8'), other = join(work, 'other'), links = join(store, 'links')
    writeFileSync(yaml, was + 'enableGlobalVirtualStore: true\n')
    rmSync(join(dir, 'node_modules'), { recursive: true })
    const none = run('verify')
    assert.equal(none.status, 4, none.text)
    assert.match(none.text, /no shared slots in the store/)
    assert.ok(!existsSync(links), 'nothing is made')
    const shared = run('install', '--direct')
    assert.equal(shared.status, 0, shared.text)
    mkdirSync(other)
    writeFileSync(join(other, 'package.json'), JSON.stringify({ dependencies: { 'fx-leaf': '1.0.0' } }))
    writeFileSync(join(other, 'pnpm-workspace.yaml'), 'enableGlobalVirtualStore: true\n')
    const second = spawnSync(dray, ['install', '--direct', '--dir', other, '--store-dir', store, '--registry', url], { encoding: 'utf8', env: { ...process.env, HOME: work } })
    assert.equal(second.status, 0, second.stderr)
    const right = run('verify', '--json')
    assert.equal(right.status, 0, right.text)
    assert.deepEqual(right.found.map((f) => `${f.status} ${f.package.replace(/@.*/, '')}`).sort(), named)
    assert.equal(right.sum.same, fine.sum.same)
    const slot = (head) => join(links, readdirSync(links).find((n) => n.startsWith(head)), 'node_modules')
    const bad = (change, undo, what) => {
      change()
      const r = run('verify', '--json')
      undo()
      assert.equal(r.status, 6, r.text)
      const found = r.found.filter((f) => f.status === 'bad')
      assert.deepEqual(found.map((f) => [realpathSync(join(dir, f.path, '..')).slice(links.length), ...(f.files ?? []).map((x) => `${x.path} ${x.what}`)]), what)
      return r
    }
    const leaf = slot('fx-leaf@1.1.0-'), app = slot('fx-app@1.0.0-'), real = realpathSync(links), short = (p) => realpathSync(p).slice(real.length)
    const text = readFileSync(join(leaf, 'fx-leaf/index.js'))
    const change = () => put(join(leaf, 'fx-leaf/index.js'), text + ' '), undo = () => put(join(leaf, 'fx-leaf/index.js'), text)
    const changed = bad(change, undo, [[short(leaf), 'index.js changed']])
    assert.match(changed.text, /every project's/)
    const spare = slot('fx-leaf@1.0.0-')
    bad(() => renameSync(join(app, dependency), join(work, 'away')), () => renameSync(join(work, 'away'), join(app, dependency)), [[short(app)]])
    put(join(spare, 'fx-leaf/index.js'), 'of the other project')
    assert.equal(run('verify', '--json').status, 0, "another project's slot is not this one's")
    assert.notEqual(realpathSync(join(other, 'node_modules/fx-leaf')), realpathSync(join(leaf, 'fx-leaf')))
    rmSync(join(leaf, '..'), { recursive: true })
    const gone = run('verify', '--json')
    assert.equal(gone.status, 6, gone.text)
    assert.ok(gone.found.some((f) => f.status === 'bad' && f.package === 'fx-leaf@1.1.0' && f.text === 'there is no such folder'), gone.text)
    assert.equal(run('install', '--direct').status, 0)
    assert.equal(run('verify').status, 0, 'the next install repairs it')
    writeFileSync(yaml, was)
    rmSync(join(dir, 'node_modules'), { recursive: true })
    cpSync(kept, join(dir, 'node_modules'), { recursive: true, verbatimSymlinks: true })
    console.log('ok shared slots: changed, a link that is missing, gone; those of another project are left out')
  }

  // A tarball of the project's own is compared with what it is now, and no registry is asked for it.
  {
    const tar = join(work, 'tar'), tgz = join(tar, 'libs/x y.tgz'), bytes = tarball({ name: 'local-tar', version: '1.0.0' })
    mkdirSync(join(tar, 'libs'), { recursive: true })
    writeFileSync(tgz, bytes)
    writeFileSync(join(tar, 'package.json'), JSON.stringify({ name: 'p', dependencies: { 'local-tar': 'file:libs/x y.tgz' } }))
    const there = (...args) => {
      const r = spawnSync(dray, [...args, '--dir', tar, '--store-dir', store, '--registry', 'http://127.0.0.1:9/'], { encoding: 'utf8', env: { ...process.env, CI: '', HOME: work, DRAY_SERVER: '' } })
      return { status: r.status, text: r.stdout + r.stderr, found: eventsOf(r.stdout).filter((e) => e.event === 'verify'), sum: eventsOf(r.stdout).find((e) => e.event === 'verified') }
    }
    const made = there('install')
    assert.equal(made.status, 0, made.text)
    const fine = there('verify', '--json')
    assert.equal(fine.status, 0, fine.text)
    assert.deepEqual([fine.found, fine.sum.same, fine.sum.unchecked], [[], 1, 0])
    const at = join(tar, 'node_modules/local-tar'), code = readFileSync(join(at, 'index.js'), 'utf8')
    put(join(at, 'index.js'), code + ' ')
    const changed = there('verify', '--json')
    assert.equal(changed.status, 6, changed.text)
    assert.deepEqual(changed.found.map((f) => [f.status, f.text, f.files.map((x) => `${x.path} ${x.what}`)]), [['bad', "differs from the project's tarball", ['index.js changed']]])
    put(join(at, 'index.js'), code)
    writeFileSync(tgz, tarball({ name: 'local-tar', version: '1.0.1' }))
    const newer = there('verify', '--json')
    assert.equal(newer.status, 6, newer.text)
    assert.deepEqual(newer.found.map((f) => f.status), ['bad'])
    assert.match(newer.found[0].text, /local-tar@file:libs\/x y\.tgz from libs\/x y\.tgz: .*sha512-/)
    rmSync(tgz)
    const gone = there('verify', '--json')
    assert.equal(gone.status, 5, gone.text)
    assert.deepEqual(gone.found.map((f) => f.status), ['unchecked'])
    assert.match(gone.found[0].text, /libs\/x y\.tgz: open: No such file/)
    writeFileSync(tgz, bytes)
    assert.equal(there('verify').status, 0)
    console.log("ok a tarball of the project's own: fine, changed in the tree, another one, gone")
  }

  const lock = join(dir, 'pnpm-lock.yaml'), lockfile = readFileSync(lock, 'utf8')
  writeFileSync(lock, lockfile.replace(/(fx-leaf@1\.1\.0:\s+resolution: \{integrity: sha512-)(.)/, (all, a, c) => a + (c === 'A' ? 'B' : 'A')))
  const other = run('verify', '--json')
  assert.equal(other.status, 6, other.text)
  assert.deepEqual(other.found.filter((f) => f.status === 'bad').map((f) => f.package), ['fx-leaf@1.1.0'])
  writeFileSync(lock, lockfile)
  registry.stop()
  const gone = run('verify', '--json')
  assert.equal(gone.status, 7, gone.text)
  assert.match(gone.text, /could not be looked at/)
  assert.equal(gone.sum.bad + gone.sum.same, 0)
  console.log("ok a tarball that is not the lockfile's, a registry that is gone")
} finally {
  clearTimeout(timer)
  rmSync(work, { recursive: true, force: true })
}
process.exit(0)
