// Installs through a drayd that has packs ready, against direct ones: the same tree, the same lockfile; one pack damaged; a server that is
// cold, gone or silent.
// usage: packs.mjs DRAY DRAYD FIXTURE_REGISTRY PACKAGES
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { draydStart, draydsStop, eventsOf, fixtureStart, run, sleep } from './rig.mjs'

const [dray, drayd, fixture, packages] = process.argv.slice(2)
const compare = join(dirname(fileURLToPath(import.meta.url)), 'compare-trees.mjs')
const work = mkdtempSync(join(tmpdir(), 'dray-e2e-packs-'))
const serverDir = join(work, 'drayd')
const dependencies = { 'fx-app': '1.0.0', 'fx-bin': '1.0.0', 'fx-files': '1.0.0', 'fx-peer': '1.0.0' }
let url, server, serverUrl, count = 0

async function serverStart(dir = serverDir, ...flags) {
  server = await draydStart(drayd, dir, '--registry', url, '--pack-settle-level', '0', ...flags)
  serverUrl = server.url
}
async function packsAwait(all) {
  for (let i = 0; (await metric('warm')) < all; i++) {
    assert.ok(i < 6000, `${await metric('warm')} of ${all} packs are made`)
    await sleep(50)
  }
}
async function metric(name) {
  return Number(new RegExp(`^drayd_packs_${name} (.*)$`, 'm').exec(await server.metrics())[1])
}

// Requests to the routes of packs, as drayd counted them.
async function packRequests() {
  return [...(await server.metrics()).matchAll(/^drayd_responses_total\{route="([^"]*packs[^"]*)",status="\d+"\} (\d+)$/gm)].reduce((n, m) => n + Number(m[2]), 0)
}

// A project with a store of its own. LOCKFILE: its text, or undefined. AT: the server, or undefined for a direct install.
async function install(lockfile, at, flags = [], expected = 0, { yaml = '', ...vars } = {}) {
  const dir = join(work, `p${count++}`)
  mkdirSync(dir)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies }))
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'strictDepBuilds: false\nstrictPeerDependencies: false\n' + yaml)
  if (lockfile) writeFileSync(join(dir, 'pnpm-lock.yaml'), lockfile)
  const env = { ...process.env, CI: '', HOME: work, DRAY_SERVER: '', DRAY_TOKEN: '', ...vars }
  const how = at ? ['--server', at, '--server-fallback', 'error'] : ['--direct']
  // not spawnSync: a silent server lives in this process
  const { status, stdout, out } = await run(dray, ['install', lockfile ? '--frozen-lockfile' : '--no-frozen-lockfile', '--dir', dir, '--store-dir', dir + '-store', '--registry', url, '--reporter', 'ndjson', ...how, ...flags], { env })
  assert.equal(status, expected, out)
  return status ? { dir, text: out } : { dir, text: out, packs: eventsOf(stdout).find((e) => e.event === 'packs'), lockfile: readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8') }
}
function same(a, b) {
  const r = spawnSync(process.execPath, [compare, a.dir, b.dir], { encoding: 'utf8' })
  assert.equal(r.status, 0, r.stdout + r.stderr)
  assert.equal(a.lockfile, b.lockfile)
}

// Changes a byte of every pack that the journal has for NAME at VERSION; how many.
function damage(name, version) {
  const lines = readFileSync(join(serverDir, 'packs/journal'), 'utf8').split('\n').map((l) => l.split(' '))
  let n = 0
  for (const [state, , digest, , , , of, at] of lines) {
    if (!['warm2', 'settled2'].includes(state) || of !== name || at !== version) continue
    const path = join(serverDir, 'packs', digest.slice(0, 2), digest.slice(2))
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1] ^= 1
    writeFileSync(path, bytes)
    n++
  }
  return n
}

const timer = setTimeout(() => { throw new Error('not done within 880 s') }, 880000)
try {
  url = (await fixtureStart(fixture, ['--packages', packages])).url
  const direct = await install()
  const lateDir = join(work, 'late')
  await serverStart(lateDir, '--pack-delay', '3600')
  const late = await install(undefined, serverUrl)
  same(direct, late)
  assert.equal(late.packs.packs, 0)
  assert.ok(late.packs.tarballs >= 5)
  assert.ok((await metric('pending')) >= late.packs.tarballs)
  await server.stop()
  await serverStart(lateDir, '--pack-delay', '0')
  await packsAwait(late.packs.tarballs)
  await server.stop()
  console.log('ok packs that wait for the end of an install are made after it, and after a restart')

  await serverStart()

  const cold = await install(undefined, serverUrl)
  same(direct, cold)
  const all = cold.packs.tarballs + cold.packs.packs
  assert.ok(all >= 5)
  await packsAwait(all)
  console.log('ok cold server: as direct, and packs are made')

  // A plan that was kept from before names no packs: they are looked up while tarballs come. A new server makes a new plan.
  const kept = await install(undefined, serverUrl)
  same(direct, kept)
  assert.equal(kept.packs.tarballs + kept.packs.packs, all)
  const locked = await install(direct.lockfile, serverUrl)
  same(direct, locked)
  assert.equal(locked.packs.tarballs + locked.packs.packs, all)
  console.log('ok kept plan and locked install: as direct')
  await server.stop()
  await serverStart()
  const warm = await install(undefined, serverUrl)
  same(direct, warm)
  assert.equal(warm.packs.packs, all)
  assert.equal(warm.packs.tarballs, 0)
  assert.doesNotMatch(warm.text, /instead/)
  console.log('ok warm server: packs only, as direct')

  const waitSettled = () => spawnSync(drayd, ['--wait-settled', '--registry', url, '--store-dir', serverDir, '--log-level', 'error'], { encoding: 'utf8' })
  const busy = waitSettled()
  assert.equal(busy.status, 7, busy.stderr + busy.stdout)
  assert.match(busy.stderr, /another drayd.*drayd_packs_unsettled/)
  assert.ok((await metric('unsettled')) >= all) // deltas are counted, too
  assert.equal(await metric('time_to_settle_seconds'), -1)
  await server.stop()
  const settle = waitSettled()
  assert.equal(settle.status, 0, settle.stderr)
  const settledPacks = Number(/^settled: (\d+) packs, .* s of CPU$/m.exec(settle.stdout)?.[1])
  assert.ok(settledPacks >= all, settle.stdout) // deltas are counted, too
  await serverStart()
  assert.equal(await metric('unsettled'), 0)
  assert.equal(await metric('settled'), settledPacks)
  assert.match(await (await fetch(serverUrl + '/', { headers: { connection: 'close' } })).text(), /Packs not at their best<td class=n>0</)
  const best = await install(undefined, serverUrl)
  same(direct, best)
  assert.equal(best.packs.packs, all)
  assert.ok(best.packs.pack_bytes <= warm.packs.pack_bytes)
  console.log('ok --wait-settled: beside a server refused, else all settled, as direct')

  assert.ok(damage('fx-leaf', '1.1.0') >= 1)
  const bad = await install(undefined, serverUrl)
  same(direct, bad)
  assert.deepEqual([bad.packs.packs, bad.packs.tarballs, bad.packs.refused], [all - 1, 1, 1])
  const stopped = await install(undefined, serverUrl, ['--bad-pack', 'stop'], 6)
  assert.match(stopped.text, /fx-leaf@1\.1\.0/)
  assert.ok(!existsSync(join(stopped.dir, 'node_modules/.pnpm/fx-leaf@1.1.0')) && !existsSync(join(stopped.dir, 'pnpm-lock.yaml')))
  await install(undefined, serverUrl, ['--bad-pack', 'sometimes'], 2)
  const asked = await packRequests()
  assert.ok(asked > 0)
  for (const [flags, env] of [[['--materialization', 'registry']], [[], { DRAY_MATERIALIZATION: 'registry' }], [['--materialization', 'server'], { yaml: 'drayMaterialization: registry\n' }]]) {
    for (const lock of [undefined, direct.lockfile]) {
      const own = await install(lock, serverUrl, flags, 0, env)
      same(direct, own)
      assert.deepEqual([own.packs.packs, own.packs.tarballs, own.packs.requests], [0, all, 0])
    }
  }
  assert.equal(await packRequests(), asked)
  console.log('ok a damaged pack stops where that is asked for; materialization: registry asks for no packs')
  assert.match(bad.text, /fx-leaf@1\.1\.0.*instead/)
  assert.doesNotMatch(bad.text, /fx-(app|bin|files|peer)@.*instead/)
  console.log('ok one damaged pack: named, its tarball instead')

  await server.stop()
  const gone = await install(direct.lockfile, serverUrl)
  same(direct, gone)
  assert.deepEqual([gone.packs.packs, gone.packs.tarballs], [0, all])
  assert.ok(gone.text.split('\n').filter((l) => /from the registry/.test(l)).length <= 1, gone.text)
  const silent = createServer(() => {})
  await new Promise((ok) => silent.listen(0, '127.0.0.1', ok))
  const mute = await install(direct.lockfile, `http://127.0.0.1:${silent.address().port}`)
  silent.close()
  same(direct, mute)
  assert.deepEqual([mute.packs.packs, mute.packs.tarballs], [0, all])
  console.log('ok locked install, server gone or silent: tarballs')
} finally {
  clearTimeout(timer)
  await draydsStop()
  rmSync(work, { recursive: true, force: true })
}
process.exit(0)
