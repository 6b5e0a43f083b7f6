import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { skippedFor } from '../src/boot/needing.fixture';
import { IGVMFILEGEN } from '../src/cli/igvmfilegen-program';
import { withImage } from '../src/files/igvm-image';
import { sha256OfFile } from '../src/files/sha256';
import type { IgvmFile } from '../src/igvm/model';
import { type Launch, launchesOf } from '../src/measurement/launches';
import { measureLaunches, type MeasurementReport } from '../src/measurement/measure';
import { placeCase } from './cases';
import { makeInputs } from './make-inputs';
import { runProgram } from './run-program';

/** What real VMMs measure: data beside the repository, where its owners have it. */
const SHARED = resolve(__dirname, '..', '..', 'shared');
const DIGESTS = join(SHARED, 'vmm-digests', 'digests.json');
const MAKE_FIRMWARE = join(SHARED, 'ovmf', 'make_firmware.py');

interface Expected {
  rule: string;
  vcpus?: number;
  cpus?: string[];
  digest?: string;
}

interface MeasuredFile {
  name: string;
  sha256: string;
  digests: Expected[];
  refused: Expected[];
}

const isThere = existsSync(DIGESTS) && existsSync(MAKE_FIRMWARE) && spawnSync('python3', ['--version']).status === 0;
const files = isThere ? (JSON.parse(readFileSync(DIGESTS, 'utf8')) as { files: MeasuredFile[] }).files : [];
const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-vmm-digests-'));

beforeAll(() => {
  if (!isThere) return;
  makeInputs(join(folder, 'inputs'));
  const { status, stderr } = spawnSync('python3', [MAKE_FIRMWARE, join(folder, 'hand-made')], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Path of a file of the table. */
async function makeFile(name: string): Promise<string> {
  const [kind = '', each = ''] = name.replace('+no-corim', '').split('/');
  if (kind === 'igvm') return join(folder, 'hand-made', 'igvm', `${each}.igvm`);
  const cwd = join(folder, each);
  const path = join(cwd, 'out.igvm');
  if (existsSync(path)) return path;
  placeCase(`cases/${each}`, cwd, join(folder, 'inputs'));
  await runProgram(IGVMFILEGEN, ['manifest', '-m', 'manifest.json', '-r', 'resources.json', '-o', 'out.igvm'], cwd);
  return path;
}

const withoutCorim = (file: IgvmFile): IgvmFile => ({
  ...file,
  initializations: file.initializations.filter(({ type }) => !type.startsWith('corim')),
});

const launchOf = ({ rule, vcpus, cpus }: Expected): Launch[] =>
  launchesOf({
    vmm: rule,
    ...(vcpus === undefined ? {} : { vcpus: [vcpus] }),
    ...(cpus === undefined ? {} : { cpu: cpus }),
  });

/** What {@link Expected} says, of what was measured. */
const found = (report: MeasurementReport, launch: Launch): string =>
  Buffer.from(report.measurements.find((each) => each.launch === launch)?.digest ?? []).toString('hex') ||
  (report.refusals.some((each) => each.launch === launch) ? 'refused' : 'nothing');

const testable = files.filter(({ name }) => /^(?:igvm|conformance)\//.test(name));

skippedFor(isThere ? undefined : 'python3 and the digests of real VMMs').describe(
  'the digest that each VMM reports',
  () => {
    it.each(testable)('$name', async ({ name, sha256, digests, refused }) => {
      const path = await makeFile(name);
      if (!name.endsWith('+no-corim')) expect(await sha256OfFile(path)).toBe(sha256);
      const wanted = [
        ...digests.map((each) => ({ launches: launchOf(each), outcome: each.digest })),
        ...refused.map((each) => ({
          launches: launchOf({ ...each, cpus: each.rule === 'qemu-kvm' ? ['EPYC'] : undefined }),
          outcome: 'refused',
        })),
      ];
      await withImage(path, async ({ file }) => {
        const launches = wanted.flatMap((each) => each.launches);
        const measured = name.endsWith('+no-corim') ? withoutCorim(file) : file;
        const report = await measureLaunches(measured, { platforms: ['snp'], launches });
        const outcomes = wanted.flatMap((each) =>
          each.launches.map((launch) => ({ launch, outcome: found(report, launch) })),
        );
        expect(outcomes).toEqual(
          wanted.flatMap(({ launches: own, outcome }) => own.map((launch) => ({ launch, outcome }))),
        );
      });
    });
  },
);
