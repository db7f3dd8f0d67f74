// What others did to a tree, and what an install that fails or is interrupted may leave: put right, or as it was, and nothing of anybody else's touched.
// usage: tree-care.mjs DRAY FIXTURE_REGISTRY PACKAGES
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, differences } from './compare-trees.mjs'
import { fixtureStart, sleep } from './rig.mjs'

const [dray, program, packages] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'dray-care-'))
const { url } = await fixtureStart(program, ['--packages', packages])
const env = { ...process.env, CI: '', HOME: work }
const store = join(work, 'store')
const options = (dir, ...more) => ['install', '--dir', dir, '--store-dir', store, '--registry', url, ...more]
function install(dir, ...more) {
  const r = spawnSync(dray, options(dir, ...more), { encoding: 'utf8', env })
  return { status: r.status, text: r.stdout + r.stderr }
}
function ok(r) {
  assert.equal(r.status, 0, r.text)
  return r.text
}
let count = 0
const dependencies = { 'fx-app': '1.0.0', 'fx-bin': '1.0.0', '@fx/scoped': '1.0.0' }
function project(more = {}) {
  const dir = join(work, `p${count++}`)
  mkdirSync(dir)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies, ...more }))
  return dir
}
const something = (dir, what) => writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies, description: what })) // to do
function same(dir, reference, what) {
  assert.deepEqual(differences(reference, describe(dir), 'the reference', 'what was installed'), [], what)
  assert.deepEqual(readdirSync(join(dir, 'node_modules/.pnpm')).filter((n) => n.startsWith('.')), [], what)
}
// A program at work, and what it has said so far.
function start(program, args) {
  const child = spawn(program, args, { env })
  const p = { child, text: '' }
  for (const s of [child.stdout, child.stderr]) s.on('data', (d) => { p.text += d })
  p.end = new Promise((done) => child.on('close', (status, signal) => done(signal ?? status)))
  return p
}
async function until(p, what) {
  for (let i = 0; !what.test(p.text); i++) {
    assert.ok(i < 20000 && p.child.exitCode === null, `${what} was not said: ${p.text}`)
    await sleep(20)
  }
}

const tests = {
  'what stands where an install has its own is put right'() {
    const dir = project(), outside = join(work, 'outside'), at = (p) => join(dir, 'node_modules', p)
    ok(install(dir))
    mkdirSync(outside)
    const reference = describe(dir)
    const instead = {
      'a folder': (p) => (mkdirSync(join(p, 'x'), { recursive: true }), writeFileSync(join(p, 'x/y'), '')),
      'a file': (p) => writeFileSync(p, 'x'),
      'an empty file': (p) => writeFileSync(p, ''),
      'a link to a folder elsewhere': (p) => symlinkSync(outside, p),
      'a link that leads nowhere': (p) => symlinkSync('nowhere', p),
      nothing: () => {},
    }
    const files = ['.modules.yaml', '.dray-state', '.dray-state.tmp', '.pnpm-workspace-state-v1.json', '.pnpm/lock.yaml']
    const folders = ['.pnpm', '.pnpm/node_modules', '.bin', '@fx', '.pnpm/fx-app@1.0.0', '.pnpm/fx-app@1.0.0/node_modules', '.pnpm/fx-app@1.0.0/node_modules/fx-app', '.pnpm/fx-app@1.0.0/node_modules/@fx']
    const others = ['.bin/fx-hello', 'fx-app', '@fx/scoped', '.pnpm/node_modules/fx-leaf', '.pnpm/fx-app@1.0.0/node_modules/fx-leaf', '.pnpm/fx-app@1.0.0/node_modules/fx-app/index.js']
    for (const path of [...files, ...folders, ...others]) {
      for (const [how, make] of Object.entries(instead)) {
        if (how === 'a folder' && ['.pnpm/node_modules', '.bin', '@fx'].includes(path)) continue // what a user puts there stays
        const what = `${how} instead of ${path}`
        rmSync(at(path), { recursive: true, force: true })
        make(at(path))
        // what lies in a package's own folder is looked at only where that folder's time has changed
        something(dir, what)
        ok(install(dir))
        for (const n of [...readdirSync(at('.')), ...readdirSync(at('@fx')).map((n) => `@fx/${n}`)].filter((n) => n.includes('.ignored_'))) rmSync(at(n), { recursive: true })
        same(dir, reference, what)
        assert.deepEqual(readdirSync(outside), [], what)
      }
    }
  },
  'a project and a store may lie anywhere, and behind links'() {
    const plain = project(), at = (dir, path) => join(dir, 'node_modules', path)
    ok(install(plain))
    const reference = describe(plain), hello = spawnSync(at(plain, '.bin/fx-hello'), { encoding: 'utf8' }).stdout
    assert.notEqual(hello, '')
    const well = (dir, what) => {
      same(dir, reference, what)
      assert.equal(spawnSync(at(dir, '.bin/fx-hello'), { encoding: 'utf8' }).stdout, hello, what)
    }
    for (const name of ['a b', 'ü ñ 日', 'q\'uo"te$HOME`x`', 'line\nbreak', '-n', `${'x'.repeat(200)}/`.repeat(12)]) {
      const dir = join(work, name), from = project()
      mkdirSync(dir, { recursive: true })
      renameSync(join(from, 'package.json'), join(dir, 'package.json'))
      ok(install(dir))
      well(dir, name)
      assert.match(ok(install(dir)), /up to date/, name)
    }
    const linked = project(), elsewhere = join(work, 'elsewhere')
    mkdirSync(elsewhere)
    writeFileSync(join(elsewhere, 'mine'), 'x')
    symlinkSync(elsewhere, at(linked, '.'))
    symlinkSync(store, join(work, 'store-link'))
    ok(install(linked, '--store-dir', join(work, 'store-link')))
    assert.equal(spawnSync(at(linked, '.bin/fx-hello'), { encoding: 'utf8' }).stdout, hello)
    assert.ok(lstatSync(join(linked, 'node_modules')).isSymbolicLink())
    unlinkSync(join(linked, 'node_modules')) // whoever describes a tree follows no link
    renameSync(elsewhere, join(linked, 'node_modules'))
    unlinkSync(join(linked, 'node_modules/mine'))
    well(linked, 'node_modules was a link')
  },
  'a store on another file system is said, once'() {
    const other = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : work, 'dray-care-'))
    try {
      const dir = project(), text = ok(install(dir, '--store-dir', other)), apart = statSync(other).dev !== statSync(dir).dev
      assert.equal(text.split('is on another file system than the project: files are').length - 1, apart ? 1 : 0, text)
      assert.doesNotMatch(ok(install(project())), /another file system/)
    } finally {
      rmSync(other, { recursive: true })
    }
  },
  'a slot that was moved, and a link to it in its place, is made anew'() {
    const dir = project(), vstore = join(dir, 'node_modules/.pnpm')
    ok(install(dir))
    const reference = describe(dir)
    for (const to of [join(vstore, 'moved'), join(work, 'moved-away')]) {
      renameSync(join(vstore, 'fx-app@1.0.0'), to)
      symlinkSync(to, join(vstore, 'fx-app@1.0.0'))
      something(dir, to)
      ok(install(dir))
      same(dir, reference, to)
      assert.ok(lstatSync(join(vstore, 'fx-app@1.0.0')).isDirectory())
    }
    assert.ok(existsSync(join(work, 'moved-away/node_modules/fx-app/package.json')), 'what lies elsewhere is left alone')
  },
  'a dependency of a scope that is missing is something to do'() {
    const dir = project()
    ok(install(dir))
    assert.match(ok(install(dir)), /up to date/)
    unlinkSync(join(dir, 'node_modules/@fx/scoped'))
    ok(install(dir))
    assert.ok(existsSync(join(dir, 'node_modules/@fx/scoped/package.json')))
    assert.match(ok(install(dir)), /up to date/)
  },
  'a virtual store that leads elsewhere is given up, and what lies there is left alone'() {
    const dir = project(), other = join(work, 'precious')
    ok(install(dir))
    const reference = describe(dir)
    mkdirSync(join(other, 'photos'), { recursive: true })
    writeFileSync(join(other, 'photos/1'), 'x')
    rmSync(join(dir, 'node_modules/.pnpm'), { recursive: true })
    symlinkSync(other, join(dir, 'node_modules/.pnpm'))
    assert.match(ok(install(dir)), /\.pnpm was a symlink to .*precious/)
    same(dir, reference)
    assert.equal(readFileSync(join(other, 'photos/1'), 'utf8'), 'x')
    assert.deepEqual(readdirSync(other), ['photos'])
    // and stays where the install fails
    rmSync(join(dir, 'node_modules/.pnpm'), { recursive: true })
    symlinkSync(other, join(dir, 'node_modules/.pnpm'))
    writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { ...dependencies, 'fx-nowhere': '1.0.0' } }))
    assert.notEqual(install(dir).status, 0)
    assert.equal(readlinkSync(join(dir, 'node_modules/.pnpm')), other)
    assert.deepEqual(readdirSync(other), ['photos'])
  },
  'what is in the way is moved aside, each time'() {
    const dir = project()
    ok(install(dir))
    for (const text of ['one', 'two', 'three']) {
      unlinkSync(join(dir, 'node_modules/fx-app'))
      writeFileSync(join(dir, 'node_modules/fx-app'), text)
      assert.match(ok(install(dir)), /\.ignored_/)
      assert.ok(lstatSync(join(dir, 'node_modules/fx-app')).isSymbolicLink())
    }
    const aside = readdirSync(join(dir, 'node_modules')).filter((n) => n.startsWith('.ignored_')).map((n) => readFileSync(join(dir, 'node_modules', n), 'utf8'))
    assert.deepEqual(aside.sort(), ['one', 'three', 'two'])
  },
  'a folder of a project that is a file is named'() {
    const dir = project()
    writeFileSync(join(dir, 'node_modules'), 'mine')
    const r = install(dir)
    assert.equal(r.status, 5, r.text)
    assert.match(r.text, /node_modules.*is in the way.*remove it/)
    assert.equal(readFileSync(join(dir, 'node_modules'), 'utf8'), 'mine')
  },
  'an install that fails leaves the tree as it was, replaced slots included'() {
    const dir = project()
    ok(install(dir))
    const reference = describe(dir)
    const lock = readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8')
    // other dependencies of fx-app under the same key, and a package that is not what the lockfile says
    writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { ...dependencies, 'fx-files': '1.0.0' } }))
    const wrong = `sha512-${'A'.repeat(86)}==`
    writeFileSync(join(dir, 'pnpm-lock.yaml'), lock
      .replace("      fx-bin:\n", "      fx-files:\n        specifier: 1.0.0\n        version: 1.0.0\n      fx-bin:\n")
      .replace("  fx-leaf@1.1.0:\n    resolution", `  fx-files@1.0.0:\n    resolution: {integrity: ${wrong}}\n\n  fx-leaf@1.1.0:\n    resolution`)
      .replace("  fx-leaf@1.1.0: {}", "  fx-files@1.0.0: {}\n\n  fx-leaf@1.1.0: {}")
      .replace(/(fx-app@1\.0\.0:\n    dependencies:\n      '@fx\/scoped': 1\.0\.0\n)      fx-leaf: 1\.1\.0\n/, '$1'))
    const r = install(dir, '--frozen-lockfile', '--trust-lockfile')
    assert.equal(r.status, 6, r.text)
    same(dir, reference)
    assert.equal(readFileSync(join(dir, 'node_modules/.pnpm/lock.yaml'), 'utf8'), lock)
    writeFileSync(join(dir, 'pnpm-lock.yaml'), lock)
    something(dir, 'as before')
    ok(install(dir))
    same(dir, reference)
  },
  async 'who waits for another install can be interrupted'() {
    const dir = project()
    mkdirSync(join(dir, 'node_modules/.pnpm'), { recursive: true })
    const holder = start('flock', [join(dir, 'node_modules/.pnpm'), '-c', 'echo held; read x'])
    await until(holder, /held/)
    const p = start(dray, options(dir))
    await until(p, /another install is at work/)
    p.child.kill('SIGINT')
    assert.equal(await p.end, 130, p.text)
    holder.child.stdin.end('\n')
  },
  async 'files of the project may have several writers, and nobody waits for a lock on its folder'() {
    const dir = project()
    const r = spawnSync('flock', [dir, dray, ...options(dir, '--lockfile-only')], { encoding: 'utf8', env, timeout: 300000 })
    assert.equal(r.status, 0, r.stdout + r.stderr)
    const lock = readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8')
    unlinkSync(join(dir, 'pnpm-lock.yaml'))
    const writers = [0, 1, 2, 3].map(() => start(dray, options(dir, '--lockfile-only')))
    for (const w of writers) assert.equal(await w.end, 0, w.text)
    assert.equal(readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8'), lock)
    assert.deepEqual(readdirSync(dir).sort(), ['package.json', 'pnpm-lock.yaml'])
  },
  async 'a script that does not heed an interruption is ended'() {
    const dir = project({ scripts: { postinstall: "trap '' TERM INT; echo at-work; sleep 100" } })
    const p = start(dray, options(dir, '--reporter', 'append-only'))
    await until(p, /at-work/)
    p.child.kill('SIGINT')
    assert.equal(await p.end, 130, p.text)
  },
  async 'a script is interrupted as often as anybody likes'() {
    const dir = project({ scripts: { postinstall: "trap '' TERM INT; echo at-work; while :; do sleep 0.1; done" } })
    const p = start(dray, options(dir, '--reporter', 'append-only'))
    await until(p, /at-work/)
    for (let i = 0; p.child.exitCode === null && i < 600; i++) {
      p.child.kill('SIGINT')
      await sleep(20)
    }
    assert.equal(await p.end, 130, p.text)
  },
  async 'what an interrupted script leaves behind that does not heed it is ended, too'() {
    const dir = project({ scripts: { postinstall: "sh -c \"trap '' TERM INT; echo at-work \\$\\$; sleep 100; true\"; true" } })
    const p = start(dray, options(dir, '--reporter', 'append-only'))
    await until(p, /at-work \d+/)
    const pid = /at-work (\d+)/.exec(p.text)[1]
    const state = () => { // also while it goes
      try {
        return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1][0]
      } catch {
        return 'gone'
      }
    }
    for (let i = 0; state() !== 'S'; i++) {
      assert.ok(i < 2000, `it waits for its child: ${state()}`)
      await sleep(20)
    }
    p.child.kill('SIGINT')
    assert.equal(await p.end, 130, p.text)
    for (let i = 0; i < 2000 && !/gone|Z/.test(state()); i++) await sleep(50)
    assert.match(state(), /gone|Z/)
  },
  async 'a daemon that an interrupted script has left is nobody\'s to end'() {
    const dir = project({ scripts: { postinstall: 'setsid sleep 300 & echo left $!; sleep 300' } })
    const p = start(dray, options(dir, '--reporter', 'append-only'))
    await until(p, /left \d+/)
    const pid = Number(/left (\d+)/.exec(p.text)[1])
    const name = () => (existsSync(`/proc/${pid}/comm`) ? readFileSync(`/proc/${pid}/comm`, 'utf8').trim() : 'gone')
    for (let i = 0; i < 1500 && name() !== 'sleep'; i++) await sleep(20) // setsid is through
    try {
      p.child.kill('SIGINT')
      assert.equal(await p.end, 130, p.text)
      assert.equal(name(), 'sleep')
    } finally {
      process.kill(pid)
    }
  },
  'what a failed or interrupted install has made stays, and its commands are looked at'() {
    const reference = describe((() => { const d = project(); ok(install(d)); return d })())
    const dir = project({ scripts: { postinstall: 'exit 3' } }), vstore = join(dir, 'node_modules/.pnpm')
    assert.notEqual(install(dir).status, 0)
    const slots = () => Object.fromEntries(readdirSync(vstore).filter((n) => n.includes('@')).map((n) => [n, lstatSync(join(vstore, n)).ino]))
    const made = slots(), shim = join(vstore, 'fx-bin@1.0.0/node_modules/fx-bin/node_modules/.bin/fx-hello')
    assert.ok(Object.keys(made).length > 3)
    unlinkSync(shim) // as if it had not come to that
    something(dir, 'without the script')
    ok(install(dir))
    same(dir, reference, 'what was left out')
    assert.deepEqual(slots(), made)
  },
  'folders and files have what the umask leaves them, as pnpm 12.21 makes them, and commands run for all'() {
    const files = '.pnpm/fx-files@1.0.0/node_modules/fx-files', names = [files, `${files}/lib/index.js`, `${files}/run`, '.bin', '.bin/fx-hello', '.dray-state']
    let said
    const under = (mask, dir, store) => {
      const r = spawnSync('sh', ['-c', `umask ${mask}; exec "$0" "$@"`, dray, ...options(dir, '--store-dir', store)], { encoding: 'utf8', env })
      assert.equal(r.status, 0, r.stdout + r.stderr)
      said = /made with another umask/.test(r.stdout + r.stderr)
      return names.map((p) => (statSync(join(dir, 'node_modules', p)).mode & 0o7777).toString(8)).join(' ')
    }
    const fresh = () => project({ dependencies: { ...dependencies, 'fx-files': '1.0.0' } }), shared = (dir) => statSync(join(dir, 'node_modules', files, 'run')).nlink > 1
    const modes = { '002': '775 664 775 775 755 664', '022': '755 644 755 755 755 644', '077': '700 600 700 700 755 600' }
    for (const [mask, expected] of Object.entries(modes)) {
      const first = fresh(), store = join(first, 'store')
      assert.equal(under(mask, first, store), expected, mask)
      assert.ok(shared(first), mask)
      for (const [other, want] of Object.entries(modes)) { // who may read and run a file is this install's; who may write it the store's, where it is shared
        const dir = fresh(), got = under(other, dir, store), linked = (mask === '077') === (other === '077')
        const [plain, run] = linked ? expected.split(' ').slice(1) : [0o666, 0o755].map((m) => (m & ~parseInt(other, 8)).toString(8))
        assert.equal(shared(dir), linked, `${mask}, then ${other}`)
        assert.equal(said, !linked, `${mask}, then ${other}`)
        assert.equal(got, want.replace(/^(\S+) \S+ \S+/, `$1 ${plain} ${run}`), `${mask}, then ${other}`)
      }
      assert.equal(statSync(join(first, 'node_modules', files, 'run')).mode & 0o777, parseInt(expected.split(' ')[2], 8), 'the others left the first as it was')
    }
  },
  'in a project whose folders have their group from above all folders of the tree have it'() {
    const dir = project(), slot = '.pnpm/fx-bin@1.0.0/node_modules'
    chmodSync(dir, 0o2755)
    ok(install(dir))
    assert.deepEqual(['.pnpm', slot, `${slot}/fx-bin`].filter((p) => !(statSync(join(dir, 'node_modules', p)).mode & 0o2000)), [])
  },
  'a package.json that a script writes in each install is up to date as long as it says the same'() {
    const dir = project({ scripts: { postinstall: 'cp package.json copy && cat copy > package.json' } })
    ok(install(dir))
    assert.match(ok(install(dir)), /up to date/)
    const file = join(dir, 'package.json')
    writeFileSync(file, readFileSync(file, 'utf8').replace('cp package.json copy', 'echo >> copy'))
    ok(install(dir))
    assert.doesNotMatch(ok(install(dir)), /up to date/, 'it says something else each time')
  },
  'a file that a killed install was about to put in place goes'() {
    const dir = project(), left = ['pnpm-lock.yaml.0.dray.tmp', 'pnpm-lock.yaml.1.dray.tmp', 'node_modules/.modules.yaml.2.dray.tmp'].map((n) => join(dir, n))
    ok(install(dir))
    for (const f of left) writeFileSync(f, 'half of it')
    something(dir, 'to do')
    ok(install(dir))
    assert.deepEqual(left.filter((f) => existsSync(f)), [])
    assert.deepEqual(readdirSync(dir).sort(), ['node_modules', 'package.json', 'pnpm-lock.yaml'])
  },
  'patches and hooks count among what is to be looked at'() {
    const dir = project()
    mkdirSync(join(dir, 'patches'))
    const patch = (text) => writeFileSync(join(dir, 'patches/leaf.patch'), `diff --git a/new.js b/new.js\nnew file mode 100644\n--- /dev/null\n+++ b/new.js\n@@ -0,0 +1 @@\n+${text}\n`)
    const made = () => readFileSync(join(dir, 'node_modules/.pnpm', readdirSync(join(dir, 'node_modules/.pnpm')).find((n) => n.startsWith('fx-leaf@1.1.0')), 'node_modules/fx-leaf/new.js'), 'utf8')
    writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'patchedDependencies:\n  fx-leaf@1.1.0: patches/leaf.patch\n')
    patch('one')
    ok(install(dir))
    assert.match(ok(install(dir)), /up to date/)
    patch('two!')
    ok(install(dir))
    assert.equal(made(), 'two!\n')
    assert.match(ok(install(dir)), /up to date/)
    writeFileSync(join(dir, '.pnpmfile.cjs'), '')
    const r = install(dir)
    assert.equal(r.status, 9, r.text)
    assert.match(r.text, /\.pnpmfile\.cjs: hooks are not supported/)
  },
  'what is edited while an install runs is something to do for the next'() {
    const edit = "const f='package.json',fs=require('fs'),m=JSON.parse(fs.readFileSync(f));m.dependencies['fx-files']='1.0.0';fs.writeFileSync(f,JSON.stringify(m))"
    const dir = project({ scripts: { postinstall: `node -e "${edit}"` } })
    ok(install(dir))
    assert.ok(!existsSync(join(dir, 'node_modules/.pnpm-workspace-state-v1.json')), 'pnpm takes nothing for done either')
    assert.doesNotMatch(ok(install(dir, '--ignore-scripts')), /up to date/)
    assert.ok(existsSync(join(dir, 'node_modules/fx-files/package.json')))
    assert.match(ok(install(dir, '--ignore-scripts')), /up to date/)
    // a file put there with an old time, one that goes, a project that comes
    for (const edit of ['mv old package.json', 'rm -f .npmrc', 'test -e packages/b || cp -r packages/a packages/b']) {
      const dir = project({ scripts: { postinstall: edit } })
      writeFileSync(join(dir, '.npmrc'), '')
      writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'packages:\n  - packages/*\n')
      mkdirSync(join(dir, 'packages/a'), { recursive: true })
      writeFileSync(join(dir, 'packages/a/package.json'), '{"name":"a"}')
      writeFileSync(join(dir, 'old'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { 'fx-leaf': '1.1.0' } }))
      utimesSync(join(dir, 'old'), 1e9, 1e9)
      ok(install(dir))
      assert.doesNotMatch(ok(install(dir)), /up to date/, edit)
      assert.match(ok(install(dir)), /up to date/, edit)
    }
  },
  'without a home the store must be named'() {
    const dir = project()
    const bare = { PATH: process.env.PATH }
    let r = spawnSync(dray, ['install', '--dir', dir, '--registry', url], { encoding: 'utf8', env: bare })
    assert.equal(r.status, 2, r.stdout + r.stderr)
    assert.match(r.stderr, /HOME is not set.*--store-dir/)
    assert.deepEqual(readdirSync(dir), ['package.json'])
    r = spawnSync(dray, options(dir), { encoding: 'utf8', env: bare })
    assert.equal(r.status, 0, r.stdout + r.stderr)
  },
  'a command of a folder of the project runs, and its file stays as it is'() {
    const dir = project({ dependencies: { lib: 'link:lib' } })
    mkdirSync(join(dir, 'lib'))
    writeFileSync(join(dir, 'lib/package.json'), JSON.stringify({ name: 'lib', version: '1.0.0', bin: { hello: 'hello.js' } }))
    writeFileSync(join(dir, 'lib/real.js'), '#!/usr/bin/env node\nconsole.log("hello")\n')
    symlinkSync('real.js', join(dir, 'lib/hello.js'))
    const before = statSync(join(dir, 'lib/real.js'))
    ok(install(dir))
    assert.equal(readlinkSync(join(dir, 'lib/hello.js')), 'real.js')
    const after = statSync(join(dir, 'lib/real.js'))
    assert.deepEqual([after.ino, after.mode], [before.ino, before.mode])
    assert.equal(spawnSync(join(dir, 'node_modules/.bin/hello'), { encoding: 'utf8' }).stdout, 'hello\n')
  },
}

let bad = 0
for (const [name, run] of Object.entries(tests)) {
  try {
    await run()
    console.log(`ok ${name}`)
  } catch (e) {
    bad++
    console.log(`FAILED ${name}\n${e.stack}`)
  }
}
rmSync(work, { recursive: true, force: true })
process.exit(bad ? 1 : 0)
