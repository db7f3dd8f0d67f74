// Few open files: what a shell allows less than the system is taken, below that dray does less at a time, and where not even that fits it says so and does nothing.
// usage: few-files.mjs DRAY
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DAY, registryStart } from './policy-registry.mjs'
import { eventsOf, run } from './rig.mjs'

const [dray] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'dray-few-'))
// More of each kind than files may be open: packages, projects, commands.
const N = 200, names = Array.from({ length: N }, (_, i) => `r${i}`)
const registry = await registryStart(Object.fromEntries(names.map((n, i) => [n, { '1.0.0': { ago: 90 * DAY, bin: { [n]: 'index.js' }, deps: i + 1 < N && i % 3 ? { [`r${i + 1}`]: '1.0.0' } : undefined } }])))
const dependencies = Object.fromEntries(names.map((n) => [n, '1.0.0']))

let count = 0
function project(more = {}, yaml = '') {
  const dir = join(work, `p${count++}`)
  mkdirSync(dir)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies, ...more }))
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), yaml)
  return dir
}
// LIMIT is a shell's command.
const under = (limit, dir, command = 'install', ...options) => run('sh', ['-c', `${limit} && exec "$0" "$@"`, dray, command, '--registry', `${registry.url}/`, '--dir', dir, ...(command === 'install' ? ['--store-dir', join(dir, 'store')] : []), ...options], { env: { ...process.env, CI: '', DRAY_SERVER: '', HOME: work } })
const whole = (dir, of = names) => of.every((n) => existsSync(join(dir, 'node_modules', n, 'package.json')))

const tests = {
  async 'the soft limit is raised to the hard one, for scripts too'() {
    const dir = project({ dependencies: { r0: '1.0.0' }, scripts: { postinstall: 'ulimit -Sn > soft' } })
    const r = await under('ulimit -Sn 48 && ulimit -Hn 300', dir)
    assert.equal(r.status, 0, r.out)
    assert.equal(readFileSync(join(dir, 'soft'), 'utf8'), '300\n')
  },
  async 'few are enough: cold, from the store, shared slots, many projects'() {
    for (const limit of [64, 128]) {
      const dir = project(), few = `ulimit -n ${limit}`
      let r = await under(few, dir)
      assert.equal(r.status, 0, r.out)
      assert.ok(whole(dir))
      r = await under(few, dir, 'verify')
      assert.equal(r.status, 0, r.out)
      rmSync(join(dir, 'node_modules'), { recursive: true })
      r = await under(few, dir, 'install', '--frozen-lockfile')
      assert.equal(r.status, 0, r.out)
      assert.ok(whole(dir))
      const shared = project({}, 'enableGlobalVirtualStore: true\n')
      r = await under(few, shared)
      assert.equal(r.status, 0, r.out)
      assert.ok(whole(shared))
      const many = project({ dependencies: { r0: '1.0.0' } }, 'packages: [w/*]\nnetworkConcurrency: 200\n')
      for (const n of names) {
        mkdirSync(join(many, 'w', n), { recursive: true })
        writeFileSync(join(many, 'w', n, 'package.json'), JSON.stringify({ name: `w-${n}`, dependencies: { [n]: '1.0.0' } }))
      }
      r = await under(few, many)
      assert.equal(r.status, 0, r.out)
      assert.ok(names.every((n) => whole(join(many, 'w', n), [n])))
    }
  },
  async 'too few: how many there are and what to do, and nothing is written'() {
    for (const limit of [40, 63]) {
      const dir = project()
      for (const command of ['install', 'verify']) {
        const r = await under(`ulimit -n ${limit}`, dir, command)
        assert.equal(r.status, 5, r.out)
        assert.match(r.stderr, new RegExp(`^ERR_DRAY_IO: this process may have ${limit} files open at a time, and dray needs 64: raise its hard limit`, 'm'))
      }
      assert.ok(!existsSync(join(dir, 'node_modules')) && !existsSync(join(dir, 'store')))
      const [event] = eventsOf((await under(`ulimit -n ${limit}`, dir, 'install', '--json')).stdout).slice(-1)
      assert.equal(event.event, 'error')
      assert.match(event.text, /LimitNOFILE=/)
    }
  },
}

let bad = 0
try {
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test()
      console.log(`ok ${name}`)
    } catch (e) {
      bad++
      console.log(`FAILED ${name}\n${e.stack}`)
    }
  }
} finally {
  registry.close()
  rmSync(work, { recursive: true, force: true })
}
process.exit(bad ? 1 : 0)
