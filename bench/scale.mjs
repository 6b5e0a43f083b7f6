// `node bench/scale.mjs [--projects 1000] [--images 50] [--rounds 3] [--write]`, after `npm run build`
// The cost for Nx of a workspace full of images: listing its projects, paired with the same targets in project.json and a plugin
// that does nothing; and building many small images, in one process and in separate processes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeSmallInputs } from './inputs.mjs';
import { paired } from './measure.mjs';
import { makeWorkspace } from './scale-workspace.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    projects: { type: 'string', default: '1000' },
    images: { type: 'string', default: '50' },
    rounds: { type: 'string', default: '3' },
    write: { type: 'boolean', default: false },
  },
});
const [projects, images, rounds] = [values.projects, values.images, values.rounds].map(Number);
if (![projects, images, rounds].every((value) => value >= 1))
  throw new Error('--projects, --images and --rounds are numbers');

const EMPTY_PLUGIN = `exports.createNodes = ['**/{igvm.json,*.igvm.json,initrd.json}', () => []];\n`;
const seconds = (value) => value.toFixed(2);
const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-scale-inputs-'));
const workspaces = [];
const workspace = (options) => {
  const made = makeWorkspace({ kernel, ...options });
  workspaces.push(made);
  return made;
};
let kernel;
try {
  kernel = writeSmallInputs(folder).linux_kernel;
  const named = (name) => ({ name });
  const inferred = workspace({ count: projects, plugin: 'nx-igvm', projectJson: named });
  const nodeOf = await inferred.projects();
  const written = workspace({
    count: projects,
    plugin: './empty-plugin.js',
    pluginSource: EMPTY_PLUGIN,
    projectJson: (name) => ({ name, targets: nodeOf(name).targets, metadata: nodeOf(name).metadata }),
  });
  const [ours, empty] = await paired(
    rounds,
    () => inferred.nx('show', 'projects'),
    () => written.nx('show', 'projects'),
  );

  const built = workspace({ count: images, plugin: 'nx-igvm', projectJson: named });
  const build = (batch) => () => built.nx('run-many', '-t', 'build', '--skip-nx-cache', `--batch=${batch}`);
  const [together, apart] = await paired(rounds, build(true), build(false));

  const row = (what, { wall, cpu }) => `| ${what} | ${seconds(wall)} | ${seconds(cpu)} |`;
  const table = [
    '| | wall s | cpu s |',
    '| --- | --- | --- |',
    row(`nx show projects: ${projects} images, inferred`, ours),
    row(`nx show projects: the same targets in project.json, a plugin that does nothing`, empty),
    row(`nx run-many -t build: ${images} small images, as a batch`, together),
    row(`nx run-many -t build --batch=false: a process for each`, apart),
  ].join('\n');
  process.stdout.write(`${table}\n`);
  if (values.write) {
    const text = `# Scale\n\nWritten by \`node bench/scale.mjs --write\`; medians of ${rounds} paired runs on 2 cores, without Nx's daemon. The processor time is that of Nx and of the child processes that have ended.\n\n${table}\n`;
    writeFileSync(join(here, '..', 'docs', 'scale.md'), text);
  }
} finally {
  for (const made of workspaces) made.dispose();
  rmSync(folder, { recursive: true, force: true });
}
