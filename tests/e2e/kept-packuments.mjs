// What an earlier direct install has kept of packuments makes the plan without a question where it decides everything, with a server, too: one that
// says nothing is not waited for, one that is there is asked for packs only. Where it does not decide, the server makes the plan, or its absence is an error.
// usage: kept-packuments.mjs DRAY DRAYD FIXTURE_REGISTRY PACKAGES
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, differences } from './compare-trees.mjs'
import { draydStart, draydsStop, eventsOf, fixtureStart, run, sleep } from './rig.mjs'

const [dray, drayd, program, packages] = process.argv.slice(2)
const work = realpathSync(mkdtempSync(join(tmpdir(), 'dray-kept-packuments-')))
const count = join(work, 'count')
const { url } = await fixtureStart(program, ['--packages', packages, '--count', count])
const env = { ...process.env, CI: '', HOME: work, DRAY_SERVER: '', DRAY_TOKEN: '' }

const lockfile = (name) => readFileSync(join(work, name, 'pnpm-lock.yaml'), 'utf8')
const put = (name, deps) => {
  mkdirSync(join(work, name), { recursive: true })
  writeFileSync(join(work, name, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: deps }))
}
async function tryInstall(name, how, store = name) {
  writeFileSync(count, '')
  const r = await run(dray, ['install', '--no-frozen-lockfile', '--dir', join(work, name), '--store-dir', join(work, `${store}-store`), '--registry', url, '--reporter', 'ndjson', ...how], { env })
  const events = eventsOf(r.stdout), asked = readFileSync(count, 'utf8').split('\n').filter((l) => l.startsWith('GET'))
  return { ...r, ...events.find((e) => e.event === 'summary'), packs: events.find((e) => e.event === 'packs'), packuments: asked.filter((l) => !l.includes('/-/')), asked }
}
async function install(...args) {
  const r = await tryInstall(...args)
  assert.equal(r.status, 0, r.out)
  return r
}
const by = (server) => ['--server', server, '--server-fallback', 'error']
const same = (a, b) => {
  assert.equal(lockfile(a), lockfile(b))
  const d = differences(describe(join(work, a)), describe(join(work, b)))
  assert.equal(d.length, 0, d.slice(0, 10).join('\n'))
}
// A project installed without a server, whose manifest has moved since.
const old = { 'fx-leaf': '1.0.0', 'fx-app': '1.0.0' }, moved = { 'fx-leaf': '^1.1.0', 'fx-app': '1.0.0' }
async function before(name, store = name) {
  put(name, old)
  await install(name, ['--direct'], store)
  put(name, moved)
}

const timer = setTimeout(() => { throw new Error('not done within 580 s') }, 580000)
try {
  await before('direct')
  cpSync(join(work, 'direct'), join(work, 'asks'), { recursive: true })
  const reference = await install('direct', ['--direct'])
  assert.deepEqual(reference.packuments, [])
  assert.ok(reference.packuments_kept > 0)

  // -- a server that takes connections and never says a word
  const mute = createServer((socket) => { socket.on('error', () => {}) })
  await new Promise((ok) => mute.listen(0, '127.0.0.1', ok))
  const silence = `http://127.0.0.1:${mute.address().port}`
  await before('mute')
  const alone = await install('mute', by(silence))
  assert.equal(alone.source, 'direct')
  assert.deepEqual(alone.asked.map((l) => l.split(' ')[1]), ['/fx-leaf/-/fx-leaf-1.1.0.tgz'])
  same('mute', 'direct')
  console.log('ok a server that says nothing is not waited for')

  // -- nothing is there at all
  mute.close()
  await before('gone')
  assert.equal((await install('gone', by('http://127.0.0.1:1'))).source, 'direct')
  same('gone', 'direct')
  console.log('ok a server that is not there is no error where nobody has to be asked')

  // -- what is kept does not decide: without a release age a range is the registry's to answer
  await before('asks')
  const was = lockfile('asks')
  writeFileSync(join(work, 'asks/pnpm-workspace.yaml'), 'minimumReleaseAge: 0\n')
  const refused = await tryInstall('asks', by('http://127.0.0.1:1'))
  assert.notEqual(refused.status, 0, refused.out)
  assert.match(refused.out, /ERR_DRAY_NETWORK/)
  assert.equal(lockfile('asks'), was)
  const server = await draydStart(drayd, join(work, 'drayd'), '--registry', url)
  assert.equal((await install('asks', by(server.url))).source, 'server')
  const fallen = await before('falls').then(() => {
    writeFileSync(join(work, 'falls/pnpm-workspace.yaml'), 'minimumReleaseAge: 0\n')
    return install('falls', ['--server', 'http://127.0.0.1:1', '--server-fallback', 'direct'])
  })
  assert.equal(fallen.source, 'direct')
  assert.match(fallen.out, /server not used/)
  same('asks', 'falls')
  console.log('ok what is kept and does not decide is the server\'s to answer')

  // -- nor is an optional dependency left out because nothing of it is kept
  for (const [alias, spec] of [['fx-files', '1.0.0'], ['by-url', `${url}fx-files/-/fx-files-1.0.0.tgz`]]) {
    const name = `optional-${alias}`
    await before(name)
    writeFileSync(join(work, name, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: old, optionalDependencies: { [alias]: spec } }))
    const alone = await tryInstall(name, by('http://127.0.0.1:1'))
    assert.notEqual(alone.status, 0, alone.out)
    assert.match(alone.out, /ERR_DRAY_NETWORK/)
    const r = await install(name, ['--server', 'http://127.0.0.1:1', '--server-fallback', 'direct'])
    assert.match(r.out, /server not used/)
    assert.match(lockfile(name), new RegExp(`^      ${alias}:$`, 'm'))
  }
  console.log('ok an optional dependency of which nothing is kept is not left out')

  // -- nothing is kept where a server made the plan
  put('fresh', old)
  assert.equal((await install('fresh', by(server.url))).source, 'server')
  put('fresh', moved)
  assert.equal((await install('fresh', by(server.url))).source, 'server')
  same('fresh', 'direct')
  console.log('ok with nothing kept the server makes the plan')

  // -- a server that is there: of packs nothing is known of one that never had any, so nobody waits for what it says
  const metric = async (name) => Number(new RegExp(`^drayd_${name} (.*)$`, 'm').exec(await server.metrics())[1])
  for (let i = 0; (await metric('packs_warm')) + (await metric('packs_settled')) < 3; i++) {
    assert.ok(i < 6000, await server.metrics())
    await sleep(50)
  }
  const plans = await metric('plans_total')
  let tarballs = 0
  for (let i = 0; tarballs === 0; i++) { // it may have said so before anybody could wait
    assert.ok(i < 40, 'a tarball where a pack could be waited for')
    await before(`first${i}`)
    const first = await install(`first${i}`, by(server.url))
    assert.equal(first.source, 'direct')
    assert.equal(first.packs.packs + first.packs.tarballs, 1)
    tarballs = first.packs.tarballs
    same(`first${i}`, 'direct')
  }
  assert.equal(await metric('plans_total'), plans, 'no plan was asked for')
  console.log('ok a server that never had a pack is not waited for')

  // -- of one that had some it is waited for, for a while: a slow machine may let it pass
  let packs = 0
  for (let i = 0; packs === 0; i++) {
    assert.ok(i < 40, 'packs of a server that had some')
    put(`had${i}`, old)
    assert.ok((await install(`had${i}`, by(server.url))).packs.packs > 0)
    await before(`again${i}`, `had${i}`)
    const r = await install(`again${i}`, by(server.url), `had${i}`)
    assert.equal(r.source, 'direct')
    assert.equal(r.packs.packs + r.packs.tarballs, 1)
    packs = r.packs.packs
    same(`again${i}`, 'direct')
  }
  console.log('ok a server that had packs is asked for them')
} finally {
  clearTimeout(timer)
  await draydsStop()
  rmSync(work, { recursive: true, force: true })
}
process.exit(0)
