// `npm run mutation [-- folder or file ...]`: makes small changes to the source and counts those that no test detects.
// Each file is tested only with its own specs, not with every test that happens to run it. That is faster, and a
// survivor shows a gap in its own specs. Results are kept in tmp/mutation; only changed files are run again.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Stryker } from '@stryker-mutator/core';

const [unit] = createRequire(import.meta.url)('../jest.config.js').projects;

/** The percentage of mutants that a folder's specs have to detect. */
const LEAST_SCORE = 80;

/** The specs that describe files, in groups that run in turn; paths are without extensions. */
const DESCRIBED_BY = {
  'src/igvm': [
    [['headers/*'], ['headers/*', 'read-igvm', 'write-igvm', 'read-write']],
    [['read-igvm'], ['read-igvm', 'read-write']],
    [['write-igvm'], ['write-igvm', 'read-write']],
    [
      ['validate', 'header-rules', 'platforms'],
      ['validate', 'platforms'],
    ],
    [
      ['file-data', 'model', 'hashes'],
      ['file-data', 'model', 'hashes'],
    ],
    [
      ['stream', 'reading-order'],
      ['stream', 'reading-order'],
    ],
    [['merge'], ['merge']],
    [
      ['dump', 'page-overlaps'],
      ['dump', 'page-overlaps'],
    ],
    [['firmware-dll'], ['firmware-dll']],
    [['page-index'], ['page-index']],
  ],
  'src/measurement': [
    [
      ['measure', 'launches', 'launch-digests', 'snp', 'tdx-vbs'],
      ['measure', 'measure-file', 'image-digests', 'launch-digests', 'snp'],
    ],
    [['page-hashing'], ['page-hashing']],
  ],
};

// Stryker leaves out files that don't exist, so a renamed one would no longer be tested.
const named = Object.entries(DESCRIBED_BY).flatMap(([folder, groups]) =>
  groups.flatMap(([files, specs]) => [
    ...files.map((file) => `${folder}/${file}.ts`),
    ...specs.map((spec) => `${folder}/${spec}.spec.ts`),
  ]),
);
const missing = named.filter((path) => !path.includes('*') && !existsSync(path));
if (missing.length > 0) throw new Error(`mutation/mutation.mjs names ${missing.join(', ')}, which do not exist`);

const asked = process.argv.slice(2).map((path) => path.replace(/\.ts$|\/$/, ''));
const isAsked = (path) =>
  asked.length === 0 ||
  asked.some((each) => path === each || path.startsWith(`${each}/`) || each.startsWith(`${path}/`));

const failures = [];
for (const [folder, groups] of Object.entries(DESCRIBED_BY)) {
  const counts = { killed: 0, survived: 0 };
  for (const [files, specs] of groups) {
    const paths = files.map((file) => `${folder}/${file}`);
    if (!paths.some(isAsked)) continue;
    for (const { status } of await mutate(folder, paths, specs)) {
      if (status === 'Killed' || status === 'Timeout') counts.killed++;
      else if (status === 'Survived' || status === 'NoCoverage') counts.survived++;
    }
  }
  const all = counts.killed + counts.survived;
  if (all === 0) continue;
  const score = (100 * counts.killed) / all;
  console.log(`${folder}: ${counts.killed} of ${all} mutants detected, ${score.toFixed(1)} %`);
  if (score < LEAST_SCORE) failures.push(folder);
}
if (failures.length > 0) {
  console.error(`Below ${LEAST_SCORE} %: ${failures.join(', ')}`);
  process.exitCode = 1;
}

/** Runs one group of files. Its results are kept under the name of the first file. */
function mutate(folder, paths, specs) {
  const kept = `tmp/mutation/${paths[0].replaceAll(/[^a-z0-9]+/g, '-')}`;
  return new Stryker({
    mutate: [...paths.map((path) => `${path}.ts`), '!**/*.spec.ts', '!**/*.fixture.ts'],
    // A text is a message, whose wording the tests don't fix, or a name that the compiler checks.
    mutator: { excludedMutations: ['StringLiteral'] },
    testRunner: 'jest',
    jest: {
      projectType: 'custom',
      enableFindRelatedTests: false,
      config: {
        ...unit,
        projects: [],
        roots: [`<rootDir>/${folder}`],
        testMatch: specs.map((spec) => `<rootDir>/${folder}/${spec}.spec.ts`),
      },
    },
    coverageAnalysis: 'perTest',
    // Endless loops are detected by counting. A mutant that is only slow on a busy machine must not count as detected.
    timeoutMS: 20_000,
    testRunnerNodeArgs: ['--max-old-space-size=768'],
    incremental: true,
    incrementalFile: `${kept}.json`,
    jsonReporter: { fileName: `${kept}-report.json` },
    reporters: ['json', 'clear-text', 'progress-append-only'],
    clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
    tempDirName: 'tmp/stryker',
    ignorePatterns: ['dist', 'docs', 'bench', 'conformance/cases', 'conformance/inputs'],
  }).runMutationTest();
}
