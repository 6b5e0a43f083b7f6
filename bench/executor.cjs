// Runs the build executor in the way of Nx, in a process that has already loaded Nx's devkit, and reports the added cost.
// node bench/executor.cjs MANIFEST RESOURCES OUTPUT_FOLDER
const path = require('node:path');
require('nx/src/devkit-exports');
const { executors } = require('../executors.json');

const [manifest, resources, outputPath] = process.argv.slice(2);
const root = path.dirname(outputPath);
const start = process.hrtime.bigint();
const [implementation, name = 'default'] = executors.build.implementation.split('#');
const { [name]: build } = require(path.join(__dirname, '..', implementation));
build({ manifest, resources, outputPath }, { root, cwd: root, projectGraph: { nodes: {}, dependencies: {} } }).then(
  ({ success }) => {
    process.benchFigures = { own: Number(process.hrtime.bigint() - start) / 1e9 };
    process.exitCode = success ? 0 : 1;
  },
);
