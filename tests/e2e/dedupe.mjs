// dedupeDirectDeps against pnpm: the same trees, fresh and with the setting taken back, under several ways of hoisting. No network.
// usage: dedupe.mjs PNPM DRAY FIXTURE_REGISTRY PACKAGES      77 where there is no PNPM
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, differences } from './compare-trees.mjs'
import { fixtureStart } from './rig.mjs'

const [pnpm, dray, program, packages] = process.argv.slice(2)
if (!existsSync(pnpm)) {
  console.log('not run: there is no pnpm here (cmake -D PNPM=PATH)')
  process.exit(77)
}
const work = mkdtempSync(join(tmpdir(), 'dray-dedupe-'))
const { url } = await fixtureStart(program, ['--packages', packages])
const env = { ...process.env }
for (const k of Object.keys(env)) if (/^(npm|pnpm)_config_|^DRAY_|_proxy$|^XDG_|^PNPM_|^CI$/i.test(k)) delete env[k]
Object.assign(env, { HOME: work, npm_config_registry: url, pnpm_config_registry: url, pnpm_config_minimum_release_age: '0', pnpm_config_package_import_method: 'hardlink' })

// The same as the root's: registry, workspace and optional ones; not the same: another version, another name, no dependency of the root's.
const manifests = {
  '.': { name: 'root', dependencies: { '@s/b': 'workspace:*', 'fx-app': '1.0.0', 'fx-leaf': '1.1.0' }, devDependencies: { 'fx-bin': '1.0.0' }, optionalDependencies: { 'fx-files': '1.0.0' } },
  'apps/a': { name: '@s/a', version: '1.0.0', dependencies: { '@s/b': 'workspace:*', 'fx-app': '1.0.0', 'fx-bin': '1.0.0', 'fx-files': '1.0.0' } },
  'apps/c': { name: 'c', version: '1.0.0', dependencies: { 'fx-leaf': '2.0.0', other: 'npm:fx-bin@1.0.0', '@s/a': 'workspace:*', 'fx-bin': '1.0.0', '@fx/scoped': '1.0.0' } },
  'libs/b': { name: '@s/b', version: '1.0.0', bin: 'b.js', dependencies: { 'fx-leaf': '1.1.0', 'fx-peer': '1.0.0', '@fx/scoped': '1.0.0' } },
}
const packagesYaml = 'packages:\n  - apps/*\n  - libs/*\n'
function make(name, settings) {
  const dir = join(work, name)
  for (const [path, m] of Object.entries(manifests)) {
    mkdirSync(join(dir, path), { recursive: true })
    writeFileSync(join(dir, path, 'package.json'), JSON.stringify(m))
  }
  writeFileSync(join(dir, 'libs/b/b.js'), '#!/usr/bin/env node\n')
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), packagesYaml + settings)
  return dir
}
function run(program, dir, ...args) {
  const r = spawnSync(program, ['install', '--ignore-scripts', ...args], { cwd: dir, env, encoding: 'utf8' })
  assert.equal(r.status, 0, r.stdout + r.stderr)
}
const same = (a, b, what) => assert.deepEqual(differences(describe(a), describe(b), 'pnpm', 'dray'), [], what)

let n = 0
for (const hoisting of ['', 'publicHoistPattern: ["fx-leaf", "*scoped*"]\n', 'shamefullyHoist: true\n', 'hoist: false\n', 'hoistWorkspacePackages: true\npublicHoistPattern: ["*"]\n', 'autoInstallPeers: false\n']) {
  const on = `dedupeDirectDeps: true\n${hoisting}`, theirs = make(`pnpm${n}`, on), ours = make(`dray${n++}`, on)
  run(pnpm, theirs, '--store-dir', join(work, 'store-pnpm'))
  cpSync(join(theirs, 'pnpm-lock.yaml'), join(ours, 'pnpm-lock.yaml'))
  run(dray, ours, '--frozen-lockfile', '--store-dir', join(work, 'store'))
  same(theirs, ours, on)
  assert.ok(!existsSync(join(ours, 'apps/a/node_modules')), 'all that it has is the root\'s')
  const whole = describe(ours)
  for (const dir of [theirs, ours]) writeFileSync(join(dir, 'pnpm-workspace.yaml'), packagesYaml + hoisting)
  run(pnpm, theirs, '--store-dir', join(work, 'store-pnpm'))
  run(dray, ours, '--store-dir', join(work, 'store'))
  same(theirs, ours, `without again: ${hoisting}`)
  // pnpm 12.21 leaves what is there when it is set again; here it is as if it had always been
  writeFileSync(join(ours, 'pnpm-workspace.yaml'), packagesYaml + on)
  run(dray, ours, '--store-dir', join(work, 'store'))
  assert.deepEqual(differences(whole, describe(ours), 'fresh', 'set again'), [], on)
  assert.equal(readFileSync(join(theirs, 'pnpm-lock.yaml'), 'utf8'), readFileSync(join(ours, 'pnpm-lock.yaml'), 'utf8'))
  console.log(`ok ${JSON.stringify(hoisting)}`)
}
rmSync(work, { recursive: true, force: true })
process.exit(0)
