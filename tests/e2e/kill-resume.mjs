// What an install had made when it was killed stays: the next one makes only the rest, of an empty tree, too, and ends with the reference's tree. Nothing
// stays that is not what it was written down as: rewired by another install that was killed, touched by a hand, cut off.
// usage: kill-resume.mjs DRAY
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, differences } from './compare-trees.mjs'
import { DAY, registryStart } from './policy-registry.mjs'
import { run, sleep } from './rig.mjs'

const [dray] = process.argv.slice(2)
const work = realpathSync(mkdtempSync(join(tmpdir(), 'dray-resume-')))
// Enough of them that commands are needed across slots; the last one does not come as long as it is held.
const N = 60, name = (i) => `r${i}`
const table = { slow: { '1.0.0': { ago: 90 * DAY } } }
for (let i = 0; i < N; i++) table[name(i)] = { '1.0.0': { ago: 90 * DAY, ...(i % 2 ? { bin: { [`run${i}`]: 'index.js' } } : {}), deps: i + 1 < N ? { [name(i + 1)]: '1.0.0' } : undefined } }
const registry = await registryStart(table), slow = '/slow/-/slow-1.0.0.tgz'
const env = { ...process.env, CI: '', HOME: work }
const command = (dir) => ['install', '--frozen-lockfile', '--trust-lockfile', '--registry', `${registry.url}/`, '--reporter', 'append-only', '--dir', dir, '--store-dir', join(dir, 'store')]
const manifest = (dir, scripts) => writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { slow: '1.0.0', [name(0)]: '1.0.0', [name(1)]: '1.0.0' }, scripts }))

const reference = join(work, 'reference')
mkdirSync(reference)
manifest(reference)
let r = await run(dray, command(reference).filter((a) => a !== '--frozen-lockfile'), { env })
assert.equal(r.status, 0, r.out)
const want = describe(reference), lock = readFileSync(join(reference, 'pnpm-lock.yaml'), 'utf8')
// The same packages, and one dependency fewer under the same key.
const other = lock.replace(/(  r0@1\.0\.0:)\n    dependencies:\n      r1: 1\.0\.0\n/, '$1 {}\n')
assert.notEqual(other, lock)

let count = 0
function project(scripts) {
  const dir = join(work, `p${count++}`)
  mkdirSync(dir)
  manifest(dir, scripts)
  writeFileSync(join(dir, 'pnpm-lock.yaml'), lock)
  return dir
}
const vstore = (dir, ...more) => join(dir, 'node_modules/.pnpm', ...more), journal = (dir) => vstore(dir, '.dray-made')
// What it is, and in which life of the machine it was written.
const head = (b) => b.length < 16 ? b.length : 16 + Number(b.readBigUInt64LE(8)) + 1
// How often it is written down, in whole entries, that a slot is made.
function written(dir, i) {
  const b = existsSync(journal(dir)) ? readFileSync(journal(dir)) : Buffer.alloc(0)
  let times = 0
  for (let at = head(b); at + 8 <= b.length;) {
    const n = Number(b.readBigUInt64LE(at)), next = at + 8 + n + 1 + 32
    times += next <= b.length && b.toString('latin1', at + 8, at + 8 + n) === `${name(i)}@1.0.0`
    at = next
  }
  return times
}
// A folder that was made anew may have the number of the one that is gone.
const stamp = (path) => { const s = lstatSync(path, { bigint: true }); return `${s.ino} ${s.ctimeNs}` }
const slots = (dir) => Object.fromEntries(Array.from({ length: N }, (_, i) => [name(i), stamp(vstore(dir, `${name(i)}@1.0.0`))]))
// An install that is killed as soon as WHEN holds, as it does some time.
async function killed(dir, when) {
  const child = spawn(dray, command(dir), { env }), p = { text: '' }
  for (const s of [child.stdout, child.stderr]) s.on('data', (d) => { p.text += d })
  const end = new Promise((ok) => child.on('exit', (_, signal) => ok(signal)))
  for (let i = 0; !when(p); i++) {
    assert.ok(i < 6000 && child.exitCode === null, `not killed: ${p.text}`)
    await sleep(20)
  }
  child.kill('SIGKILL')
  assert.equal(await end, 'SIGKILL')
  return p.text
}
const all = (dir, times = 1) => () => Array.from({ length: N }, (_, i) => written(dir, i)).every((n) => n >= times)
async function again(dir, what) {
  registry.release()
  const r = await run(dray, command(dir), { env })
  assert.equal(r.status, 0, `${what}: ${r.out}`)
  assert.deepEqual(differences(want, describe(dir), 'the reference', 'what was killed'), [], what)
  assert.deepEqual(readdirSync(vstore(dir)).filter((n) => n.startsWith('.')), [], what)
}
async function half() {
  const dir = project()
  registry.held.add(slow)
  await killed(dir, all(dir))
  return dir
}
const changed = (was, now) => Object.keys(was).filter((k) => was[k] !== now[k])

const tests = {
  async 'killed while one package is still to come'() {
    const dir = await half(), was = slots(dir)
    assert.ok(!existsSync(vstore(dir, 'slow@1.0.0')) && !existsSync(join(dir, 'node_modules/.dray-state')))
    await again(dir, 'killed')
    assert.deepEqual(changed(was, slots(dir)), [])
  },
  async 'killed twice: the second install has made nothing of it anew either'() {
    const dir = await half(), was = slots(dir)
    rmSync(vstore(dir, 'r3@1.0.0'), { recursive: true })
    registry.held.add(slow)
    await killed(dir, () => written(dir, 3) === 2)
    assert.deepEqual(changed(was, slots(dir)), ['r3'])
    const now = slots(dir)
    await again(dir, 'killed twice')
    assert.deepEqual(changed(now, slots(dir)), [])
  },
  async 'a slot that another install has rewired, which was killed, too, is not what it was'() {
    const dir = await half(), was = slots(dir)
    writeFileSync(join(dir, 'pnpm-lock.yaml'), other)
    registry.held.add(slow)
    await killed(dir, () => written(dir, 0) === 2)
    assert.deepEqual(changed(was, slots(dir)), ['r0'])
    assert.ok(!existsSync(vstore(dir, 'r0@1.0.0/node_modules/r1')))
    writeFileSync(join(dir, 'pnpm-lock.yaml'), lock)
    await again(dir, 'rewired and back')
    assert.deepEqual(changed(was, slots(dir)), ['r0'])
  },
  async 'what a hand has touched meanwhile is made anew'() {
    const dir = await half(), was = slots(dir)
    rmSync(vstore(dir, 'r4@1.0.0/node_modules/r4/index.js'))
    rmSync(vstore(dir, 'r5@1.0.0/node_modules/r6'))
    rmSync(vstore(dir, 'r9@1.0.0/node_modules/r9'), { recursive: true })
    await again(dir, 'touched')
    assert.deepEqual(changed(was, slots(dir)), ['r4', 'r5', 'r9'])
  },
  async 'another folder with the same times, as two installs within one second of a coarse clock make it, is made anew'() {
    const dir = await half(), slot = vstore(dir, 'r4@1.0.0'), file = join(slot, 'node_modules/r4/index.js'), was = slots(dir)
    execFileSync('cp', ['-a', slot, `${slot}.copy`])
    const times = (s) => [s, join(s, 'node_modules'), join(s, 'node_modules/r4')].map((f) => lstatSync(f, { bigint: true }).mtimeNs)
    assert.deepEqual(times(`${slot}.copy`), times(slot))
    writeFileSync(join(`${slot}.copy`, 'node_modules/r4/package.json'), '{}') // another's
    renameSync(slot, join(work, `moved${count}`))
    renameSync(`${slot}.copy`, slot)
    assert.ok(existsSync(file))
    await again(dir, 'the same times')
    assert.deepEqual(changed(was, slots(dir)), ['r4'])
  },
  async 'a record that is cut off counts as far as it goes, and goes on from there'() {
    const dir = await half(), was = slots(dir), bytes = readFileSync(journal(dir)).length
    for (const cut of [1, 30, 8]) {
      truncateSync(journal(dir), readFileSync(journal(dir)).length - cut)
      registry.held.add(slow)
      await killed(dir, all(dir))
    }
    assert.ok(readFileSync(journal(dir)).length >= bytes)
    const now = slots(dir)
    assert.ok(changed(was, now).length < 6, `${changed(was, now)}`)
    await again(dir, 'cut off')
    assert.deepEqual(changed(now, slots(dir)), [])
  },
  async 'one that is none is as good as none'() {
    for (const spoil of [(f) => writeFileSync(f, ''), (f) => writeFileSync(f, 'x'.repeat(9999)), (f) => writeFileSync(f, Buffer.concat([readFileSync(f).subarray(0, head(readFileSync(f))), Buffer.alloc(999, 255)])),
      (f) => writeFileSync(f, readFileSync(f).map((c, at) => at === 16 ? c ^ 1 : c)), // of another life of the machine
      (f) => (rmSync(f), mkdirSync(join(f, 'x'), { recursive: true })), (f) => rmSync(f)]) {
      const dir = await half(), was = slots(dir)
      spoil(journal(dir))
      await again(dir, `${spoil}`)
      assert.equal(changed(was, slots(dir)).length, N)
    }
    const dir = await half()
    appendFileSync(journal(dir), Buffer.alloc(4096)) // as a power loss leaves a file
    const was = slots(dir)
    await again(dir, 'zeros behind')
    assert.deepEqual(changed(was, slots(dir)), [])
  },
  async 'killed while a script of the project runs: slots stay with their commands, which are looked at'() {
    const dir = project({ postinstall: 'echo at-work $$; exec sleep 600' })
    const text = await killed(dir, (p) => /at-work \d+/.test(p.text))
    process.kill(Number(/at-work (\d+)/.exec(text)[1]), 'SIGKILL')
    const was = slots(dir), shim = vstore(dir, 'r0@1.0.0/node_modules/r0/node_modules/.bin/run1')
    assert.ok(readFileSync(shim).length > 0)
    truncateSync(shim, 5) // as if it had come so far
    manifest(dir)
    await again(dir, 'a script')
    assert.deepEqual(changed(was, slots(dir)), [])
    assert.deepEqual(readdirSync(vstore(dir)).filter((n) => n.startsWith('.')), [])
  },
  async 'killed before slots have their commands, and again when they have: they stay with those'() {
    const dir = project({ postinstall: 'echo at-work $$; exec sleep 600' })
    registry.held.add(slow)
    await killed(dir, all(dir))
    registry.release()
    const text = await killed(dir, (p) => /at-work \d+/.test(p.text)), was = slots(dir)
    process.kill(Number(/at-work (\d+)/.exec(text)[1]), 'SIGKILL')
    manifest(dir)
    await again(dir, 'commands')
    assert.deepEqual(changed(was, slots(dir)), [])
  },
  async 'an install that fails leaves no record that was not there'() {
    const dir = project(), bytes = registry.files.get(slow)
    await again(dir, 'as it should be')
    for (const p of ['slow', 'r3']) rmSync(vstore(dir, `${p}@1.0.0`), { recursive: true })
    rmSync(join(dir, 'store'), { recursive: true })
    registry.held.add(slow)
    const failing = run(dray, command(dir), { env })
    for (let i = 0; !written(dir, 3); i++) {
      assert.ok(i < 6000)
      await sleep(20)
    }
    registry.files.set(slow, Buffer.from('no tarball'))
    registry.release()
    const r = await failing
    registry.files.set(slow, bytes)
    assert.notEqual(r.status, 0, r.out)
    assert.deepEqual(readdirSync(vstore(dir)).filter((n) => n.startsWith('.')), [])
    assert.ok(!existsSync(vstore(dir, 'r3@1.0.0')))
    await again(dir, 'after a failure')
  },
}

let bad = 0
for (const [what, test] of Object.entries(tests)) {
  try {
    await test()
    console.log(`ok ${what}`)
  } catch (e) {
    bad++
    console.log(`FAILED ${what}\n${e.stack}`)
  }
}
registry.close()
rmSync(work, { recursive: true, force: true })
process.exit(bad ? 1 : 0)
