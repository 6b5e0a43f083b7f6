// `node bench/readers.mjs [--mib 16] [--rounds 3]`, after `npm run build`
// What reading an image of three platforms costs, paired: each command that reads one, and `cp`.
// "x pages" is what the whole process reads, without what it reads for a tiny image (its own code), by the page data of all platforms;
// "x file" is the same by the size of the file, which has equal pages only once.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeNoise } from './conditions.mjs';
import { IMAGES } from './images.mjs';
import { writeSmallInputs } from './inputs.mjs';
import { measure, paired } from './measure.mjs';

const MIB = 1024 * 1024;
const here = dirname(fileURLToPath(import.meta.url));
const { readIgvm } = createRequire(import.meta.url)('../dist/api.js');
const cli = join(here, '..', 'dist', 'cli', 'nx-igvm.js');
const node = (args) => measure(process.execPath, ['--require', join(here, 'report-usage.cjs'), cli, ...args]);

const { values } = parseArgs({
  options: { mib: { type: 'string', default: '16' }, rounds: { type: 'string', default: '3' } },
});
const [mib, rounds] = [values.mib, values.rounds].map(Number);
if (!(mib > 0 && rounds > 0)) throw new Error('--mib and --rounds are numbers above 0');

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-bench-'));

/** Builds an image with an initrd of `size` bytes in a folder of its own, and its lock. @returns their paths */
function makeImage(name, size, resources) {
  const at = (file) => join(folder, name, file);
  mkdirSync(at('.'), { recursive: true });
  const { guests } = IMAGES.find((image) => image.name === 'openhcl snp+tdx+vbs');
  writeNoise(at('initrd'), size);
  writeFileSync(
    at('igvm.json'),
    JSON.stringify({
      guest_arch: 'x64',
      guest_configs: guests(size),
      resources: { ...resources, underhill_initrd: at('initrd') },
    }),
  );
  const paths = { image: at('image.igvm'), lock: at('igvm.lock.json'), page: at('page.html') };
  execFileSync(process.execPath, [cli, 'build', at('igvm.json'), '-o', paths.image], { stdio: 'ignore' });
  execFileSync(process.execPath, [cli, 'measure', paths.image, '--update-lock', paths.lock], { stdio: 'ignore' });
  return paths;
}

/** Bytes of page data, as often as platforms have them. */
const pagesOf = (image) =>
  readIgvm(image).directives.reduce((sum, { type, content }) => sum + (type === 'pageData' ? content.size : 0), 0);

/** The commands, for an image and another one to compare it with. */
const commandsFor = ({ image, lock, page }, other) => ({
  'measure, one platform': ['measure', image, '--platform', 'vbs'],
  'measure, three platforms': ['measure', image],
  verify: ['verify', image, '--lock', lock],
  'inspect, text': ['inspect', image, '--format', 'text'],
  'inspect, page with lock': ['inspect', image, '--lock', lock, '-o', page],
  'diff, equal images': ['diff', image, other],
});

try {
  const resources = writeSmallInputs(folder);
  const [large, tiny] = [makeImage('large', mib * MIB, resources), makeImage('tiny', 4096, resources)];
  const copies = [large, tiny].map(({ image }) => `${image}.copy`);
  [large, tiny].forEach(({ image }, index) => execFileSync('cp', [image, copies[index]]));
  const [commands, start] = [commandsFor(large, copies[0]), commandsFor(tiny, copies[1])];
  const figures = await paired(
    rounds,
    ...Object.values(commands).map((args) => () => node(args)),
    ...Object.values(start).map((args) => () => node(args)),
    () => measure('cp', [large.image, `${large.image}.other`]),
  );
  const names = Object.keys(commands);
  const more = (sizeOf) => sizeOf(large.image) - sizeOf(tiny.image);
  const sizes = [more(pagesOf), more((image) => statSync(image).size)];
  const row = (name, { wall, cpu, peak }, times = ['', '']) =>
    `| ${[name, wall.toFixed(2), cpu.toFixed(2), (peak / MIB).toFixed(0), ...times].join(' | ')} |`;
  const rows = names.map((name, index) => {
    const read = figures[index].read - figures[names.length + index].read;
    return row(
      name,
      figures[index],
      sizes.map((size) => (read / size).toFixed(2)),
    );
  });
  console.log(
    [
      `A file of ${(statSync(large.image).size / MIB).toFixed(0)} MiB; medians of ${rounds} rounds`,
      '',
      '| command | wall s | cpu s | peak MiB | x pages | x file |',
      '| --- | --- | --- | --- | --- | --- |',
      ...rows,
      row('cp', figures.at(-1)),
    ].join('\n'),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
