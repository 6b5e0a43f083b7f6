// A Jest reporter that lists skipped tests by their requirements. It prints them at the end of a run or, for `npm test`, appends
// them to the file that NX_IGVM_SKIPPED_TESTS names.
const { appendFileSync } = require('node:fs');
const path = require('node:path');

module.exports = class SkippedTests {
  constructor(globalConfig) {
    this.config = globalConfig;
  }

  onRunComplete(_contexts, { testResults }) {
    // Jest also counts the tests that -t leaves out as skipped.
    if (this.config.testNamePattern !== undefined && this.config.testNamePattern !== '') return;
    const skipped = testResults.flatMap(({ testFilePath, testResults: tests }) =>
      tests
        .filter(({ status }) => status === 'pending')
        .map(({ fullName }) => ({ file: path.relative(this.config.rootDir, testFilePath), name: fullName })),
    );
    if (skipped.length === 0) return;
    const list = process.env.NX_IGVM_SKIPPED_TESTS;
    if (list === undefined) console.log(`\n${describeSkipped(skipped).join('\n')}`);
    else appendFileSync(list, skipped.map((test) => `${JSON.stringify(test)}\n`).join(''));
  }
};

/** Lines with every skipped test, grouped by requirement. */
function describeSkipped(skipped) {
  const groups = new Map();
  for (const test of skipped) groups.set(needOf(test), [...(groups.get(needOf(test)) ?? []), test]);
  const lines = [`Skipped: ${skipped.length} ${skipped.length === 1 ? 'test' : 'tests'}`];
  for (const [need, tests] of groups) {
    lines.push(`  ${need}`);
    for (const { file, name } of tests) lines.push(`    ${file}: ${name.replace(NEED, '')}`);
  }
  return lines;
}

/** The suffix that src/boot/needing.fixture.ts adds to a name. */
const NEED = / \[(needs [^\]]*)\]/g;
const needOf = ({ name }) => [...name.matchAll(NEED)][0]?.[1] ?? 'for other reasons';

module.exports.describeSkipped = describeSkipped;
