import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { noise, PAGE } from '../../conformance/inputs/bytes';
import { makeInputs } from '../../conformance/make-inputs';
import { skippedFor } from '../boot/needing.fixture';
import { crc32, sha256OfFile } from '../files/hashes';
import { openFileSource } from '../files/file-source';
import { readIgvm } from '../igvm/read-igvm';
import type { GuestConfig, ResourceName } from '../manifest/model';
import { buildImage, type BuildRequest } from './build-image';
import { reportText } from './build-report';
import { failureOf, guest, linux, openhcl, REQUEST_INPUTS, requestIn } from './build-request.fixture';
import type * as KnownWorkers from '../measurement/known-workers.fixture';
import { knownWorkers } from '../measurement/known-workers.fixture';

jest.mock('node:worker_threads', () =>
  jest.requireActual<typeof KnownWorkers>('../measurement/known-workers.fixture').knownWorkerThreads(),
);

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-build-'));
const inputs = join(folder, 'inputs');

beforeAll(() => makeInputs(inputs, [...REQUEST_INPUTS, 'elf-overlap.elf', 'tiny.bin']));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let out: string;
beforeEach(() => {
  out = mkdtempSync(join(folder, 'out-'));
});

const request = (guests: GuestConfig[], files: Partial<Record<ResourceName, string>> = {}): BuildRequest =>
  requestIn(inputs, out, guests, files);

const readBack = (path: string) => {
  const source = openFileSource(path);
  try {
    return readIgvm(source, { crc32 });
  } finally {
    source.close();
  }
};

describe('buildImage', () => {
  (process.platform === 'win32' ? it.skip : it)(
    'makes the image readable for those who may read all of its inputs',
    async () => {
      const secret = join(out, 'secret.cpio');
      copyFileSync(join(inputs, 'initrd-small.bin'), secret);
      chmodSync(secret, 0o600);
      const made = request([guest(linux())]);
      const modes = () =>
        ['image.igvm', 'image.igvm.map'].map((name) => (statSync(join(out, name)).mode & 0o777).toString(8));
      const before = process.umask(0o022);
      try {
        await buildImage(made);
        expect(modes()).toEqual(['644', '644']);
        const resources = new Map([...made.resources, ['linux_initrd' as ResourceName, { path: secret }]]);
        await buildImage({ ...made, resources });
        expect(modes()).toEqual(['600', '644']);
        // Private files stay private.
        await buildImage(made);
        expect(modes()).toEqual(['600', '644']);
        rmSync(join(out, 'image.igvm'));
        await buildImage({ ...made, private: true });
        expect(modes()).toEqual(['600', '644']);
      } finally {
        process.umask(before);
      }
    },
  );

  it('builds a Linux image without isolation as a native guest in format V2', async () => {
    const report = await buildImage({ ...request([guest(linux())]), debugValidation: true });
    const file = readBack(join(out, 'image.igvm'));
    expect(file).toMatchObject({ version: 2, arch: 'x64', platforms: [{ platformType: 0, highestVtl: 0 }] });
    expect(file.directives.filter(({ type }) => type === 'vpContext')).toMatchObject([
      { format: 'native', vpIndex: 0 },
    ]);
    expect(readdirSync(out).sort()).toEqual(['image.igvm', 'image.igvm.map']);
    expect(report.notes).toEqual([]);
    expect(report.details).toEqual([expect.stringContaining('the VMM sets pat')]);
    expect(reportText(report)).not.toContain('note:');
    expect(reportText(report, String, { verbose: true })).toContain('note: the VMM sets pat');
    expect(report.measurements).toEqual([]);
  });

  it('endorses the same image under VBS, in format V1', async () => {
    const vbs = { isolation_type: { vbs: { enable_debug: true } } };
    const report = await buildImage({ ...request([guest(linux(), vbs)]), debugValidation: true });
    expect(readBack(join(out, 'image.igvm'))).toMatchObject({ version: 1, platforms: [{ platformType: 1 }] });
    expect(readdirSync(out).sort()).toEqual(['image-vbs.cbor', 'image-vbs.json', 'image.igvm', 'image.igvm.map']);
    expect(report.files.map(({ kind }) => kind)).toEqual(['image', 'map', 'corim', 'identity']);
    const [measurement] = report.measurements;
    const digest = Buffer.from(measurement?.digest ?? [])
      .toString('hex')
      .toUpperCase();
    expect(readFileSync(join(out, 'image-vbs.json'), 'utf8')).toContain(`"vbs_boot_digest":"${digest}"`);
  });

  it('leaves the CoRIM out of the image on request, and nothing else', async () => {
    const vbs = guest(linux(), { isolation_type: { vbs: { enable_debug: true } } });
    const build = request([vbs]);
    const withCorim = await buildImage(build);
    const whole = readBack(join(out, 'image.igvm'));
    const corim = readFileSync(join(out, 'image-vbs.cbor'));
    const manifest = { ...build.manifest, embed_corim: false };
    const without = await buildImage({ ...build, manifest, debugValidation: true });
    const bare = readBack(join(out, 'image.igvm'));
    expect(whole.initializations.map(({ type }) => type)).toContain('corimDocument');
    expect(bare.initializations).toEqual(whole.initializations.filter(({ type }) => type !== 'corimDocument'));
    expect(bare.directives.length).toBe(whole.directives.length);
    expect(without.measurements).toEqual(withCorim.measurements);
    expect(without.files.map(({ kind }) => kind)).toEqual(['image', 'map', 'corim', 'identity']);
    expect(readFileSync(join(out, 'image-vbs.cbor')).equals(corim)).toBe(true);
  });

  it('builds OpenHCL in VTL0 as the reference does, and notes that it is useless', async () => {
    const { notes } = await buildImage(request([guest(openhcl)]));
    expect(notes).toEqual([expect.stringContaining('without "max_vtl": 2')]);
    expect((await buildImage(request([guest(openhcl, { max_vtl: 2 })]))).notes).toEqual([]);
  });

  it('builds only the pages of a Linux image in VTL2, and says so', async () => {
    const report = await buildImage(request([guest(linux(), { max_vtl: 2 })]));
    const file = readBack(join(out, 'image.igvm'));
    expect(file.directives.every(({ type }) => type === 'pageData')).toBe(true);
    expect(file.platforms).toMatchObject([{ platformType: 1, highestVtl: 2 }]);
    expect(report.notes).toHaveLength(1);
  });

  it('takes page numbers modulo 2^52 and an SNP boundary modulo 64, and says so', async () => {
    const image = (extra: bigint): GuestConfig['image'] => ({
      openhcl: { ...openhcl.openhcl, memory_page_base: extra + 32768n, memory_page_count: extra + 16384n },
    });
    await buildImage(request([guest(image(0n), { max_vtl: 2 })]));
    const plain = readFileSync(join(out, 'image.igvm'));
    const report = await buildImage(request([guest(image(2n ** 52n), { max_vtl: 2 })]));
    expect(readFileSync(join(out, 'image.igvm')).equals(plain)).toBe(true);
    expect(report.notes).toEqual([
      expect.stringMatching(/^memory_page_base .* taken as 32768$/),
      expect.stringMatching(/^memory_page_count .* taken as 16384$/),
    ]);

    const snp = { policy: 0n, enable_debug: false, injection_type: 'restricted', secure_avic: 'disabled' } as const;
    const isolation_type = { snp: { ...snp, shared_gpa_boundary_bits: 110 } };
    const bounded = await buildImage(request([guest('none', { isolation_type })]));
    expect(bounded.notes).toEqual([expect.stringContaining('the boundary is at bit 46')]);
    expect(readBack(join(out, 'image.igvm')).platforms).toMatchObject([{ sharedGpaBoundary: 2n ** 46n }]);
  });

  it('produces the same bytes again, and counts every page', async () => {
    const seen: number[] = [];
    let total = 0;
    const report = await buildImage({
      ...request([guest(openhcl, { max_vtl: 2 })]),
      progress: (done, of) => {
        seen.push(done);
        total = of;
      },
    });
    const first = readFileSync(join(out, 'image.igvm'));
    expect(seen.at(-1)).toBe(total);
    expect(total).toBe(report.image?.pages);
    expect([...seen].sort((a, b) => a - b)).toEqual(seen);
    await buildImage(request([guest(openhcl, { max_vtl: 2 })]));
    expect(readFileSync(join(out, 'image.igvm')).equals(first)).toBe(true);
  });

  it('creates the folder of its output', async () => {
    const output = join(out, 'a', 'b', 'image.igvm');
    await buildImage({ ...request([guest('none')]), output });
    expect(readdirSync(join(out, 'a', 'b')).sort()).toEqual(['image.igvm', 'image.igvm.map']);
  });
});

describe('a build that fails', () => {
  it('names the invalid file, and keeps the old image', async () => {
    await buildImage(request([guest(linux())]));
    const before = readFileSync(join(out, 'image.igvm'));
    const error = await failureOf(buildImage(request([guest(linux())], { linux_kernel: 'tiny.bin' })));
    expect(error).toMatchObject({ code: 'KERNEL_INVALID', where: { file: 'tiny.bin' } });
    expect(readFileSync(join(out, 'image.igvm')).equals(before)).toBe(true);
    expect(readdirSync(out).sort()).toEqual(['image.igvm', 'image.igvm.map']);
  });

  it('names the guest if the fault is not in a file', async () => {
    const snp = {
      snp: {
        shared_gpa_boundary_bits: 46,
        policy: 0n,
        enable_debug: false,
        injection_type: 'normal',
        secure_avic: 'disabled',
      },
    } as const;
    const guests = [
      guest('none', { isolation_type: { vbs: { enable_debug: false } } }),
      guest(openhcl, { max_vtl: 2, isolation_type: snp }),
    ];
    const error = await failureOf(buildImage(request(guests, { underhill_kernel: 'elf-overlap.elf' })));
    expect(error.code).toBe('LAYOUT_OVERLAP');
    expect(error.where).toMatchObject({ file: 'igvm.json', line: 7, jsonPath: ['guest_configs', 1, 'image'] });
    expect(readdirSync(out)).toEqual([]);
  });

  it.each([
    ['command_line', guest(linux({ command_line: 'x'.repeat(3000) }))],
    ['memory_size', guest(linux({ memory_size: 2 ** 20 }))],
    ['processor_count', guest(linux({ boot_data: 'embedded', memory_size: 2 ** 28, processor_count: 255 }))],
  ] as const)('points at %s if that does not fit', async (key, config) => {
    const error = await failureOf(buildImage(request([config])));
    expect(error.where).toMatchObject({
      file: 'igvm.json',
      line: 7,
      jsonPath: ['guest_configs', 0, 'image', 'linux', key],
    });
  });

  it('detects a file that is rewritten while it is read', async () => {
    const changing = join(inputs, 'changing.bin');
    writeFileSync(changing, noise('a', 8 * PAGE));
    const build = buildImage({
      ...request([guest(linux())], { linux_initrd: 'changing.bin' }),
      progress: () => writeFileSync(changing, noise('b', 9 * PAGE)),
    });
    expect((await failureOf(build)).code).toBe('FILE_CHANGED');
    expect(readdirSync(out)).toEqual([]);
  });

  skippedFor(availableParallelism() > 1 ? undefined : 'two processors').it('leaves no thread behind', async () => {
    const initrd = join(out, 'large.cpio');
    writeFileSync(initrd, Buffer.alloc(36 * 2 ** 20, 1));
    const made = request([guest(linux(), { isolation_type: { vbs: { enable_debug: false } } })]);
    const resources = new Map([...made.resources, ['linux_initrd' as ResourceName, { path: initrd }]]);
    const progress = () => {
      if (knownWorkers.length > 0) truncateSync(initrd, 5000);
    };
    knownWorkers.length = 0;
    const error = await failureOf(buildImage({ ...made, resources, progress }));
    expect(error).toMatchObject({ code: 'FILE_CHANGED' });
    // A thread that has ended has the ID -1.
    expect(knownWorkers.map(({ threadId }) => threadId)).toEqual(knownWorkers.map(() => -1));
    expect(knownWorkers).not.toHaveLength(0);
  });

  it('does not replace its inputs', async () => {
    const base = request([guest(linux())]);
    const kernel = base.resources.get('linux_kernel')?.path ?? '';
    expect((await failureOf(buildImage({ ...base, output: kernel }))).code).toBe('FILE_UNWRITABLE');
    symlinkSync(dirname(kernel), join(out, 'linked'));
    const linked = join(out, 'linked', basename(kernel));
    expect((await failureOf(buildImage({ ...base, output: linked }))).code).toBe('FILE_UNWRITABLE');
    const manifest = `${base.output}.map`;
    expect((await failureOf(buildImage({ ...base, otherInputs: [manifest] }))).code).toBe('FILE_UNWRITABLE');
  });

  it('builds from pinned files alone', async () => {
    const base = request([guest(linux())]);
    const path = join(out, 'kernel');
    copyFileSync(base.resources.get('linux_kernel')?.path ?? '', path);
    const where = { file: 'igvm.json', line: 3, column: 5 };
    const kernel = { path, display: 'kernel', sha256: sha256OfFile(path), where };
    const pinned = { ...base, resources: new Map([...base.resources, ['linux_kernel' as const, kernel]]) };
    await expect(buildImage(pinned)).resolves.toMatchObject({ measurements: [] });
    // As if it were replaced after the manifest was read.
    appendFileSync(path, '!');
    expect(await failureOf(buildImage(pinned))).toMatchObject({ code: 'RESOURCE_DIGEST', where });
  });

  it('reports an output that is a folder', async () => {
    mkdirSync(join(out, 'image.igvm'));
    expect((await failureOf(buildImage(request([guest('none')])))).code).toBe('FILE_UNWRITABLE');
    expect(readdirSync(out)).toEqual(['image.igvm']);
  });
});
