// Parts of a workspace: what --filter installs, what it leaves alone, and what is told to pnpm about it. No network.
// usage: workspace.mjs DRAY FIXTURE_REGISTRY PACKAGES
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventsOf, fixtureStart } from './rig.mjs'

const [dray, program, packages] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'dray-ws-'))
const { url } = await fixtureStart(program, ['--packages', packages])
const env = { ...process.env, CI: '', HOME: work, GIT_CONFIG_GLOBAL: '/dev/null' }

const manifests = {
  '.': { name: 'root', devDependencies: { 'fx-bin': '1.0.0' } },
  'apps/a': { name: '@s/a', version: '1.0.0', dependencies: { '@s/b': 'workspace:*', 'fx-app': '1.0.0' }, scripts: { postinstall: 'echo >ran' } },
  'apps/d': { name: 'd', version: '1.0.0', dependencies: { 'fx-files': '1.0.0' }, scripts: { postinstall: 'echo >ran' } },
  'libs/b': { name: '@s/b', version: '1.0.0', dependencies: { 'fx-leaf': '1.1.0' } },
}
function edit(dir, path, manifest) {
  mkdirSync(join(dir, path), { recursive: true })
  writeFileSync(join(dir, path, 'package.json'), JSON.stringify(manifest))
}
let count = 0
function workspace(settings = '') {
  const dir = join(work, `w${count++}`)
  for (const [path, m] of Object.entries(manifests)) edit(dir, path, m)
  writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'packages:\n  - apps/*\n  - libs/*\n' + settings)
  return dir
}
function run(dir, ...args) {
  const r = spawnSync(dray, ['install', '--store-dir', join(work, 'store'), '--registry', url, ...args], { cwd: dir, encoding: 'utf8', env })
  return { status: r.status, text: r.stdout + r.stderr }
}
function ok(r) {
  assert.equal(r.status, 0, r.text)
  return r.text
}
const text = (dir, path) => readFileSync(join(dir, path), 'utf8')
const lockfile = (dir) => text(dir, 'pnpm-lock.yaml')
const importers = (yaml) => [...yaml.split('\npackages:')[0].split('\nimporters:')[1].matchAll(/^  (\S+):/gm)].map((m) => m[1])
const installed = (dir) => ['.', 'apps/a', 'apps/d', 'libs/b'].filter((p) => existsSync(join(dir, p, 'node_modules')))
const slots = (dir) => readdirSync(join(dir, 'node_modules/.pnpm')).filter((n) => n.includes('@'))
const pnpmState = (dir) => JSON.parse(text(dir, 'node_modules/.pnpm-workspace-state-v1.json'))

const tests = {
  'workspaces of package.json become pnpm-workspace.yaml, a list of them'() {
    for (const [value, yaml] of [[['libs/*', '!libs/x'], "packages:\n  - libs/*\n  - '!libs/x'\n"], [{ packages: ['libs/*'] }], [[]]]) {
      const dir = join(work, `w${count++}`)
      edit(dir, '.', { name: 'root', workspaces: value })
      edit(dir, 'libs/b', manifests['libs/b'])
      const said = ok(run(dir))
      assert.equal(existsSync(join(dir, 'pnpm-workspace.yaml')) && text(dir, 'pnpm-workspace.yaml'), yaml ?? false)
      assert.equal(existsSync(join(dir, 'libs/b/node_modules/fx-leaf')), yaml !== undefined)
      assert.equal(/Created pnpm-workspace\.yaml/.test(said), yaml !== undefined)
    }
  },
  'a workspace without projects has nothing to do, whatever lies there'() {
    const dir = join(work, `w${count++}`), yaml = 'packages:\n  - apps/*\n'
    mkdirSync(join(dir, 'apps/x'), { recursive: true })
    writeFileSync(join(dir, 'pnpm-workspace.yaml'), yaml)
    for (const args of [[], ['--frozen-lockfile'], ['--lockfile-only'], ['--force'], ['--recursive'], ['--dir', 'apps/x']]) assert.match(ok(run(dir, ...args)), /^No projects in /)
    assert.match(ok(run(dir, '--workspace-root')), /^No projects matched/)
    for (const args of [[], ['--filter', 'x']]) assert.deepEqual(eventsOf(ok(run(dir, '--json', ...args))).map((e) => [e.event, e.source]), [['message', undefined], ['done', undefined], ['summary', 'none']])
    assert.deepEqual(readdirSync(dir).sort(), ['apps', 'pnpm-workspace.yaml'])
    writeFileSync(join(dir, 'pnpm-lock.yaml'), '[')
    ok(run(dir))
    assert.equal(lockfile(dir), '[')
    rmSync(join(dir, 'pnpm-lock.yaml'))
    writeFileSync(join(dir, 'pnpm-workspace.yaml'), '')
    ok(run(dir))
    assert.match(run(dir, '--ignore-workspace').text, /ERR_DRAY_NOT_FOUND: no package\.json/)
    // one that the workspace does not list stands for itself
    writeFileSync(join(dir, 'pnpm-workspace.yaml'), yaml)
    edit(dir, 'other', manifests['libs/b'])
    ok(run(dir, '--dir', 'other'))
    assert.deepEqual(readdirSync(dir).sort(), ['apps', 'other', 'pnpm-workspace.yaml'])
    assert.ok(existsSync(join(dir, 'other/node_modules/fx-leaf')))
    // and one that comes is installed
    edit(dir, 'apps/x', manifests['libs/b'])
    ok(run(dir))
    assert.ok(existsSync(join(dir, 'apps/x/node_modules/fx-leaf')))
  },
  'a command that a project has yet to build is there before its file'() {
    const dir = workspace()
    edit(dir, 'libs/b', { ...manifests['libs/b'], bin: { made: 'dist/made.js' } })
    ok(run(dir))
    const shim = join(dir, 'apps/a/node_modules/.bin/made')
    assert.notEqual(spawnSync(shim).status, 0)
    mkdirSync(join(dir, 'libs/b/dist'))
    writeFileSync(join(dir, 'libs/b/dist/made.js'), 'console.log("made")')
    assert.equal(spawnSync(shim, { encoding: 'utf8' }).stdout, 'made\n')
  },
  'what is selected, and the root, is installed; the lockfile has all'() {
    const whole = workspace()
    ok(run(whole))
    assert.deepEqual(installed(whole), ['.', 'apps/a', 'apps/d', 'libs/b'])
    assert.equal(pnpmState(whole).filteredInstall, false)
    for (const [args, expected] of [
      [['--filter', 'd'], ['.', 'apps/d']],
      [['--filter=d'], ['.', 'apps/d']],
      [['-F', '@s/a...'], ['.', 'apps/a', 'libs/b']],
      [['-F', '...@s/b'], ['.', 'apps/a', 'libs/b']],
      [['-F', './libs/*'], ['.', 'libs/b']],
      [['-F', '!@s/*'], ['.', 'apps/d']],
      [['-F', 'd', '-F', 'b'], ['.', 'apps/d', 'libs/b']],
      [['--filter-prod', '@s/a^...'], ['.', 'libs/b']],
      [['-w'], ['.']],
      [['-r'], ['.', 'apps/a', 'apps/d', 'libs/b']],
    ]) {
      const dir = workspace()
      ok(run(dir, ...args))
      assert.deepEqual(installed(dir), expected, args.join(' '))
      assert.equal(lockfile(dir), lockfile(whole))
      assert.deepEqual(importers(text(dir, 'node_modules/.pnpm/lock.yaml')), expected)
      assert.equal(pnpmState(dir).filteredInstall, expected.length < 4, args.join(' '))
      assert.equal(existsSync(join(dir, 'apps/d/ran')), expected.includes('apps/d'), 'scripts of what is selected')
      assert.equal(readlinkSync(join(dir, 'node_modules/.pnpm/node_modules/d')), '../../../apps/d', 'all projects are hoisted')
      if (!expected.includes('apps/a')) assert.ok(!slots(dir).includes('fx-app@1.0.0'), 'nothing is made that nobody needs')
    }
  },
  'catalogPrune: entries that nothing uses leave pnpm-workspace.yaml'() {
    const catalog = '# versions\ncatalog:\n  # why\n  unused: 1.0.0\n  fx-leaf: 1.1.0\ncatalogs:\n  old:\n    other: 1.0.0\n', settings = 'catalogPrune: true\n' + catalog
    const used = { ...manifests['libs/b'], dependencies: { 'fx-leaf': 'catalog:' } }
    const yaml = (dir) => text(dir, 'pnpm-workspace.yaml')
    const whole = workspace(settings), before = yaml(whole), after = before.replace('  unused: 1.0.0\n', '').replace(/catalogs:[^]*/, '')
    for (const args of [[], ['--lockfile-only'], ['--filter', 'd']]) {
      const dir = workspace(settings)
      edit(dir, 'libs/b', used)
      assert.match(ok(run(dir, ...args)), /removed from pnpm-workspace\.yaml/)
      assert.equal(yaml(dir), after, args.join(' '))
      ok(run(dir, '--frozen-lockfile'))
      assert.match(ok(run(dir)), /up to date/)
      if (!args.length) assert.deepEqual(pnpmState(dir).settings.catalogs, { default: { 'fx-leaf': '1.1.0' } })
    }
    edit(whole, 'libs/b', used)
    writeFileSync(join(whole, 'pnpm-workspace.yaml'), before.replace('catalogPrune: true\n', ''))
    ok(run(whole))
    assert.match(yaml(whole), /unused/)
    writeFileSync(join(whole, 'pnpm-workspace.yaml'), before)
    ok(run(whole, '--frozen-lockfile'))
    assert.equal(yaml(whole), after, 'frozen, too')
    // what cannot be written is refused before anything is done
    const flow = workspace('cleanupUnusedCatalogs: true\ncatalog: {fx-leaf: 1.1.0, fx-files: 1.0.0}\n'), flowBefore = yaml(flow)
    edit(flow, 'libs/b', used)
    const r = run(flow)
    assert.notEqual(r.status, 0)
    assert.match(r.text, /"fx-files" of the catalog "default".*remove the entry by hand/)
    assert.equal(yaml(flow), flowBefore)
    assert.ok(!existsSync(join(flow, 'pnpm-lock.yaml')) && !existsSync(join(flow, 'node_modules')))
    edit(flow, 'apps/d', { ...manifests['apps/d'], dependencies: { 'fx-files': 'catalog:' } })
    ok(run(flow))
    assert.equal(yaml(flow), flowBefore)
  },
  'from a folder of the workspace'() {
    let dir = workspace()
    ok(run(join(dir, 'apps/d')))
    assert.deepEqual(installed(dir), ['.', 'apps/a', 'apps/d', 'libs/b'])
    dir = workspace()
    ok(run(join(dir, 'apps/d'), '--filter', '.'))
    assert.deepEqual(installed(dir), ['.', 'apps/d'])
    dir = workspace()
    ok(run(join(dir, 'apps/d'), '-w'))
    assert.deepEqual(installed(dir), ['.'])
    dir = workspace()
    ok(run(join(dir, 'apps/d'), '--ignore-workspace'))
    assert.deepEqual(installed(dir), ['apps/d'])
    assert.ok(existsSync(join(dir, 'apps/d/pnpm-lock.yaml')))
  },
  'what is there of others stays'() {
    const dir = workspace()
    ok(run(dir, '-F', 'd'))
    ok(run(dir, '-F', '@s/b'))
    assert.deepEqual(installed(dir), ['.', 'apps/d', 'libs/b'])
    assert.deepEqual(importers(text(dir, 'node_modules/.pnpm/lock.yaml')), ['.', 'apps/d', 'libs/b'])
    assert.ok(slots(dir).includes('fx-files@1.0.0'))
    ok(run(dir))
    assert.deepEqual(installed(dir), ['.', 'apps/a', 'apps/d', 'libs/b'])
    assert.match(ok(run(dir)), /up to date/)
    ok(run(dir, '-F', 'd', '--prod'))
    assert.deepEqual(importers(text(dir, 'node_modules/.pnpm/lock.yaml')), ['.', 'apps/d'])
    assert.ok(existsSync(join(dir, 'libs/b/node_modules/fx-leaf/package.json')), 'not touched')
    assert.doesNotMatch(ok(run(dir)), /up to date/)
  },
  'a killed install has set the record of the tree aside: what is there of others stays then, too'() {
    for (const aside of ['.dray-old-lock.yaml', '.dray-old-was.yaml']) {
      const dir = workspace()
      ok(run(dir))
      const before = text(dir, 'node_modules/.pnpm/lock.yaml')
      const hoisted = () => readdirSync(join(dir, 'node_modules/.pnpm/node_modules'), { recursive: true }).sort()
      const links = hoisted()
      renameSync(join(dir, 'node_modules/.pnpm/lock.yaml'), join(dir, 'node_modules/.pnpm', aside))
      rmSync(join(dir, 'apps/d/node_modules'), { recursive: true })
      ok(run(dir, '-F', 'd'))
      assert.equal(text(dir, 'node_modules/.pnpm/lock.yaml'), before)
      assert.deepEqual(hoisted(), links)
      assert.deepEqual(readdirSync(join(dir, 'node_modules/.pnpm')).filter((n) => n.startsWith('.')), [])
    }
  },
  'only the selected projects may change the lockfile'() {
    const dir = workspace()
    ok(run(dir))
    edit(dir, 'libs/b', { ...manifests['libs/b'], dependencies: { 'fx-leaf': '2.0.0' } })
    edit(dir, 'apps/d', { ...manifests['apps/d'], dependencies: { '@fx/scoped': '1.0.0' } })
    const before = lockfile(dir)
    assert.equal(run(dir, '-F', 'd', '--frozen-lockfile').status, 1)
    assert.equal(lockfile(dir), before)
    ok(run(dir, '-F', 'd'))
    assert.match(lockfile(dir), /apps\/d:\n    dependencies:\n      '@fx\/scoped'/)
    assert.match(lockfile(dir), /libs\/b:\n    dependencies:\n      fx-leaf:\n        specifier: 1\.1\.0/)
    ok(run(dir, '-F', 'd', '--frozen-lockfile'))
    assert.equal(run(dir, '-F', 'b', '--frozen-lockfile').status, 1)
    edit(dir, 'apps/d', { ...manifests['apps/d'], dependencies: {} })
    ok(run(dir, '-F', 'd', '--lockfile-only'))
    assert.doesNotMatch(lockfile(dir), /apps\/d:\n    dep/)
    assert.match(lockfile(dir), /specifier: 1\.1\.0/)
    ok(run(dir))
    assert.match(lockfile(dir), /specifier: 2\.0\.0/)
  },
  'what has changed since a commit'() {
    const dir = workspace()
    const git = (...a) => assert.equal(spawnSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@x', ...a], { cwd: dir, env }).status, 0)
    git('init', '-q')
    git('add', '-A')
    git('commit', '-qm', 'x')
    assert.match(ok(run(dir, '-F', '[HEAD]')), /No projects matched/)
    assert.deepEqual(installed(dir), [])
    mkdirSync(join(dir, 'libs/b/"odd"\nname'))
    writeFileSync(join(dir, 'libs/b/"odd"\nname/file'), '')
    git('add', '-A')
    ok(run(dir, '-F', '...[HEAD]'))
    assert.deepEqual(installed(dir), ['.', 'apps/a', 'libs/b'])
    assert.equal(run(dir, '-F', '[nowhere]').status, 4)
    assert.equal(run(dir, '-F', '[--output=x]').status, 4)
    assert.ok(!existsSync(join(dir, 'x')))
  },
  'nothing selected, and what cannot be selected'() {
    const dir = workspace()
    assert.match(ok(run(dir, '-F', 'nobody')), /No projects matched the filters/)
    assert.ok(!existsSync(join(dir, 'node_modules')) && !existsSync(join(dir, 'pnpm-lock.yaml')))
    assert.equal(run(dir, '-F', 'nobody', '--fail-if-no-match').status, 4)
    assert.equal(run(dir, '-F', '{apps').status, 2)
    assert.equal(run(dir, '-F', 'd', '--ignore-workspace').status, 2)
    const single = join(work, 'single')
    edit(single, '.', { name: 'solo', dependencies: { 'fx-leaf': '1.1.0' } })
    assert.match(run(single, '-w').text, /only be used inside a workspace/)
    ok(run(single, '-F', 'solo'))
    assert.ok(existsSync(join(single, 'node_modules/fx-leaf')))
  },
  'what pnpm is told: the settings as they were, no older than the youngest file, and only when nothing is left to do'() {
    const dir = workspace("hoist: false\nminimumReleaseAge: 0\nlinkWorkspacePackages: deep\nallowBuilds:\n  esbuild: true\n  x: false\ncatalog:\n  a: ^1.0.0\noverrides:\n  z>y: 1.0.0\n  b: 2.0.0\n")
    ok(run(dir, '--no-optional'))
    const s = pnpmState(dir), raw = text(dir, 'node_modules/.pnpm-workspace-state-v1.json')
    assert.equal(raw.replace(/\n$/, ''), JSON.stringify(s, null, 2), 'pnpm prints it the same way')
    assert.deepEqual(Object.entries(s.projects).map(([k, v]) => [k.slice(dir.length), v.name, v.version]), [['', 'root', undefined], ['/apps/a', '@s/a', '1.0.0'], ['/apps/d', 'd', '1.0.0'], ['/libs/b', '@s/b', '1.0.0']])
    assert.equal(s.lastValidatedTimestamp, Math.floor(Math.max(...['pnpm-lock.yaml', ...Object.keys(manifests).map((m) => join(m, 'package.json'))].map((f) => Number(statSync(join(dir, f), { bigint: true }).mtimeNs / 1000000n)))))
    assert.equal(s.settings.hoistPattern, undefined)
    assert.deepEqual([s.settings.optional, s.settings.dev, s.settings.linkWorkspacePackages, s.settings.minimumReleaseAge, s.settings.minimumReleaseAgeStrict], [false, true, 'deep', 0, true])
    assert.deepEqual([s.settings.allowBuilds, s.settings.catalogs, s.settings.overrides], [{ esbuild: true, x: false }, { default: { a: '^1.0.0' } }, { b: '2.0.0', 'z>y': '1.0.0' }])
    assert.deepEqual(s.settings.workspacePackagePatterns, ['apps/*', 'libs/*'])
    assert.equal(s.validation, undefined)

    // digests that pnpm has added stay as long as all of it holds
    const file = join(dir, 'node_modules/.pnpm-workspace-state-v1.json')
    const withDigests = JSON.stringify({ ...s, lastValidatedTimestamp: s.lastValidatedTimestamp + 5, validation: { lockfile: 'x' } }, null, 2)
    writeFileSync(file, withDigests)
    ok(run(dir, '--no-optional', '--force'))
    assert.equal(readFileSync(file, 'utf8'), withDigests)
    const later = new Date(Math.ceil(s.lastValidatedTimestamp / 1000) * 1000 + 60000)
    utimesSync(join(dir, 'apps/d/package.json'), later, later)
    ok(run(dir, '--no-optional', '--force'))
    assert.equal(pnpmState(dir).validation, undefined, 'older than a manifest')
    assert.equal(pnpmState(dir).lastValidatedTimestamp, later.getTime())
    ok(run(dir, '--force'))
    assert.equal(pnpmState(dir).settings.optional, true)

    // an install that fails has taken it away
    edit(dir, 'apps/d', { ...manifests['apps/d'], scripts: { postinstall: 'exit 3' } })
    assert.equal(run(dir, '--force').status, 1)
    assert.ok(!existsSync(file))
    // builds that are still to be done, or values that are not kept as they were written
    const builds = workspace()
    edit(builds, 'apps/d', { name: 'd', dependencies: { 'fx-postinstall': '1.0.0' } })
    assert.equal(run(builds).status, 1)
    assert.ok(!existsSync(join(builds, 'node_modules/.pnpm-workspace-state-v1.json')))
    const other = workspace('supportedArchitectures:\n  os: [current]\n')
    ok(run(other))
    assert.ok(!existsSync(join(other, 'node_modules/.pnpm-workspace-state-v1.json')))
  },
  'a folder without package.json is copied as it is, and absolute paths are locked as the way from the project'() {
    const dir = join(work, 'bare'), away = join(work, 'away')
    edit(dir, '.', { name: 'root', dependencies: { bare: 'file:bare', away: `file:${away}`, linked: `link:${away}` }, optionalDependencies: { gone: 'file:gone' } })
    edit(away, '.', { name: 'away', version: '1.0.0' })
    mkdirSync(join(dir, 'bare'))
    writeFileSync(join(dir, 'bare/x.js'), '1')
    for (const more of [[], ['--frozen-lockfile']]) {
      ok(run(dir, ...more))
      assert.deepEqual(readdirSync(join(dir, 'node_modules/bare')), ['x.js'])
      assert.equal(readlinkSync(join(dir, 'node_modules/linked')), '../../away')
      assert.equal(JSON.parse(text(dir, 'node_modules/away/package.json')).name, 'away')
      assert.match(lockfile(dir), /version: file:\.\.\/away\n[^]*version: link:\.\.\/away\n[^]*bare@file:bare: \{\}/)
    }
  },
  'a folder copied by file: is copied by every install, and its manifest counts as the project\'s own does'() {
    const dir = join(work, 'folders'), lib = { name: 'lib', version: '1.0.0', dependencies: { sub: 'file:sub' } }, sub = { name: 'sub', version: '1.0.0' }
    const locked = (name) => lockfile(dir).split('\nsnapshots:')[1].split('\n\n').find((s) => s.trim().startsWith(name))
    edit(dir, '.', { name: 'root', dependencies: { lib: 'file:lib', linked: 'link:linked' } })
    edit(dir, 'lib', lib)
    edit(dir, 'lib/sub', sub)
    edit(dir, 'linked', { name: 'linked', version: '1.0.0' })
    ok(run(dir))
    ok(run(dir, '--frozen-lockfile'))
    // contents alone
    const before = lockfile(dir)
    writeFileSync(join(dir, 'lib/new.js'), '1')
    ok(run(dir))
    assert.equal(text(dir, 'node_modules/lib/new.js'), '1')
    writeFileSync(join(dir, 'lib/new.js'), '2')
    edit(dir, 'lib', { ...lib, version: '1.0.1', bin: 'new.js', devDependencies: { 'fx-leaf': '1.1.0' } })
    ok(run(dir, '--frozen-lockfile'))
    assert.equal(text(dir, 'node_modules/lib/new.js'), '2')
    assert.equal(JSON.parse(text(dir, 'node_modules/lib/package.json')).version, '1.0.1')
    edit(dir, 'linked', { name: 'linked', version: '1.0.0', dependencies: { 'fx-leaf': '1.1.0' } })
    ok(run(dir, '--frozen-lockfile'))
    assert.equal(lockfile(dir), before)
    // each change of what the manifests ask for, the second in a folder to which only the first leads
    const steps = [
      ['lib', { ...lib, dependencies: { ...lib.dependencies, 'fx-leaf': '1.1.0' } }, /fx-leaf: 1\.1\.0/],
      ['lib/sub', { ...sub, dependencies: { 'fx-leaf': '2.0.0' } }, /fx-leaf: 2\.0\.0/],
      ['lib/sub', { ...sub, dependencies: { 'fx-leaf': '1.1.0' } }, /fx-leaf: 1\.1\.0/],
      ['lib/sub', { ...sub, optionalDependencies: { 'fx-leaf': '1.1.0' } }, /optionalDependencies:\n      fx-leaf/],
      ['lib/sub', { ...sub, peerDependencies: { 'fx-leaf': '1.1.0' } }, /fx-leaf: 1\.1\.0/],
      ['lib/sub', sub, /sub@file:lib\/sub: \{\}/],
      ['lib', { ...lib, dependencies: { sub: 'link:sub' } }, /sub: link:/],
      ['lib', { ...lib, dependencies: { ...lib.dependencies, 'fx-leaf': '1.1.0' } }, /sub: file:lib\/sub/],
    ]
    for (const [path, manifest, expected] of steps) {
      edit(dir, path, manifest)
      const frozen = run(dir, '--frozen-lockfile')
      assert.equal(frozen.status, 1, `${path} ${JSON.stringify(manifest)}`)
      assert.match(frozen.text, /lib@file:lib|sub@file:lib\/sub/)
      assert.doesNotMatch(ok(run(dir)), /up to date/)
      assert.match(locked(path === 'lib' ? 'lib@' : 'sub@'), expected)
      assert.ok(readFileSync(join(dir, 'node_modules/lib/package.json')).equals(readFileSync(join(dir, 'lib/package.json'))))
      ok(run(dir, '--frozen-lockfile'))
    }
    // what is inside the range that is locked, is the lockfile's still
    edit(dir, 'lib', { ...lib, dependencies: { ...lib.dependencies, 'fx-leaf': '^1.0.0' } })
    ok(run(dir, '--frozen-lockfile'))
    // a project that only links has nothing to do
    edit(dir, '.', { name: 'root', dependencies: { linked: 'link:linked' } })
    ok(run(dir))
    writeFileSync(join(dir, 'linked/x.js'), '')
    assert.match(ok(run(dir)), /up to date/)
  },
  'an injected project counts as it is locked, not only as a project'() {
    const dir = workspace('dedupeInjectedDeps: false\n')
    edit(dir, 'apps/a', { ...manifests['apps/a'], dependenciesMeta: { '@s/b': { injected: true } } })
    ok(run(dir))
    assert.match(lockfile(dir), /'@s\/b@file:libs\/b':\n    dependencies:\n      fx-leaf: 1\.1\.0/)
    assert.match(ok(run(dir)), /up to date/)
    const whole = lockfile(dir)
    const stale = whole.replace(/('@s\/b@file:libs\/b'):\n    dependencies:\n      fx-leaf: 1\.1\.0/, '$1: {}')
    assert.notEqual(stale, whole)
    writeFileSync(join(dir, 'pnpm-lock.yaml'), stale)
    assert.equal(run(dir, '--frozen-lockfile').status, 1)
    ok(run(dir))
    assert.equal(lockfile(dir), whole)
    writeFileSync(join(dir, 'libs/b/new.js'), '')
    edit(dir, 'libs/b', { ...manifests['libs/b'], dependencies: { 'fx-leaf': '2.0.0' } })
    ok(run(dir))
    assert.match(lockfile(dir), /'@s\/b@file:libs\/b':\n    dependencies:\n      fx-leaf: 2\.0\.0/)
    assert.ok(existsSync(join(dir, 'apps/a/node_modules/@s/b/new.js')))
  },
  'an injected project is edited in place: its copy is the same file, and becomes it again where an editor has replaced it'() {
    const dir = workspace('dedupeInjectedDeps: false\n')
    edit(dir, 'apps/a', { ...manifests['apps/a'], dependenciesMeta: { '@s/b': { injected: true } } })
    mkdirSync(join(dir, 'libs/b/src'))
    for (const f of ['one.js', 'src/two.js']) writeFileSync(join(dir, 'libs/b', f), '1')
    ok(run(dir))
    const copy = (f) => join(dir, 'apps/a/node_modules/@s/b', f)
    writeFileSync(join(dir, 'libs/b/one.js'), 'edited')
    assert.equal(readFileSync(copy('one.js'), 'utf8'), 'edited')
    writeFileSync(join(dir, 'libs/b/src/new'), 'replaced')
    renameSync(join(dir, 'libs/b/src/new'), join(dir, 'libs/b/src/two.js'))
    assert.equal(readFileSync(copy('src/two.js'), 'utf8'), '1')
    // any install that has something to do copies it again, and nothing of it comes from the store
    edit(dir, 'apps/d', { ...manifests['apps/d'], description: 'changed' })
    ok(run(dir, '--frozen-lockfile', '--offline'))
    assert.equal(readFileSync(copy('src/two.js'), 'utf8'), 'replaced')
    for (const f of ['one.js', 'src/two.js']) assert.equal(statSync(copy(f)).ino, statSync(join(dir, 'libs/b', f)).ino)
    assert.deepEqual(readdirSync(join(dir, 'node_modules/.pnpm')).filter((n) => n.startsWith('.')), [])
  },
  'a frozen lockfile may know projects that are gone: nothing is made for them'() {
    const dir = workspace()
    ok(run(dir))
    rmSync(join(dir, 'apps/d'), { recursive: true })
    rmSync(join(dir, 'node_modules'), { recursive: true })
    ok(run(dir, '--frozen-lockfile'))
    assert.ok(!existsSync(join(dir, 'apps/d')))
    assert.ok(!slots(dir).includes('fx-files@1.0.0'))
    assert.deepEqual(importers(text(dir, 'node_modules/.pnpm/lock.yaml')), ['.', 'apps/a', 'libs/b'])
  },
  'what is missing in a project is something to do'() {
    const dir = workspace()
    ok(run(dir))
    assert.match(ok(run(dir)), /up to date/)
    rmSync(join(dir, 'libs/b/node_modules'), { recursive: true })
    ok(run(dir))
    assert.ok(existsSync(join(dir, 'libs/b/node_modules/fx-leaf/package.json')))
    rmSync(join(dir, 'apps/a/node_modules/fx-app'))
    ok(run(dir))
    assert.ok(existsSync(join(dir, 'apps/a/node_modules/fx-app/package.json')))
    assert.match(ok(run(dir)), /up to date/)
  },
  'links that excludeLinksFromLockfile keeps out of the lockfile are made'() {
    const dir = workspace('excludeLinksFromLockfile: true\n'), at = (n) => join(dir, 'apps/a/node_modules', n)
    edit(dir, '.', { name: 'root', devDependencies: { bare: 'link:near' } })
    edit(dir, 'apps/a', { ...manifests['apps/a'], dependencies: { ...manifests['apps/a'].dependencies, near: 'link:../../near' } })
    edit(dir, 'near', { name: 'near', version: '1.0.0', bin: './near.js' })
    writeFileSync(join(dir, 'near/near.js'), '#!/usr/bin/env node\nconsole.log(1)\n')
    for (const options of [[], ['--frozen-lockfile'], ['--frozen-lockfile'], ['--no-frozen-lockfile']]) {
      ok(run(dir, ...options))
      assert.doesNotMatch(lockfile(dir), /near/)
      assert.equal(readlinkSync(at('near')), '../../../near')
      assert.ok(existsSync(at('.bin/near')))
      assert.equal(readlinkSync(join(dir, 'node_modules/bare')), '../near')
      assert.match(ok(run(dir)), /up to date/)
      rmSync(at('.'), { recursive: true })
      rmSync(join(dir, 'node_modules'), { recursive: true })
    }
  },
  'a link to a project that is no dependency any more goes; what the user has linked stays'() {
    const dir = workspace(), at = (n) => join(dir, 'apps/a/node_modules', n)
    edit(dir, 'apps/a', { ...manifests['apps/a'], dependencies: { ...manifests['apps/a'].dependencies, near: 'link:../../near' } })
    edit(dir, 'near', { name: 'near', version: '1.0.0' })
    ok(run(dir))
    assert.equal(readlinkSync(at('@s/b')), '../../../../libs/b')
    assert.equal(readlinkSync(at('near')), '../../../near')
    symlinkSync('../../../near', at('mine'))
    edit(dir, 'apps/a', { ...manifests['apps/a'], dependencies: { 'fx-app': '1.0.0' } })
    ok(run(dir))
    assert.deepEqual(readdirSync(at('.')).sort(), ['fx-app', 'mine'])
  },
  'dedupeDirectDeps: what the root has under the same name is not made again, and comes back without the setting'() {
    const hoist = 'publicHoistPattern: ["fx-leaf"]\n', on = 'dedupeDirectDeps: true\n' + hoist
    const dir = workspace(on), at = (p) => join(dir, p, 'node_modules')
    const names = (p) => (existsSync(at(p)) ? readdirSync(at(p)).filter((n) => n !== '.bin').flatMap((n) => (n[0] === '@' ? readdirSync(join(at(p), n)).map((m) => `${n}/${m}`) : [n])).sort() : [])
    const commands = ['fx-hello', 'fx-sh'], bins = (p) => (existsSync(join(at(p), '.bin')) ? readdirSync(join(at(p), '.bin')) : [])
    edit(dir, '.', { name: 'root', devDependencies: { 'fx-bin': '1.0.0', 'fx-files': '1.0.0' }, dependencies: { '@s/b': 'workspace:*', 'fx-app': '1.0.0' } })
    edit(dir, 'apps/a', { ...manifests['apps/a'], dependencies: { '@s/b': 'workspace:*', 'fx-app': '1.0.0', 'fx-bin': '1.0.0' } })
    edit(dir, 'libs/d', { ...manifests['apps/d'], dependencies: { 'fx-files': '1.0.0', 'fx-leaf': '2.0.0', other: 'npm:fx-bin@1.0.0' } })
    rmSync(join(dir, 'apps/d'), { recursive: true })
    ok(run(dir))
    assert.deepEqual(['apps/a', 'libs/d', 'libs/b'].map(names), [[], ['fx-leaf', 'other'], []]) // fx-leaf of libs/b is hoisted publicly
    assert.deepEqual(['.', 'apps/a', 'libs/b', 'libs/d'].filter((p) => existsSync(at(p))), ['.', 'libs/d'])
    assert.equal(readlinkSync(join(at('.'), 'fx-leaf')), '.pnpm/fx-leaf@1.1.0/node_modules/fx-leaf')
    assert.deepEqual(['.', 'apps/a', 'libs/d'].map(bins), [commands, [], commands])
    const locked = lockfile(dir)
    assert.match(ok(run(dir)), /up to date/)
    assert.equal(spawnSync(dray, ['verify', '--store-dir', join(work, 'store'), '--registry', url], { cwd: dir, encoding: 'utf8', env }).status, 0)
    // off, and on again, in the same tree
    writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'packages:\n  - apps/*\n  - libs/*\n' + hoist)
    ok(run(dir))
    assert.deepEqual(['apps/a', 'libs/d', 'libs/b'].map(names), [['@s/b', 'fx-app', 'fx-bin'], ['fx-files', 'fx-leaf', 'other'], ['fx-leaf']])
    assert.deepEqual(bins('apps/a'), commands)
    writeFileSync(join(dir, 'pnpm-workspace.yaml'), 'packages:\n  - apps/*\n  - libs/*\n' + on)
    ok(run(dir))
    assert.deepEqual(['apps/a', 'libs/d', 'libs/b'].map(names), [[], ['fx-leaf', 'other'], []])
    assert.deepEqual(['.', 'apps/a', 'libs/b', 'libs/d'].filter((p) => existsSync(at(p))), ['.', 'libs/d'])
    assert.deepEqual(['.', 'apps/a', 'libs/d'].map(bins), [commands, [], commands])
    assert.equal(lockfile(dir), locked)
    // a project that needs no node_modules is installed all the same
    ok(run(dir, '--filter', 'd'))
    assert.deepEqual(importers(text(dir, 'node_modules/.pnpm/lock.yaml')), ['.', 'apps/a', 'libs/b', 'libs/d'])
  },
  'with a filter, projects that are not on disk stay in the lockfile, without one they go'() {
    const root = { ...manifests['.'], dependencies: { 'fx-leaf': '1.1.0' } }
    const before = workspace(), after = workspace()
    ok(run(before))
    edit(after, '.', root)
    ok(run(after))
    for (const [gone, filter] of [[['apps/d'], '@s/*'], [['apps/d'], '@s/b'], [['apps/a'], 'd'], [['apps/a', 'libs/b'], 'd']]) {
      const dir = workspace()
      writeFileSync(join(dir, 'pnpm-lock.yaml'), lockfile(before))
      for (const path of gone) rmSync(join(dir, path), { recursive: true })
      edit(dir, '.', root)
      ok(run(dir, '--filter', filter, '--lockfile-only'))
      assert.equal(lockfile(dir), lockfile(after), `${gone}`)
      writeFileSync(join(dir, 'pnpm-lock.yaml'), lockfile(before))
      ok(run(dir, '--filter', filter))
      assert.equal(lockfile(dir), lockfile(after), `${gone}`)
      for (const path of gone) assert.ok(!existsSync(join(dir, path)))
      ok(run(dir))
      assert.deepEqual(importers(lockfile(dir)), ['.', 'apps/a', 'apps/d', 'libs/b'].filter((n) => !gone.includes(n)))
    }
  },
  'projects that are not on disk stay in the lockfile where one asks for any version of another and the next for some'() {
    const root = { ...manifests['.'], dependencies: { 'fx-leaf': '1.1.0' } }
    const before = workspace(), after = workspace(), dir = workspace()
    for (const w of [before, after]) {
      edit(w, 'apps/a', { ...manifests['apps/a'], dependencies: { '@s/b': 'workspace:*' } })
      edit(w, 'apps/d', { ...manifests['apps/d'], dependencies: { '@s/b': 'workspace:^1.0.0' } })
    }
    ok(run(before))
    edit(after, '.', root)
    ok(run(after))
    writeFileSync(join(dir, 'pnpm-lock.yaml'), lockfile(before))
    for (const path of ['apps/a', 'apps/d', 'libs/b']) rmSync(join(dir, path), { recursive: true })
    edit(dir, '.', root)
    ok(run(dir, '--filter', '{.}', '--lockfile-only'))
    assert.equal(lockfile(dir), lockfile(after))
  },
  'of projects that are not on disk those go whose links lead, over others, to one that nobody has'() {
    const dir = join(work, 'links-that-fall')
    const links = { a: ['gone', 'workspace:*'], b: ['a', 'workspace:*'], c: ['b', 'link:../b'], d: ['c', 'workspace:*'], e: ['keep', 'workspace:*'], f: ['e', 'link:../e'] }
    const locked = ([name, [to, specifier]]) => `  ${name}:\n    dependencies:\n      ${to}:\n        specifier: ${specifier}\n        version: link:../${to}\n`
    edit(dir, '.', { name: 'root', private: true })
    edit(dir, 'keep', { name: 'keep', version: '1.0.0', dependencies: { root: 'workspace:*' } })
    writeFileSync(join(dir, 'pnpm-workspace.yaml'), "packages:\n  - '*'\n")
    writeFileSync(join(dir, 'pnpm-lock.yaml'), ["lockfileVersion: '9.0'\n", 'settings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\n',
      'importers:\n', '  .: {}\n', ...Object.entries(links).map(locked), '  keep: {}\n'].join('\n'))
    ok(run(dir, '--filter', 'keep', '--lockfile-only'))
    assert.deepEqual(importers(lockfile(dir)), ['.', 'e', 'f', 'keep'])
  },
  '--filter with shared slots is refused by name, and nothing is written'() {
    for (const [settings, args] of [['enableGlobalVirtualStore: true\n', []], ['', ['--enable-global-virtual-store']]]) {
      const dir = workspace(settings)
      const before = readdirSync(dir)
      const r = run(dir, '--filter', 'd', ...args)
      assert.equal(r.status, 9, r.text)
      assert.match(r.text, /ERR_DRAY_UNSUPPORTED.*enableGlobalVirtualStore together with --filter/)
      assert.deepEqual(readdirSync(dir), before)
      ok(run(dir, ...args))
      assert.deepEqual(slots(dir), [])
    }
  },
  'a tarball that has changed is another one'() {
    const dir = join(work, 'tarball')
    const pack = (m) => {
      edit(dir, 'src/package', m)
      assert.equal(spawnSync('tar', ['-C', join(dir, 'src'), '-czf', join(dir, 'x.tgz'), 'package']).status, 0)
    }
    pack({ name: 'lib', version: '1.0.0' })
    edit(dir, '.', { name: 'root', dependencies: { lib: 'file:x.tgz' } })
    ok(run(dir))
    assert.match(ok(run(dir)), /up to date/)
    pack({ name: 'lib', version: '1.0.0', dependencies: { 'fx-leaf': '1.1.0' } })
    assert.equal(run(dir, '--frozen-lockfile').status, 1)
    ok(run(dir))
    assert.match(lockfile(dir), /lib@file:x\.tgz:\n    dependencies:\n      fx-leaf: 1\.1\.0/)
  },
}

let failed = 0
for (const [name, test] of Object.entries(tests)) {
  try {
    await test()
    console.log(`ok   ${name}`)
  } catch (e) {
    failed++
    console.log(`FAIL ${name}\n${e.stack}`)
  }
}
rmSync(work, { recursive: true, force: true })
process.exit(failed ? 1 : 0)
