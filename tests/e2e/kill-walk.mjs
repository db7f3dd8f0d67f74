// Kills `dray install` with SIGKILL at random moments, cold and warm in turn; the install after each must end well and with a
// tree equal to the reference's: every file, mode and symlink, and nothing besides.
//
// usage: kill-walk.mjs DRAY PROJECT REGISTRY WARM COLD [--scratch DIR] [--seed N] [--scripts] [--minutes N]
//   PROJECT is a folder with package.json, perhaps pnpm-lock.yaml and pnpm-workspace.yaml; WARM and COLD count the moments of
//   installs whose store has everything and whose store is empty. A third of the rounds goes on from what the last kill left.
//   With --minutes no round begins after so many; what is left undone is said, and the exit status is 1.
// usage: kill-walk.mjs --fixture DRAY FIXTURE_REGISTRY PACKAGES WARM COLD      the same with a project of fixtures
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, differences } from './compare-trees.mjs'
import { fixtureStart } from './rig.mjs'

const args = process.argv.slice(2)
const option = (name, value) => {
  const at = args.indexOf(name)
  if (at < 0) return undefined
  return args.splice(at, value ? 2 : 1)[value ? 1 : 0]
}
const fixture = option('--fixture', false)
const scratch = option('--scratch', true) ?? tmpdir()
const scripts = option('--scripts', false)
const until = Date.now() + 60e3 * Number(option('--minutes', true) ?? 1e6)
let seed = Number(option('--seed', true) ?? Date.now() % 1e9)
console.log(`seed ${seed}`)
const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648

const work = mkdtempSync(join(scratch, 'dray-kill-'))
let dray, project, registry, warm, cold
if (fixture) {
  const [d, program, packages, w, c] = args
  ;[dray, warm, cold] = [d, w, c]
  registry = (await fixtureStart(program, ['--packages', packages])).url
  project = join(work, 'fixture')
  mkdirSync(project)
  const dependencies = { 'fx-app': '1.0.0', 'fx-bin': '1.0.0', 'fx-bundled': '1.0.0', 'fx-cycle-a': '1.0.0', 'fx-files': '1.0.0', 'fx-platform': '1.0.0' }
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'killed', version: '1.0.0', dependencies }))
} else {
  ;[dray, project, registry, warm, cold] = args
}

const env = { ...process.env, CI: '', HOME: work }
const command = (dir, store, frozen) => ['install', ...(frozen ? ['--frozen-lockfile'] : []), ...(scripts ? [] : ['--ignore-scripts']), '--registry', registry,
  '--reporter', 'silent', '--dir', join(work, dir), '--store-dir', join(work, store)]
function fail(text) {
  console.error(text)
  console.error(`left for inspection: ${work}`)
  process.exit(1)
}
function install(dir, store, frozen = true) {
  const began = process.hrtime.bigint()
  const r = spawnSync(dray, command(dir, store, frozen), { env, encoding: 'utf8' })
  if (r.status !== 0) fail(`install ended with ${r.status ?? r.signal}: ${r.stderr}`)
  return Number(process.hrtime.bigint() - began) / 1e6
}
let trash = 0
// Renamed first: what is deleted is out of the way at once, even when it is large.
function discard(name) {
  if (!existsSync(join(work, name))) return
  const gone = join(work, `trash-${trash++}`)
  renameSync(join(work, name), gone)
  rmSync(gone, { recursive: true, force: true })
}
function fresh(name, from) {
  discard(name)
  cpSync(from, join(work, name), { recursive: true, filter: (f) => !f.includes('/node_modules') })
}
// In a folder of node_modules that only dray fills nothing of an interrupted install may stay.
function leftovers() {
  const odd = (name) => /\.tmp$|^\.dray-(?!state$)/.test(name)
  const found = [join(work, 'victim/node_modules'), join(work, 'victim/node_modules/.pnpm'), join(work, 'victim')].flatMap((d) => readdirSync(d).filter(odd).map((n) => join(d, n)))
  return found
}

fresh('reference', project)
const coldMs = install('reference', 'warm', existsSync(join(project, 'pnpm-lock.yaml')))
const source = join(work, 'source')
fresh('source', join(work, 'reference'))
fresh('probe', source)
const warmMs = install('probe', 'warm')
discard('probe')
fresh('probe', source)
const coldLockedMs = install('probe', 'cold')
discard('probe')
console.log(`undisturbed: ${coldMs.toFixed(0)} ms without lockfile, ${coldLockedMs.toFixed(0)} ms cold, ${warmMs.toFixed(0)} ms warm`)

const rounds = { warm: Number(warm), cold: Number(cold) }
let killed = 0, done = 0
const most = 4 * (rounds.warm + rounds.cold)
// How long an install takes here and now: what ended before its moment came says that it is less.
const takes = { warm: warmMs, cold: coldLockedMs }
const seen = new Map(), reference = describe(join(work, 'reference'), seen)
const moments = { warm: [], cold: [] }
fresh('victim', source)
while (rounds.warm + rounds.cold > 0 && done < most && Date.now() < until) {
  const kind = rounds.cold === 0 || (rounds.warm > 0 && rounds.warm >= rounds.cold) ? 'warm' : 'cold'
  rounds[kind]--
  if (kind === 'cold') discard('cold')
  // the third of three goes on from the tree that stands; its state says nothing, or all of it would be kept
  if (done % 3 !== 2) fresh('victim', source)
  else for (const name of readdirSync(join(work, 'victim/node_modules/.pnpm'))) if (random() < 0.3 && name !== 'node_modules' && name !== 'lock.yaml') rmSync(join(work, 'victim/node_modules/.pnpm', name), { recursive: true })
  if (done % 3 === 2) rmSync(join(work, 'victim/node_modules/.modules.yaml'), { force: true })
  const after = random() * 1.05 * takes[kind]
  const child = spawn(dray, command('victim', kind, true), { env, stdio: 'ignore' })
  const timer = setTimeout(() => child.kill('SIGKILL'), after)
  const signal = await new Promise((ok) => child.on('exit', (_, s) => ok(s)))
  clearTimeout(timer)
  if (signal === 'SIGKILL') {
    killed++
    moments[kind].push(after)
    takes[kind] *= 1.05
  } else { // it ended first: another round in its place
    rounds[kind]++
    takes[kind] *= 0.8
  }
  install('victim', kind)
  const found = differences(reference, describe(join(work, 'victim'), seen), 'the reference', 'what was killed')
  if (found.length) fail(`round ${done} (${kind}, killed after ${after.toFixed(1)} ms): ${found.length} differences\n${found.slice(0, 20).join('\n')}`)
  const left = leftovers()
  if (left.length) fail(`round ${done} (${kind}, killed after ${after.toFixed(1)} ms): left behind ${left.join(' ')}`)
  done++
  if (done % 20 === 0 || warmMs > 500) console.log(`${done} rounds, ${killed} killed; the last ${kind}, after ${after.toFixed(0)} of some ${takes[kind].toFixed(0)} ms`)
}
// Whatever the kills left in the store: nothing in it may be wrong.
for (const store of ['warm', 'cold'].filter((s) => existsSync(join(work, s)))) {
  const r = spawnSync(dray, ['store', 'verify', '--store-dir', join(work, store)], { env, encoding: 'utf8' })
  if (r.status !== 0) fail(`dray store verify: ${r.stdout}${r.stderr}`)
}
const span = (l) => (l.length ? `${l.length} between ${Math.min(...l).toFixed(0)} and ${Math.max(...l).toFixed(0)} ms` : 'none')
console.log(`${done} rounds, ${killed} killed (warm ${span(moments.warm)}, cold ${span(moments.cold)}); every tree equals the reference${rounds.warm + rounds.cold ? `; ${rounds.warm} warm and ${rounds.cold} cold not begun` : ''}`)
rmSync(work, { recursive: true, force: true })
// A walk in which hardly anything was interrupted has shown nothing.
process.exit(rounds.warm + rounds.cold === 0 ? 0 : 1)
