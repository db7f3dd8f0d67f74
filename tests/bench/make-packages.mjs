// make-packages DIR: DIR/packages for the fixture registry and DIR/project that depends on them. Eight dependencies, each the root of a
// binary tree of 15 packages (one of them of 14, so that a shared leaf is seen too); two minor versions; a few files each.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const dir = process.argv[2]
const name = (i) => `bx-${String(i).padStart(3, '0')}`
const first = 7, last = 126

for (let i = first; i <= last; i++) {
  for (const version of ['1.0.0', '1.1.0']) {
    const at = join(dir, 'packages', name(i), version)
    const dependencies = {}
    for (const child of [2 * i + 1, 2 * i + 2]) if (child <= last) dependencies[name(child)] = '^1.0.0'
    if (i === 63) dependencies[name(125)] = '^1.0.0'
    mkdirSync(join(at, 'lib'), { recursive: true })
    writeFileSync(join(at, 'package.json'), JSON.stringify({ name: name(i), version, license: 'MIT', main: 'lib/0.js', dependencies }))
    for (let k = 0; k < 6; k++)
      writeFileSync(join(at, 'lib', `${k}.js`), `// ${name(i)} ${version} ${k}\n${`module.exports = ${i * 31 + k}\n`.repeat(80 + 40 * k)}`)
  }
}
const dependencies = {}
for (let i = first; i < 2 * first + 1; i++) dependencies[name(i)] = '^1.0.0'
mkdirSync(join(dir, 'project'), { recursive: true })
writeFileSync(join(dir, 'project', 'package.json'), JSON.stringify({ name: 'bench-fixture', version: '1.0.0', private: true, dependencies }, null, 2))
