/**
 * Checks whether a tag may be released: `node scripts/check-release.mjs v1.2.3`. package.json must have its version, and
 * CHANGELOG.md must begin with it.
 */
import { readFileSync } from 'node:fs';

const tag = process.argv[2] ?? '';
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const [, newest = ''] = /^## (.+)$/m.exec(readFileSync('CHANGELOG.md', 'utf8')) ?? [];
const problems = [
  ...(tag === `v${version}` ? [] : [`the tag is ${tag || 'not given'}, and package.json has version ${version}`]),
  ...(newest.startsWith(version) ? [] : [`CHANGELOG.md begins with ${newest}, not with ${version}`]),
  ...(/not released/.test(newest) ? ['CHANGELOG.md says that this version is not released yet'] : []),
];
for (const problem of problems) console.error(`error: ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;
