/** Two projects: `unit` (src, conformance; seconds) and `e2e` (real workspaces, real Nx, real QEMU; minutes). */
const transform = {
  '^.+\\.ts$': [
    '@swc/jest',
    { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } },
  ],
  // A package that is an ES module alone.
  'node_modules/@hpcc-js/.+\\.js$': ['@swc/jest', { jsc: { target: 'es2022' }, module: { type: 'commonjs' } }],
};
const transformIgnorePatterns = ['/node_modules/(?!@hpcc-js/)'];
const shared = {
  transform,
  transformIgnorePatterns,
  testEnvironment: 'node',
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/tmp/'],
  moduleNameMapper: { '/program-file$': '<rootDir>/src/files/program-file.fixture.ts' },
};

/** The folders whose every line and branch is a fact about formats or guests, and what tests have to reach of them. */
const COVERED = ['igvm', 'loader', 'manifest', 'measurement'];
const LEAST_COVERED = { lines: 95, branches: 95 };

/** @type {import('jest').Config} */
module.exports = {
  maxWorkers: 2,
  reporters: ['default', '<rootDir>/scripts/skipped-tests.cjs'],
  collectCoverageFrom: [`src/{${COVERED.join(',')}}/**/*.ts`, '!**/*.{spec,fixture}.ts'],
  coverageDirectory: 'tmp/coverage',
  coverageReporters: ['text-summary', 'html'],
  coverageThreshold: Object.fromEntries(COVERED.map((folder) => [`./src/${folder}/`, LEAST_COVERED])),
  projects: [
    {
      ...shared,
      displayName: 'unit',
      roots: ['<rootDir>/src', '<rootDir>/conformance', '<rootDir>/fuzz'],
      testMatch: ['**/*.spec.ts'],
      setupFilesAfterEnv: ['<rootDir>/conformance/setup.ts'],
    },
    {
      ...shared,
      displayName: 'e2e',
      roots: ['<rootDir>/e2e'],
      testMatch: ['**/*.e2e.ts'],
      globalSetup: '<rootDir>/e2e/harness/global-setup.ts',
      setupFilesAfterEnv: ['<rootDir>/e2e/harness/setup.ts'],
    },
  ],
};
