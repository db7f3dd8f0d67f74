// dray install, from a lockfile and without, against the fixture registry: cold, warm, nothing to do, damage, prune, scripts, bad input.
// usage: install.mjs DRAY FIXTURE_REGISTRY PACKAGES
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, realpathSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventsOf, fixtureStart, run } from './rig.mjs'

const [dray, program, packages] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'dray-e2e-'))
const store = join(work, 'store')
let registry, url

async function start(...options) {
  registry?.stop()
  registry = await fixtureStart(program, ['--packages', packages, ...options])
  url = registry.url
}

const sri = {}
async function integrity(name, version) {
  const key = `${name}@${version}`
  // A connection of its own: while spawnSync blocks this process a kept one may end unseen.
  return (sri[key] ??= (await (await fetch(url + name.replace('/', '%2f'), { headers: { connection: 'close' } })).json()).versions[version].dist.integrity)
}

// A lockfile of direct dependencies and {name: {deps, optional, meta}} for what stands behind them.
async function lockfile(direct, all) {
  let out = `lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\n\nimporters:\n\n  .:\n    dependencies:\n`
  for (const [n, v] of Object.entries(direct)) out += `      '${n}':\n        specifier: ${v}\n        version: ${v}\n`
  out += '\npackages:\n'
  const keys = Object.keys(all).sort()
  for (const k of keys) {
    const at = k.lastIndexOf('@')
    out += `\n  '${k}':\n    resolution: {integrity: ${all[k].integrity ?? (await integrity(k.slice(0, at), k.slice(at + 1)))}}\n${all[k].meta ?? ''}`
  }
  out += '\nsnapshots:\n'
  for (const k of keys) {
    const { deps, optionalDeps, optional } = all[k]
    if (!deps && !optionalDeps && !optional) {
      out += `\n  '${k}': {}\n`
      continue
    }
    out += `\n  '${k}':\n`
    for (const [title, map] of [['dependencies', deps], ['optionalDependencies', optionalDeps]]) {
      if (!map) continue
      out += `    ${title}:\n`
      for (const [n, v] of Object.entries(map)) out += `      '${n}': ${v}\n`
    }
    if (optional) out += '    optional: true\n'
  }
  return out
}

let count = 0
async function project(direct, all, workspace) {
  const dir = join(work, `p${count++}`)
  mkdirSync(dir)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: direct }))
  writeFileSync(join(dir, 'pnpm-lock.yaml'), await lockfile(direct, all))
  if (workspace) writeFileSync(join(dir, 'pnpm-workspace.yaml'), workspace)
  return dir
}

function install(dir, ...options) {
  const env = { ...process.env, CI: '', HOME: work }
  const r = spawnSync(dray, ['install', '--frozen-lockfile', '--dir', dir, '--store-dir', store, '--registry', url, '--reporter', 'ndjson', ...options], { encoding: 'utf8', env })
  const events = eventsOf(r.stdout)
  return { status: r.status, stderr: r.stderr, events, get: (name) => events.find((e) => e.event === name) }
}
function ok(r) {
  assert.equal(r.status, 0, r.stderr)
  return r
}

const app = {
  'fx-app@1.0.0': { deps: { '@fx/scoped': '1.0.0', 'fx-leaf': '1.1.0' } },
  '@fx/scoped@1.0.0': {},
  'fx-leaf@1.1.0': {},
  'fx-bin@1.0.0': { meta: '    hasBin: true\n' },
}
const direct = { 'fx-app': '1.0.0', 'fx-bin': '1.0.0' }
const tests = {
  async 'cold, warm, nothing to do'() {
    const dir = await project(direct, app)
    let r = ok(install(dir))
    assert.equal(r.get('partition').cold, 4)
    assert.equal(r.get('partition').warm, 0)
    assert.equal(readlinkSync(join(dir, 'node_modules/fx-app')), '.pnpm/fx-app@1.0.0/node_modules/fx-app')
    assert.equal(readlinkSync(join(dir, 'node_modules/.pnpm/fx-app@1.0.0/node_modules/@fx/scoped')), '../../../@fx+scoped@1.0.0/node_modules/@fx/scoped')
    assert.equal(readlinkSync(join(dir, 'node_modules/.pnpm/node_modules/fx-leaf')), '../fx-leaf@1.1.0/node_modules/fx-leaf')
    ok(spawnSync('node', ['-e', "require('fx-app')"], { cwd: dir, encoding: 'utf8' }))
    for (const cwd of [dir, '/']) ok(spawnSync(join(dir, 'node_modules/.bin/fx-hello'), [], { cwd, encoding: 'utf8' }))
    // to a machine in the same words, with nothing counted
    const idle = ok(install(dir)), kinds = (o) => Object.entries(o).map(([k, v]) => `${k} ${typeof v}`)
    assert.deepEqual(idle.events.map((e) => e.event), ['message', 'done', 'summary'])
    assert.equal(idle.events[0].text, 'Already up to date')
    for (const event of ['done', 'summary']) assert.deepEqual(kinds(idle.get(event)), kinds(r.get(event)))
    const { event, us, source, kept_plan, end_us, ...counts } = idle.get('summary')
    assert.deepEqual([source, kept_plan, Object.values(counts).filter((n) => n !== 0)], ['none', false, []])
    assert.equal(idle.get('done').lockfile_written, false)
    rmSync(join(dir, 'node_modules'), { recursive: true })
    r = ok(install(dir, '--offline'))
    assert.equal(r.get('partition').warm, 4)
    assert.equal(r.get('done').fetched, 0)
  },
  async 'a lockfile that is gone comes back from the tree, where the tree is all that is asked for'() {
    const dir = await project(direct, app), lock = join(dir, 'pnpm-lock.yaml'), manifest = join(dir, 'package.json'), open = { 'fx-app': '^1.0.0', 'fx-bin': '1.0.0' }
    ok(install(dir))
    const args = ['install', '--no-frozen-lockfile', '--dir', dir, '--store-dir', store, '--registry', url], env = { ...process.env, CI: '', HOME: work }
    const again = async (...more) => run(dray, [...args, ...more], { env })
    assert.equal((await again('--lockfile-only')).status, 0) // as pnpm prints it
    const was = readFileSync(lock, 'utf8')
    for (const more of [[], ['--lockfile-only'], ['--force'], ['--offline']]) {
      unlinkSync(lock)
      const r = await again(...more)
      assert.equal(r.status, 0, r.out)
      assert.match(r.out, /pnpm-lock\.yaml was gone/)
      assert.equal(readFileSync(lock, 'utf8'), was)
    }
    assert.match((await again()).out, /Already up to date/)
    unlinkSync(lock)
    assert.equal(install(dir).status, 1) // frozen
    writeFileSync(manifest, JSON.stringify({ name: 'p', version: '1.0.0', dependencies: open }))
    assert.equal((await again('--offline')).status, 4) // something else is asked for: nothing is taken from the tree
    assert.ok(!existsSync(lock))
  },
  async 'from a folder below the project'() {
    const dir = await project(direct, app), deep = join(dir, 'src/deep'), modules = join(dir, 'node_modules')
    mkdirSync(deep, { recursive: true })
    const args = ['install', '--store-dir', store, '--registry', url], env = { ...process.env, CI: '', HOME: work }
    const at = async (cwd, ...more) => run(dray, [...args, ...more], { cwd, env })
    for (const cwd of [deep, modules]) {
      const r = await at(cwd)
      assert.equal(r.status, 0, r.out)
      assert.ok(existsSync(join(modules, 'fx-app/package.json')))
      assert.deepEqual(readdirSync(deep), [])
    }
    const named = await at(work, '--dir', deep) // who names a folder means that one
    assert.equal(named.status, 4, named.out)
    mkdirSync(join(deep, 'node_modules'))
    assert.equal((await at(deep)).status, 4) // looks like a project
  },
  async 'damage by hand is repaired'() {
    const dir = await project(direct, app)
    ok(install(dir))
    const slot = (n) => join(dir, 'node_modules/.pnpm', n)
    const damages = {
      'slot deleted': () => rmSync(slot('fx-leaf@1.1.0'), { recursive: true }),
      'package gone from a slot': () => rmSync(slot('fx-leaf@1.1.0/node_modules/fx-leaf'), { recursive: true }),
      'a file gone': () => unlinkSync(slot('fx-leaf@1.1.0/node_modules/fx-leaf/package.json')),
      'dependency link gone': () => unlinkSync(slot('fx-app@1.0.0/node_modules/fx-leaf')),
      'slot half made': () => (rmSync(slot('fx-app@1.0.0/node_modules/fx-app'), { recursive: true }), chmodSync(slot('fx-app@1.0.0/node_modules'), 0o1755)),
      'root link dangles': () => (unlinkSync(join(dir, 'node_modules/fx-app')), symlinkSync('.pnpm/gone/node_modules/fx-app', join(dir, 'node_modules/fx-app'))),
      'hoisted link wrong': () => (unlinkSync(slot('node_modules/fx-leaf')), symlinkSync('../fx-bin@1.0.0/node_modules/fx-bin', slot('node_modules/fx-leaf'))),
      'shim gone': () => unlinkSync(join(dir, 'node_modules/.bin/fx-hello')),
    }
    for (const [what, damage] of Object.entries(damages)) {
      damage()
      // what lies below a slot is only looked at when there is something to do
      writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: direct, description: what }))
      ok(install(dir))
      assert.equal(readlinkSync(join(dir, 'node_modules/fx-app')), '.pnpm/fx-app@1.0.0/node_modules/fx-app', what)
      assert.equal(readlinkSync(slot('node_modules/fx-leaf')), '../fx-leaf@1.1.0/node_modules/fx-leaf', what)
      assert.ok(existsSync(slot('fx-app@1.0.0/node_modules/fx-leaf/package.json')), what)
      assert.ok(existsSync(slot('fx-app@1.0.0/node_modules/fx-app/index.js')), what)
      assert.ok(existsSync(join(dir, 'node_modules/.bin/fx-hello')), what)
      assert.deepEqual(readdirSync(slot('')).filter((n) => n.startsWith('.')), [], what)
    }
  },
  async 'what left is pruned, what stayed is kept'() {
    const dir = await project(direct, app)
    ok(install(dir))
    writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { 'fx-app': '1.0.0' } }))
    const { 'fx-bin@1.0.0': gone, ...rest } = app
    writeFileSync(join(dir, 'pnpm-lock.yaml'), await lockfile({ 'fx-app': '1.0.0' }, rest))
    const r = ok(install(dir))
    assert.equal(r.get('partition').kept, 3)
    assert.equal(r.get('done').pruned, 1)
    assert.ok(!existsSync(join(dir, 'node_modules/.pnpm/fx-bin@1.0.0')))
    assert.throws(() => lstatSync(join(dir, 'node_modules/fx-bin')))
    assert.ok(!existsSync(join(dir, 'node_modules/.bin/fx-hello')))
  },
  async 'commands from directories.bin, also of a package that the store has no more'() {
    const dir = await project({ 'fx-bin-folder': '1.0.0' }, { 'fx-bin-folder@1.0.0': { meta: '    hasBin: true\n' } })
    const commands = () => readdirSync(join(dir, 'node_modules/.bin')).sort().map((n) => `${n}: ${ok(spawnSync(join(dir, 'node_modules/.bin', n), [], { encoding: 'utf8' })).stdout.trim()}`)
    ok(install(dir))
    assert.deepEqual(commands(), ['fx-other: other', 'fx-tool: tool'])
    rmSync(join(dir, 'node_modules/.bin'), { recursive: true })
    writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { 'fx-bin-folder': '1.0.0' }, description: 'changed' }))
    const r = ok(install(dir, '--store-dir', join(work, 'store-empty')))
    assert.equal(r.get('partition').kept, 1)
    assert.deepEqual(commands(), ['fx-other: other', 'fx-tool: tool'])
  },
  async 'optional packages of other platforms are skipped'() {
    const platform = (os, cpu, libc) => `    cpu: [${cpu}]\n    os: [${os}]\n${libc ? `    libc: [${libc}]\n` : ''}`
    const dir = await project({ 'fx-platform': '1.0.0' }, {
      'fx-platform@1.0.0': { optionalDeps: { 'fx-platform-darwin-arm64': '1.0.0', 'fx-platform-linux-x64': '1.0.0', 'fx-platform-linux-x64-musl': '1.0.0' } },
      'fx-platform-darwin-arm64@1.0.0': { meta: platform('darwin', 'arm64'), optional: true },
      'fx-platform-linux-x64@1.0.0': { meta: platform('linux', 'x64', 'glibc'), optional: true },
      'fx-platform-linux-x64-musl@1.0.0': { meta: platform('linux', 'x64', 'musl'), optional: true },
    })
    const r = ok(install(dir))
    assert.equal(r.get('partition').skipped, 2)
    assert.deepEqual(readdirSync(join(dir, 'node_modules/.pnpm/fx-platform@1.0.0/node_modules')).sort(), ['fx-platform', 'fx-platform-linux-x64'])
  },
  async 'build scripts: only when allowed, in private copies'() {
    const all = { 'fx-postinstall@1.0.0': {} }
    let dir = await project({ 'fx-postinstall': '1.0.0' }, all)
    let r = install(dir)
    assert.equal(r.status, 1)
    assert.match(r.stderr, /ERR_DRAY_IGNORED_BUILDS/)
    assert.equal(install(dir).status, 1, 'and again')
    dir = await project({ 'fx-postinstall': '1.0.0' }, all, 'allowBuilds:\n  fx-postinstall: true\n')
    ok(install(dir))
    assert.equal(statSync(join(dir, 'node_modules/fx-postinstall/index.js')).nlink, 1)
    dir = await project({ 'fx-postinstall': '1.0.0' }, all, 'strictDepBuilds: false\n')
    ok(install(dir))
    assert.equal(statSync(join(dir, 'node_modules/fx-postinstall/index.js')).nlink > 1, true)
    dir = await project({ 'fx-postinstall-fails': '1.0.0' }, { 'fx-postinstall-fails@1.0.0': {} }, 'allowBuilds:\n  fx-postinstall-fails: true\n')
    r = install(dir)
    assert.equal(r.status, 1)
    assert.match(r.stderr, /fx-postinstall-fails@1.0.0 postinstall.*status 3/)
  },
  async 'bad input changes nothing on disk'() {
    let dir = await project(direct, app)
    writeFileSync(join(dir, 'package.json'), '{\n  "name": "p",\n  broken\n}')
    let r = install(dir)
    assert.equal(r.status, 3)
    assert.match(r.stderr, /package\.json: line 3, column 3/)
    assert.ok(!existsSync(join(dir, 'node_modules')))
    dir = await project(direct, app)
    writeFileSync(join(dir, 'package.json'), JSON.stringify({ dependencies: { 'fx-app': '^1.0.0' } }))
    r = install(dir)
    assert.equal(r.status, 1)
    assert.match(r.stderr, /ERR_DRAY_OUTDATED_LOCKFILE/)
    assert.ok(!existsSync(join(dir, 'node_modules')))
    dir = await project({ 'fx-leaf': '2.0.0' }, { 'fx-leaf@2.0.0': { integrity: await integrity('fx-leaf', '1.1.0').then((s) => s.replace(/^sha512-.{4}/, 'sha512-AAAA')) } })
    r = install(dir)
    assert.equal(r.status, 6, r.stderr)
    assert.match(r.stderr, /fx-leaf/)
    assert.ok(!existsSync(join(dir, 'node_modules/fx-leaf')))
  },
  async 'without a lockfile: resolved here, twice the same, and nothing left of a failure'() {
    const dir = await project(direct, app)
    const want = readFileSync(join(dir, 'package.json'))
    let before
    for (let i = 0; i < 2; i++) {
      rmSync(join(dir, 'pnpm-lock.yaml'))
      rmSync(join(dir, 'node_modules'), { recursive: true, force: true })
      const r = ok(install(dir, '--no-frozen-lockfile'))
      assert.equal(r.get('phases').source, 'direct')
      const text = readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8')
      assert.equal(before ?? text, text)
      before = text
    }
    writeFileSync(join(dir, 'package.json'), want.toString() + '\n')
    assert.equal(ok(install(dir)).get('phases').source, 'locked', 'what was written satisfies package.json')
    const bad = join(work, 'bad')
    mkdirSync(bad)
    for (const [dependencies, message] of [[{ 'fx-app': '1', 'no-such-package': '1' }, /no-such-package/], [{ 'fx-app': '^99.0.0' }, /fx-app.*\^99\.0\.0/]]) {
      writeFileSync(join(bad, 'package.json'), JSON.stringify({ dependencies }))
      const r = install(bad, '--no-frozen-lockfile')
      assert.equal(r.status, 4)
      assert.match(r.stderr, message)
      assert.deepEqual(readdirSync(bad), ['package.json'])
    }
  },
  async 'a locked install that fails half-way leaves nothing, hoisted links neither'() {
    const dir = await project(direct, app)
    ok(install(dir))
    rmSync(join(dir, 'node_modules'), { recursive: true })
    const leaf = readFileSync(join(packages, 'fx-leaf/1.1.0/index.js'), 'utf8')
    const spoiled = readdirSync(join(store, 'pkgs'), { recursive: true }).map((n) => join(store, 'pkgs', n)).filter((n) => statSync(n).isFile() && readFileSync(n, 'utf8') === leaf)
    assert.ok(spoiled.length > 0)
    for (const file of spoiled) writeFileSync(file, leaf + '// spoiled')
    const before = readdirSync(dir)
    const r = install(dir, '--offline')
    assert.equal(r.status, 4, r.stderr)
    assert.match(r.stderr, /fx-leaf.*--offline/)
    assert.deepEqual(readdirSync(dir), before)
    ok(install(dir))
    assert.equal(readFileSync(join(dir, 'node_modules/.pnpm/node_modules/fx-leaf/index.js'), 'utf8'), leaf)
  },
  async 'offline, an optional package that the store lacks is left out; one that is not optional is missed by name'() {
    const alone = { 'fx-leaf@1.1.0': {} }, optional = { 'fx-leaf@1.1.0': { optionalDeps: { 'fx-bin': '1.0.0' } }, 'fx-bin@1.0.0': { optional: true } }
    for (const more of [[], ['--enable-global-virtual-store']]) {
      const sparse = ['--store-dir', join(work, `sparse${more.length}`)]
      ok(install(await project({ 'fx-leaf': '1.1.0' }, alone), ...sparse))
      const dir = await project({ 'fx-leaf': '1.1.0' }, optional)
      const r = ok(install(dir, '--offline', '--trust-lockfile', ...more, ...sparse))
      assert.ok(existsSync(join(dir, 'node_modules/fx-leaf/index.js')))
      assert.ok(r.events.some((e) => e.event === 'warning' && /fx-bin@1\.0\.0 could not be fetched.*--offline/.test(e.text)), r.stderr)
      ok(install(dir, ...more, ...sparse)) // what was left out comes when it can
      assert.ok(existsSync(join(realpathSync(join(dir, 'node_modules/fx-leaf')), '../fx-bin/package.json')))
    }
    const r = install(await project({ 'fx-app': '1.0.0' }, app), '--offline', '--trust-lockfile', '--store-dir', join(work, 'sparse0'))
    assert.equal(r.status, 4)
    assert.match(r.stderr, /fx.*@1\.0\.0 is not in the store and --offline/)
  },
  async 'patchedDependencies: a variant of its own, the package itself untouched'() {
    const patch = `diff --git a/index.js b/index.js\n--- a/index.js\n+++ b/index.js\n@@ -1,1 +1,2 @@\n-${readFileSync(join(packages, 'fx-leaf/1.1.0/index.js'), 'utf8').split('\n')[0]}\n+module.exports = 'patched leaf'\n+// by hand\ndiff --git a/lib/new.js b/lib/new.js\nnew file mode 100644\n--- /dev/null\n+++ b/lib/new.js\n@@ -0,0 +1 @@\n+module.exports = 1\n`
    const plain = await project(direct, app)
    ok(install(plain))
    const make = (selector, text = patch, more = '') => {
      const dir = join(work, `p${count++}`)
      mkdirSync(join(dir, 'patches'), { recursive: true })
      writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: direct }))
      writeFileSync(join(dir, 'patches/leaf.patch'), text)
      writeFileSync(join(dir, 'pnpm-workspace.yaml'), `patchedDependencies:\n  ${selector}: patches/leaf.patch\n${more}`)
      return dir
    }
    let before
    for (const selector of ['fx-leaf@1.1.0', 'fx-leaf@^1.0.0']) {
      const dir = make(selector)
      ok(install(dir, '--no-frozen-lockfile'))
      const slots = readdirSync(join(dir, 'node_modules/.pnpm')).filter((n) => n.startsWith('fx-leaf@1'))
      assert.equal(slots.length, 1)
      assert.match(slots[0], /^fx-leaf@1\.1\.0_patch_hash=[0-9a-f]{64}$/)
      assert.ok(before === undefined || before === slots[0])
      before = slots[0]
      const leaf = join(dir, 'node_modules/.pnpm', slots[0], 'node_modules/fx-leaf')
      assert.equal(readFileSync(join(leaf, 'index.js'), 'utf8'), "module.exports = 'patched leaf'\n// by hand\n")
      assert.equal(readFileSync(join(leaf, 'lib/new.js'), 'utf8'), 'module.exports = 1\n')
      assert.match(ok(spawnSync('node', ['-e', "console.log(require('fx-app'))"], { cwd: dir, encoding: 'utf8' })).stdout, /patched leaf/)
      // warm, from the lockfile, without the registry: the variant comes out of the store
      rmSync(join(dir, 'node_modules'), { recursive: true })
      const r = ok(install(dir, '--offline'))
      assert.equal(r.get('partition').cold, 0)
      assert.equal(readFileSync(join(leaf, 'index.js'), 'utf8'), "module.exports = 'patched leaf'\n// by hand\n")
      assert.deepEqual(readdirSync(join(dir, 'node_modules/.pnpm')).filter((n) => n.startsWith('.')), [])
    }
    assert.equal(readFileSync(join(plain, 'node_modules/.pnpm/fx-leaf@1.1.0/node_modules/fx-leaf/index.js'), 'utf8'), readFileSync(join(packages, 'fx-leaf/1.1.0/index.js'), 'utf8'))
    for (const [dir, message] of [
      [make('fx-leaf@1.1.0', patch.replace('-module', '-mmodule')), /patches\/leaf\.patch.*fx-leaf@1\.1\.0.*index\.js: hunk 1/],
      [make('fx-leaf@1.1.0', patch.replace('@@ -1,1', '@@ -x,1')), /leaf\.patch: line 4: not a hunk/],
      [make('fx-bin@7'), /patchedDependencies > fx-bin@7: nothing in the plan is patched by it/],
    ]) {
      const entries = readdirSync(dir)
      const r = install(dir, '--no-frozen-lockfile')
      assert.notEqual(r.status, 0)
      assert.match(r.stderr, message)
      assert.deepEqual(readdirSync(dir), entries)
    }
    ok(install(make('fx-bin@7', patch, 'allowUnusedPatches: true\n'), '--no-frozen-lockfile'))
    // whose peer is patched is not patched itself: its dep path has the peer's hash, too
    const beside = make('fx-leaf@1.1.0')
    writeFileSync(join(beside, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { 'fx-leaf': '1.1.0', 'fx-peer': '1.0.0' } }))
    ok(install(beside, '--no-frozen-lockfile'))
    assert.match(readFileSync(join(beside, 'pnpm-lock.yaml'), 'utf8'), /fx-peer@1\.0\.0\(fx-leaf@1\.1\.0\(patch_hash=/)
    assert.equal(readFileSync(join(beside, 'node_modules/fx-peer/index.js'), 'utf8'), readFileSync(join(packages, 'fx-peer/1.0.0/index.js'), 'utf8'))
    assert.match(readFileSync(join(beside, 'node_modules/fx-leaf/index.js'), 'utf8'), /patched leaf/)
  },
  async 'a registry that fails now and then'() {
    await start('--faults', '503,limit=2,match=fx-app', '--faults', 'truncate,limit=1,match=fx-leaf')
    const dir = await project(direct, app)
    rmSync(store, { recursive: true, force: true })
    ok(install(dir))
  },
  async 'tarballs that break off go on where they did'() {
    const log = join(work, 'requests')
    await start('--count', log, '--faults', 'truncate,limit=3,match=.tgz')
    const dir = await project(direct, app)
    rmSync(store, { recursive: true, force: true })
    ok(install(dir))
    const tarballs = readFileSync(log, 'utf8').split('\n').filter((l) => l.includes('.tgz'))
    assert.equal(tarballs.filter((l) => l.endsWith(' 206')).length, 3, tarballs.join('\n'))
    assert.equal(new Set(tarballs).size, tarballs.length, 'nothing came whole twice')
  },
}

let bad = 0
try {
  await start()
  for (const [name, run] of Object.entries(tests)) {
    try {
      await run()
      console.log(`ok ${name}`)
    } catch (e) {
      bad++
      console.log(`FAILED ${name}\n${e.stack}`)
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
process.exit(bad ? 1 : 0)
