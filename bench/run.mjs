// `npm run bench [-- --sizes 1,64,256 --large 1024,3500 --images native,snp_linux_direct --rounds 3 --write]`
// Pairs our build with cp of the same bytes, with hashing them once, and with igvmfilegen where IGVMFILEGEN names one.
import { execFileSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { IMAGES } from './images.mjs';
import { writeInputs } from './inputs.mjs';
import { measure, paired } from './measure.mjs';
import { startUp } from './start-up.mjs';

const MIB = 1024 * 1024;
/** Above this igvmfilegen is left out: it takes four times the image in memory. */
const MOST_UPSTREAM_MIB = 1024;
/** A program that takes some MiB of memory, writes to them and ends. */
const TOUCH =
  'for (let left = Number(process.argv[1]), all = []; left > 0; left--) all.push(Buffer.alloc(2 ** 20, 1));';
/** Below this the differences are those of starting processes. */
const LEAST_COMPARABLE_MIB = 8;
const here = dirname(fileURLToPath(import.meta.url));
const cli = join(here, '..', 'dist', 'cli', 'nx-igvm.js');
const reporter = join(here, 'report-usage.cjs');
const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1,64,256' },
    large: { type: 'string', default: '' },
    images: { type: 'string', default: IMAGES.map((image) => image.name).join(',') },
    rounds: { type: 'string', default: '3' },
    write: { type: 'boolean', default: false },
  },
});
const sizes = options.sizes.split(',').map(Number);
const large = options.large.split(',').filter(Boolean).map(Number);
const images = IMAGES.filter((image) => options.images.split(',').includes(image.name));
const rounds = Number(options.rounds);
const upstream = process.env.IGVMFILEGEN;
if (images.length === 0 || sizes.some((size) => !(size > 0)) || !(rounds > 0)) {
  throw new Error(`nothing to measure; --images takes any of ${IMAGES.map((image) => image.name).join(', ')}`);
}
if (upstream && !existsSync(upstream)) throw new Error(`IGVMFILEGEN names ${upstream}, which does not exist`);

/** A file of bytes that neither compress nor repeat, the same in every run. */
function writeNoise(path, size) {
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16));
  const zeros = Buffer.alloc(MIB);
  const fd = openSync(path, 'w');
  for (let at = 0; at < size; at += MIB) writeSync(fd, noise.update(zeros.subarray(0, Math.min(MIB, size - at))));
  closeSync(fd);
}

/**
 * Runs something under the same conditions as everything else: what earlier runs left is written out, and the free memory
 * that it will take for its output is really there. (A virtual machine may have given it back; whoever touches it first
 * then waits for the host, for longer than the copying takes.)
 */
const settled = (size, run) => () => {
  execFileSync('sync');
  execFileSync(process.execPath, ['-e', TOUCH, String(size)]);
  return run();
};
const node = (args) => measure(process.execPath, ['--require', reporter, ...args]);
const seconds = (value) => value.toFixed(2);
const mib = (value) => (value / MIB).toFixed(0);

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-bench-'));
try {
  const resources = writeInputs(join(folder, 'inputs'));
  const out = join(folder, 'out');
  mkdirSync(out);
  /** The files of one image with an initrd of `size` bytes, and the command that builds it. */
  const prepare = (image, size) => {
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
  };

  const rows = [];
  for (const image of images) {
    const tiny = prepare(image, 4096);
    const [start] = await paired(rounds, () => node([cli, 'build', ...tiny.args]));
    const common = image.sizes ?? sizes.filter((each) => each <= image.maxMib);
    for (const size of image === images[0] ? [...common, ...large] : common) {
      const runs = large.includes(size) ? 1 : rounds;
      const { initrd, output, args, upstreamArgs } = prepare(image, size * MIB);
      const hashing = async () => {
        let wall = 0;
        for (const kind of image.hashes) wall += (await node([join(here, 'limits.mjs'), kind, initrd])).wall;
        return { wall, cpu: 0, peak: 0 };
      };
      const [our, cp, hashed, nothing, their] = await paired(
        runs,
        settled(size, () => node([cli, 'build', ...args])),
        settled(size, () => measure('cp', [output, join(out, 'copy')])),
        hashing,
        () => node(['-e', '0']),
        ...(upstream && size <= MOST_UPSTREAM_MIB ? [settled(size, () => measure(upstream, upstreamArgs))] : []),
      );
      const hashWall = Math.max(0, hashed.wall - image.hashes.length * nothing.wall);
      const limit = Math.max(cp.wall, hashWall);
      rows.push({
        image: image.name,
        'initrd MiB': size,
        'output MiB': mib(statSync(output).size),
        'wall s': seconds(our.wall),
        'less start-up s': seconds(Math.max(0, our.wall - start.wall)),
        'cpu s': seconds(our.cpu),
        'cpu ms/MiB': size < LEAST_COMPARABLE_MIB ? '-' : (((our.cpu - start.cpu) * 1000) / size).toFixed(2),
        'user ms/MiB': size < LEAST_COMPARABLE_MIB ? '-' : (((our.user - start.user) * 1000) / size).toFixed(2),
        'peak MiB': mib(our.peak),
        'cp s': seconds(cp.wall),
        'hash s': seconds(hashWall),
        'x limit': size < LEAST_COMPARABLE_MIB ? '-' : ((our.wall - start.wall) / limit).toFixed(2),
        'x cp': size < LEAST_COMPARABLE_MIB ? '-' : (our.wall / cp.wall).toFixed(2),
        'igvmfilegen s': their ? seconds(their.wall) : '-',
        'igvmfilegen MiB': their ? mib(their.peak) : '-',
        'times faster': their ? (their.wall / our.wall).toFixed(2) : '-',
      });
      process.stderr.write(`${image.name}, ${size} MiB: ${seconds(our.wall)} s, ${mib(our.peak)} MiB\n`);
      rmSync(initrd, { force: true });
    }
  }
  const small = prepare(IMAGES[0], MIB);
  const starting = await startUp({ rounds: Math.max(rounds, 9), node, cli, small, upstream });
  const columns = Object.keys(rows[0]);
  const table = [
    `| ${columns.join(' | ')} |`,
    `|${columns.map(() => ' --- ').join('|')}|`,
    ...rows.map((row) => `| ${columns.map((column) => row[column]).join(' | ')} |`),
  ].join('\n');
  process.stdout.write(`${table}\n\n${starting}\n`);
  if (options.write) {
    const machine = `${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), Node ${process.versions.node}`;
    const text = `# Benchmark\n\nWritten by \`npm run bench -- --write\`; medians of ${rounds} paired runs on ${machine}. bench/README.md says what the columns mean.\n\n${table}\n\n## Start-up\n\n${starting}\n`;
    writeFileSync(join(here, '..', 'docs', 'benchmark.md'), text);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
