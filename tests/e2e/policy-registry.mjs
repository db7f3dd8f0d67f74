// A registry made of a table: versions with their ages and what vouches for them. Dates are relative to NOW, so that rules about age can be tried.
// add(name, versions) adds to it later; files is path -> bytes, or the path that it redirects to; a path in held gets no answer until release(). Serves both forms of a packument, HEAD with Last-Modified, and tarballs; notes what it is asked for, and in agents by whom.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { gzipSync } from 'node:zlib'

const HOUR = 3600e3, DAY = 24 * HOUR

function tarEntry(path, text) {
  const head = Buffer.alloc(512), body = Buffer.from(text)
  head.write(path, 0)
  head.write('0000644\0', 100)
  head.write('0000000\0', 108)
  head.write('0000000\0', 116)
  head.write(body.length.toString(8).padStart(11, '0') + '\0', 124)
  head.write('03560116604\0', 136)
  head.write('        ', 148)
  head.write('0', 156)
  head.write('ustar\x0000', 257)
  let sum = 0
  for (const b of head) sum += b
  head.write(sum.toString(8).padStart(6, '0') + '\0 ', 148)
  return Buffer.concat([head, body, Buffer.alloc((512 - (body.length % 512)) % 512)])
}
export const tarball = (manifest) => gzipSync(Buffer.concat([tarEntry('package/package.json', JSON.stringify(manifest)), tarEntry('package/index.js', 'module.exports = 1\n'), Buffer.alloc(1024)]))

// TABLE: { name: { version: { ago: milliseconds, deps, peers, optionalPeers: [name], scripts, bin, trust, time: false } } }; trust: 'provenance', 'publisher', 'staged'.
export function registryStart(table) {
  const now = Date.now(), asked = [], agents = [], held = new Set(), waiting = [], files = new Map(), docs = new Map()
  let url, down = false, silent = false
  function add(name, versions) {
    const doc = { name, 'dist-tags': {}, versions: {}, time: {} }
    let newest = 0
    for (const [version, v] of Object.entries(versions)) {
      const manifest = { name, version, dependencies: v.deps }
      if (v.scripts) manifest.scripts = v.scripts
      if (v.bin) manifest.bin = v.bin
      if (v.peers) manifest.peerDependencies = v.peers
      if (v.optionalPeers) manifest.peerDependenciesMeta = Object.fromEntries(v.optionalPeers.map((p) => [p, { optional: true }]))
      const bytes = tarball(manifest), file = `/${name}/-/${name.split('/').pop()}-${version}.tgz`
      files.set(file, bytes)
      const dist = { integrity: 'sha512-' + createHash('sha512').update(bytes).digest('base64'), tarball: file }
      if (v.trust === 'provenance' || v.trust === 'publisher') dist.attestations = { provenance: { predicateType: 'https://slsa.dev/provenance/v1' } }
      doc.versions[version] = { ...manifest, dist }
      if (v.scripts) doc.versions[version].hasInstallScript = true
      if (v.trust === 'publisher' || v.trust === 'publisher-only') doc.versions[version]._npmUser = { name: 'x', trustedPublisher: { id: 'github' } }
      if (v.trust === 'staged') doc.versions[version]._npmUser = { name: 'x', approver: { name: 'y' } }
      if (v.time !== false) doc.time[version] = new Date(now - v.ago).toISOString()
      newest = Math.max(newest, now - v.ago)
      doc['dist-tags'].latest = v.latest === false ? doc['dist-tags'].latest : version
    }
    doc.time.modified = new Date(newest).toISOString()
    docs.set(name, doc)
  }
  for (const [name, versions] of Object.entries(table)) add(name, versions)
  function answer(req, res) {
    const path = decodeURIComponent(req.url.split('?')[0]).replace(/^\/+/, '/')
    asked.push(`${req.method} ${decodeURIComponent(req.url)}`)
    agents.push(req.headers['user-agent'] ?? '')
    if (down) return res.writeHead(503).end()
    if (held.has(path)) return void waiting.push([req, res])
    const bytes = files.get(path), doc = docs.get(path.slice(1))
    if (typeof bytes === 'string') return res.writeHead(302, { location: bytes }).end()
    if (bytes) return res.writeHead(200, { 'content-type': 'application/octet-stream' }).end(bytes)
    if (!doc) return res.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not_found"}')
    const out = structuredClone(doc)
    for (const v of Object.values(out.versions)) v.dist.tarball = url + v.dist.tarball
    if (/install-v1/.test(req.headers.accept ?? '')) {
      out.modified = out.time.modified
      delete out.time
      for (const v of Object.values(out.versions)) {
        delete v._npmUser
        delete v.dist.attestations
      }
    }
    res.writeHead(200, { 'content-type': 'application/json', ...(silent ? {} : { 'last-modified': new Date(doc.time.modified).toUTCString() }) })
    res.end(req.method === 'HEAD' ? undefined : JSON.stringify(out))
  }
  const server = createServer(answer)
  return new Promise((ok) => server.listen(0, '127.0.0.1', () => {
    url = `http://127.0.0.1:${server.address().port}`
    ok({ url, asked, agents, docs, add, files, held, release: () => { held.clear(); for (const [q, s] of waiting.splice(0)) answer(q, s) }, setDown: (d) => (down = d), setSilent: (s) => (silent = s), close: () => { server.closeAllConnections(); server.close() } })
  }))
}
export { DAY, HOUR }
