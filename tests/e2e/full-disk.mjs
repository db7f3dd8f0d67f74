// A disk that is full from the n-th call on, for each n: the install says so and names the place, nothing half-made is taken for whole, and the
// next install, with room again, makes the tree that it would have made at once.
// usage: full-disk.mjs DRAY FIXTURE_REGISTRY PACKAGES NOSPACE_SO [STEP]
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fixtureStart, run } from './rig.mjs'

const [dray, program, packages, preload, step = '1'] = process.argv.slice(2)
const work = realpathSync(mkdtempSync(join(tmpdir(), 'dray-full-disk-')))
const { url } = await fixtureStart(program, ['--packages', packages])
const saw = join(work, 'saw')

function project(name, shared) {
  const dir = join(work, name)
  mkdirSync(dir)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'full', version: '1.0.0', dependencies: { 'fx-bin': '1.0.0', 'fx-cycle-a': '1.0.0' } }))
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), `enableGlobalVirtualStore: ${shared}\n`)
  return dir
}
function install(dir, at) {
  const env = { ...process.env, CI: '', HOME: work }
  rmSync(saw, { force: true })
  if (at) Object.assign(env, { LD_PRELOAD: preload, NOSPACE_AT: `${at}`, NOSPACE_SAW: saw })
  return run(dray, ['install', '--registry', url, '--dir', dir, '--store-dir', join(dir, 'store')], { env })
}
// node_modules, and the slots that it leads to: modes, contents, link texts; without what has times in it.
function view(dir, shared) {
  const all = {}
  const list = (at, prefix) => {
    for (const name of readdirSync(at).sort()) {
      const path = join(at, name), st = lstatSync(path), key = prefix + name
      if (['.modules.yaml', '.dray-state', '.pnpm-workspace-state-v1.json', '.make'].includes(name)) continue
      if (st.isSymbolicLink()) all[key] = readlinkSync(path)
      else if (st.isDirectory()) {
        all[key] = (st.mode & 0o7777).toString(8)
        list(path, `${key}/`)
      } else all[key] = `${(st.mode & 0o7777).toString(8)} ${createHash('sha1').update(readFileSync(path, 'utf8').replaceAll(dir, '')).digest('hex')}`
    }
  }
  list(join(dir, 'node_modules'), '')
  if (shared) list(join(dir, 'store/links'), 'links/')
  return all
}

let failed = 0, repaired = 0
async function walk(name, shared, prepared) {
  const whole = project(`${name}-whole`, shared)
  assert.equal((await install(whole)).status, 0)
  const want = view(whole, shared), lockfile = readFileSync(join(whole, 'pnpm-lock.yaml'), 'utf8')
  for (let at = 1; ; at += Number(step)) {
    const dir = project(`${name}-${at}`, shared)
    if (prepared) {
      cpSync(join(whole, 'pnpm-lock.yaml'), join(dir, 'pnpm-lock.yaml'))
      assert.equal((await install(dir)).status, 0)
      rmSync(join(dir, 'node_modules'), { recursive: true })
      rmSync(join(dir, 'store/plans'), { recursive: true, force: true })
      rmSync(join(dir, 'store/links'), { recursive: true, force: true })
    }
    const r = await install(dir, at), full = existsSync(saw), what = `${name}, full from call ${at} on: ${r.status} ${r.out}`
    if (r.status !== 0) {
      failed++
      assert.ok(full && r.status > 0 && r.status < 64, what)
      assert.match(r.out, /No space left on device/, what)
      // the place: a path, or a name, before the reason
      assert.match(r.out, /ERR_DRAY_\w+: .*\S+.*: No space left on device/, what)
    } else assert.deepEqual(view(dir, shared), want, what)
    const text = existsSync(join(dir, 'pnpm-lock.yaml')) ? readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8') : lockfile
    assert.equal(text, lockfile, what)
    const again = await install(dir)
    assert.equal(again.status, 0, `after ${what}\n${again.out}`)
    assert.deepEqual(view(dir, shared), want, `after ${what}`)
    assert.equal(readFileSync(join(dir, 'pnpm-lock.yaml'), 'utf8'), lockfile)
    repaired++
    rmSync(dir, { recursive: true })
    if (!full) return at
  }
}
const most = [await walk('cold', false, false), await walk('warm', false, true), await walk('shared', true, false), await walk('shared-warm', true, true)]
assert.ok(failed > 20 / Number(step), `${failed} of ${repaired} failed, ${most}`)
console.log(`${repaired} installs on a full disk, ${failed} failed and said so; calls: ${most.join(' ')}`)
rmSync(work, { recursive: true })
process.exit(0)
