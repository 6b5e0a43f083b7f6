import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { skippedFor } from '../src/boot/needing.fixture';
import { IGVMFILEGEN } from '../src/cli/programs';
import { withImage } from '../src/files/igvm-image';
import { processorTime } from '../src/files/processor-time.fixture';
import { sha256OfFile } from '../src/files/hashes';
import type { IgvmFile } from '../src/igvm/model';
import { explainDigest } from '../src/attestation/explain';
import { type Launch, launchesOf, launchName } from '../src/measurement/launches';
import { measureLaunches, type MeasurementReport } from '../src/measurement/measure';
import { placeCase, runProgram } from './cases';
import { makeInputs } from './make-inputs';
import { hasOvmfCases, makeOvmfInputs, type OvmfCase, ovmfCases, runInPlaceOfTool } from './ovmf-cases';

/** The launch digests of real VMMs. The data is outside the repository and may be missing. */
const SHARED = resolve(__dirname, '..', '..', 'shared');
const DIGESTS = join(SHARED, 'vmm-digests', 'digests.json');

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

const isThere = existsSync(DIGESTS) && hasOvmfCases();
const files = isThere ? (JSON.parse(readFileSync(DIGESTS, 'utf8')) as { files: MeasuredFile[] }).files : [];
const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-vmm-digests-'));

beforeAll(() => {
  if (!isThere) return;
  makeInputs(join(folder, 'inputs'));
  makeOvmfInputs(join(folder, 'hand-made'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const wrapped = (...args: string[]): Omit<OvmfCase, 'expected'> => ({
  tool: 'igvm-wrap',
  args: ['--input', ...args, '--output', '{out}'],
});

/** The files of igvm-wrap and igvm-update that are not among the recorded cases, and the commands that make them. */
const OVMF_FILES: ReadonlyMap<string, Omit<OvmfCase, 'expected'>> = new Map([
  ...(isThere ? ovmfCases() : []),
  ['wrap/real-inteltdx-both', wrapped('{inteltdx}', '--snp')],
  ['wrap/fw-full-4m-both', wrapped('fw/full-4m.fd', '--snp')],
  ['wrap/opt-snp-flat32', wrapped('fw/full-256k.fd', '--snp', '--flat32')],
  [
    'update/snp-shim-kernel',
    {
      tool: 'igvm-update',
      args: ['--input', '{pre0}', '--shim', 'pe/shim.efi', '--kernel', 'pe/uki-small.efi', '--output', '{out}'],
      pre: [wrapped('fw/full-64k.fd', '--snp', '--no-native')],
    },
  ],
]);

/** Makes a file of igvm-wrap or igvm-update with our own commands. */
async function makeOvmfFile(name: string): Promise<string> {
  const made = OVMF_FILES.get(name);
  if (made === undefined) throw new Error(`${name} is not a known file`);
  const paths: string[] = [];
  for (const step of [...(made.pre ?? []), made]) {
    const out = join(folder, `${name.replace('/', '-')}-${paths.length}.igvm`);
    expect(await runInPlaceOfTool(join(folder, 'hand-made'), step, out, paths)).toMatchObject({ exitCode: 0 });
    paths.push(out);
  }
  return paths.at(-1)!;
}

/** The path of a file in the table. */
async function makeFile(name: string): Promise<string> {
  const [kind = '', each = ''] = name.replace('+no-corim', '').split('/');
  if (kind === 'wrap' || kind === 'update') return makeOvmfFile(name);
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

/** The measured result, in the form of {@link Expected}. */
const found = (report: MeasurementReport, launch: Launch): string =>
  Buffer.from(report.measurements.find((each) => each.launch === launch)?.digest ?? []).toString('hex') ||
  (report.refusals.some((each) => each.launch === launch) ? 'refused' : 'nothing');

const testable = files.filter(({ name }) => /^(?:igvm|conformance|wrap|update)\//.test(name));

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

    // The table may have a file without its CoRIM. The file with it explains the same digests, and notes that the VMM would refuse it.
    it.each(testable)(
      'is explained for $name, each digest in two seconds of processor time',
      async ({ name, digests }) => {
        const path = await makeFile(name);
        for (const expected of digests) {
          const seconds = processorTime();
          const { found } = await explainDigest({ subject: expected.digest ?? '', image: path });
          expect(seconds()).toBeLessThan(2);
          // Versions of a model have the same signature, and so the same digest.
          const models = expected.cpus?.filter((cpu) => !/-v\d$/.test(cpu));
          const names = found.map(({ launch }) => launch && launchName(launch));
          expect(names).toEqual(expect.arrayContaining(launchOf({ ...expected, cpus: models }).map(launchName)));
          const isRefused = name.endsWith('+no-corim') && expected.rule.endsWith('kvm');
          if (isRefused) expect(found[0]?.refusals.join()).toContain('CoRIM');
        }
      },
    );
  },
);
