#!/usr/bin/env node
// Compares the node_modules of two projects: every folder, file, mode and symlink; commands in .bin by what
// they run, whether they can be run, and the NODE_PATH they set (their text may differ).
//
// usage: compare-trees.mjs [--modules-yaml] PROJECT_A PROJECT_B     exit 0 same, 1 different
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, existsSync } from 'node:fs'
import { join, relative, dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const STATE = new Set(['node_modules/.modules.yaml', 'node_modules/.pnpm-workspace-state-v1.json', 'node_modules/.dray-state'])
const LIMIT = 60

function importers(root) {
  const found = []
  const walk = (dir) => {
    for (const e of readdirSync(dir, { withFileTypes: true })) {
      if (!e.isDirectory()) continue
      const path = join(dir, e.name)
      if (e.name === 'node_modules') found.push(relative(root, path))
      else if (e.name !== '.git') walk(path)
    }
  }
  walk(root)
  return found.sort()
}

// The paths that a shim of dray or pnpm puts into NODE_PATH, from the project's root.
function nodePath(text, dir, root) {
  const line = text.split('\n').find((l) => /^\s*(export )?NODE_PATH=/.test(l)) ?? ''
  const parts = [...line.matchAll(/"\$(?:here|basedir_abs|basedir)"\/'([^']*)'|"(\/[^":$]*)/g)]
  return parts.map((m) => relative(root, m[1] !== undefined ? resolve(dir, m[1]) : m[2])).join(':')
}

function command(path, root) {
  const st = lstatSync(path)
  if (st.isSymbolicLink()) return `link to ${relative(root, realpathSync(path))}`
  const text = readFileSync(path, 'utf8')
  const dir = realpathSync(dirname(path))
  const target = /^# cmd-shim-target=(.*)$/m.exec(text)?.[1]
  if (target === undefined) return `other ${createHash('sha256').update(text).digest('hex')}`
  const file = resolve(dir, target)
  const ran = existsSync(file) ? relative(root, realpathSync(file)) : `missing ${target}`
  const mode = existsSync(file) && lstatSync(realpathSync(file)).mode & 0o100 ? 'x' : '-'
  return `runs ${ran} ${mode} shim ${(st.mode & 0o777).toString(8)} NODE_PATH ${nodePath(text, dir, root)}`
}

// SEEN, when given, remembers contents by inode, times and size: what has not been linked since is not read again. (An inode without its
// time of change would be taken for a later file that got the number.)
export function describe(root, seen) {
  const out = new Map()
  root = realpathSync(root)
  const walk = (dir, inBin) => {
    for (const name of readdirSync(dir)) {
      const path = join(dir, name)
      const rel = relative(root, path)
      if (STATE.has(rel)) continue
      const st = lstatSync(path)
      // pnpm's TMPDIR for scripts that run as root
      if (name === '.tmp' && dir.endsWith('/node_modules') && st.isDirectory() && readdirSync(path).length === 0) continue
      if (inBin) {
        out.set(rel, command(path, root))
      } else if (st.isSymbolicLink()) {
        out.set(rel, `symlink ${readlinkSync(path)}`)
      } else if (st.isDirectory()) {
        out.set(rel, `folder ${(st.mode & 0o7777).toString(8)}`)
        walk(path, name === '.bin' && dir.endsWith('node_modules'))
      } else if (/\/build\/(Makefile|config\.gypi)$/.test(path)) {
        out.set(rel, `file ${(st.mode & 0o7777).toString(8)}`) // they name the node-gyp that made them and the project's own folder
      } else {
        const id = seen && `${st.ino} ${st.ctimeMs} ${st.mtimeMs} ${st.size}`
        const hash = seen?.get(id) ?? createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16)
        seen?.set(id, hash)
        out.set(rel, `file ${(st.mode & 0o7777).toString(8)} ${st.size} ${hash}`)
      }
    }
  }
  for (const dir of importers(root)) walk(join(root, dir), false)
  return out
}

function modules(root) {
  const m = JSON.parse(readFileSync(join(root, 'node_modules/.modules.yaml'), 'utf8'))
  for (const k of ['prunedAt', 'storeDir', 'packageManager']) delete m[k]
  return JSON.stringify(m, null, 1).split('\n')
}

// What differs, one line each.
export function differences(a, b, nameA, nameB) {
  const found = []
  for (const [path, what] of a) {
    if (!b.has(path)) found.push(`only in ${nameA}: ${path} (${what})`)
    else if (b.get(path) !== what) found.push(`${path}:\n  ${what}\n  ${b.get(path)}`)
  }
  for (const [path, what] of b) if (!a.has(path)) found.push(`only in ${nameB}: ${path} (${what})`)
  return found
}

function main() {
  const args = process.argv.slice(2)
  const withModules = args[0] === '--modules-yaml' && args.shift()
  const [a, b] = args.map((root) => describe(root))
  const found = differences(a, b, ...args)
  if (withModules) {
    const [x, y] = args.map(modules)
    x.forEach((line, i) => line !== y[i] && found.push(`.modules.yaml:${i}: ${line} | ${y[i]}`))
  }
  for (const line of found.slice(0, LIMIT)) console.log(line)
  console.log(`${a.size} and ${b.size} entries, ${found.length} differences`)
  process.exit(found.length ? 1 : 0)
}
if (process.argv[1] === fileURLToPath(import.meta.url)) main()
