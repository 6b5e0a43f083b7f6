/**
 * Runs igvm-wrap and igvm-update, and our commands, on random firmware and programs: both have to write the same bytes.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { NX_IGVM } from '../../src/cli/programs';
import { efiProgram, type MetadataRegion, ovmfFirmware } from '../../src/loader/ovmf/ovmf-firmware.fixture';
import { SECURE_BOOT_PROFILES } from '../../src/manifest/model';
import { runProgram } from '../cases';

const HELP = `IGVM_WRAP=path IGVM_UPDATE=path npm run compare -- --ovmf [--images 200] [--seed 1]

Wraps random firmware and updates the images with random programs, with virtfw's tools at those paths and with ours.
What differs stays in tmp/compare; the exit code is then 1.`;

/** Mostly whole pages; other sizes are refused or cut off. */
const address = fc.oneof(
  { weight: 12, arbitrary: fc.nat(0x40).map((page) => 0x80_0000 + page * 4096) },
  { weight: 1, arbitrary: fc.constantFrom(0xe_0000, 0xf_f000, 0xffff_f000, 0x80_0800, 0x2000_0000, 0) },
);
const size = fc.oneof(
  { weight: 10, arbitrary: fc.integer({ min: 1, max: 4 }).map((pages) => pages * 4096) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 0x1001, 0x8000) },
);
const region = (...kinds: number[]): fc.Arbitrary<MetadataRegion> => fc.tuple(address, size, fc.constantFrom(...kinds));
const parameter: fc.Arbitrary<MetadataRegion> = fc.tuple(
  fc.nat(0x1010),
  fc.constantFrom(4, 0xff0, 0),
  fc.constantFrom(0x101, 0x102),
);
const usually = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 5 });

const program = fc
  .tuple(
    fc.uint8Array({ maxLength: 9000 }),
    fc.option(fc.tuple(fc.nat(0x1ff), fc.nat(255)), { nil: undefined, freq: 2 }),
  )
  .map(([content, damage]) => {
    const bytes = efiProgram(content);
    if (damage !== undefined) bytes[damage[0]] = damage[1];
    return bytes;
  });

const run = fc.record({
  pages: fc.integer({ min: 1, max: 48 }),
  odd: fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constantFrom(1, 100, 4095) }),
  igvm: fc.tuple(
    usually(region(0x100)),
    fc.array(parameter, { maxLength: 3 }),
    usually(region(0x200)),
    usually(region(0x100, 0x300)),
  ),
  sev: fc.array(region(1, 2, 3, 4, 0x10, 0x11), { maxLength: 5 }),
  vars: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
  wrap: fc.subarray(['--snp', '--no-params', '--flat32', '--no-native']),
  shim: fc.option(program, { nil: undefined }),
  kernel: fc.option(program, { nil: undefined, freq: 4 }),
  secureBoot: fc.constantFrom([], [], ['--add-hash-sha256'], ['--add-cert-ms'], ['--add-cert-ms', '--add-hash-sha256']),
  profile: fc.option(fc.constantFrom(...SECURE_BOOT_PROFILES), { nil: undefined }),
});
type Run = typeof run extends fc.Arbitrary<infer T> ? T : never;

/** The arguments of both commands. Writes the files that they name. */
function place(
  { pages, odd, igvm, sev, vars, wrap, shim, kernel, secureBoot, profile }: Run,
  folder: string,
): string[][] {
  const [area, parameters, hob, more] = igvm;
  const regions = [area, ...parameters, hob, more].filter((each) => each !== undefined);
  const firmware = ovmfFirmware({ size: pages * 4096, igvm: regions, sev });
  writeFileSync(join(folder, 'fw.fd'), Buffer.concat([Buffer.alloc(odd, 7), firmware]));
  const files: [string, string, Uint8Array | undefined][] = [
    ['--vars', 'vars.fd', vars === undefined ? undefined : new Uint8Array(vars * 4096).fill(0xff)],
    ['--shim', 'shim.efi', shim],
    ['--kernel', 'kernel.efi', kernel],
  ];
  const [varsArgs = [], ...programArgs] = files.map(([option, name, content]) => {
    if (content === undefined) return [];
    writeFileSync(join(folder, name), content);
    return [option, name];
  });
  const profileArgs = profile === undefined ? [] : ['--profile', profile];
  return [
    ['--input', 'fw.fd', ...varsArgs, ...wrap],
    ['--input', 'wrapped.igvm', ...programArgs.flat(), ...secureBoot, ...profileArgs, '--arch', 'x64'],
  ];
}

/** Runs both programs of one step and compares them. @returns the difference, and whether both wrote a file */
async function step(
  command: string,
  tool: string,
  args: readonly string[],
  folder: string,
): Promise<[string | undefined, boolean]> {
  const theirs = spawnSync(tool, [...args, '--output', 'theirs.igvm'], { cwd: folder, encoding: 'utf8' });
  if (theirs.error !== undefined) throw theirs.error;
  const ours = await runProgram(NX_IGVM, [command, ...args, '--output', 'ours.igvm'], folder);
  const [a, b] = [theirs.status === 0, ours.exitCode === 0];
  if (a !== b)
    return [`${command}: ${a ? `only ours fails: ${ours.stderr}` : `only the tool fails: ${theirs.stderr}`}`, false];
  if (!a) return [existsSync(join(folder, 'ours.igvm')) ? `${command}: a file was left` : undefined, false];
  const [left, right] = ['theirs.igvm', 'ours.igvm'].map((name) => readFileSync(join(folder, name)));
  return [left!.equals(right!) ? undefined : `${command}: the files differ`, true];
}

/** Ends with exit code 1 where an image differs. */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      ovmf: { type: 'boolean' },
      images: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      help: { type: 'boolean' },
    },
  });
  const { IGVM_WRAP: wrapTool, IGVM_UPDATE: updateTool } = process.env;
  if (values.help || wrapTool === undefined || updateTool === undefined) {
    console.log(HELP);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const kept = join(__dirname, '..', '..', 'tmp', 'compare');
  rmSync(kept, { recursive: true, force: true });
  const count = { wrapped: 0, updated: 0, refused: 0, differs: 0 };
  const runs = fc.sample(run, { numRuns: Number(values.images), seed: Number(values.seed) });
  for (const [index, each] of runs.entries()) {
    const folder = join(kept, String(index));
    mkdirSync(folder, { recursive: true });
    const [wrapArgs = [], updateArgs = []] = place(each, folder);
    let [difference, isWritten] = await step('wrap', wrapTool, wrapArgs, folder);
    if (isWritten) {
      count.wrapped++;
      writeFileSync(join(folder, 'wrapped.igvm'), readFileSync(join(folder, 'theirs.igvm')));
      for (const name of ['theirs.igvm', 'ours.igvm']) rmSync(join(folder, name));
      if (difference === undefined) {
        [difference, isWritten] = await step('update', updateTool, updateArgs, folder);
        if (isWritten) count.updated++;
      }
    }
    if (!isWritten && difference === undefined) count.refused++;
    if (difference === undefined) {
      rmSync(folder, { recursive: true });
      continue;
    }
    count.differs++;
    console.log(`image ${index}: ${difference}`);
  }
  const { wrapped, updated, refused, differs } = count;
  console.log(
    `${runs.length} runs of seed ${values.seed}: ${wrapped} wrapped and ${updated} updated, ${refused} refused by both, ${differs} different`,
  );
  if (differs > 0) process.exitCode = 1;
}
