// The global virtual store: slots shared by projects, images, prune, damage, and SIGKILL at random moments.
// usage: global-store.mjs DRAY FIXTURE_REGISTRY PACKAGES [ROUNDS]
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, realpathSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fixtureStart } from './rig.mjs'

const [dray, program, packages, rounds = '24'] = process.argv.slice(2)
const work = realpathSync(mkdtempSync(join(tmpdir(), 'dray-gvs-')))
const { url } = await fixtureStart(program, ['--packages', packages])

const dependencies = { 'fx-app': '1.0.0', 'fx-bin': '1.0.0', 'fx-bundled': '1.0.0', 'fx-cycle-a': '1.0.0', 'fx-files': '1.0.0', 'fx-platform': '1.0.0' }
const env = { ...process.env, CI: '', HOME: work }
const argsOf = (dir, store, more) => ['install', '--registry', url, '--reporter', 'ndjson', '--dir', dir, '--store-dir', store, ...more]

function install(dir, store, ...more) {
  const r = spawnSync(dray, argsOf(dir, store, more), { env, encoding: 'utf8' })
  assert.equal(r.status, 0, `${r.status ?? r.signal}: ${r.stderr}${r.stdout}`)
  return r.stdout.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l)).find((e) => e.event === 'summary')
}
function project(name, deps = dependencies, yaml = 'enableGlobalVirtualStore: true\n') {
  const dir = join(work, name)
  mkdirSync(dir)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name, version: '1.0.0', dependencies: deps }))
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), yaml)
  return dir
}
const clean = (dir) => rmSync(join(dir, 'node_modules'), { recursive: true, force: true })

// Everything below DIR: modes, contents, link texts.
function list(dir, into, prefix = '') {
  for (const name of readdirSync(dir).sort()) {
    const path = join(dir, name), st = lstatSync(path), key = `${prefix}${name}`
    if (st.isSymbolicLink()) into[key] = readlinkSync(path)
    else if (st.isDirectory()) {
      into[key] = (st.mode & 0o7777).toString(8)
      list(path, into, `${key}/`)
    } else into[key] = `${(st.mode & 0o7777).toString(8)} ${createHash('sha1').update(readFileSync(path)).digest('hex')}`
  }
  return into
}
// What a project sees: its links by the slot they lead to, and every slot that can be reached from there, whole.
function view(dir, store) {
  const links = realpathSync(join(store, 'links')), slots = {}, root = {}
  const enter = (path) => {
    const real = realpathSync(path) // throws for a dangling link
    assert.ok(real.startsWith(links + '/'), `${path} leads to ${real}`)
    const slot = real.slice(links.length + 1).split('/')[0]
    if (slots[slot]) return slot
    slots[slot] = list(join(links, slot), {})
    const modules = join(links, slot, 'node_modules')
    assert.equal(lstatSync(modules).mode & 0o1000, 0, `${slot} is marked as unfinished`)
    for (const [name, text] of Object.entries(slots[slot])) {
      if (name.startsWith('node_modules/') && text.startsWith('../')) enter(join(links, slot, name))
    }
    return slot
  }
  const modules = join(dir, 'node_modules')
  for (const name of readdirSync(modules)) {
    if (name.startsWith('.')) continue
    const inside = name.startsWith('@') ? readdirSync(join(modules, name)).map((n) => `${name}/${n}`) : [name]
    for (const n of inside) root[n] = enter(join(modules, n))
  }
  for (const n of readdirSync(join(modules, '.bin'))) root[`.bin/${n}`] = readFileSync(join(modules, '.bin', n), 'utf8').replaceAll(`/${basename(store)}/links/`, '/STORE/')
  const hoisted = join(modules, '.pnpm/node_modules')
  root['.pnpm/node_modules'] = basename(dirname(realpathSync(hoisted)))
  slots[root['.pnpm/node_modules']] = list(realpathSync(hoisted), {})
  root['lock.yaml'] = readFileSync(join(modules, '.pnpm/lock.yaml'), 'utf8')
  return { root, slots }
}
// deepEqual, telling what differs instead of everything.
function same(a, b, what = '') {
  const differ = (x, y, at) => {
    if (x && y && typeof x === 'object' && typeof y === 'object') return [...new Set([...Object.keys(x), ...Object.keys(y)])].flatMap((k) => differ(x[k], y[k], `${at}/${k}`))
    return x === y ? [] : [`${at}: ${String(x).slice(0, 200)} | ${String(y).slice(0, 200)}`]
  }
  const found = differ(a, b, '')
  assert.equal(found.length, 0, `${what}\n${found.slice(0, 20).join('\n')}`)
}
const slotsOf = (store) => readdirSync(join(store, 'links')).filter((n) => !n.startsWith('.'))
const prune = (store) => spawnSync(dray, ['store', 'prune', '--store-dir', store], { env, encoding: 'utf8' })
const run = (dir, text) => spawnSync('node', ['-e', text], { cwd: dir, encoding: 'utf8', env })

// -- a project, and a second one ------------------------------------------------
const store = join(work, 'store')
const one = project('one')
assert.equal(install(one, store).kept, 0)
const whole = view(one, store)
assert.ok(!existsSync(join(one, 'node_modules/.pnpm/fx-app@1.0.0')), 'no slot in the project')
assert.equal(run(one, 'require("fx-app")').status, 0)
assert.equal(spawnSync(join(one, 'node_modules/.bin/fx-hello')).status, 0)
assert.match(readFileSync(join(one, 'node_modules/.modules.yaml'), 'utf8'), /"virtualStoreDir": "\.\.\/\.\.\/store\/links"/)

const two = project('two')
writeFileSync(join(two, 'pnpm-lock.yaml'), readFileSync(join(one, 'pnpm-lock.yaml')))
const second = install(two, store)
assert.equal(second.warm + second.cold, 0, 'the second project makes no slot')
same(view(two, store), whole)

// -- isolated has the same packages ------------------------------------------------
const plain = project('plain', dependencies, 'enableGlobalVirtualStore: false\n')
writeFileSync(join(plain, 'pnpm-lock.yaml'), readFileSync(join(one, 'pnpm-lock.yaml')))
install(plain, store)
const hoist = (dir) => readdirSync(join(dir, 'node_modules/.pnpm/node_modules'), { recursive: true }).map(String).filter((n) => !n.startsWith('.')).sort()
assert.deepEqual(hoist(plain), hoist(one), 'the same names are hoisted')
assert.deepEqual(readdirSync(join(plain, 'node_modules')).filter((n) => n !== '.dray-state').sort(), readdirSync(join(one, 'node_modules')).filter((n) => n !== '.dray-state').sort())

// -- images ------------------------------------------------
const textOf = (dir) => { const all = list(join(dir, 'node_modules'), {}); for (const n of ['.modules.yaml', '.dray-state', '.pnpm-workspace-state-v1.json']) delete all[n]; return all }
rmSync(join(store, 'plans'), { recursive: true })
clean(one)
assert.equal(install(one, store).source, 'locked')
const long = textOf(one)
assert.equal(readdirSync(join(store, 'plans')).length, 2, "the lockfile as a plan, and the image")
const fourth = project('fourth')
assert.equal(install(fourth, store).source, 'direct', 'an install that resolves keeps an image, too')
clean(fourth)
assert.equal(install(fourth, store).source, 'image')
same(view(fourth, store).slots, whole.slots)
clean(fourth)
clean(one)
assert.equal(install(one, store).source, 'image')
same(textOf(one), long, 'the image makes what the long way makes')
same(view(one, store), whole)
assert.match(spawnSync(dray, ['install', '--dir', one, '--store-dir', store, '--registry', url], { env, encoding: 'utf8' }).stdout, /up to date/)

clean(one)
const open = spawnSync('sh', ['-c', 'umask 002; exec "$0" "$@"', dray, ...argsOf(one, store, [])], { env, encoding: 'utf8' })
assert.match(open.stdout, /"source":"image"/, open.stderr)
assert.deepEqual(['.bin', '.bin/fx-hello'].map((n) => (lstatSync(join(one, 'node_modules', n)).mode & 0o7777).toString(8)), ['775', '755'], 'modes as the long way has them')
clean(one)
assert.equal(install(one, store).source, 'image')

// -- an image is the project's wherever it lies, and whatever registry it asks; what changes the tree is another one ---------------------
{
  const deep = join('deep', 'er')
  mkdirSync(join(work, 'deep'))
  project(deep)
  for (const f of ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml']) writeFileSync(join(work, deep, f), readFileSync(join(one, f)))
  const dir = join(work, deep), moved = url.replace('127.0.0.1', 'localhost')
assert.equal(install(dir, store, '--registry', moved).source, 'image', 'another folder, another address of the registry')
  const quick = textOf(dir), modules = (d) => JSON.parse(readFileSync(join(d, 'node_modules/.modules.yaml'), 'utf8'))
  const quickModules = modules(dir)
  clean(dir)
  const kept = join(store, 'plans')
  renameSync(kept, `${kept}-away`)
  assert.equal(install(dir, store).source, 'locked')
  rmSync(kept, { recursive: true })
  renameSync(`${kept}-away`, kept)
  same(quick, textOf(dir), 'the moved image makes what the long way makes')
  assert.deepEqual({ ...quickModules, prunedAt: 0 }, { ...modules(dir), prunedAt: 0 })
  assert.equal(spawnSync(join(dir, 'node_modules/.bin/fx-hello')).status, 0)
  writeFileSync(join(dir, '.npmrc'), `registry=${moved}\n//${new URL(url).host}/:_authToken=secret\n`)
  clean(dir)
  assert.equal(install(dir, store).source, 'image', 'credentials and addresses in .npmrc')
  for (const [yaml, ...more] of [['publicHoistPattern: ["*"]\n'], ['extendNodePath: false\n'], ['hoist: false\n'], ['', '--prod'], ['', '--no-optional']]) {
    writeFileSync(join(dir, 'pnpm-workspace.yaml'), `enableGlobalVirtualStore: true\n${yaml}`)
    clean(dir)
    assert.notEqual(install(dir, store, ...more).source, 'image', `${yaml}${more}`)
    const here = textOf(dir)
    clean(dir)
    assert.equal(install(dir, store, ...more).source, 'image', `${yaml}${more}: kept for itself`)
    same(textOf(dir), here)
  }
  rmSync(dir, { recursive: true })
  prune(store) // slots that only these had
}

for (const spoil of [(f) => truncateSync(f, 100), (f) => { const b = readFileSync(f); b[b.length >> 1] ^= 1; writeFileSync(f, b) }, (f) => writeFileSync(f, 'garbage'), (f) => writeFileSync(f, '')]) {
  for (const f of readdirSync(join(store, 'plans'))) spoil(join(store, 'plans', f))
  clean(one)
  assert.notEqual(install(one, store).source, 'image')
  same(textOf(one), long)
  clean(one)
  assert.equal(install(one, store).source, 'image', 'a new image took the place of the spoiled one')
}
writeFileSync(join(one, 'package.json'), readFileSync(join(one, 'package.json'), 'utf8').replace('"version":"1.0.0"', '"version":"1.0.1"'))
clean(one)
assert.notEqual(install(one, store).source, 'image', 'another manifest, another image')

// -- damage ------------------------------------------------
for (const [what, damage] of [['slot', (s) => rmSync(join(store, 'links', s), { recursive: true })], ['package', (s) => rmSync(join(store, 'links', s, 'node_modules/fx-leaf'), { recursive: true })],
  ['marked', (s) => spawnSync('chmod', ['+t', join(store, 'links', s, 'node_modules')])]]) {
  damage(Object.keys(whole.slots).find((s) => s.startsWith('fx-leaf@')))
  clean(one)
  assert.notEqual(install(one, store).source, 'image', what)
  same(view(one, store), whole, what)
}
assert.deepEqual(readdirSync(join(store, 'links')).filter((n) => n.startsWith('.dray-old')), [], 'what was replaced is gone')

// -- what this install has stored itself is looked at, too: it waited before it linked, and files could be spoiled meanwhile -------
{
  const other = join(work, 'store-of-waiting'), first = project('first', { 'fx-leaf': '1.1.0' }), dir = project('waiting')
  install(first, other)
  const stored = () => Object.keys(list(join(other, 'pkgs'), {})).filter((n) => lstatSync(join(other, 'pkgs', n)).isFile())
  const before = new Set(stored())
  const holder = spawn('flock', [join(other, 'links/.make'), '-c', 'echo held; read x'], { stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise((ok) => holder.stdout.once('data', ok))
  const child = spawn(dray, argsOf(dir, other, []), { env })
  const end = new Promise((ok) => child.on('close', ok))
  let text = ''
  for (const from of [child.stdout, child.stderr]) from.on('data', (d) => (text += d))
  // the last package is in the store when the last of its files is: none came for a while, and some have come
  let fresh = []
  for (let i = 0, still = 0; i < 3000 && still < 25; i++) {
    await new Promise((ok) => setTimeout(ok, 20))
    const now = /waiting for it/.test(text) ? stored().filter((n) => !before.has(n)) : []
    still = now.length && now.length === fresh.length ? still + 1 : 0
    fresh = now
  }
  assert.match(text, /another install is making shared slots/)
  for (const n of fresh) writeFileSync(join(other, 'pkgs', n), readFileSync(join(other, 'pkgs', n), 'utf8') + '// spoiled\n')
  holder.stdin.end('\n')
  assert.equal(await end, 0, text)
  assert.match(text, /is damaged: fetching it again/)
  same(view(dir, other), view(one, store), 'after its files were spoiled')
}

// -- the folder of hoisted names goes when nobody leads there, though another project keeps every slot ---------------------
{
  const leaf = Object.keys(whole.slots).find((s) => s.startsWith('fx-leaf@')).match(/@([0-9.]+)/)[1]
  const wider = project('wider', { ...dependencies, 'fx-leaf': leaf }) // hoists all but that one
  install(wider, store)
  clean(one); clean(two)
  prune(store)
  assert.ok(!existsSync(join(store, 'links', whole.root['.pnpm/node_modules'])), 'no project has these names')
  for (const s of Object.keys(whole.slots)) assert.equal(existsSync(join(store, 'links', s)), s !== whole.root['.pnpm/node_modules'], s)
  install(one, store)
  same(view(one, store), whole, 'hoisted names that were gone')
  install(two, store)
  clean(wider)
  prune(store)
}

// -- builds: once for all projects, and apart from the unbuilt ------------------------------------------------
const builds = (name, more = '') => project(name, { 'fx-postinstall': '1.0.0' }, `enableGlobalVirtualStore: true\nallowBuilds:\n  fx-postinstall: true\n${more}`)
const b1 = builds('b1'), b2 = builds('b2'), b3 = builds('b3')
install(b1, store)
const made = (dir) => realpathSync(join(dir, 'node_modules/fx-postinstall'))
const built = list(made(b1), {})
const third = install(b2, store)
assert.equal(third.warm + third.cold, 0)
assert.equal(made(b2), made(b1))
assert.deepEqual(list(made(b2), {}), built)
install(b3, store, '--ignore-scripts')
assert.notEqual(made(b3), made(b1), 'a slot that was built is another one')
assert.notDeepEqual(list(made(b3), {}), built)

// -- prune ------------------------------------------------
const before = slotsOf(store)
assert.equal(prune(store).status, 0)
assert.deepEqual(slotsOf(store), before, 'slots of live projects stay')
for (const dir of [one, two]) same(view(dir, store).slots, whole.slots)
clean(b1); clean(b2)
prune(store)
assert.equal(slotsOf(store).filter((s) => s.startsWith('fx-postinstall@')).length, 1, 'built for nobody any more')
assert.ok(existsSync(made(b3)))
clean(two); clean(b3)
prune(store)
same(view(one, store).slots, whole.slots, 'the other project has all of its slots')
const record = join(store, 'projects', readdirSync(join(store, 'projects'))[0])
writeFileSync(record, 'garbage')
clean(one)
assert.match(prune(store).stdout, /no shared slot was removed/)
assert.ok(slotsOf(store).length > 0, 'what is not known to be unused stays')
install(one, store)
same(view(one, store), whole)

// -- to and fro ------------------------------------------------
writeFileSync(join(one, 'pnpm-workspace.yaml'), '')
install(one, store)
assert.ok(lstatSync(join(one, 'node_modules/.pnpm/node_modules')).isDirectory(), 'hoisted names are the project\'s own again')
assert.ok(readlinkSync(join(one, 'node_modules/fx-app')).startsWith('.pnpm/'))
writeFileSync(join(one, 'pnpm-workspace.yaml'), 'enableGlobalVirtualStore: true\n')
install(one, store)
same(view(one, store), whole)
assert.deepEqual(readdirSync(join(one, 'node_modules/.pnpm')).sort(), ['lock.yaml', 'node_modules'])

// -- two at once, on an empty store ------------------------------------------------
const both = ['c1', 'c2'].map((n) => project(n))
for (const dir of both) writeFileSync(join(dir, 'pnpm-lock.yaml'), readFileSync(join(one, 'pnpm-lock.yaml')))
const fresh = join(work, 'fresh')
const codes = await Promise.all(both.map((dir) => new Promise((ok) => spawn(dray, argsOf(dir, fresh, []), { env, stdio: 'ignore' }).on('exit', ok))))
assert.deepEqual(codes, [0, 0])
for (const dir of both) same(view(dir, fresh), whole)

// -- kill -9 ------------------------------------------------
let seed = Date.now() % 1e9
console.log(`seed ${seed}`)
const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648
const timed = (dir, s) => { const t = process.hrtime.bigint(); install(dir, s); return Number(process.hrtime.bigint() - t) / 1e6 }
const trash = (path) => { if (!existsSync(path)) return; renameSync(path, `${path}-gone`); rmSync(`${path}-gone`, { recursive: true }) }
trash(fresh)
for (const d of both) clean(d)
const cold = timed(both[0], fresh)
clean(both[0])
rmSync(join(fresh, 'links'), { recursive: true }); rmSync(join(fresh, 'plans'), { recursive: true, force: true })
const warm = timed(both[0], fresh)
clean(both[0])
const image = timed(both[0], fresh)
let killed = 0
// How long an install takes here and now: what ended before its moment came says that it is less.
const takes = { cold, warm, image }
for (let i = 0; i < Number(rounds) || (killed * 3 < Number(rounds) && i < Number(rounds) * 4); i++) { // a busy machine makes bad guesses
  const kind = ['cold', 'warm', 'image'][i % 3]
  clean(both[0])
  if (kind !== 'image') {
    trash(kind === 'cold' ? fresh : join(fresh, 'links'))
    rmSync(join(fresh, 'plans'), { recursive: true, force: true })
  }
  const after = random() * 1.05 * takes[kind]
  const child = spawn(dray, argsOf(both[0], fresh, []), { env, stdio: 'ignore' })
  const timer = setTimeout(() => child.kill('SIGKILL'), after)
  const signal = await new Promise((ok) => child.on('exit', (_, s) => ok(s)))
  clearTimeout(timer)
  killed += signal === 'SIGKILL'
  takes[kind] *= signal === 'SIGKILL' ? 1.05 : 0.8
  // the other project goes first: it shares what the dead one has left
  if (i % 2) {
    clean(both[1])
    install(both[1], fresh)
    same(view(both[1], fresh), whole, `round ${i}, ${kind}, the other project`)
  }
  if (i % 4 === 3) prune(fresh)
  install(both[0], fresh)
  same(view(both[0], fresh), whole, `round ${i}, ${kind}, killed after ${after.toFixed(1)} ms`)
}
console.log(`${rounds} rounds, ${killed} killed; every tree equals the reference`)
assert.ok(killed * 3 >= Number(rounds))
rmSync(work, { recursive: true, force: true })
process.exit(0)
