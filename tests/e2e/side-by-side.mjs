// dray install, pnpm install, dray install, pnpm install --frozen-lockfile in one checkout: after each step the project runs, and
// nothing of the tree was made anew: same inodes and times, besides what each tool notes for itself. Then the other way round.
//
// usage: side-by-side.mjs PNPM DRAY PROJECTS      PROJECTS: folder with express-server and vite-app; needs the registry
//        side-by-side.mjs --fixture PNPM DRAY FIXTURE_REGISTRY PACKAGES     without a network; 77 where there is no PNPM
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fixtureStart } from './rig.mjs'

const hermetic = process.argv[2] === '--fixture'
const [pnpm, dray, projects, packages] = process.argv.slice(hermetic ? 3 : 2)
if (!existsSync(pnpm)) {
  console.log('not run: there is no pnpm here (cmake -D PNPM=PATH)')
  process.exit(77)
}
const work = mkdtempSync(join(tmpdir(), 'dray-side-'))
const env = { ...process.env, pnpm_config_verify_deps_before_run: 'error', PATH: `${dirname(pnpm)}:${process.env.PATH}` }
delete env.CI
let scopes = ''
if (hermetic) {
  const { url } = await fixtureStart(projects, ['--packages', packages])
  for (const k of Object.keys(env)) if (/^(npm|pnpm)_config_|^DRAY_|_proxy$|^XDG_|^PNPM_/i.test(k)) delete env[k]
  scopes = `@jsr:registry=${url}jsr/\n` // pnpm knows one by itself, a dray that was built without it does not
  // what either tool keeps for its user is this test's own; loopback only
  Object.assign(env, { HOME: work, npm_config_registry: url, pnpm_config_registry: url, pnpm_config_verify_deps_before_run: 'error', pnpm_config_minimum_release_age: '0', pnpm_config_package_import_method: 'hardlink' })
}
const NOTES = ['.modules.yaml', '.pnpm-workspace-state-v1.json', '.dray-state', '.pnpm/lock.yaml'].map((n) => `node_modules/${n}`)

// Every entry below each node_modules by what would change if it were made anew; folders by their inode alone.
function snapshot(root) {
  const all = new Map()
  const walk = (dir, inside) => {
    for (const e of readdirSync(dir, { withFileTypes: true })) {
      const path = join(dir, e.name), rel = relative(root, path)
      if (NOTES.includes(rel)) continue
      const here = inside || e.name === 'node_modules'
      const st = lstatSync(path)
      if (here) all.set(rel, e.isDirectory() ? st.ino : `${st.ino} ${st.mtimeMs} ${st.size}`)
      if (e.isDirectory()) walk(path, here)
    }
  }
  walk(root, false)
  return all
}
function changes(before, after) {
  const list = []
  for (const [k, v] of before) if (after.get(k) !== v) list.push(`${after.has(k) ? 'made anew' : 'removed'}: ${k}`)
  for (const k of after.keys()) if (!before.has(k)) list.push(`new: ${k}`)
  return list
}
function run(command, args, cwd) {
  const r = spawnSync(command, args, { cwd, env, encoding: 'utf8' })
  assert.equal(r.status, 0, `${command} ${args.join(' ')}: ${r.stdout}${r.stderr}`)
  return r.stdout + r.stderr
}

function small(dir) {
  cpSync(join(projects, 'express-server'), dir, { recursive: true })
  const m = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'))
  m.scripts = { ...m.scripts, postinstall: 'node -e "require(\'express\')"' }
  m.devDependencies = { ...m.devDependencies, semver: '^7.0.0', esbuild: '0.25.0' }
  m.scripts.check = 'semver 1.2.3 && esbuild --version && node check.js'
  writeFileSync(join(dir, 'package.json'), JSON.stringify(m, null, 2))
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'allowBuilds:\n  esbuild: true\n')
}
function vite(dir) {
  cpSync(join(projects, 'vite-app'), dir, { recursive: true })
}
function workspace(dir) {
  const put = (path, m) => {
    mkdirSync(join(dir, path), { recursive: true })
    writeFileSync(join(dir, path, 'package.json'), JSON.stringify(m, null, 2))
  }
  put('.', { name: 'root', private: true, scripts: { check: 'node packages/app/index.js' }, devDependencies: { semver: '^7.0.0' } })
  put('packages/app', { name: '@ws/app', version: '1.0.0', dependencies: { '@ws/ui': 'workspace:*', '@ws/copied': 'workspace:*', react: '18.3.1', 'react-dom': '18.3.1' }, dependenciesMeta: { '@ws/copied': { injected: true } } })
  put('packages/ui', { name: '@ws/ui', version: '1.0.0', main: 'index.js', peerDependencies: { react: '^18.0.0' }, devDependencies: { react: '18.3.1' }, dependencies: { 'use-sync-external-store': '1.2.0' } })
  put('packages/copied', { name: '@ws/copied', version: '1.0.0', main: 'index.js', peerDependencies: { react: '*' }, devDependencies: { react: '18.2.0' } })
  writeFileSync(join(dir, 'packages/ui/index.js'), "require('use-sync-external-store'); module.exports = require('react').version\n")
  writeFileSync(join(dir, 'packages/copied/index.js'), "module.exports = require('react').version\n")
  writeFileSync(join(dir, 'packages/app/index.js'), "require('react-dom/server'); const v = [require('@ws/ui'), require('@ws/copied')]; if (v.join() !== '18.3.1,18.3.1') throw new Error(v.join())\n")
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'packages:\n  - packages/*\n')
}

// What a project of vite's kind has: a command behind a command, a package that chooses its binary by platform, one that builds, peers, cycles,
// names in scopes, one package in two versions.
function viteLike(dir) {
  const m = { name: 'vite-like', private: true, type: 'commonjs', scripts: { check: 'bin-string && fx-hello && node check.js' },
    dependencies: { 'fx-app': '1.0.0', 'fx-leaf': '1.1.0', 'fx-peer': '1.0.0', 'fx-cycle-a': '1.0.0', 'fx-bundled': '1.0.0' },
    devDependencies: { '@fx/bin-string': '1.0.0', 'fx-bin': '1.0.0', 'fx-platform': '1.0.0', 'fx-postinstall': '1.0.0', 'fx-peer-optional': '1.0.0', 'fx-files': '1.0.0' } }
  writeFileSync(join(dir, 'package.json'), JSON.stringify(m, null, 2))
  writeFileSync(join(dir, 'check.js'), "for (const n of ['fx-app', 'fx-leaf', 'fx-peer', 'fx-platform', 'fx-postinstall', 'fx-peer-optional']) require(n)\n")
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'allowBuilds:\n  fx-postinstall: true\n')
}
function workspaceLike(dir) {
  const put = (path, m) => {
    mkdirSync(join(dir, path), { recursive: true })
    writeFileSync(join(dir, path, 'package.json'), JSON.stringify(m, null, 2))
  }
  put('.', { name: 'root', private: true, scripts: { check: 'node packages/app/index.js' }, devDependencies: { 'fx-bin': '1.0.0' } })
  put('packages/app', { name: '@ws/app', version: '1.0.0', dependencies: { '@ws/ui': 'workspace:*', 'fx-app': '1.0.0', 'fx-peer': '1.0.0', 'fx-leaf': '2.0.0' } })
  put('packages/ui', { name: '@ws/ui', version: '1.0.0', main: 'index.js', dependencies: { 'fx-peer': '1.0.0', 'fx-leaf': '1.1.0' }, devDependencies: { '@fx/bin-string': '1.0.0' } })
  writeFileSync(join(dir, 'packages/ui/index.js'), "require('fx-peer')\n")
  writeFileSync(join(dir, 'packages/app/index.js'), "for (const n of ['@ws/ui', 'fx-app', 'fx-peer']) require(n)\n")
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'packages:\n  - packages/*\n')
}

let failed = 0
for (const make of hermetic ? [viteLike, workspaceLike] : [small, vite, workspace]) {
  for (const order of [['dray', 'pnpm', 'dray', 'frozen', 'dray'], ['pnpm', 'dray', 'pnpm', 'dray', 'frozen']]) {
    const dir = join(work, `${make.name}-${order[0]}`)
    const name = `${make.name}: ${order.join(', ')}`
    try {
      mkdirSync(dir)
      make(dir)
      if (scopes) writeFileSync(join(dir, '.npmrc'), scopes)
      let before, lockfile
      for (const [i, step] of order.entries()) {
        const dep = step === 'dray' ? [dray, ['install', '--store-dir', join(work, 'store-dray')]] : [pnpm, ['install', ...(step === 'frozen' ? ['--frozen-lockfile'] : [])]]
        const said = run(dep[0], dep[1], dir)
        const now = snapshot(dir), lock = readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8')
        if (i > 0) {
          assert.equal(lock, lockfile, `step ${i} (${step}) changed pnpm-lock.yaml`)
          // an injected folder is copied again by every install, as nobody knows whether it has changed,
          // and then pnpm writes its commands anew, too
          const made = changes(before, now).filter((c) => !c.includes('@ws+copied@') && !(step !== 'dray' && make === workspace && c.includes('/.bin/')))
          assert.deepEqual(made.slice(0, 10), [], `step ${i} (${step}) of ${name} touched ${made.length} entries; it said: ${said.slice(-300)}`)
        }
        run(pnpm, ['run', 'check'], dir)
        before = snapshot(dir)
        lockfile = lock
      }
      // pnpm's own question whether there is anything to do, straight after dray
      run(dray, ['install', '--force', '--store-dir', join(work, 'store-dray')], dir)
      assert.ok(existsSync(join(dir, 'node_modules/.pnpm-workspace-state-v1.json')))
      run(pnpm, ['run', 'check'], dir)
      console.log(`ok   ${name}`)
    } catch (e) {
      failed++
      console.log(`FAIL ${name}\n${e.stack}`)
    }
  }
}
rmSync(work, { recursive: true, force: true })
process.exit(failed ? 1 : 0)
