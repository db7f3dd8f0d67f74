// What the policy check is tried on: projects, the rules under which their lockfile was made and those under which it is used.
// policy-expected.json says what pnpm 12.21 does with each; policy.mjs --oracle PNPM writes it.
import { DAY, HOUR } from './policy-registry.mjs'

export const table = {
  old: { '1.0.0': { ago: 90 * DAY }, '1.1.0': { ago: 60 * DAY } },
  young: { '1.0.0': { ago: 90 * DAY }, '1.1.0': { ago: 2 * HOUR } },
  recent: { '1.0.0': { ago: 90 * DAY }, '1.0.1': { ago: 3 * DAY }, '2.0.0': { ago: HOUR, latest: false } },
  fresh: { '1.0.0': { ago: HOUR } },
  undated: { '1.0.0': { ago: 2 * HOUR, time: false } },
  uses: { '1.0.0': { ago: 90 * DAY, deps: { young: '^1.0.0', old: '^1.0.0' } } },
  '@s/scoped': { '1.0.0': { ago: 2 * HOUR } },
  // what vouches for a version, oldest first
  'lost-provenance': { '1.0.0': { ago: 90 * DAY, trust: 'provenance' }, '1.1.0': { ago: 60 * DAY } },
  'lost-publisher': { '1.0.0': { ago: 90 * DAY, trust: 'publisher' }, '1.1.0': { ago: 60 * DAY, trust: 'provenance' } },
  'lost-staged': { '1.0.0': { ago: 90 * DAY, trust: 'staged' }, '1.1.0': { ago: 60 * DAY, trust: 'publisher' } },
  'gained': { '1.0.0': { ago: 90 * DAY }, '1.1.0': { ago: 60 * DAY, trust: 'provenance' }, '1.2.0': { ago: 30 * DAY, trust: 'publisher' }, '1.3.0': { ago: 20 * DAY, trust: 'staged' } },
  'publisher-flag-only': { '1.0.0': { ago: 90 * DAY, trust: 'publisher-only' }, '1.1.0': { ago: 60 * DAY } },
  'by-date': { '2.0.0': { ago: 90 * DAY, trust: 'provenance' }, '1.0.1': { ago: 60 * DAY, latest: false } },
  'pre-had-it': { '1.0.0-rc.1': { ago: 90 * DAY, trust: 'provenance', latest: false }, '1.0.0': { ago: 60 * DAY } },
  'pre-lost-it': { '0.9.0': { ago: 90 * DAY, trust: 'provenance' }, '1.0.0-rc.1': { ago: 60 * DAY, latest: false } },
  'old-loss': { '1.0.0': { ago: 900 * DAY, trust: 'provenance' }, '1.1.0': { ago: 800 * DAY } },
  'no-time': { '1.0.0': { ago: 90 * DAY, trust: 'provenance' }, '1.1.0': { ago: 60 * DAY, time: false } },
  'no-time-before': { '1.0.0': { ago: 90 * DAY, trust: 'provenance', time: false }, '1.1.0': { ago: 60 * DAY } },
  'pre-of-major': { '0.9.0': { ago: 90 * DAY }, '1.0.0-beta.4': { ago: 60 * DAY }, '1.0.0': { ago: HOUR } },
  'stable-of-major': { '1.0.0': { ago: 90 * DAY }, '1.1.0-beta.4': { ago: 60 * DAY }, '1.1.0': { ago: HOUR } },
  'uses-lost': { '1.0.0': { ago: 90 * DAY, deps: { 'lost-provenance': '1.1.0' } } },
}
const trust = (more = '') => `minimumReleaseAge: 0\ntrustPolicy: no-downgrade\n${more}`

// made: the settings under which the lockfile is written (none: without a lockfile). used: those of the install that is judged.
// A drop and an add: what is dropped is not judged. add: dependencies that only the second install has. edit: what is done to the lockfile in between.
export const cases = {
  'old-default': { deps: { old: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: '' },
  'young-default': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: '' },
  'young-strict': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAge: 1440' },
  'young-not-strict': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAge: 1440\nminimumReleaseAgeStrict: false' },
  'young-off': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAge: 0' },
  'young-short': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAge: 60' },
  'young-below': { deps: { uses: '1.0.0' }, made: 'minimumReleaseAge: 0', used: '' },
  'young-excluded': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAgeExclude:\n  - young' },
  'young-excluded-version': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAgeExclude:\n  - young@1.0.0 || 1.1.0' },
  'young-excluded-other': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAgeExclude:\n  - young@1.0.0' },
  'young-excluded-scope': { deps: { '@s/scoped': '1.0.0' }, made: 'minimumReleaseAge: 0', used: "minimumReleaseAgeExclude:\n  - '@s/*'" },
  'young-scope': { deps: { '@s/scoped': '1.0.0' }, made: 'minimumReleaseAge: 0', used: '' },
  'latest-young-pre': { deps: { 'pre-of-major': 'latest', 'stable-of-major': 'latest' }, used: 'minimumReleaseAge: 1440' },
  'recent-fine': { deps: { recent: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: '' },
  'recent-week': { deps: { recent: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAge: 10080' },
  'two-kinds': { deps: { young: '^1.0.0', fresh: '1.0.0', old: '1.0.0' }, made: 'minimumReleaseAge: 0', used: '' },
  'undated': { deps: { undated: '1.0.0' }, made: 'minimumReleaseAge: 0', used: '' },
  'young-trusted-lockfile': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: 'trustLockfile: true' },
  'young-trusted-flag': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: '', args: ['--trust-lockfile'] },
  'young-not-frozen': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: '', args: ['--no-frozen-lockfile'] },
  'young-stale': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: '', add: { old: '1.0.0' }, args: ['--no-frozen-lockfile'] },
  'young-removed': { deps: { young: '^1.0.0', old: '1.0.0' }, made: 'minimumReleaseAge: 0', used: '', drop: ['young'], args: ['--no-frozen-lockfile'] },
  'young-lockfile-only': { deps: { young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: '', args: ['--lockfile-only'] },
  'no-integrity': { deps: { old: '1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAge: 0', edit: (l, url) => l.replace(/resolution: \{integrity: [^}]*\}/, `resolution: {tarball: ${url}/old/-/old-1.0.0.tgz}`) },
  'other-tarball': { deps: { old: '1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAge: 0', edit: (l, url, docs) => l.replace(/integrity: [^}]*\}/, `integrity: ${docs.get('young').versions['1.0.0'].dist.integrity}, tarball: ${url}/young/-/young-1.0.0.tgz}`) },
  'same-tarball': { deps: { old: '1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAge: 0', edit: (l, url) => l.replace(/(integrity: [^}]*)\}/, `$1, tarball: ${url}/old/-/old-1.0.0.tgz}`) },
  'directory-as-version': { deps: { old: '1.0.0' }, made: 'minimumReleaseAge: 0', used: 'minimumReleaseAge: 0', edit: (l) => l.replace(/resolution: \{[^}]*\}/, 'resolution: {directory: x, type: directory}') },
  'unknown-version': { deps: { old: '1.0.0' }, made: 'minimumReleaseAge: 0', used: '', args: ['--lockfile-only', '--frozen-lockfile'], edit: (l) => l.replaceAll('old@1.0.0', 'old@1.0.9').replace('version: 1.0.0', 'version: 1.0.9').replace('specifier: 1.0.0', 'specifier: ^1.0.0') , manifest: { old: '^1.0.0' } },
  // trustPolicy on a lockfile …
  ...Object.fromEntries(Object.entries({
    'lost-provenance': '1.1.0', 'lost-publisher': '1.1.0', 'lost-staged': '1.1.0', gained: '1.3.0', 'publisher-flag-only': '1.1.0', 'by-date': '1.0.1',
    'pre-had-it': '1.0.0', 'pre-lost-it': '1.0.0-rc.1', 'old-loss': '1.1.0', 'no-time': '1.1.0', 'no-time-before': '1.1.0', 'uses-lost': '1.0.0',
  }).flatMap(([name, version]) => [
    [`trust-locked-${name}`, { deps: { [name]: version }, made: 'minimumReleaseAge: 0', used: trust() }],
    // … and on what is chosen now
    [`trust-new-${name}`, { deps: { [name]: version }, used: trust() }],
  ])),
  'trust-range': { deps: { 'lost-provenance': '^1.0.0' }, used: trust() },
  'trust-excluded': { deps: { 'lost-provenance': '1.1.0' }, made: 'minimumReleaseAge: 0', used: trust('trustPolicyExclude:\n  - lost-provenance\n') },
  'trust-excluded-version': { deps: { 'lost-provenance': '1.1.0' }, used: trust('trustPolicyExclude:\n  - lost-provenance@1.1.0\n') },
  'trust-excluded-other': { deps: { 'lost-provenance': '1.1.0' }, used: trust('trustPolicyExclude:\n  - lost-provenance@1.0.0\n') },
  'trust-ignore-after': { deps: { 'old-loss': '1.1.0' }, used: trust('trustPolicyIgnoreAfter: 525600\n') },
  'trust-ignore-after-locked': { deps: { 'old-loss': '1.1.0', 'lost-provenance': '1.1.0' }, made: 'minimumReleaseAge: 0', used: trust('trustPolicyIgnoreAfter: 525600\n') },
  'trust-and-age': { deps: { 'lost-provenance': '1.1.0', young: '^1.0.0' }, made: 'minimumReleaseAge: 0', used: 'trustPolicy: no-downgrade\n' },
}
