// Kills an install that makes one lockfile's tree of another's, then goes back to the first: slots that the killed one rewired or half removed must not
// pass for what they were, with dray's own record of the tree and with pnpm's alone.
// usage: kill-switch.mjs DRAY FIXTURE_REGISTRY PACKAGES ROUNDS [--seed N] [--pnpm PNPM]      PNPM: who goes back in every second round
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { describe, differences } from './compare-trees.mjs'
import { fixtureStart } from './rig.mjs'

const args = process.argv.slice(2)
const option = (name) => (args.includes(name) ? args.splice(args.indexOf(name), 2)[1] : undefined)
let seed = Number(option('--seed') ?? Date.now() % 1e9)
const pnpm = option('--pnpm'), [dray, program, packages, rounds] = args
const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648
console.log(`seed ${seed}`)
const work = mkdtempSync(join(tmpdir(), 'dray-switch-'))
const { url } = await fixtureStart(program, ['--packages', packages])
const env = { ...process.env, CI: '', HOME: work, npm_config_registry: url, pnpm_config_registry: url, pnpm_config_minimum_release_age: '0' }
const dir = join(work, 'p')
mkdirSync(dir)
const command = ['install', '--frozen-lockfile', '--trust-lockfile', '--registry', url, '--reporter', 'silent', '--dir', dir, '--store-dir', join(work, 'store')]
const at = (name) => join(dir, 'node_modules', name)

// One: all there is. Other: fx-app without fx-leaf, under the same key, and without what takes a while to remove.
const one = { 'fx-app': '1.0.0', 'fx-bin': '1.0.0', 'fx-files': '1.0.0', 'fx-bundled': '1.0.0', 'fx-cycle-a': '1.0.0' }
const { 'fx-files': files, 'fx-bundled': bundled, ...other } = one
const manifest = (dependencies) => writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies }))
function make(dependencies) {
  manifest(dependencies)
  const r = spawnSync(dray, command.map((a) => (a === '--frozen-lockfile' ? '--no-frozen-lockfile' : a)), { env, encoding: 'utf8' })
  assert.equal(r.status, 0, r.stderr)
  return readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8')
}
const locks = [make(one)]
locks.push(make(other).replace(/(  fx-app@1\.0\.0:\n    dependencies:\n      '@fx\/scoped': 1\.0\.0\n)      fx-leaf: 1\.1\.0\n/, '$1'))
assert.notEqual(locks[1], make(other))
const want = (i) => (manifest([one, other][i]), writeFileSync(join(dir, 'pnpm-lock.yaml'), locks[i]))
function install() {
  const began = process.hrtime.bigint(), r = spawnSync(dray, command, { env, encoding: 'utf8' })
  assert.equal(r.status, 0, r.stderr)
  return Number(process.hrtime.bigint() - began) / 1e6
}
want(0)
install()
const reference = describe(dir)
let takes = (want(1), install()), killed = 0
want(0)
install()
for (let round = 0; killed < Number(rounds) && round < 4 * Number(rounds); round++) {
  if (round % 2) rmSync(at('.dray-state'), { force: true })
  want(1)
  const after = random() * 1.1 * takes
  const child = spawn(dray, command, { env, stdio: 'ignore' })
  const timer = setTimeout(() => child.kill('SIGKILL'), after)
  const signal = await new Promise((ok) => child.on('exit', (_, s) => ok(s)))
  clearTimeout(timer)
  killed += signal === 'SIGKILL'
  takes *= signal === 'SIGKILL' ? 1.05 : 0.8
  want(0)
  const how = `round ${round}, ${signal} after ${after.toFixed(1)} ms${round % 2 ? ', without dray\'s record' : ''}`
  if (pnpm && round % 4 > 1) {
    const r = spawnSync(pnpm, ['install', '--frozen-lockfile', '--ignore-scripts', '--store-dir', join(work, 'store-pnpm')], { cwd: dir, env, encoding: 'utf8' })
    assert.equal(r.status, 0, r.stdout + r.stderr)
    for (const n of readdirSync(at('.pnpm')).filter((n) => n.startsWith('.dray-old-'))) renameSync(at(`.pnpm/${n}`), join(work, `${round}${n}`)) // not pnpm's
  } else {
    install()
    assert.deepEqual(readdirSync(at('.pnpm')).filter((n) => n.startsWith('.')), [], how)
  }
  assert.deepEqual(differences(reference, describe(dir), 'the reference', 'what was made of it again'), [], how)
}
console.log(`${killed} killed; every tree equals the reference`)
rmSync(work, { recursive: true, force: true })
process.exit(killed === Number(rounds) ? 0 : 1)
