// A command that several slots have in the same words is one file there: linked where files may be, of its own where they are to be copied.
// usage: shims.mjs DRAY
import assert from 'node:assert/strict'
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, differences } from './compare-trees.mjs'
import { DAY, registryStart } from './policy-registry.mjs'
import { run } from './rig.mjs'

const [dray] = process.argv.slice(2)
const work = realpathSync(mkdtempSync(join(tmpdir(), 'dray-shims-')))
const v = (deps, bin) => ({ '1.0.0': { ago: 100 * DAY, deps, bin } }), on = { tool: '^1.0.0', other: '1.0.0' }
const many = Array.from({ length: 60 }, (_, i) => `x${i}`) // workers that meet a command at the same time write it each
const builders = Array.from({ length: 20 }, (_, i) => `w${i}`)
const counts = { install: `node -e "const fs = require('fs'); fs.writeFileSync('links', String(fs.lstatSync('node_modules/.bin/tool').nlink))"` }
const registry = await registryStart({
  tool: { '1.0.0': { ago: 100 * DAY, bin: { tool: 'index.js', again: 'index.js' } }, '1.1.0': { ago: 90 * DAY, bin: { tool: 'index.js' } } },
  other: v({}, { other: 'index.js' }), a: v(on), b: v(on), '@s/c': v(on), '@s/d': v(on), ...Object.fromEntries(many.flatMap((n) => [[n, v(on)], [`@s/${n}`, v(on)]])),
  ...Object.fromEntries(builders.map((n) => [n, { '1.0.0': { ...v(on)['1.0.0'], scripts: counts } }])),
})
async function install(dir, ...more) {
  const r = await run(dray, ['install', '--dir', dir, '--store-dir', join(work, 'store'), '--registry', registry.url, ...more], { env: { ...process.env, CI: '', HOME: work } })
  assert.equal(r.status, 0, r.out)
  return r
}
function project(name, yaml, tool, more = []) {
  const dir = join(work, name)
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'shims', version: '1.0.0', dependencies: { a: '1.0.0', b: '1.0.0', '@s/c': '1.0.0', '@s/d': '1.0.0', tool, ...Object.fromEntries(many.flatMap((n) => [[n, '1.0.0'], [`@s/${n}`, '1.0.0']])), ...Object.fromEntries(more.map((n) => [n, '1.0.0'])) } }))
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), yaml)
  return dir
}
const bins = (dir, name) => join(dir, 'node_modules/.pnpm', `${name.replace('/', '+')}@1.0.0/node_modules`, name, 'node_modules/.bin')
const file = (dir, name, command = 'tool') => lstatSync(join(bins(dir, name), command)).ino
const text = (dir, name) => readFileSync(join(bins(dir, name), 'tool'), 'utf8')

try {
  const dir = project('linked', '', '1.0.0')
  await install(dir)
  const plain = new Set(many.map((n) => file(dir, n))), scoped = new Set(many.map((n) => file(dir, `@s/${n}`)))
  assert.ok(plain.size < many.length && scoped.size < many.length, `${plain.size} and ${scoped.size}`)
  assert.ok([...plain].every((n) => !scoped.has(n)), 'one folder more on the way')
  assert.notEqual(file(dir, 'a'), file(dir, 'a', 'again'))
  assert.notEqual(file(dir, 'a'), file(dir, 'a', 'other'))
  for (const name of ['a', '@s/d']) {
    assert.deepEqual(readdirSync(bins(dir, name)).sort(), ['again', 'other', 'tool'])
    const r = await run(join(bins(dir, name), 'tool'), [], {})
    assert.equal(r.status, 0, r.out)
  }

  const copied = project('copied', 'packageImportMethod: copy\n', '1.0.0')
  await install(copied)
  assert.equal(new Set(many.flatMap((n) => [file(copied, n), file(copied, `@s/${n}`)])).size, 2 * many.length)
  assert.deepEqual(differences(describe(dir), describe(copied), 'linked', 'copied'), [])

  // one of them is made anew with another version: what the others have is not written to
  const was = text(dir, 'b')
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), "overrides:\n  'a>tool': 1.1.0\n")
  await install(dir, '--no-frozen-lockfile')
  assert.match(text(dir, 'a'), /tool@1\.1\.0/)
  assert.equal(text(dir, 'b'), was)
  assert.match(was, /tool@1\.0\.0/)

  // what lies in a package that builds is its own: its scripts may write to it
  const built = project('built', `allowBuilds:\n${builders.map((n) => `  ${n}: true\n`).join('')}`, '1.0.0', builders)
  await install(built)
  assert.deepEqual(builders.map((n) => readFileSync(join(bins(built, n), '../../links'), 'utf8')), builders.map(() => '1'))
} finally {
  registry.close()
  rmSync(work, { recursive: true, force: true })
}
