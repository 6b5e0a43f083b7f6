// Lets Node require TypeScript, in this thread: the fuzzer needs no build, and src/ is instrumented on its way in.
const { readFileSync } = require('node:fs');
const { transformSync } = require('@swc/core');

const options = {
  jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
  module: { type: 'commonjs' },
  sourceMaps: 'inline',
};

require.extensions['.ts'] = (module, path) => {
  module._compile(transformSync(readFileSync(path, 'utf8'), { ...options, filename: path }).code, path);
};
