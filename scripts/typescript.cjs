// Lets Node require TypeScript, in this thread: fuzzer, benchmark and scripts read src/ without a build.
const { readFileSync } = require('node:fs');
const { transformSync } = require('@swc/core');

const options = {
  swcrc: false,
  jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
  module: { type: 'commonjs' },
  sourceMaps: 'inline',
};

require.extensions['.ts'] = (module, path) => {
  module._compile(transformSync(readFileSync(path, 'utf8'), { ...options, filename: path }).code, path);
};
