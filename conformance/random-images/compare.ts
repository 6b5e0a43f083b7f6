/** Builds random images with igvmfilegen and with our loader: both have to write the same bytes. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { IGVMFILEGEN } from '../../src/cli/programs';
import { digestsOf, runProgram } from '../cases';
import { placeImage, type RandomImage, randomImage } from './random-manifest';

const HELP = `IGVMFILEGEN=path npm run compare -- [--head] [--images 200] [--seed 1] [--damage]

Builds random images with the igvmfilegen at that path and with ours, and compares all files.
That igvmfilegen is 1488a37b7, which builds dense images of SNP guests, or with --head a newer one, which builds sparse ones.
With --damage one of the files of each image has been changed or cut off first.
Images that differ stay in tmp/compare; the exit code is then 1.`;

const ARGUMENTS = ['manifest', '-m', '../igvm.json', '-r', '../resources.json', '-o', 'out.igvm'];

/** Images that upstream builds differently by design (docs/migration-from-igvmfilegen.md). */
const isOurOwn = ({ manifest }: RandomImage): boolean =>
  (manifest as { guest_configs: { max_vtl: number; image: object | string }[] }).guest_configs.some(
    ({ max_vtl, image }) => max_vtl === 0 && typeof image === 'object' && 'linux' in image,
  );

/**
 * Whether another version of igvmfilegen refuses an image because a boot shim is, or isn't, among its resources.
 */
const isOfAge = ({ manifest, resources }: RandomImage, isHead: boolean): boolean =>
  !JSON.stringify(manifest, (_, each: unknown) => (typeof each === 'bigint' ? 0 : each)).includes(
    '"snp_linux_direct"',
  ) || Object.hasOwn(resources, 'snp_bootshim') === isHead;

interface Damage {
  /** Index of a file of the image, modulo the number of its files. */
  file: number;
  bytes: { at: number; value: number }[];
  /** The fraction of the file that is kept; null: all of it. */
  kept: number | null;
}

/** Bytes of headers, most of which are in the first 4 KiB of a file or at its end. */
const damage: fc.Arbitrary<Damage> = fc.record({
  file: fc.nat(),
  bytes: fc.array(
    fc.record({
      at: fc.oneof(fc.nat(128), fc.nat(640), fc.nat(4095)),
      value: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  kept: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 5 }),
});

function damageOne(image: RandomImage, folder: string, { file, bytes, kept }: Damage): void {
  const names = Object.keys(image.resources);
  if (names.length === 0) return;
  const path = join(folder, names[file % names.length]!);
  const content = readFileSync(path);
  for (const { at, value } of bytes) if (at < content.length) content[at] = value;
  writeFileSync(path, kept === null ? content : content.subarray(0, Math.floor(content.length * kept)));
}

/** The result for an image: the digests of its files, or the reason why there are none. */
interface Result {
  files: Record<string, string> | undefined;
  message: string;
}

function byReference(program: string, folder: string): Result {
  const cwd = join(folder, 'reference');
  mkdirSync(cwd);
  const { error, status, stderr } = spawnSync(program, ARGUMENTS, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, RUST_BACKTRACE: '0' },
  });
  if (error !== undefined) throw error;
  return { files: status === 0 ? digestsOf(cwd) : undefined, message: stderr };
}

async function byOurs(folder: string): Promise<Result> {
  const cwd = join(folder, 'ours');
  mkdirSync(cwd);
  const { exitCode, stderr } = await runProgram(IGVMFILEGEN, ARGUMENTS, cwd);
  return { files: exitCode === 0 ? digestsOf(cwd) : undefined, message: stderr };
}

/** How two results differ; undefined when they don't. */
function difference(reference: Result, ours: Result): string | undefined {
  if (reference.files === undefined && ours.files === undefined) return undefined;
  if (reference.files === undefined)
    return `only ours builds it; igvmfilegen: ${reference.message.replace(/^.* INFO .*$/m, '').trim()}`;
  if (ours.files === undefined) return `only igvmfilegen builds it; ours: ${ours.message}`;
  const { files } = ours;
  const names = [...new Set([...Object.keys(reference.files), ...Object.keys(files)])];
  const unlike = names.filter((name) => reference.files?.[name] !== files[name]);
  return unlike.length === 0 ? undefined : `files differ: ${unlike.join(', ')}`;
}

/** Ends with exit code 1 where an image differs. */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      images: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      damage: { type: 'boolean' },
      head: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  const program = process.env['IGVMFILEGEN'];
  if (values.help || program === undefined) {
    console.log(HELP);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const count = { same: 0, refused: 0, differs: 0 };
  const images = fc.sample(
    fc.tuple(
      randomImage.filter((image) => !isOurOwn(image) && isOfAge(image, values.head === true)),
      damage,
    ),
    {
      numRuns: Number(values.images),
      seed: Number(values.seed),
    },
  );
  const kept = join(__dirname, '..', '..', 'tmp', 'compare');
  rmSync(kept, { recursive: true, force: true });
  for (const [index, [image, change]] of images.entries()) {
    const folder = join(kept, String(index));
    mkdirSync(folder, { recursive: true });
    placeImage(image, folder);
    if (values.damage) damageOne(image, folder, change);
    const reference = byReference(program, folder);
    const found = difference(reference, await byOurs(folder));
    if (found === undefined) {
      count[reference.files === undefined ? 'refused' : 'same']++;
      rmSync(folder, { recursive: true });
      continue;
    }
    count.differs++;
    console.log(`image ${index}: ${found}`);
  }
  console.log(
    `${images.length} images of seed ${values.seed}: ${count.same} the same, ${count.refused} refused by both, ${count.differs} different`,
  );
  if (count.differs > 0) process.exitCode = 1;
}
