// What is wrong with the input is said, with the place and the name, and the project is as it was: one case for each way to be wrong.
// usage: bad-input.mjs DRAY FIXTURE_REGISTRY PACKAGES
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createH2 } from 'node:http2'
import { createServer as createTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { fixtureStart, run } from './rig.mjs'

const [dray, program, packages] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'dray-bad-'))
const root = process.getuid() === 0
chmodSync(work, 0o755)
let registry, url, count = 0

async function start(...options) {
  registry?.stop()
  registry = await fixtureStart(program, ['--packages', packages, ...options])
  url = registry.url
}

// Every name below DIR with its kind, mode and content.
function snapshot(dir, at = '') {
  const out = {}
  for (const name of readdirSync(join(dir, at)).sort()) {
    const path = join(at, name), st = lstatSync(join(dir, path))
    out[path] = st.isSymbolicLink() ? `-> ${readlinkSync(join(dir, path))}` : st.isDirectory() ? 'dir' : `${st.mode & 0o777} ${readFileSync(join(dir, path))}`
    if (st.isDirectory()) Object.assign(out, snapshot(dir, path))
  }
  return out
}

function project(files) {
  const dir = join(work, `p${count++}`)
  mkdirSync(dir)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), typeof text === 'string' ? text : JSON.stringify(text))
  return dir
}

function install(dir, options = [], { env = {}, spawnOptions = {}, plain = false, store = join(work, `store${count}`) } = {}) {
  return new Promise((done) => {
    const args = ['install', ...(plain ? [] : ['--no-frozen-lockfile']), '--dir', dir, '--store-dir', store, '--registry', url, ...options]
    const p = spawn(dray, args, { env: { ...process.env, CI: '', DRAY_SERVER: '', HOME: work, ...env }, ...spawnOptions })
    let text = ''
    p.stdout.on('data', (d) => (text += d))
    p.stderr.on('data', (d) => (text += d))
    p.on('close', (status) => done({ status, text }))
  })
}

// Installs, expects STATUS and all of MESSAGES, and DIR as it was.
async function refused(dir, status, messages, options, more) {
  const before = snapshot(dir)
  const r = await install(dir, options, more)
  assert.equal(r.status, status, r.text)
  for (const m of messages) assert.match(r.text, m)
  assert.deepEqual(snapshot(dir), before, r.text)
  return r
}

// ---- a registry of one package whose tarball is whatever a case wants ----

function tarEntry({ name, type = '0', link = '', body = '', size = body.length }) {
  const h = Buffer.alloc(512)
  h.write(name, 0)
  h.write('0000644\0', 100)
  h.write(size.toString(8).padStart(11, '0') + '\0', 124)
  h.write('00000000000\0', 136)
  h.write('        ', 148)
  h.write(type, 156)
  h.write(link, 157)
  h.write('ustar\0' + '00', 257)
  h.write(h.reduce((a, b) => a + b, 0).toString(8).padStart(6, '0') + '\0 ', 148)
  return Buffer.concat([h, Buffer.from(body), Buffer.alloc((512 - (body.length % 512)) % 512)])
}
const manifest = { name: 'package/package.json', body: '{"name":"evil","version":"1.0.0"}' }
function tarball(...entries) {
  return gzipSync(Buffer.concat([...[manifest, ...entries].map(tarEntry), Buffer.alloc(1024)]))
}

async function withTarball(bytes, run) {
  const integrity = 'sha512-' + createHash('sha512').update(bytes).digest('base64')
  const server = createServer((req, res) => {
    if (req.url.endsWith('.tgz')) return res.end(bytes)
    const dist = { integrity, tarball: `http://${req.headers.host}/evil/-/evil-1.0.0.tgz` }
    res.setHeader('content-type', 'application/json')
    res.end(JSON.stringify({ name: 'evil', 'dist-tags': { latest: '1.0.0' }, versions: { '1.0.0': { name: 'evil', version: '1.0.0', dist } } }))
  })
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok))
  try {
    await run(`http://127.0.0.1:${server.address().port}/`)
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

async function listening(server, run) {
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok))
  try {
    await run(server.address().port)
  } finally {
    server.close()
  }
}

const app = { 'package.json': { name: 'p', version: '1.0.0', dependencies: { 'fx-app': '1.0.0' } } }
const once = 'fetchRetries: 0\n'
async function freshLockfile() {
  const dir = project(app)
  assert.equal((await install(dir, ['--lockfile-only'])).status, 0)
  return readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8')
}

const tests = {
  async 'malformed files: path, line, column'() {
    await refused(project({ 'package.json': '{\n  "name": "p",\n  broken\n}' }), 3, [/p\d+\/package\.json: line 3, column 3/])
    await refused(project({ 'package.json': '' }), 3, [/package\.json/])
    await refused(project({ 'package.json': '{"dependencies": {"a": 1}}' }), 3, [/package\.json/, /dependencies/])
    await refused(project({ ...app, 'pnpm-workspace.yaml': 'a: [\n' }), 3, [/pnpm-workspace\.yaml:\d+/])
    await refused(project({ ...app, 'pnpm-workspace.yaml': 'hoist: perhaps\n' }), 3, [/pnpm-workspace\.yaml:1:\d+: hoist/])
    await refused(project({ ...app, 'pnpm-workspace.yaml': 'drayServerFallback: never\n' }), 2, [/drayServerFallback: "never": expected direct or error/])
    await refused(project({ ...app, 'pnpm-workspace.yaml': 'nodeLinker: hoisted\n' }), 9, [/pnpm-workspace\.yaml:1:\d+: nodeLinker: hoisted is not supported/])
    await refused(project({}), 4, [/no package\.json in .*p\d+/])
  },
  async 'what is not read is named'() {
    const dir = project({ 'package.json': { ...app['package.json'], packageManager: 'yarn@4.1.0' }, 'package-lock.json': '{}', 'bun.lock': '' })
    let r = await install(dir)
    assert.equal(r.status, 0, r.text)
    for (const m of [/package-lock\.json is not read.*`pnpm import`/, /bun\.lock is not read.*anew$/m, /names yarn@4\.1\.0 as its package manager/]) assert.match(r.text, m)
    r = await install(dir, ['--force'])
    assert.doesNotMatch(r.text, /is not read/) // there is a pnpm-lock.yaml now
    r = await install(project(app), ['--server', 'http://127.0.0.1:1'], { env: { DRAY_TOKEN: 'two words' } })
    assert.equal(r.status, 2, r.text)
    assert.match(r.text, /DRAY_TOKEN.*a space/)
    r = await install(project(app), ['--server', 'http://127.0.0.1:1'], { env: { DRAY_TOKEN: 'token\n' } })
    assert.equal(r.status, 0, r.text)
  },
  async 'lockfiles: conflict markers, another version, torn'() {
    const good = await freshLockfile()
    const conflict = good.replace(/^importers:/m, '<<<<<<< HEAD\nimporters:\n=======\n>>>>>>> theirs')
    await refused(project({ ...app, 'pnpm-lock.yaml': conflict }), 3, [/pnpm-lock\.yaml/, /conflict/])
    await refused(project({ ...app, 'pnpm-lock.yaml': conflict }), 3, [/conflict/], ['--frozen-lockfile'])
    // broken ones: as pnpm, an error where the lockfile is frozen, ignored with a warning and written anew where not
    const torn = good.slice(0, good.indexOf('snapshots:') + 30)
    for (const [text, status, what] of [[good.replace("'9.0'", "'6.0'"), 9, /6\.0/], [good.replace("'9.0'", "'10.0'"), 9, /10\.0/], [good.replace("'9.0'", '9'), 9, /9 is not/], [torn, 3, /pnpm-lock\.yaml/], ['a: [}\n', 3, /pnpm-lock\.yaml:1/]]) {
      const dir = project({ ...app, 'pnpm-lock.yaml': text })
      await refused(dir, status, [/pnpm-lock\.yaml/, what], ['--frozen-lockfile'])
      await refused(dir, status, [what], [], { env: { CI: '1' }, plain: true })
      const r = await install(dir)
      assert.equal(r.status, 0, r.text)
      assert.match(r.text, /broken lockfile is ignored.*pnpm-lock\.yaml/)
      assert.equal(readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8'), good)
      assert.doesNotMatch((await install(dir)).text, /broken/)
    }
    // a later minor version is taken, and stays where nothing is written
    const later = project({ ...app, 'pnpm-lock.yaml': good.replace("'9.0'", "'9.3'") })
    assert.equal((await install(later, ['--frozen-lockfile'])).status, 0)
    assert.equal(readFileSync(join(later, 'pnpm-lock.yaml'), 'utf8'), good.replace("'9.0'", "'9.3'"))
  },
  async 'a frozen lockfile that does not fit: all of the differences'() {
    const files = { 'package.json': { dependencies: { 'fx-app': '^1.0.0', 'fx-bin': '1.0.0' } }, 'pnpm-lock.yaml': await freshLockfile(), 'pnpm-workspace.yaml': 'autoInstallPeers: false\noverrides:\n  fx-leaf: 1.0.0\ncatalog:\n  x: 1\n' }
    await refused(project(files), 1, [
      /ERR_DRAY_OUTDATED_LOCKFILE: .*pnpm-lock\.yaml does not fit and is frozen: 4 difference/,
      /autoInstallPeers: lockfile says true, settings say false/,
      /overrides > fx-leaf: lockfile says none, settings say 1\.0\.0/,
      /\. > dependencies > fx-app: lockfile says 1\.0\.0, package\.json says \^1\.0\.0/,
      /\. > dependencies > fx-bin: lockfile says none, package\.json says 1\.0\.0/,
    ], ['--frozen-lockfile'])
    files['package.json'] = { devDependencies: { 'fx-app': '1.0.0' } }
    delete files['pnpm-workspace.yaml']
    await refused(project(files), 1, [/2 difference/, /\. > dependencies > fx-app: lockfile says 1\.0\.0, package\.json says none/, /\. > devDependencies > fx-app: lockfile says none, package\.json says 1\.0\.0/], ['--frozen-lockfile'])
    await refused(project(app), 1, [/there is no .*pnpm-lock\.yaml/], ['--frozen-lockfile'])
  },
  async 'lockfile: false neither reads nor writes one'() {
    const dir = project({ ...app, 'pnpm-workspace.yaml': 'lockfile: false\n', 'pnpm-lock.yaml': 'not a lockfile' })
    const r = await install(dir)
    assert.equal(r.status, 0, r.text)
    assert.equal(readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8'), 'not a lockfile')
    await refused(project({ ...app, 'pnpm-workspace.yaml': 'lockfile: false\n' }), 2, [/lockfile: false/], ['--frozen-lockfile'])
  },
  async 'virtualStoreDirMaxLength shortens folders, and says so'() {
    const dir = project({ 'package.json': { dependencies: { '@fx/scoped': '1.0.0' } }, 'pnpm-workspace.yaml': 'virtualStoreDirMaxLength: 40\n' })
    const r = await install(dir)
    assert.equal(r.status, 0, r.text)
    assert.equal(JSON.parse(readFileSync(join(dir, 'node_modules/.modules.yaml'))).virtualStoreDirMaxLength, 40)
    await refused(project({ ...app, 'pnpm-workspace.yaml': 'virtualStoreDirMaxLength: 5\n' }), 3, [/virtualStoreDirMaxLength/])
  },
  async 'no such package, no such version: who asked for what'() {
    await refused(project({ 'package.json': { dependencies: { 'no-such-package': '^1.0.0' } } }), 4, [/no-such-package/, /not in the registry http/])
    await refused(project({ 'package.json': { dependencies: { 'fx-app': '^99.0.0' } } }), 4, [/fx-app/, /\^99\.0\.0/])
    await refused(project({ 'package.json': { dependencies: { 'fx-app': 'nonesuch' } } }), 4, [/fx-app/, /nonesuch/])
    const files = { 'package.json': { dependencies: { 'fx-app': '1.0.0' } }, 'pnpm-workspace.yaml': 'overrides:\n  fx-leaf: ^99.0.0\n' }
    await refused(project(files), 4, [/fx-app/, /fx-leaf/, /\^99\.0\.0/])
  },
  async 'integrity: what was promised, what came'() {
    const good = await freshLockfile()
    const spoiled = good.replace(/(fx-leaf@1\.1\.0':?\n?[^]*?sha512-)..../, '$1AAAA').replace(/(fx-leaf@1\.1\.0:\n    resolution: \{integrity: sha512-)..../, '$1AAAA')
    assert.notEqual(spoiled, good)
    await refused(project({ ...app, 'pnpm-lock.yaml': spoiled }), 6, [/fx-leaf@1\.1\.0/, /sha512-AAAA/], ['--frozen-lockfile'])
  },
  async 'tarballs that reach outside, or are none'() {
    const cases = [
      [tarball({ name: '/etc/absolute', body: 'x' }), 3, /absolute|path/],
      [tarball({ name: 'package/../../outside', body: 'x' }), 3, /\.\./],
      [tarball({ name: 'package/link', type: '2', link: '../../../etc/passwd' }, { name: 'package/link/x', body: 'x' }), null, null],
      [tarball({ name: 'package/big', size: 9 * 2 ** 30 - 1, body: '' }), null, /evil/],
      [tarball({ name: 'package/a', body: 'x' }).subarray(0, 60), null, /evil/],
      [Buffer.from('no tarball at all'), 3, /evil/],
    ]
    for (const [bytes, status, message] of cases) {
      await withTarball(bytes, async (base) => {
        const dir = project({ 'package.json': { dependencies: { evil: '1.0.0' } }, 'pnpm-workspace.yaml': once })
        const before = snapshot(dir)
        const r = await install(dir, ['--registry', base])
        if (r.status === 0) {
          // a link is left out of the package, as npm and pnpm do: nothing may have been made outside
          assert.ok(Object.values(snapshot(dir)).every((v) => !v.startsWith('-> ') || !v.includes('passwd')))
          return assert.equal(message, null)
        }
        if (status) assert.equal(r.status, status, r.text)
        assert.ok([3, 6, 7].includes(r.status), r.text)
        if (message) assert.match(r.text, message)
        assert.match(r.text, /evil/)
        assert.deepEqual(snapshot(dir), before, r.text)
      })
    }
  },
  async 'a registry that is down, overloaded, or silent'() {
    const files = { ...app, 'pnpm-workspace.yaml': once }
    for (const [fault, code, message, more] of [['503', 7, /503/], ['429', 7, /429/], ['stall', 7, /no byte for 700 ms/, 'fetchTimeout: 700\n'], ['401', 8, /401|credential/i]]) {
      await start('--faults', `${fault},match=fx-app`)
      await refused(project({ ...files, 'pnpm-workspace.yaml': once + (more ?? '') }), code, [message, /fx-app/])
    }
    // what is optional may be missing, but not because the registry has a bad day: the lockfile would depend on that
    await start('--faults', '503,match=fx-leaf')
    const optional = { 'package.json': { name: 'p', optionalDependencies: { 'fx-leaf': '1.0.0' } } }
    await refused(project({ ...files, ...optional }), 7, [/503/, /fx-leaf/])
    await start()
    await refused(project(files), 7, [/127\.0\.0\.1:1\b/, /fx-app/], ['--registry', 'http://127.0.0.1:1/'])
  },
  async 'a server that is away, of another kind, or of another protocol'() {
    const files = { ...app, 'pnpm-workspace.yaml': once }
    await refused(project(files), 7, [/127\.0\.0\.1:1\b/], ['--server', 'http://127.0.0.1:1', '--server-fallback', 'error'])
    const dir = project(files)
    const r = await install(dir, ['--server', 'http://127.0.0.1:1'])
    assert.equal(r.status, 0, r.text)
    assert.match(r.text, /warning: server not used, resolving here instead: .*127\.0\.0\.1:1\b/)
    const answer = createH2((req, res) => {
      res.writeHead(400, { 'content-type': 'application/json' })
      res.end(JSON.stringify({ error: 'ERR_DRAY_PROTOCOL', message: 'plan protocol 7 is spoken here' }))
    })
    await listening(answer, (port) => refused(project(files), 10, [/plan protocol 7/, new RegExp(`127\\.0\\.0\\.1:${port}`)], ['--server', `http://127.0.0.1:${port}`]))
    const other = createTcp((s) => s.on('error', () => {}).end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi'))
    await listening(other, async (port) => {
      const r = await refused(project(files), r7or10, [new RegExp(`127\\.0\\.0\\.1:${port}`)], ['--server', `http://127.0.0.1:${port}`, '--server-fallback', 'error'])
      assert.ok(r)
    })
    // what is no drayd cannot be used, whatever it says: a page, an error of its own, a drayd's other path, HTTP/1.1
    for (const [status, type, body] of [[404, 'text/html', '<h1>not here</h1>'], [404, 'application/json', '{"error":"ERR_DRAY_NOT_FOUND","message":"no such path"}'], [200, 'text/html', 'hello'], [405, 'text/plain', ''], [400, 'application/json', '{"error":"bad"}'], [302, 'text/plain', '']]) {
      const foreign = createH2((req, res) => res.writeHead(status, { 'content-type': type }).end(body))
      await listening(foreign, async (port) => {
        const at = new RegExp(`127\\.0\\.0\\.1:${port} answered ${status} to POST /x/v1/plan: no drayd answers there`), server = `http://127.0.0.1:${port}/x`
        await refused(project({ ...files, 'pnpm-workspace.yaml': `${once}drayServer: ${server}\ndrayServerFallback: error\n` }), 10, [at])
        const r = await install(project({ ...files, 'pnpm-workspace.yaml': `${once}drayServer: ${server}\n` }))
        assert.equal(r.status, 0, r.text)
        assert.match(r.text, new RegExp(`warning: server not used, resolving here instead: ${at.source}`))
      })
    }
    const old = createServer((req, res) => res.writeHead(404).end())
    await listening(old, async (port) => assert.match((await install(project(files), ['--server', `http://127.0.0.1:${port}`])).text, new RegExp(`warning: server not used.*127\\.0\\.0\\.1:${port}`)))
    // who asks for a token may be one
    const closed = createH2((req, res) => res.writeHead(401).end())
    await listening(closed, (port) => refused(project(files), 8, [/answered 401/], ['--server', `http://127.0.0.1:${port}`]))
    await refused(project(files), 2, [/ftp:/], ['--server', 'ftp://x'])
  },
  async 'versions younger than minimumReleaseAge: refused, or taken and noted'() {
    const age = 'minimumReleaseAge: 999999999\n'
    await refused(project({ ...app, 'pnpm-workspace.yaml': age }), 8, [/fx-[a-z]+@1|@fx\/scoped@1/, /minimumReleaseAgeExclude/])
    const loose = 'minimumReleaseAgeStrict: false # loose\n'
    const dir = project({ ...app, 'pnpm-workspace.yaml': age + loose })
    const r = await install(dir)
    assert.equal(r.status, 0, r.text)
    const yaml = readFileSync(join(dir, 'pnpm-workspace.yaml'), 'utf8')
    assert.ok(yaml.startsWith(age + "minimumReleaseAgeExclude:\n  - '@fx/scoped@1.0.0'\n  - fx-app@1.0.0\n"), yaml)
    assert.ok(yaml.endsWith('\n' + loose), yaml)
    assert.match((await install(dir)).text, /Already up to date/)
  },
  async 'the command line'() {
    for (const [args, status, message] of [
      [['--frozen-lockfil'], 2, /did you mean --frozen-lockfile/],
      [['--filter', '{x'], 2, /expected name, \{folder\} and/],
      [['lodash'], 2, /takes no package names/],
      [['--dir', join(work, 'nowhere')], 4, /nowhere: no such folder/],
      [['--reporter', 'loud'], 2, /default, append-only, ndjson or silent/],
    ]) await refused(project(app), status, [message, /^ERR_DRAY_/m], args)
    const help = spawnSync(dray, ['install', '-h'], { encoding: 'utf8' })
    assert.equal(help.status, 0)
    for (const option of ['--frozen-lockfile', '--store-dir', '--server', '--recursive', 'exit status']) assert.ok(help.stdout.includes(option), option)
    const store = join(work, 'store-admin'), dir = project(app)
    const admin = (...args) => spawnSync(dray, ['store', ...args, '--store-dir', store], { encoding: 'utf8' })
    assert.equal(admin('status').status, 4)
    assert.equal((await install(dir, [], { store })).status, 0)
    assert.equal(admin('path').stdout, `${store}\n`)
    assert.match(admin('status').stdout, /4 packages/)
    assert.match(admin('verify').stdout, /4 packages, .* 0 spoiled/)
    assert.match(admin('prune').stdout, /removed 0 packages/)
    rmSync(join(dir, 'node_modules'), { recursive: true })
    assert.match(admin('prune').stdout, /removed 4 packages/)
    const r = await install(dir, [], { store })
    assert.equal(r.status, 0, r.text)
    assert.equal(admin('rinse').status, 2)
  },
  async 'no permission'() {
    if (root && spawnSync(dray, ['-v'], { uid: 65534 }).status !== 0) return 'skipped: the program cannot be run as nobody'
    const as = root ? { uid: 65534, gid: 65534 } : {}
    const dir = project(app), store = join(work, 'nobody')
    mkdirSync(store)
    if (root) chownSync(store, 65534, 65534)
    chmodSync(dir, 0o555)
    await refused(dir, 5, [/node_modules/, /denied/i], [], { spawnOptions: as, store })
    chmodSync(dir, 0o755)
    const closed = join(work, 'closed')
    mkdirSync(closed, { mode: 0o555 })
    await refused(project(app), 5, [/closed/, /denied/i], [], { spawnOptions: as, store: join(closed, 'store') })
  },
  async 'disk full: said, and the next install completes'() {
    for (const full of ['store', 'project']) {
      const mount = join(work, `full-${full}`), dir = full === 'project' ? mount : project(app)
      mkdirSync(mount)
      if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', mount]).status !== 0) return 'skipped: no right to mount'
      try {
        if (full === 'project') {
          writeFileSync(join(dir, 'package.json'), JSON.stringify(app['package.json']))
          writeFileSync(join(dir, 'ballast'), Buffer.alloc(56 * 1024))
        }
        const store = full === 'store' ? mount : join(work, 'store-roomy')
        if (full === 'store') {
          // a store that is there, and no room behind it
          spawnSync('mount', ['-o', 'remount,size=64m', mount])
          assert.equal((await install(project({ 'package.json': {} }), [], { store })).status, 0)
          const used = parseInt(spawnSync('df', ['-k', '--output=used', mount], { encoding: 'utf8' }).stdout.split('\n')[1])
          spawnSync('mount', ['-o', `remount,size=${used + 4}k`, mount])
        }
        let r = await install(dir, [], { store })
        assert.equal(r.status, 5, r.text)
        assert.match(r.text, /ERR_DRAY_NO_SPACE/)
        assert.match(r.text, /No space left|disk/i)
        spawnSync('mount', ['-o', 'remount,size=64m', mount])
        r = await install(dir, [], { store })
        assert.equal(r.status, 0, r.text)
        assert.ok(readFileSync(join(dir, 'node_modules/fx-app/package.json')))
        assert.ok(readFileSync(join(dir, 'node_modules/.pnpm/fx-app@1.0.0/node_modules/fx-leaf/package.json')))
      } finally {
        spawnSync('umount', [mount])
      }
    }
  },
}
const r7or10 = 7

let bad = 0
try {
  await start()
  for (const [name, run] of Object.entries(tests)) {
    try {
      const note = await run()
      console.log(`ok ${name}${note ? ` (${note})` : ''}`)
    } catch (e) {
      bad++
      console.log(`FAILED ${name}\n${e.stack}`)
    }
    await start()
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
process.exit(bad ? 1 : 0)
