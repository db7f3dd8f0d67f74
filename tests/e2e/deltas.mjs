// An update through a drayd that has a delta: few bytes, the same tree; and with the older version spoiled in the store, the tarball.
// usage: deltas.mjs DRAY DRAYD FIXTURE_REGISTRY
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash, randomInt } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { connect } from 'node:http2'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { draydStart, draydsStop, eventsOf, fixtureStart, sleep } from './rig.mjs'

const [dray, drayd, fixture] = process.argv.slice(2)
const compare = join(dirname(fileURLToPath(import.meta.url)), 'compare-trees.mjs')
const work = mkdtempSync(join(tmpdir(), 'dray-e2e-deltas-'))
let url, server, serverUrl

async function serve() {
  server = await draydStart(drayd, join(work, 'drayd'), '--registry', url)
  serverUrl = server.url
}
async function deltaMade() {
  for (let i = 0; (await metric('deltas_total')) < 1; i++) {
    assert.ok(i < 6000, `a delta is made: warm ${await metric('warm')}, settled ${await metric('settled')}, failed ${await metric('failed_total')}`)
    await sleep(50)
  }
}
// Of fx-big 1.1.0, for who has 1.0.0: the digest that a look-up beginning with MAGIC finds.
async function found(magic) {
  const lockfile = { '1.0.0': 'two', '1.1.0': 'new' }
  const key = (version) => {
    const text = readFileSync(join(work, lockfile[version], 'pnpm-lock.yaml'), 'utf8')
    return Buffer.from(/fx-big@.*:\s+resolution: {integrity: sha512-([^}]*)}/.exec(text)[1], 'base64').subarray(0, 24)
  }
  const session = connect(serverUrl)
  try {
    return await new Promise((ok, bad) => {
      const parts = [], r = session.request({ ':method': 'POST', ':path': '/v1/packs/find', 'content-type': 'application/x-dray-find' })
      session.on('error', bad)
      r.on('error', bad).on('data', (d) => parts.push(d)).on('end', () => ok(Buffer.concat(parts).subarray(0, 32).toString('hex')))
      r.end(Buffer.concat([Buffer.from(magic), key('1.1.0'), ...(magic === 'DPF1' ? [] : [key('1.0.0')])]))
    })
  } finally {
    session.close()
  }
}

// 60 files of random lines; the next version changes a line of two, adds one, removes one, and makes one executable.
function packages() {
  const files = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`lib/f${i}.js`, Array.from({ length: 150 }, () => `const x${randomInt(1e6)} = value(${randomInt(1e6)})\n`).join('')]))
  const next = { ...files, 'lib/f3.js': files['lib/f3.js'].replace(/\n/, '\nchanged\n'), 'lib/f7.js': 'first\n' + files['lib/f7.js'], 'lib/new.js': 'module.exports = 1\n' }
  delete next['lib/f9.js']
  for (const [version, all] of [['1.0.0', files], ['1.1.0', next]]) {
    const dir = join(work, 'packages/fx-big', version)
    mkdirSync(join(dir, 'lib'), { recursive: true })
    writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'fx-big', version }))
    for (const [path, text] of Object.entries(all)) writeFileSync(join(dir, path), text, { mode: version === '1.1.0' && path === 'lib/f20.js' ? 0o755 : 0o644 })
  }
}
async function metric(name) {
  return Number(new RegExp(`^drayd_packs_${name} (.*)$`, 'm').exec(await server.metrics())[1])
}
// NAME's project and store, at VERSION of fx-big from now on.
function install(name, version, more = {}, how = ['--server', serverUrl, '--server-fallback', 'error']) {
  const dir = join(work, name)
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: { 'fx-big': version, ...more } }))
  const env = { ...process.env, CI: '', HOME: work, DRAY_SERVER: '', DRAY_TOKEN: '' }
  const r = spawnSync(dray, ['install', '--no-frozen-lockfile', '--dir', dir, '--store-dir', dir + '-store', '--registry', url, '--reporter', 'ndjson', ...how], { encoding: 'utf8', env })
  assert.equal(r.status, 0, r.stderr + r.stdout)
  return { dir, text: r.stderr + r.stdout, packs: eventsOf(r.stdout).find((e) => e.event === 'packs') }
}
function same(a, b) {
  const r = spawnSync(process.execPath, [compare, a.dir, b.dir], { encoding: 'utf8' })
  assert.equal(r.status, 0, r.stdout + r.stderr)
  assert.equal(readFileSync(join(a.dir, 'pnpm-lock.yaml'), 'utf8'), readFileSync(join(b.dir, 'pnpm-lock.yaml'), 'utf8'))
}

const timer = setTimeout(() => { throw new Error('not done within 880 s') }, 880000)
try {
  packages()
  url = (await fixtureStart(fixture, ['--packages', join(work, 'packages')])).url
  await serve()
  for (const name of ['one', 'two']) install(name, '1.0.0')
  install('new', '1.1.0')
  await deltaMade()
  const whole = install('whole', '1.1.0') // nothing older in its store
  assert.deepEqual([whole.packs.packs, whole.packs.deltas, whole.packs.tarballs], [1, 0, 0])
  assert.equal(existsSync(join(whole.dir, 'node_modules/fx-big/lib/f9.js')), false)

  const updated = install('one', '1.1.0')
  same(updated, whole)
  assert.match(await server.metrics(), /^drayd_lockfiles_needed_total 0$/m, 'it made the lockfile that the update began with')
  assert.deepEqual([updated.packs.packs, updated.packs.deltas, updated.packs.tarballs, updated.packs.refused], [1, 1, 0, 0])
  assert.ok(updated.packs.pack_bytes < whole.packs.pack_bytes * 0.15, `${updated.packs.pack_bytes} of ${whole.packs.pack_bytes} bytes`)
  console.log(`ok an update: ${updated.packs.pack_bytes} of ${whole.packs.pack_bytes} bytes, the same tree`)

  // Who reads other deltas only gets the pack.
  assert.notEqual(await found('DPF3'), await found('DPF1'))
  let plain, pack, before
  do { // a better encoding may take the pack's place meanwhile
    before = await found('DPF1')
    plain = await found('DPF2')
    pack = await found('DPF1')
  } while (pack !== before)
  assert.equal(plain, pack)
  console.log('ok an older client gets no delta that it cannot read')

  // Both versions in one project, with an empty store: the one waits for the other and comes as what it has beyond it. The first that
  // asks may get both whole, when the plan has them in the other order than the delta was made for.
  const old = { 'fx-old': 'npm:fx-big@1.0.0' }
  let both
  for (let i = 0; i < 40 && both?.packs.deltas !== 1; i++) {
    if (i) await sleep(250)
    both = install(`both${i}`, '1.1.0', old)
    assert.deepEqual([both.packs.packs, both.packs.tarballs, both.packs.refused], [2, 0, 0])
  }
  assert.equal(both.packs.deltas, 1)
  assert.ok(both.packs.pack_bytes < whole.packs.pack_bytes * 1.2, `${both.packs.pack_bytes} bytes for two, ${whole.packs.pack_bytes} for one`)
  same(both, install('both-direct', '1.1.0', old, ['--direct']))
  console.log(`ok two versions at once: ${both.packs.pack_bytes} bytes, one alone ${whole.packs.pack_bytes}`)

  // A file that the delta only names, changed in the store without a trace.
  const pkgs = join(work, 'two-store/pkgs'), text = readFileSync(join(work, 'packages/fx-big/1.0.0/lib/f40.js'))
  const spoil = readdirSync(pkgs, { recursive: true }).map((f) => join(pkgs, f)).find((f) => statSync(f).isFile() && readFileSync(f).equals(text))
  const { atime, mtime } = statSync(spoil)
  writeFileSync(spoil, Buffer.concat([Buffer.from('X'), text.subarray(1)]))
  utimesSync(spoil, atime, mtime)
  const spoiled = install('two', '1.1.0')
  same(spoiled, whole)
  assert.deepEqual([spoiled.packs.packs, spoiled.packs.tarballs, spoiled.packs.refused], [0, 1, 1])
  assert.match(spoiled.text, /fx-big@1\.1\.0.*its tarball/)
  console.log('ok the older version spoiled in the store: noticed, the tarball instead')

  // A store whose deltas are of an older format, which the journal calls otherwise.
  await server.stop()
  const journal = join(work, 'drayd/packs/journal'), sum = (line) => createHash('sha256').update(line).digest('hex').slice(0, 8)
  let olds = 0
  const older = readFileSync(journal, 'utf8').trimEnd().split('\n').map((line) => {
    if (!line.startsWith('delta3 ')) return line
    const body = 'delta ' + line.slice(7, line.lastIndexOf(' '))
    olds++
    return `${body} ${sum(body)}`
  })
  assert.ok(olds > 0)
  writeFileSync(journal, older.join('\n') + '\n')
  await serve()
  await deltaMade() // since this start
  install('three', '1.0.0')
  const anew = install('three', '1.1.0')
  assert.deepEqual([anew.packs.deltas, anew.packs.tarballs, anew.packs.refused], [1, 0, 0])
  console.log('ok deltas of an older format are made anew')
} finally {
  clearTimeout(timer)
  await draydsStop()
  rmSync(work, { recursive: true, force: true })
}
process.exit(0)
