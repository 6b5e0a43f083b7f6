// `npm test`: system packages, lint, types, build, and all tests. Ends with a list of the skipped tests.
//   npm test -- --no-install     installs no system packages; tests whose requirements are missing are skipped
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemPackages } from './system-packages.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { describeSkipped } = createRequire(import.meta.url)('./skipped-tests.cjs');
const skippedTests = join(root, 'tmp', 'skipped-tests.jsonl');

const STEPS = [
  { name: 'lint', command: 'npm run --silent lint' },
  { name: 'types', command: 'npm run --silent typecheck' },
  { name: 'build', command: 'npm run --silent build' },
  { name: 'unit tests', command: 'npm run --silent coverage' },
  { name: 'e2e tests', command: 'npx jest --selectProjects e2e' },
];

const unknown = process.argv.slice(2).filter((option) => option !== '--no-install');
if (unknown.length > 0) {
  console.error(
    `npm test accepts only --no-install, not ${unknown.join(' ')}. To run single tests: npx jest --selectProjects unit --testPathPatterns src/igvm`,
  );
  process.exit(2);
}

const started = Date.now();
const seconds = (since) => Math.round((Date.now() - since) / 1000);

console.log('=== system packages');
const { missing, line } = systemPackages('test', { install: !process.argv.includes('--no-install') });

rmSync(skippedTests, { force: true });
mkdirSync(dirname(skippedTests), { recursive: true });
let failed;
const took = [];
for (const { name, command } of STEPS) {
  console.log(`\n=== ${name}`);
  const begun = Date.now();
  const { status } = spawnSync(command, {
    cwd: root,
    env: { ...process.env, NX_IGVM_SKIPPED_TESTS: skippedTests },
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: true,
  });
  took.push(`${name} ${seconds(begun)} s`);
  if (status !== 0) {
    failed = name;
    break;
  }
}

console.log('\n=== summary');
const skipped = existsSync(skippedTests)
  ? readFileSync(skippedTests, 'utf8')
      .trim()
      .split('\n')
      .map((test) => JSON.parse(test))
  : [];
if (skipped.length > 0) console.log(describeSkipped(skipped).join('\n'));
if (missing.length > 0) console.log(`Missing: ${missing.join(', ')}${line === undefined ? '' : `\n  ${line}`}`);
console.log(`${took.join(', ')}; ${seconds(started)} s in all`);
console.log(failed === undefined ? 'npm test passed' : `npm test FAILED: ${failed}`);
process.exitCode = failed === undefined ? 0 : 1;
