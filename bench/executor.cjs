// Runs the build executor as Nx does, in a process that has already loaded Nx's devkit, and reports the added cost.
// node bench/executor.cjs MANIFEST RESOURCES OUTPUT_FOLDER
const path = require('node:path');
require('nx/src/devkit-exports');

const [manifest, resources, outputPath] = process.argv.slice(2);
const root = path.dirname(outputPath);
const start = process.hrtime.bigint();
const { default: build } = require(path.join(__dirname, '..', 'dist', 'executors', 'build', 'executor.js'));
build({ manifest, resources, outputPath }, { root, cwd: root, projectGraph: { nodes: {}, dependencies: {} } }).then(
  ({ success }) => {
    process.benchFigures = { own: Number(process.hrtime.bigint() - start) / 1e9 };
    process.exitCode = success ? 0 : 1;
  },
);
