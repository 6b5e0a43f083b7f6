// `npm run bench [-- --sizes 1,64,256,1024,3500 --images native,snp_linux_direct --rounds 3 --large-rounds 1 --write]`
// Pairs our build with cp of the same bytes, with hashing them once, and with igvmfilegen if IGVMFILEGEN is its path.
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { settled, writeNoise } from './conditions.mjs';
import { hashingJobs } from './guest-pages.mjs';
import { IMAGES } from './images.mjs';
import { writeInputs, writeSmallInputs } from './inputs.mjs';
import { measure, paired } from './measure.mjs';
import { figures, growthTable, sizesTable } from './report.mjs';
import { startUp } from './start-up.mjs';

const MIB = 1024 * 1024;
/** From this size on, a run takes seconds, and `--large-rounds` applies. */
const LARGE_MIB = 1024;
/** The size of the kernel's loaded part. */
const KERNEL_MIB = 27;
/** igvmfilegen needs memory of four times the image. */
const UPSTREAM_MEMORY = 4;
const here = dirname(fileURLToPath(import.meta.url));
const cli = join(here, '..', 'dist', 'cli', 'nx-igvm.js');
const reporter = join(here, 'report-usage.cjs');

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1,64,256' },
    images: { type: 'string', default: IMAGES.map(({ name }) => name).join(',') },
    rounds: { type: 'string', default: '3' },
    'large-rounds': { type: 'string', default: '1' },
    write: { type: 'boolean', default: false },
  },
});
const sizes = options.sizes.split(',').map(Number);
const images = options.images.split(',').map((name) => IMAGES.find((image) => image.name === name));
const [rounds, largeRounds] = [options.rounds, options['large-rounds']].map(Number);
if (images.includes(undefined)) throw new Error(`--images takes any of ${IMAGES.map(({ name }) => name).join(', ')}`);
if (![...sizes, rounds, largeRounds].every((value) => value > 0))
  throw new Error('sizes and rounds are numbers above 0');
const upstream = process.env.IGVMFILEGEN;
if (upstream && !existsSync(upstream)) throw new Error(`IGVMFILEGEN names ${upstream}, which does not exist`);

const node = (args) => measure(process.execPath, ['--require', reporter, ...args]);
const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-bench-'));
const out = join(folder, 'out');

/** The files of one image with an initrd of `size` bytes, and the command that builds it. */
function prepare(image, size, resources) {
  const initrd = join(folder, `initrd-${size}`);
  if (!existsSync(initrd)) writeNoise(initrd, size);
  const manifest = join(folder, 'manifest.json');
  const resourceFile = join(folder, 'resources.json');
  writeFileSync(manifest, JSON.stringify({ guest_arch: 'x64', guest_configs: image.guests(size) }));
  writeFileSync(
    resourceFile,
    JSON.stringify({ resources: { ...resources, linux_initrd: initrd, underhill_initrd: initrd } }),
  );
  const output = join(out, 'image.igvm');
  return {
    initrd,
    manifest,
    resources: resourceFile,
    output,
    args: [manifest, '-r', resourceFile, '-o', output],
    upstreamArgs: ['manifest', '-m', manifest, '-r', resourceFile, '-o', join(out, 'theirs.igvm')],
  };
}

/** A failure of another program must not end the run. */
const report = (error) => void process.stderr.write(`${error.message}\n`);

/** @param start our run with a small kernel and an initrd of a page */
async function measureSize(image, size, resources, start) {
  const { initrd, output, args, upstreamArgs } = prepare(image, size * MIB, resources);
  let jobs;
  const hashing = async () => {
    jobs ??= await hashingJobs(output, image.hashes, mkdtempSync(join(folder, 'pages-')));
    let wall = 0;
    for (const job of jobs) wall += (await node([join(here, 'limits.mjs'), ...job])).wall;
    return { wall, cpu: 0, peak: 0 };
  };
  const outputMib = size + KERNEL_MIB;
  const upstreamMemory = outputMib * UPSTREAM_MEMORY;
  // The tool keeps its output there, too.
  const withUpstream = upstream && (upstreamMemory + outputMib) * MIB < process.availableMemory();
  const [our, cp, hashed, nothing, their] = await paired(
    size < LARGE_MIB ? rounds : largeRounds,
    settled(outputMib, initrd, () => node([cli, 'build', ...args])),
    settled(outputMib, output, () => measure('cp', [output, join(out, 'copy')])),
    hashing,
    () => node(['-e', '0']),
    ...(withUpstream
      ? [settled(outputMib, initrd, () => measure(upstream, upstreamArgs).catch(report), upstreamMemory)]
      : []),
  );
  const outputSize = statSync(output).size;
  const pages = jobs.map(([, path]) => path);
  for (const path of [initrd, output, join(out, 'copy'), join(out, 'theirs.igvm'), ...pages])
    rmSync(path, { force: true });
  const hashingTime = Math.max(0, hashed.wall - jobs.length * nothing.wall);
  return figures({ image: image.name, size, outputSize, start, our, cp, hashing: hashingTime, node: nothing, their });
}

/** docs/benchmark.md */
function page(sizesText, growthText, startUpText) {
  const machine = `${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), Node ${process.versions.node}`;
  const large = sizes.some((size) => size >= LARGE_MIB) ? ` (${largeRounds} from ${LARGE_MIB} MiB on)` : '';
  return `${[
    '# Benchmark',
    `Written by \`npm run bench -- --write\`; medians of ${rounds} paired runs${large} on ${machine}. bench/README.md says what the columns mean.`,
    sizesText,
    ...(growthText === undefined ? [] : ['## What a MiB costs in the largest image', growthText]),
    '## Start-up',
    startUpText,
  ].join('\n\n')}\n`;
}

try {
  const smallResources = writeSmallInputs(join(folder, 'small-inputs'));
  const resources = writeInputs(join(folder, 'inputs'));
  mkdirSync(out);
  const measured = [];
  for (const image of images) {
    const [start] = await paired(rounds, () => node([cli, 'build', ...prepare(image, 4096, smallResources).args]));
    for (const size of image.sizes ?? sizes.filter((each) => each <= image.maxMib)) {
      const result = await measureSize(image, size, resources, start);
      measured.push(result);
      process.stderr.write(`${image.name}, ${size} MiB: ${result.our.wall.toFixed(2)} s\n`);
    }
  }
  const small = prepare(IMAGES[0], MIB, smallResources);
  const starting = await startUp({ rounds: Math.max(rounds, 9), node, cli, small, upstream });
  const text = page(sizesTable(measured), growthTable(measured), starting);
  process.stdout.write(text);
  if (options.write) writeFileSync(join(here, '..', 'docs', 'benchmark.md'), text);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
