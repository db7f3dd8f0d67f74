// What npm clients see of drayd: packuments, tarballs, caches, tokens, access rules, dray doctor; and the real clients.
// DRAY_TEST_CLIENTS: folders of the clients' programs, before PATH.
// usage: registry-surface.mjs DRAYD DRAY FIXTURE_REGISTRY PACKAGES            hermetic
//        registry-surface.mjs --network DRAYD PROJECT                         the clients install PROJECT from the default registry
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { fixtureStart, run } from './rig.mjs'

const network = process.argv[2] === '--network'
const [drayd, dray, program, packages] = network ? [process.argv[3]] : process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'dray-surface-'))
const children = new Set()
let serial = 0

async function until(what, fn) {
  for (let i = 0; i < 4000; i++) {
    const v = await fn()
    if (v) return v
    await new Promise((ok) => setTimeout(ok, 50))
  }
  assert.fail(`timeout: ${what}`)
}
// Children write into a file: one that outlives a test must not keep a reader of our output waiting.
const log = openSync(join(work, 'log'), 'a')
// And none runs without a bound.
const limits = { encoding: 'utf8', timeout: 300000, killSignal: 'SIGKILL' }
async function stop(child) {
  children.delete(child)
  if (child.exitCode !== null || child.signalCode !== null) return child.signalCode ?? child.exitCode
  const end = new Promise((ok) => child.once('exit', (code, signal) => ok(signal ?? code)))
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 120000)
  return end.finally(() => clearTimeout(late))
}
async function registry(...options) {
  const count = join(work, `count${serial++}`)
  const { child, url } = await fixtureStart(program, ['--packages', packages, '--count', count, ...options], log)
  children.add(child)
  const asked = (path) => (existsSync(count) ? readFileSync(count, 'utf8').split('\n').filter((l) => l.split(' ')[1] === path).length : 0)
  return { child, url, asked, port: new URL(url).port }
}
// OPTIONS are flags; CONFIG is the text of sections.
async function serve(options, config = '', store = join(work, `store${serial++}`)) {
  const ready = join(work, `ready${serial++}`)
  const file = join(work, `conf${serial++}`)
  mkdirSync(store, { recursive: true })
  writeFileSync(file, config)
  const child = spawn(drayd, ['--listen', '127.0.0.1:0', '--ready-file', ready, '--store-dir', store, '--log-level', 'warn', '--config', file, ...options], { stdio: ['ignore', log, log] })
  children.add(child)
  await until('drayd is ready', () => existsSync(ready))
  return { child, store, url: `http://${readFileSync(ready, 'utf8').split('\n')[0]}/` }
}
function token(store, ...args) {
  const r = spawnSync(drayd, ['token', ...args, '--store-dir', store], limits)
  assert.equal(r.status, 0, r.stderr)
  return r.stdout.trim()
}
// A connection of its own for each request: while spawnSync blocks this process a kept one may end unseen, after ten seconds.
const fetch = (url, options = {}) => globalThis.fetch(url, { ...options, headers: { ...options.headers, connection: 'close' } })
const short = { accept: 'application/vnd.npm.install-v1+json' }
const bearer = (t) => ({ authorization: `Bearer ${t}` })
async function json(url, headers = {}, status = 200) {
  const r = await fetch(url, { headers })
  const text = await r.text()
  assert.equal(r.status, status, `${url}: ${text}`)
  return JSON.parse(text)
}
async function metric(s, name) {
  const text = await (await fetch(s.url + 'metrics')).text()
  return Number(new RegExp(`^drayd_${name} (.*)$`, 'm').exec(text)?.[1])
}

const tests = {
  async 'packuments: both forms, ETag, gzip, tarballs of this server'() {
    const up = await registry()
    const s = await serve(['--registry', up.url])
    const full = await json(s.url + 'fx-leaf')
    const brief = await json(s.url + '@fx%2fscoped', short)
    assert.equal(full.versions['1.0.0'].dist.tarball, s.url + 'fx-leaf/-/fx-leaf-1.0.0.tgz')
    assert.equal(brief.versions['1.0.0'].dist.tarball, s.url + '@fx/scoped/-/scoped-1.0.0.tgz')
    const own = await json(up.url + 'fx-leaf')
    for (const v of Object.values(own.versions)) v.dist.tarball = v.dist.tarball.replace(up.url, s.url)
    assert.deepEqual(full, own, 'nothing but tarballs is changed')
    const r = await fetch(s.url + 'fx-leaf', { headers: { 'accept-encoding': 'gzip' } })
    assert.equal(r.headers.get('content-encoding'), 'gzip')
    assert.equal(r.headers.get('dray-cache'), 'fresh')
    await r.arrayBuffer()
    assert.equal((await fetch(s.url + 'fx-leaf', { headers: { 'if-none-match': r.headers.get('etag') } })).status, 304)
    assert.equal((await fetch(s.url + 'fx-leaf', { headers: { 'if-none-match': '"other"' } })).status, 200)
    assert.equal((await fetch(s.url + 'fx-leaf', { method: 'HEAD' })).status, 200)
    assert.equal(up.asked('/fx-leaf'), 2, 'one by us, one by drayd')
    assert.deepEqual(await json(s.url + '-/ping'), {})
  },
  async 'tarballs: one fetch for all who wait, kept over a restart, verified'() {
    const up = await registry()
    let s = await serve(['--registry', up.url])
    const meta = await json(s.url + 'fx-files', short)
    const [version, v] = Object.entries(meta.versions)[0]
    const path = `/fx-files/-/fx-files-${version}.tgz`
    const all = await Promise.all([...Array(20)].map(async () => Buffer.from(await (await fetch(v.dist.tarball)).arrayBuffer())))
    for (const b of all) assert.equal('sha512-' + createHash('sha512').update(b).digest('base64'), v.dist.integrity)
    gunzipSync(all[0])
    assert.equal(up.asked(path), 1)
    assert.equal(await stop(s.child), 0)
    s = await serve(['--registry', up.url], '', s.store)
    await fetch(s.url + path.slice(1)).then((r) => r.arrayBuffer())
    assert.equal(up.asked(path), 1, 'from disk')
    assert.equal(await metric(s, 'registry_tarballs_hit_total'), 1)
    await json(s.url + 'fx-files/-/fx-files-9.9.9.tgz', {}, 404)
    await json(s.url + 'fx-files/-/fx-leaf-1.0.0.tgz', {}, 404)
  },
  async 'wrong bytes are never a complete answer and never kept'() {
    const up = await registry('--faults', 'integrity,match=fx-leaf-1.0.0.tgz')
    const s = await serve(['--registry', up.url])
    const { versions } = await json(s.url + 'fx-leaf', short)
    for (let i = 0; i < 2; i++) {
      const whole = await fetch(versions['1.0.0'].dist.tarball).then((r) => (r.ok ? r.arrayBuffer() : null)).catch(() => null)
      assert.equal(whole, null)
    }
    assert.equal(await metric(s, 'registry_tarballs_failed_total'), 2)
    assert.equal(await metric(s, 'registry_tarballs_fetched_total'), 0)
  },
  async 'a cut-off tarball is fetched again behind the reader'() {
    const up = await registry('--faults', 'truncate,limit=1,match=fx-leaf-1.0.0.tgz')
    const s = await serve(['--registry', up.url])
    const { versions } = await json(s.url + 'fx-leaf', short)
    const b = Buffer.from(await (await fetch(versions['1.0.0'].dist.tarball)).arrayBuffer())
    assert.equal('sha512-' + createHash('sha512').update(b).digest('base64'), versions['1.0.0'].dist.integrity)
  },
  async 'an upstream that is down: from cache, and it says so; absence is remembered'() {
    const up = await registry()
    let s = await serve(['--registry', up.url])
    const first = await json(s.url + 'fx-leaf', short)
    await json(s.url + 'nothing-here', short, 404)
    await json(s.url + 'nothing-here', short, 404)
    assert.equal(up.asked('/nothing-here'), 1)
    await stop(up.child)
    assert.equal(await stop(s.child), 0)
    s = await serve(['--registry', up.url, '--packument-age', '0'], '', s.store) // only the disk knows it
    const r = await fetch(s.url + 'fx-leaf', { headers: short })
    assert.equal(r.status, 200)
    assert.equal(r.headers.get('dray-cache'), 'upstream-down')
    assert.match(r.headers.get('warning'), /^111/)
    const again = await r.json()
    assert.deepEqual(Object.keys(again.versions), Object.keys(first.versions))
    assert.ok((await metric(s, 'registry_packuments_upstream_down_total')) >= 1)
    assert.ok([502, 503].includes((await fetch(s.url + 'fx-app', { headers: short })).status), 'refused, or the breaker is open')
  },
  async 'absence is remembered no longer than a packument'() {
    const up = await registry()
    const s = await serve(['--registry', up.url, '--packument-age', '0'])
    for (let i = 1; i <= 2; i++) {
      await json(s.url + 'nothing-here', short, 404)
      assert.equal(up.asked('/nothing-here'), i)
    }
  },
  async 'stale while revalidate'() {
    const up = await registry()
    const s = await serve(['--registry', up.url, '--packument-age', '5'])
    for (let asked = 1; ; asked++) {
      const begun = performance.now()
      await json(s.url + 'fx-leaf', short)
      await new Promise((ok) => setTimeout(ok, 6000)) // stale from 5 s to 10 s
      const r = await fetch(s.url + 'fx-leaf', { headers: short })
      await r.arrayBuffer()
      if (performance.now() - begun > 9900 && r.headers.get('dray-cache') === 'fresh' && asked < 10) continue // this machine took longer
      assert.equal(r.headers.get('dray-cache'), 'stale')
      await until('it is asked for again', async () => up.asked('/fx-leaf') > asked)
      break
    }
  },
  async 'one origin a name, no falling through'() {
    const pub = await registry()
    const acme = await registry()
    const s = await serve(['--registry', pub.url], `[upstream acme]\nurl = ${acme.url}\nscope = @fx\nprivate-addresses = true\n`)
    await json(s.url + '@fx%2fscoped', short)
    await json(s.url + '@fx%2fnot-there', short, 404)
    await json(s.url + 'fx-leaf', short)
    assert.equal(acme.asked('/@fx/scoped'), 1)
    assert.equal(acme.asked('/@fx/not-there'), 1)
    assert.equal(pub.asked('/@fx/scoped') + pub.asked('/@fx/not-there'), 0)
    assert.equal(acme.asked('/fx-leaf'), 0)
    const alone = await serve(['--registry', 'none'], `[upstream acme]\nurl = ${acme.url}\nscope = @fx\nprivate-addresses = true\n`)
    const r = await json(alone.url + 'fx-leaf', short, 403)
    assert.match(r.message, /no upstream for package fx-leaf/)
  },
  async 'what writes is refused by name'() {
    const up = await registry()
    const s = await serve(['--registry', up.url])
    for (const [method, path, status] of [['PUT', 'fx-leaf', 405], ['DELETE', 'fx-leaf/-rev/1', 405], ['PUT', '-/package/fx-leaf/dist-tags/x', 404], ['GET', '-/user/org.couchdb.user:a', 405], ['POST', '-/v1/login', 404], ['PUT', '-/user/org.couchdb.user:a', 400], ['POST', '-/npm/v1/security/advisories/bulk', 404], ['GET', '-/v1/search?text=x', 404], ['GET', 'fx-leaf/1.0.0', 404]]) {
      const r = await fetch(s.url + path, { method, body: method === 'PUT' ? '{}' : undefined })
      assert.equal(r.status, status, `${method} ${path}`)
      assert.match((await r.json()).error, /^ERR_DRAY_/)
    }
    for (const path of ['..%2fetc', '%00', '%zz', 'a%2f..%2fb', '.hidden', '@fx'])
      assert.ok([400, 404].includes((await fetch(s.url + path)).status), path)
    assert.equal(up.asked('/-/user/org.couchdb.user:a'), 0)
  },
  async 'tokens: wanted, known by name, restricted, revoked; the file is read again'() {
    const up = await registry()
    const s = await serve(['--registry', up.url], `[access secret]\npackages = @fx/*\nallow = ci*\n`)
    await json(s.url + '@fx%2fscoped', short, 403) // no tokens yet: nobody is in the rule
    await json(s.url + 'fx-leaf', short)
    const ci = token(s.store, 'add', 'ci')
    const dev = token(s.store, 'add', 'dev', 'packages=fx-*')
    assert.doesNotMatch(readFileSync(join(s.store, 'tokens'), 'utf8'), new RegExp(ci.slice(5)))
    await until('tokens are wanted', async () => (await fetch(s.url + 'fx-leaf')).status === 401)
    const no = await fetch(s.url + 'fx-leaf')
    assert.match(no.headers.get('www-authenticate'), /Bearer/)
    assert.match((await no.json()).message, /_authToken/)
    await json(s.url + 'fx-leaf', bearer(ci.slice(0, -1)), 401)
    await json(s.url + '@fx%2fscoped', bearer(ci))
    await json(s.url + 'fx-leaf', { authorization: `Basic ${Buffer.from(`x:${ci}`).toString('base64')}` })
    assert.match((await json(s.url + '@fx%2fscoped', bearer(dev), 403)).message, /this token may not see/)
    await json(s.url + '@fx%2fscoped/-/scoped-1.0.0.tgz', bearer(dev), 403)
    await json(s.url + 'fx-leaf', bearer(dev))
    assert.equal((await json(s.url + '-/whoami', bearer(ci))).username, 'ci')
    assert.equal((await fetch(s.url + 'v1/health')).status, 200)
    assert.equal((await fetch(s.url + 'metrics')).status, 401)
    assert.equal((await fetch(s.url)).status, 401)
    // npm logout
    assert.equal((await fetch(s.url + `-/user/token/${dev}`, { method: 'DELETE', headers: bearer(ci) })).status, 403)
    assert.equal((await fetch(s.url + `-/user/token/${dev}`, { method: 'DELETE', headers: bearer(dev) })).status, 200)
    await until('dev is out', async () => (await fetch(s.url + 'fx-leaf', { headers: bearer(dev) })).status === 401)
    token(s.store, 'revoke', 'ci')
    await until('ci is out', async () => (await fetch(s.url + 'fx-leaf', { headers: bearer(ci) })).status === 401)
    let limited = 0
    for (let i = 0; i < 30; i++) {
      const r = await fetch(s.url + 'fx-leaf', { headers: bearer('dray_x') })
      limited += r.status === 429
      assert.equal(r.headers.get('retry-after'), r.status === 429 ? '60' : null)
      await r.text()
    }
    assert.ok(limited > 0, 'failures are limited')
    const late = token(s.store, 'add', 'late')
    assert.equal((await fetch(s.url + 'fx-leaf', { headers: bearer(late) })).status, 200, 'a good token is known at once, and never limited')
  },
  async 'login by a token, logout, and what goes with a revoked one'() {
    const up = await registry()
    const s = await serve(['--registry', up.url], `[access secret]\npackages = @fx/*\nallow = ci\n`)
    const login = async (name, password, status, path = name) => {
      const r = await fetch(`${s.url}-/user/org.couchdb.user:${path}`, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ _id: `org.couchdb.user:${name}`, name, password, type: 'user', roles: [] }) })
      assert.equal(r.status, status, `login of ${name}`)
      return r.json()
    }
    assert.match((await login('ci', 'x', 403)).message, /no tokens/)
    const ci = token(s.store, 'add', 'ci')
    const ro = token(s.store, 'add', 'ro', 'read-only')
    assert.notEqual(spawnSync(drayd, ['token', 'add', 'login:ci:0', '--store-dir', s.store], limits).status, 0)
    await until('tokens are wanted', async () => (await fetch(s.url + 'fx-leaf')).status === 401)
    await login('ci', ci + 'x', 401)
    await login('ci', ro, 401)
    await login('nobody', ci, 401)
    await login('ci', ci, 400, 'other')
    assert.match((await login('ro', ro, 403)).message, /read-only/)
    const own = (await login('ci', ci, 201)).token
    assert.match(own, /^dray_.{43}$/)
    assert.equal((await json(s.url + '-/whoami', bearer(own))).username, 'ci', 'at once')
    await json(s.url + '@fx%2fscoped', bearer(own)) // its rights are ci's
    await login('ci', own, 401) // no password: a login makes no logins
    const second = (await login('ci', ci, 201)).token
    assert.match(token(s.store, 'list'), /login:ci:[0-9a-f]{8} made .* expires/)
    assert.equal((await fetch(`${s.url}-/user/token/${own}`, { method: 'DELETE', headers: bearer(own) })).status, 200)
    assert.equal((await fetch(s.url + 'fx-leaf', { headers: bearer(own) })).status, 401, 'at once')
    await json(s.url + 'fx-leaf', bearer(second))
    token(s.store, 'revoke', 'ci')
    await until('its logins go with it', async () => (await fetch(s.url + 'fx-leaf', { headers: bearer(second) })).status === 401)
    // The real one asks for both and keeps what it gets.
    if (find('npm')) {
      const dev = token(s.store, 'add', 'dev')
      const home = join(work, 'login')
      mkdirSync(home)
      const options = { ...limits, cwd: home, env: { ...process.env, HOME: home } }
      const npm = (...args) => spawnSync(find('npm'), [...args, '--registry', s.url, '--cache', join(home, 'cache')], options)
      const child = spawn(find('npm'), ['login', '--auth-type=legacy', '--registry', s.url, '--cache', join(home, 'cache')], { ...options, stdio: ['pipe', 'pipe', log] })
      const answers = [[/Username/, 'dev'], [/Password/, dev], [/Email/, 'dev@acme.test']]
      let said = '' // since the last answer
      child.stdout.on('data', (d) => {
        said += d
        if (!answers[0]?.[0].test(said)) return
        said = ''
        child.stdin.write(answers.shift()[1] + '\n')
      })
      const code = await new Promise((ok) => child.once('exit', ok))
      assert.equal(code, 0, 'npm login')
      const kept = /_authToken=(\S+)/.exec(readFileSync(join(home, '.npmrc'), 'utf8'))[1]
      assert.notEqual(kept, dev)
      assert.equal(npm('whoami').stdout.trim(), 'dev')
      const r = npm('logout')
      assert.equal(r.status, 0, r.stdout + r.stderr)
      assert.equal((await fetch(s.url + 'fx-leaf', { headers: bearer(kept) })).status, 401)
      assert.equal((await fetch(s.url + 'fx-leaf', { headers: bearer(dev) })).status, 200)
    }
  },
  async 'plans: by token, and only of what it may see'() {
    const up = await registry()
    const s = await serve(['--registry', up.url], `[access secret]\npackages = @fx/*\nallow = ci\n`)
    const ci = token(s.store, 'add', 'ci')
    const dev = token(s.store, 'add', 'dev')
    await until('tokens are wanted', async () => (await fetch(s.url + 'fx-leaf')).status === 401)
    const install = (name, npmrc, env = {}) => {
      const dir = join(work, `plan-${name}`)
      mkdirSync(join(dir, 'home'), { recursive: true })
      writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', dependencies: { 'fx-app': '1.0.0' } }))
      writeFileSync(join(dir, 'home', '.npmrc'), npmrc)
      const all = { ...process.env, CI: '', HOME: join(dir, 'home'), DRAY_SERVER: '', DRAY_TOKEN: '', ...env }
      return spawnSync(dray, ['install', '--dir', dir, '--store-dir', join(dir, 'store'), '--server', s.url, '--server-fallback', 'error', '--registry', up.url], { ...limits, env: all })
    }
    const host = s.url.slice(5)
    let r = install('none', '')
    assert.equal(r.status, 8)
    assert.match(r.stderr, /_authToken/)
    r = install('ci', `${host}:_authToken=${ci}\n`)
    assert.equal(r.status, 0, r.stderr)
    r = install('env', '', { DRAY_TOKEN: ci })
    assert.equal(r.status, 0, r.stderr)
    r = install('dev', `${host}:_authToken=${dev}\n`) // the same request as ci's: not from its cache
    assert.equal(r.status, 8, r.stderr)
    assert.match(r.stderr, /access rule secret keeps package @fx\/scoped from this token/)
    r = install('other-host', `//127.0.0.1:1/:_authToken=${ci}\n//127.0.0.1:${up.port}/:_authToken=${ci}\n`)
    assert.equal(r.status, 8, 'a token for another host is not sent')
  },
  async 'dray doctor'() {
    const up = await registry()
    const s = await serve(['--registry', up.url], `[upstream acme]\nurl = ${up.url}acme/\nscope = @acme\nprivate-addresses = true\n`)
    const dir = join(work, 'doctor')
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, 'package.json'), '{"name":"p"}')
    const doctor = (server, registry, env = {}) => spawnSync(dray, ['doctor', '--dir', dir, '--server', server, '--registry', registry], { ...limits, env: { ...process.env, HOME: dir, ...env } })
    let r = doctor(s.url, up.url)
    assert.equal(r.status, 0, r.stdout)
    assert.match(r.stdout, /ok .*reachable[^]*ok .*no token[^]*ok .*protocol[^]*ok .*default registry[^]*ok .*scope @acme: upstream acme/)
    r = doctor(s.url, 'http://registry.test/')
    assert.equal(r.status, 8)
    assert.match(r.stdout, /FAIL {2}default registry[^]*alias/)
    r = doctor('http://127.0.0.1:1', up.url)
    assert.equal(r.status, 7)
    assert.match(r.stdout, /FAIL {2}reachable/)
    const ci = token(s.store, 'add', 'ci', 'read-only')
    await until('tokens are wanted', async () => (await fetch(s.url + 'fx-leaf')).status === 401)
    r = doctor(s.url, up.url)
    assert.equal(r.status, 8)
    assert.match(r.stdout, /FAIL {2}authorised[^]*_authToken/)
    r = doctor(s.url, up.url, { DRAY_TOKEN: ci })
    assert.match(r.stdout, /ok .*token ci, read-only/)
  },
  async 'configurations that are refused'() {
    const check = (text, ...flags) => {
      const file = join(work, 'check.conf')
      writeFileSync(file, text)
      return spawnSync(drayd, ['check-config', '--config', file, '--registry', 'http://127.0.0.1:1/', ...flags], limits)
    }
    const up = (lines) => `[upstream a]\nurl = https://a.test/\nscope = @a\n${lines}`
    assert.equal(check(up('')).status, 0)
    for (const [text, says] of [
      [up('scope = b\n'), /no scope/],
      [up('[upstream b]\nurl = https://b.test/\nscope = @a\n'), /two upstreams/],
      [up('token = x\nbasic = a:b\n'), /two credentials/],
      [up('token-env = DRAY_TEST_NOT_SET\n'), /conf:4: .*DRAY_TEST_NOT_SET is not set/],
      ['[upstream a]\nurl = http://a.test/\nscope = @a\ntoken = x\n', /travel in clear/],
      ['[upstream a]\nscope = @a\n', /needs a url/],
      ['[upstream a b]\n', /section's name/],
      ['[upstrem a]\n', /no section/],
      ['[access a]\nallow = x\n', /needs packages/],
      ['[upstream default]\nurl = https://a.test/\n', /`registry`/],
      [up('secret = x\n'), /no option secret/],
    ]) {
      const r = check(text)
      assert.notEqual(r.status, 0, text)
      assert.match(r.stderr, says)
    }
    const open = spawnSync(drayd, ['--listen', '0.0.0.0:0', '--store-dir', join(work, 'open'), '--registry', 'http://127.0.0.1:1/'], limits)
    assert.notEqual(open.status, 0)
    assert.match(open.stderr, /without TLS and without tokens.*insecure = true/)
  },
  async 'npm, pnpm, yarn and bun install, with a token and without'() {
    const up = await registry()
    await clients(async (open) => {
      const s = await serve(['--registry', up.url])
      const t = open ? '' : token(s.store, 'add', 'ci')
      if (!open) await until('tokens are wanted', async () => (await fetch(s.url + 'fx-leaf')).status === 401)
      return { s, t }
    }, { name: 'p', version: '1.0.0', dependencies: { 'fx-app': '1.0.0', 'fx-bin': '1.0.0' } }, 'fx-app')
  },
}

function find(tool) {
  const own = process.env.DRAY_TEST_CLIENTS?.split(':') ?? []
  return [...own.map((d) => join(d, tool)), ...process.env.PATH.split(':').map((d) => join(d, tool))].find((p) => existsSync(p))
}
function client(tool, dir, url, t) {
  const host = url.slice(5)
  const env = { ...process.env, HOME: join(dir, 'home'), XDG_CACHE_HOME: join(dir, 'home/c'), XDG_DATA_HOME: join(dir, 'home/d'), CI: '', npm_config_registry: url, YARN_ENABLE_TELEMETRY: '0', BUN_INSTALL_CACHE_DIR: join(dir, 'home/bun') }
  mkdirSync(env.HOME, { recursive: true })
  writeFileSync(join(env.HOME, '.npmrc'), `registry=${url}\n${t ? `${host}:_authToken=${t}\n` : ''}`)
  let args = ['install']
  if (tool === 'npm') args.push('--no-fund', '--no-audit', '--cache', join(dir, 'home/npm'))
  if (tool === 'pnpm') args.push('--store-dir', join(dir, 'home/store'), '--ignore-scripts')
  if (tool === 'bun') writeFileSync(join(dir, 'bunfig.toml'), `[install]\nregistry = { url = "${url}"${t ? `, token = "${t}"` : ''} }\n`)
  if (tool === 'yarn') {
    const berry = !spawnSync(find('yarn'), ['--version'], { ...limits, env, cwd: dir }).stdout.startsWith('1.')
    if (berry) {
      writeFileSync(join(dir, '.yarnrc.yml'), `npmRegistryServer: "${url}"\nunsafeHttpWhitelist: ["127.0.0.1"]\nnodeLinker: node-modules\nenableGlobalCache: false\nenableImmutableInstalls: false\nnpmMinimalAgeGate: 0\n${t ? `npmAlwaysAuth: true\nnpmAuthToken: "${t}"\n` : ''}`)
      writeFileSync(join(dir, 'yarn.lock'), '')
    } else args.push('--registry', url, '--non-interactive')
  }
  return spawnSync(find(tool), args, { ...limits, cwd: dir, env })
}
// A program that says its version; what would first have to download itself is none.
const runs = (tool) => find(tool) && spawnSync(find(tool), ['--version'], { ...limits, cwd: work, env: { ...process.env, HOME: work, COREPACK_ENABLE_NETWORK: '0' } }).status === 0
async function clients(start, manifest, has) {
  const tools = ['npm', 'pnpm', 'yarn', 'bun'].filter(runs), missing = ['npm', 'pnpm', 'yarn', 'bun'].filter((t) => !tools.includes(t))
  if (missing.length) console.log(`     not installed, so not tested: ${missing}`)
  for (const open of [true, false]) {
    const { s, t } = await start(open)
    for (const tool of tools) {
      const dir = join(work, `${tool}-${open}`)
      mkdirSync(dir)
      writeFileSync(join(dir, 'package.json'), JSON.stringify(manifest))
      const r = client(tool, dir, s.url, t)
      assert.equal(r.status, 0, `${tool}, ${open ? 'open' : 'with a token'}: ${r.error ?? ''} ${r.stdout}${r.stderr}`)
      assert.ok(existsSync(join(dir, 'node_modules', has, 'package.json')), `${tool}: ${has} is there`)
      if (!open) {
        const bare = join(work, `${tool}-bare`)
        mkdirSync(bare)
        writeFileSync(join(bare, 'package.json'), JSON.stringify(manifest))
        assert.notEqual(client(tool, bare, s.url, '').status, 0, `${tool} without a token is refused`)
      }
    }
    assert.equal(await stop(s.child), 0)
  }
}

let failed = 0
try {
  if (network) {
    const project = process.argv[4]
    const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
    await clients(async (open) => {
      const s = await serve([])
      const t = open ? '' : token(s.store, 'add', 'ci')
      if (!open) await until('tokens are wanted', async () => (await fetch(s.url + '-/whoami')).status === 401 && (await fetch(s.url + '-/ping')).status === 401)
      return { s, t }
    }, manifest, Object.keys(manifest.dependencies)[0])
  } else {
    const only = process.env.ONLY
    for (const [name, run] of Object.entries(tests)) {
      if (only && !name.includes(only)) continue
      try {
        await run()
        console.log(`ok   ${name}`)
      } catch (e) {
        failed++
        console.log(`FAIL ${name}\n${e.stack}\n${readFileSync(join(work, 'log'), 'utf8').slice(-3000)}`)
      }
      for (const c of children) await stop(c)
    }
  }
} catch (e) {
  failed++
  console.log(e.stack)
} finally {
  for (const c of children) c.kill('SIGKILL')
  if (!process.env.KEEP) rmSync(work, { recursive: true, force: true })
}
process.exit(failed ? 1 : 0)
