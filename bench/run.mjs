// `npm run bench [-- --sizes 1,64,256 --images native,snp_linux_direct --rounds 3 --write]`
// Pairs our build with cp of the same bytes, with hashing them once, and with igvmfilegen where IGVMFILEGEN names one.
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
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { IMAGES } from './images.mjs';
import { writeInputs } from './inputs.mjs';
import { measure, paired } from './measure.mjs';

const MIB = 1024 * 1024;
const here = dirname(fileURLToPath(import.meta.url));
const cli = join(here, '..', 'dist', 'cli', 'nx-igvm.js');
const reporter = join(here, 'report-usage.cjs');
const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1,64,256' },
    images: { type: 'string', default: IMAGES.map((image) => image.name).join(',') },
    rounds: { type: 'string', default: '3' },
    write: { type: 'boolean', default: false },
  },
});
const sizes = options.sizes.split(',').map(Number);
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
    return { initrd, args: [manifest, '-r', resourceFile, '-o', join(out, 'image.igvm')] };
  };

  const rows = [];
  for (const image of images) {
    const tiny = prepare(image, 4096);
    const [start] = await paired(rounds, () => node([cli, 'build', ...tiny.args]));
    for (const size of sizes.filter((each) => each <= image.maxMib)) {
      const { initrd, args } = prepare(image, size * MIB);
      const hashing = async () => {
        let wall = 0;
        for (const kind of image.hashes) wall += (await node([join(here, 'limits.mjs'), kind, initrd])).wall;
        return { wall, cpu: 0, peak: 0 };
      };
      const emptyNode = () => node(['-e', '0']);
      const copy = () => measure('cp', [join(out, 'image.igvm'), join(out, 'copy')]);
      const theirs = () =>
        measure(upstream, ['manifest', '-m', args[0], '-r', args[2], '-o', join(out, 'theirs.igvm')]);
      const [our, cp, hashed, nothing, their] = await paired(
        rounds,
        () => node([cli, 'build', ...args]),
        copy,
        hashing,
        emptyNode,
        ...(upstream ? [theirs] : []),
      );
      const hashWall = Math.max(0, hashed.wall - image.hashes.length * nothing.wall);
      const limit = Math.max(cp.wall, hashWall);
      rows.push({
        image: image.name,
        'initrd MiB': size,
        'output MiB': mib(statSync(join(out, 'image.igvm')).size),
        'wall s': seconds(our.wall),
        'less start-up s': seconds(Math.max(0, our.wall - start.wall)),
        'cpu s': seconds(our.cpu),
        'cpu ms/MiB': (((our.cpu - start.cpu) * 1000) / size).toFixed(2),
        'peak MiB': mib(our.peak),
        'cp s': seconds(cp.wall),
        'hash s': seconds(hashWall),
        'x limit': ((our.wall - start.wall) / limit).toFixed(2),
        'x cp': (our.wall / cp.wall).toFixed(2),
        'igvmfilegen s': their ? seconds(their.wall) : '-',
        'igvmfilegen MiB': their ? mib(their.peak) : '-',
        'times faster': their ? (their.wall / our.wall).toFixed(2) : '-',
      });
      process.stderr.write(`${image.name}, ${size} MiB: ${seconds(our.wall)} s, ${mib(our.peak)} MiB\n`);
      rmSync(initrd, { force: true });
    }
  }
  const columns = Object.keys(rows[0]);
  const table = [
    `| ${columns.join(' | ')} |`,
    `|${columns.map(() => ' --- ').join('|')}|`,
    ...rows.map((row) => `| ${columns.map((column) => row[column]).join(' | ')} |`),
  ].join('\n');
  process.stdout.write(`${table}\n`);
  if (options.write) {
    const text = `# Benchmark\n\nWritten by \`npm run bench -- --write\`; medians of ${rounds} paired runs on 2 cores. bench/README.md says what the columns mean.\n\n${table}\n`;
    writeFileSync(join(here, '..', 'docs', 'benchmark.md'), text);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
