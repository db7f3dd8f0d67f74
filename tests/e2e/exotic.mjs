// Dependencies that no registry's packument describes: tarball URLs and jsr: lock as pnpm 12.21 locks them, directly and through drayd; git in every form
// is refused by name; a server fetches URLs of its upstreams' origins only.
// usage: exotic.mjs DRAY DRAYD            compares with exotic-expected.json
//        exotic.mjs --oracle PNPM         writes it
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { registryStart, tarball } from './policy-registry.mjs'
import { draydStart, run } from './rig.mjs'

const expectedFile = join(dirname(fileURLToPath(import.meta.url)), 'exotic-expected.json')
const work = mkdtempSync(join(tmpdir(), 'dray-e2e-exotic-'))
const old = { ago: 400 * 86400e3 }
const registry = await registryStart({
  leaf: { '1.0.0': old, '1.1.0': old },
  peer: { '1.0.0': old },
  'wants-remote': { '1.0.0': { ...old, peers: { remote: '*' } } },
  'uses-jsr': { '1.0.0': { ...old, deps: { '@std/assert': 'jsr:^1.0.0' } } },
  '@jsr/std__assert': { '1.0.0': { ...old, deps: { '@jsr/std__internal': '^1.0.0' } }, '1.1.0': old },
  '@jsr/std__internal': { '1.0.0': old },
})
const U = registry.url, files = registry.files
registry.add('uses-url', { '1.0.0': { ...old, deps: { remote: `${U}/files/remote.tgz` } } })
files.set('/files/remote.tgz', tarball({ name: 'remote', version: '2.0.0', dependencies: { leaf: '^1.0.0' }, bin: './index.js', engines: { node: '>=4' } }))
files.set('/files/other.tgz', tarball({ name: 'other-name', version: '3.0.0', peerDependencies: { peer: '*' }, os: ['linux'], deprecated: 'no' }))
files.set('/files/no-version.tgz', tarball({ name: 'no-version' }))
files.set('/files/plain', tarball({ name: 'plain', version: '1.0.0' }))
files.set('/moved.tgz', '/files/remote.tgz')
files.set('/files/no-name.tgz', tarball({ version: '1.0.0' }))
files.set('/files/bad-name.tgz', tarball({ name: '../../x', version: '1.0.0' }))
files.set('/files/no-tarball.tgz', Buffer.from('<html>'))

const local = tarball({ name: 'local' })
files.set('/x.tgz', local)

const jsr = `@jsr:registry=${U}/\n`, remote = `${U}/files/remote.tgz`
const patch = 'diff --git a/index.js b/index.js\n--- a/index.js\n+++ b/index.js\n@@ -1 +1 @@\n-module.exports = 1\n+module.exports = 2\n'
const cases = {
  url: { deps: { remote } },
  'url under another name, with a peer': { deps: { alias: `${U}/files/other.tgz`, peer: '1.0.0' } },
  'url without a version': { deps: { 'no-version': `${U}/files/no-version.tgz` } },
  'url without an ending': { deps: { plain: `${U}/files/plain` } },
  'url with a query': { deps: { remote: `${remote}?x=1` } },
  'url with a fragment': { deps: { remote: `${remote}#abc` } },
  'url that moved': { deps: { remote: `${U}/moved.tgz` } },
  'url twice': { deps: { a: remote, b: remote, leaf: '1.0.0' } },
  'url as a peer': { deps: { remote, 'wants-remote': '1.0.0' } },
  'url of a dependency': { deps: { 'uses-url': '1.0.0' }, yaml: 'blockExoticSubdeps: false\n' },
  'url in an optional dependency that is gone': { optional: { remote: `${U}/files/gone.tgz` }, deps: { leaf: '1.0.0' } },
  'url of the registry itself': { deps: { leaf: `${U}/leaf/-/leaf-1.0.0.tgz` } },
  'url patched': { deps: { remote }, yaml: 'patchedDependencies:\n  remote: p.patch\n', files: { 'p.patch': patch } },
  'file: tarball patched': { deps: { local: 'file:x.tgz' }, yaml: 'patchedDependencies:\n  local: p.patch\n', files: { 'p.patch': patch, 'x.tgz': local } },
  'jsr by its alias': { deps: { '@std/assert': 'jsr:1.0.0' }, npmrc: jsr },
  'jsr by name, by tag, without a version': { deps: { a: 'jsr:@std/assert@^1.0.0', b: 'jsr:@std/assert@latest', c: 'jsr:@std/assert' }, npmrc: jsr },
  'jsr of a dependency': { deps: { 'uses-jsr': '1.0.0' }, npmrc: jsr },
  'jsr in a catalog': { deps: { '@std/assert': 'catalog:' }, npmrc: jsr, yaml: "catalog:\n  '@std/assert': jsr:1.0.0\n" },
  'jsr in an override': { deps: { leaf: '^1.0.0' }, npmrc: jsr, yaml: 'overrides:\n  leaf: jsr:@std/assert@1.0.0\n' },
  'jsr, range widened': { deps: { '@std/assert': 'jsr:1.0.0' }, then: { '@std/assert': 'jsr:^1.0.0', leaf: '1.0.0' }, npmrc: jsr },
  'url, something else added, its content another': { deps: { remote }, then: { remote, peer: '1.0.0' } },
}
const gits = ['kevva/is-negative', 'kevva/is-negative#semver:^1', 'github:kevva/is-negative', 'gitlab:a/b', 'bitbucket:a/b', 'gist:11081aaa281', 'git+ssh://git@host.test/a/b.git#v1', 'git+https://host.test/a/b.git#semver:^1.0.0', 'git://host.test/a/b.git', 'git@github.com:a/b.git', 'ssh://git@host.test/a/b', 'git+file:///tmp/x', 'https://github.com/a/b', 'https://github.com/a/b.git', 'https://github.com/a/b#main', 'https://github.com/a/b/tree/main', 'https://gitlab.com/a/b', 'https://bitbucket.org/a/b', 'https://gist.github.com/a/11081aaa281', 'https://host.test/a/b.git#abc']
const bad = {
  'a tarball that is not there': [{ deps: { x: `${U}/files/gone.tgz` } }, 4, [/x@http.*gone\.tgz/, /404/]],
  'no tarball': [{ deps: { x: `${U}/files/no-tarball.tgz` } }, null, [/x@http.*no-tarball\.tgz/]],
  'a package without a name': [{ deps: { x: `${U}/files/no-name.tgz` } }, 3, [/no-name\.tgz: its package\.json has no name/]],
  'a name that is none': [{ deps: { x: `${U}/files/bad-name.tgz` } }, 3, [/bad-name\.tgz.*"\.\.\/\.\.\/x"/]],
  'a url of a dependency': [{ deps: { 'uses-url': '1.0.0' } }, 8, [/uses-url@1\.0\.0 > remote@http/, /blockExoticSubdeps/]],
  'jsr without its registry': [{ deps: { '@std/assert': 'jsr:^1' } }, 9, [/@std\/assert@jsr:\^1/, /@jsr:registry=/]],
  'jsr without a scope': [{ deps: { x: 'jsr:^1' }, npmrc: jsr }, 2, [/x@jsr:\^1/, /scope/]],
  'a protocol that nobody knows': [{ deps: { x: 'svn:a' } }, 9, [/x@svn:a/, /neither a version range/]],
  ...Object.fromEntries(gits.map((g) => [g, [{ deps: { gitty: g } }, 9, [/\. > gitty@/, /git dependencies are not supported/, /npm pack/]]])),
  'git of a dependency': [{ deps: { leaf: 'file:lib' }, files: { 'lib/package.json': '{"name":"lib","version":"1.0.0","dependencies":{"gitty":"a/b"}}' } }, 9, [/lib@.* > gitty@a\/b/, /git dependencies/]],
}

let count = 0
function project(c) {
  const dir = join(work, `p${count++}`)
  mkdirSync(dir)
  manifest(dir, c)
  if (c.yaml) writeFileSync(join(dir, 'pnpm-workspace.yaml'), c.yaml)
  if (c.npmrc) writeFileSync(join(dir, '.npmrc'), c.npmrc)
  for (const [name, text] of Object.entries(c.files ?? {})) {
    mkdirSync(dirname(join(dir, name)), { recursive: true })
    writeFileSync(join(dir, name), text)
  }
  return dir
}
const manifest = (dir, c, deps = c.deps) => writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies: deps, optionalDependencies: c.optional }))
// Digests by the file that they are of: the bytes hold the registry's port, and compressors differ.
function lockfile(dir) {
  const of = new Map([...files].filter(([, b]) => typeof b !== 'string').map(([path, b]) => ['sha512-' + createHash('sha512').update(b).digest('base64'), path]))
  return readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8').replaceAll(U, 'http://REGISTRY').replace(/sha512-[\w+/=]+/g, (sri) => `SRI(${of.get(sri) ?? 'unknown'})`)
}
const tree = (dir) => readdirSync(join(dir, 'node_modules/.pnpm')).filter((n) => n.includes('@') && n !== '@').map((n) => n.replace(/127\.0\.0\.1\+\d+/, 'REGISTRY').replace(/_[0-9a-f]{32}$/, '_HASH')).sort()

// Lockfile and slots after the case's install, or after both of its installs.
async function play(c, install) {
  const dir = project(c), kept = files.get('/files/remote.tgz')
  let r = await install(dir)
  assert.equal(r.status, 0, r.out)
  if (c.then) {
    manifest(dir, c, c.then)
    files.set('/files/remote.tgz', tarball({ name: 'remote', version: '2.1.0' }))
    r = await install(dir)
    files.set('/files/remote.tgz', kept)
    assert.equal(r.status, 0, r.out)
  }
  return { dir, lockfile: lockfile(dir), tree: tree(dir) }
}

async function oracle(pnpm) {
  const expected = {}
  for (const [name, c] of Object.entries(cases)) {
    const home = join(work, `home${count++}`)
    const install = (dir) => run(pnpm, ['install', '--no-frozen-lockfile', '--ignore-scripts', '--reporter=append-only'], { cwd: dir, env: { PATH: process.env.PATH, HOME: home, pnpm_config_registry: U + '/', pnpm_config_store_dir: join(home, 'store'), XDG_CACHE_HOME: join(home, 'cache'), XDG_DATA_HOME: join(home, 'data'), NO_COLOR: '1' } })
    const { dir, ...got } = await play(c, install)
    expected[name] = got
  }
  writeFileSync(expectedFile, '{\n' + Object.keys(cases).map((k) => `  ${JSON.stringify(k)}: ${JSON.stringify(expected[k])}`).join(',\n') + '\n}\n')
}

// How often the registry was asked, with all that an install had sent when it ended: this process may not have read that yet. A first request is accepted behind
// all connections that were made before it, a second one is read behind all that came over them.
async function askedByNow() {
  for (let i = 0; i < 2; i++) await (await fetch(U + '/now', { headers: { connection: 'close' } })).text()
  return registry.asked.length
}

function installer(dray, how) {
  const store = join(work, `store${count++}`)
  return (dir, ...args) => run(dray, ['install', '--no-frozen-lockfile', '--ignore-scripts', '--store-dir', store, '--registry', U, ...how, ...args], { cwd: dir, env: { PATH: process.env.PATH, HOME: work, CI: '', DRAY_SERVER: '' } })
}

async function compare(dray, how, label) {
  const expected = JSON.parse(readFileSync(expectedFile, 'utf8')), wrong = []
  for (const [name, c] of Object.entries(cases)) {
    const install = installer(dray, how)
    try {
      const got = await play(c, install)
      assert.equal(got.lockfile, expected[name].lockfile)
      assert.deepEqual(got.tree, expected[name].tree)
      rmSync(join(got.dir, 'node_modules'), { recursive: true })
      const asked = await askedByNow(), again = await install(got.dir, '--frozen-lockfile', '--offline')
      assert.equal(again.status, 0, again.out)
      await askedByNow()
      assert.deepEqual(registry.asked.slice(asked).filter((_, i) => registry.agents[asked + i].startsWith('dray/')), []) // drayd makes packs when it gets to it
      assert.deepEqual(tree(got.dir), expected[name].tree)
    } catch (e) {
      wrong.push(`${label} ${name}: ${e.message}`)
    }
  }
  assert.equal(wrong.length, 0, wrong.join('\n\n'))
  console.log(`${label}: ${Object.keys(cases).length} cases as pnpm`)
}
async function refusals(dray, how, label) {
  const install = installer(dray, how)
  for (const [name, [c, status, messages]] of Object.entries(bad)) {
    const dir = project(c), before = readdirSync(dir), r = await install(dir)
    assert.equal(r.status === 0, false, `${name}: ${r.out}`)
    if (status) assert.equal(r.status, status, `${name}: ${r.out}`)
    for (const m of messages) assert.match(r.out, m, name)
    assert.deepEqual(readdirSync(dir), before, name)
  }
  console.log(`${label}: ${Object.keys(bad).length} refused by name`)
}

const args = process.argv.slice(2)
try {
  if (args[0] === '--oracle') await oracle(args[1])
  else {
    const [dray, drayd] = args
    await compare(dray, [], 'direct')
    await refusals(dray, [], 'direct')
    // one download: what the resolution read is in the store then
    let dir = project(cases.url)
    const asked = await askedByNow()
    assert.equal((await installer(dray, [])(dir)).status, 0)
    assert.equal(registry.asked.slice(asked).filter((a) => a === 'GET /files/remote.tgz').length, 1)
    dir = project(cases.url)
    const offline = await installer(dray, [])(dir, '--offline')
    assert.equal(offline.status, 4, offline.out)
    assert.match(offline.out, /--offline/)

    // the stored copy that is to be patched is gone: it is fetched again, and said so
    const keep = join(work, `kept${count++}`), stored = (...a) => run(dray, ['install', '--no-frozen-lockfile', '--store-dir', keep, '--registry', U, ...a], { cwd: dir, env: { PATH: process.env.PATH, HOME: work, CI: '', DRAY_SERVER: '' } })
    dir = project({ deps: { leaf: '1.0.0' } })
    assert.equal((await stored()).status, 0)
    for (const f of readdirSync(join(keep, 'pkgs'), { recursive: true, withFileTypes: true })) if (f.isFile()) rmSync(join(f.parentPath ?? f.path, f.name))
    dir = project({ deps: { leaf: '1.0.0' }, yaml: 'patchedDependencies:\n  leaf: p.patch\n', files: { 'p.patch': patch } })
    const again = await stored()
    assert.equal(again.status, 0, again.out)
    assert.match(again.out, /the store's copy of leaf@1\.0\.0 is damaged: fetching it again/)
    assert.equal(readFileSync(join(dir, 'node_modules/leaf/index.js'), 'utf8'), 'module.exports = 2\n')

    const server = await draydStart(drayd, join(work, `drayd${count++}`), '--registry', U, '--pack-settle-level', '0')
    const scoped = ['--server', server.url, '--server-fallback', 'error']
    await compare(dray, scoped, 'drayd')
    await refusals(dray, scoped, 'drayd')
    // an origin that the operator did not list: refused before a request, and by the name of the package
    let strangers = 0
    const foreign = createServer((req, res) => { strangers++; res.end(files.get('/files/remote.tgz')) })
    await new Promise((ok) => foreign.listen(0, '127.0.0.1', ok))
    const where = `http://127.0.0.1:${foreign.address().port}/remote.tgz`
    dir = project({ deps: { remote: where } })
    const r = await installer(dray, scoped)(dir)
    assert.equal(r.status, 8, r.out)
    assert.match(r.out, /remote@http.*is at an origin that is not among this server's upstreams/)
    assert.equal(strangers, 0)
    // nor by a redirect from one that is
    files.set('/away.tgz', where)
    const away = await installer(dray, scoped)(project({ deps: { remote: `${U}/away.tgz` } }))
    assert.notEqual(away.status, 0)
    assert.equal(strangers, 0, away.out)
    assert.equal((await installer(dray, [])(dir)).status, 0, 'a direct install asks anybody')
    await server.stop()
    foreign.close()
    console.log('drayd: its own origins only')
  }
} finally {
  registry.close()
  rmSync(work, { recursive: true, force: true })
}
