// Locked installs through a drayd that has every pack and is 60 ms away: what its answer is waited for, and what a mute one costs.
// usage: packs-late.mjs DRAY DRAYD FIXTURE_REGISTRY
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { draydStart, draydsStop, eventsOf, fixtureStart, run, sleep } from './rig.mjs'

const [dray, drayd, fixture] = process.argv.slice(2)
const PACKAGES = 120, EARLY = PACKAGES / 4, MEANWHILE = 96
// How late each way is, in milliseconds, one try after the other.
const LATE = [...Array(10).fill(30), ...Array(10).fill(10), ...Array(20).fill(0)]
const work = mkdtempSync(join(tmpdir(), 'dray-e2e-packs-late-'))
const names = Array.from({ length: PACKAGES }, (_, i) => `fx-late${i}`)
let url, port, count = 0

for (const name of names) {
  const dir = join(work, 'packages', name, '1.0.0')
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name, version: '1.0.0' }))
  writeFileSync(join(dir, 'index.js'), `module.exports = '${name}'\n`)
}

// Passes on to drayd, each way MS late. MUTE: takes connections and says nothing.
function far(ms, mute) {
  const late = (from, to) => from.on('data', (d) => setTimeout(() => to.writable && to.write(d), ms)).on('error', () => to.destroy()).on('close', () => setTimeout(() => to.destroy(), ms))
  const proxy = createServer({ noDelay: true }, (client) => {
    if (mute) return client.on('error', () => {}).resume()
    const up = connect({ port, host: '127.0.0.1', noDelay: true })
    late(client, up)
    late(up, client)
  })
  return new Promise((ok) => proxy.listen(0, '127.0.0.1', () => ok(proxy)))
}

async function install(lockfile, at) {
  const dir = join(work, `p${count++}`)
  mkdirSync(dir)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: Object.fromEntries(names.map((n) => [n, '1.0.0'])) }))
  if (lockfile) writeFileSync(join(dir, 'pnpm-lock.yaml'), lockfile)
  const env = { ...process.env, CI: '', HOME: work, DRAY_SERVER: '', DRAY_TOKEN: '' }
  const { status, stdout, out } = await run(dray, ['install', lockfile ? '--frozen-lockfile' : '--no-frozen-lockfile', '--dir', dir, '--store-dir', dir + '-store', '--registry', url, '--reporter', 'ndjson', '--server', `http://127.0.0.1:${at}`, '--server-fallback', 'error'], { env })
  assert.equal(status, 0, out)
  for (const n of names) assert.ok(existsSync(join(dir, 'node_modules', n, 'index.js')), n)
  const packs = eventsOf(stdout).find((e) => e.event === 'packs')
  assert.equal(packs.packs + packs.tarballs, PACKAGES)
  return { packs, lockfile: readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8') }
}

const timer = setTimeout(() => { throw new Error('not done within 880 s') }, 880000)
try {
  url = (await fixtureStart(fixture, ['--packages', join(work, 'packages')])).url
  const server = await draydStart(drayd, join(work, 'drayd'), '--registry', url, '--pack-settle-level', '0')
  port = server.port
  const { lockfile } = await install(undefined, port)
  const warm = async () => Number(/^drayd_packs_warm (\d+)$/m.exec(await server.metrics())[1])
  for (let i = 0; (await warm()) < PACKAGES; i++) {
    assert.ok(i < 6000, `${await warm()} of ${PACKAGES} packs are made`)
    await sleep(50)
  }

  // A busy machine may let the time pass: then the server comes nearer. Without waiting it is never fewer than are downloaded at once, wherever it is.
  const tarballs = []
  for (const ms of LATE) {
    if (tarballs.at(-1) <= EARLY) break
    const away = await far(ms)
    tarballs.push((await install(lockfile, away.address().port)).packs.tarballs)
    away.close()
  }
  assert.ok(tarballs.at(-1) <= EARLY, `tarballs: ${tarballs}; ${MEANWHILE} are what comes without waiting`)
  console.log('ok an answer on its way is waited for')

  const mute = await far(0, true)
  const { packs } = await install(lockfile, mute.address().port)
  mute.close()
  assert.equal(packs.tarballs, PACKAGES)
  console.log('ok a mute server is not: tarballs')
} finally {
  clearTimeout(timer)
  await draydsStop()
  rmSync(work, { recursive: true, force: true })
}
process.exit(0)
