// What the scripts of this folder share: programs run to their end, servers started and stopped, what they print.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

export const sleep = (ms) => new Promise((ok) => setTimeout(ok, ms))

// A program's end: exit status, both outputs apart and as they came.
export function run(program, args, options) {
  return new Promise((done) => {
    const child = spawn(program, args, options)
    let out = '', stdout = '', stderr = ''
    child.stdout.on('data', (d) => { stdout += d; out += d })
    child.stderr.on('data', (d) => { stderr += d; out += d })
    child.on('close', (status) => done({ status, out, stdout, stderr }))
  })
}

// The objects among the lines of --reporter ndjson or --json.
export const eventsOf = (stdout) => stdout.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l))

// A fixture registry, which says its address first, until it is stopped or the script ends; url ends with a slash.
export async function fixtureStart(program, options, log = 'inherit') {
  const child = spawn(program, options, { stdio: ['ignore', 'pipe', log] })
  const url = await new Promise((ok) => child.stdout.once('data', (d) => ok(d.toString().trim().replace(/\/?$/, '/'))))
  child.unref() // nobody waits for its end
  child.stdout.unref()
  process.on('exit', () => child.kill())
  return { child, url, stop: () => child.kill() }
}

let serial = 0
const servers = []
// A drayd that takes requests, its store in DIR, until it is stopped or the script ends; url has no slash at its end.
export async function draydStart(program, dir, ...options) {
  const ready = `${dir}.ready${serial++}`
  const child = spawn(program, ['--listen', '127.0.0.1:0', '--ready-file', ready, '--store-dir', dir, '--log-level', 'error', ...options], { stdio: 'inherit' })
  const end = new Promise((ok) => child.on('close', ok))
  process.on('exit', () => child.kill())
  for (let i = 0; !existsSync(ready) || !readFileSync(ready, 'utf8').includes('\n'); i++) {
    assert.ok(i < 4000 && child.exitCode === null, 'drayd starts')
    await sleep(50)
  }
  const port = Number(readFileSync(ready, 'utf8').trim().split(':').pop()), url = `http://127.0.0.1:${port}`
  // A connection of its own: while spawnSync blocks this process a kept one may end unseen.
  const metrics = async () => (await fetch(url + '/metrics', { headers: { connection: 'close' } })).text()
  const stop = () => { child.kill(); return end }
  servers.push(stop)
  return { child, port, url, metrics, stop }
}
// Before their folders are removed: they write to them.
export const draydsStop = () => Promise.all(servers.map((stop) => stop()))
