import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { conformanceCases, placeCase } from '../conformance/cases';
import { makeInputs } from '../conformance/make-inputs';
import { placeImage, type RandomImage, randomImage } from '../conformance/random-images/random-manifest';
import { writeReferenceValues } from '../src/attestation/reference-values';
import { buildManifest } from '../src/builder/build-manifest';
import { IGVMFILEGEN, run } from '../src/cli/programs';
import { addSnpIdBlock } from '../src/endorsement/sign-image';
import { IgvmError } from '../src/errors/igvm-error';
import { crc32, sha256Hex } from '../src/files/hashes';
import { withImage } from '../src/files/igvm-image';
import { PLATFORM_TYPE } from '../src/igvm/model';
import { memorySink } from '../src/igvm/file-data';
import { writeIgvm } from '../src/igvm/write-igvm';
import { efiProgram, ovmfFirmware, SEV_REGIONS } from '../src/loader/ovmf/ovmf-firmware.fixture';
import { launchesOf } from '../src/measurement/launches';
import { measurablePlatforms, measure } from '../src/measurement/measure';
import { skippedFor } from '../src/boot/needing.fixture';
import { debianKernel, needingKernel } from './debian-kernel';
import { canonical, headerLines } from './igvm-reader/header-lines';
import { maskOf, secondSnpDigest } from './measurement/second-measurement';
import { extractVmlinux } from './vmlinux';

/** Random images with a fixed seed, so that a failure can be repeated. */
const RANDOM = { seed: Number(process.env['NX_IGVM_SEED'] ?? 20_260), numRuns: 100 };

/** 256 MiB, enough for a Debian kernel to unpack itself. */
const DEBIAN_PAGES = 65536;

interface SnpLinuxDirectManifest {
  guest_configs: [{ image: { snp_linux_direct: { memory_page_count: number } } }];
}

/** An empty guest: the crate writes such a file, but refuses to read it. */
const TOO_SMALL = ['cases/quirk-image-none-48-byte-file', 'cases-head/ok-none-with-shim-resource'];

/** The names in CoRIMs for each platform and its measurement, and the digest's algorithm (IANA "Named Information": SHA-256, SHA-384). */
const ENVIRONMENTS = {
  snp: { name: 'AMD/SEV-SNP', key: 'MEASUREMENT', algorithm: '7' },
  tdx: { name: 'Intel/TDX', key: 'MRTD', algorithm: '7' },
  vbs: { name: 'Microsoft/VBS', key: 'MEASUREMENT', algorithm: '1' },
} as const;

const CRATE = join(__dirname, 'igvm-reader');
const hasCargo = spawnSync('cargo', ['--version']).status === 0;
if (!hasCargo) {
  const message = 'The independent reader is not run: it is a Rust program, and there is no cargo here.';
  // A CI machine must not skip these unnoticed.
  if (process.env['NX_IGVM_SKIP_NOTHING'] !== undefined && process.env['NX_IGVM_NO_CARGO'] === undefined) {
    throw new Error(`${message} Set NX_IGVM_NO_CARGO=1 to skip it.`);
  }
}
const { it: withKernel } = hasCargo ? needingKernel('amd64', 'xz') : { it };
const { describe: withCargo } = skippedFor(hasCargo ? undefined : 'cargo');

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-reader-'));
const inputs = join(folder, 'inputs');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The igvm crate's result for each of these files. */
function crateLines(images: readonly string[]): string[][] {
  const program = join(CRATE, 'target', 'release', process.platform === 'win32' ? 'igvm-reader.exe' : 'igvm-reader');
  const output = execFileSync(program, images, { encoding: 'utf8', maxBuffer: 2 ** 30 });
  const files: string[][] = [[]];
  for (const line of output.trimEnd().split('\n')) {
    const value = JSON.parse(line) as Record<string, unknown>;
    files.at(-1)!.push(canonical(value));
    if (value['type'] === 'end' || 'error' in value) files.push([]);
  }
  return files.slice(0, -1);
}

/** Checks that our reader and the crate agree on headers, data and launch digests, and that writing restores the file. */
async function expectAgreement(image: string, theirs = crateLines([image])[0]!): Promise<void> {
  const bytes = readFileSync(image);
  await withImage(image, async ({ file }) => {
    const measurements = measurablePlatforms(file).length === 0 ? [] : await measure(file);
    const ours = headerLines(file, measurements);
    const at = ours.findIndex((line, index) => line !== theirs[index]);
    expect({ line: at, ours: ours[at], theirs: theirs[at] }).toEqual({ line: -1 });
    expect(ours).toHaveLength(theirs.length);

    const sink = memorySink();
    await writeIgvm(file, sink, { crc32, sha256Hex });
    expect(Buffer.compare(sink.bytes(), bytes)).toBe(0);

    const mask = maskOf(bytes, PLATFORM_TYPE.SEV_SNP);
    if (mask !== undefined) {
      const [vanadium] = await measure(file, { platforms: ['snp'], launches: launchesOf({ vmm: 'vanadium' }) });
      const second = secondSnpDigest(bytes, mask, 'vanadium').toString('hex');
      expect(Buffer.from(vanadium?.digest ?? []).toString('hex')).toBe(second);
    }
  });
}

/** Builds in `cwd`; undefined if the manifest is refused. */
async function build(cwd: string, flags: readonly string[] = []): Promise<string | undefined> {
  let errors = '';
  const environment = { cwd, stdout: () => {}, stderr: (text: string) => void (errors += text), isInteractive: false };
  const args = ['manifest', '-m', 'manifest.json', '-r', 'resources.json', '-o', 'out.igvm', ...flags];
  const exitCode = await run(IGVMFILEGEN, args, environment);
  expect(errors).not.toMatch(/internal error/);
  return exitCode === 0 ? join(cwd, 'out.igvm') : undefined;
}

withCargo('the igvm crate', () => {
  beforeAll(() => {
    makeInputs(inputs);
    execFileSync('cargo', ['build', '--release', '--locked', '--quiet'], { cwd: CRATE, stdio: 'inherit' });
  }, 900_000);

  it.each(conformanceCases().filter(({ name, sha256 }) => sha256 !== undefined && !TOO_SMALL.includes(name)))(
    'reads and measures $name with the same result as ours',
    async ({ name, args }) => {
      const cwd = join(folder, name);
      mkdirSync(cwd, { recursive: true });
      placeCase(name, cwd, inputs);
      const image = await build(cwd, args);
      if (image === undefined) throw new Error(`${name} is refused`);
      await expectAgreement(image);
      rmSync(cwd, { recursive: true });
    },
  );

  it('reads and measures an OVMF image with a UKI and Secure Boot with the same result as ours', async () => {
    const cwd = join(folder, 'ovmf');
    mkdirSync(cwd);
    writeFileSync(join(cwd, 'OVMF.fd'), ovmfFirmware({ sev: SEV_REGIONS }));
    writeFileSync(join(cwd, 'linux.efi'), efiProgram('kernel'));
    const snp = { snp: { policy: 0x30000, enable_debug: false, injection_type: 'normal' } };
    const image = { ovmf: { boot_mode: 'flat32', secure_boot: { hashes: true, profile: 'all' } } };
    const guests = ['none', snp].map((isolation) => ({ guest_svn: 1, max_vtl: 0, isolation_type: isolation, image }));
    const resources = { ovmf_code: 'OVMF.fd', uki: 'linux.efi' };
    writeFileSync(join(cwd, 'igvm.json'), JSON.stringify({ guest_arch: 'x64', guest_configs: guests, resources }));
    await buildManifest({ manifest: join(cwd, 'igvm.json'), output: join(cwd, 'out.igvm') });
    await expectAgreement(join(cwd, 'out.igvm'));
  });

  it('reads the launch digests in the CoRIM of reference values', async () => {
    const cwd = join(folder, 'reference-values');
    mkdirSync(cwd);
    placeCase('cases/openhcl-x64-cvm-dev', cwd, inputs);
    const image = (await build(cwd)) ?? '';
    const corim = join(cwd, 'values', 'corim.cbor');
    await writeReferenceValues({ image, output: join(cwd, 'values'), formats: ['corim'] });
    const documents = crateLines([corim])[0]!
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const digests = await withImage(image, ({ file }) => measure(file));
    expect(documents).toEqual(
      digests.map(({ platform, digest }) => {
        const { name, key, algorithm } = ENVIRONMENTS[platform];
        const measurement = { key, digests: [[algorithm, Buffer.from(digest).toString('hex')]], svn: null };
        return {
          type: 'comid',
          profile: null,
          references: [[name, [measurement]]],
          series: [[name, [[[measurement], [{ key: null, digests: null, svn: 1 }]]]]],
        };
      }),
    );
  });

  it('reads an image with an ID block with the same result as ours', async () => {
    const cwd = join(folder, 'id-block');
    mkdirSync(cwd);
    placeCase('cases/openhcl-x64-snp', cwd, inputs);
    const image = (await build(cwd)) ?? '';
    const signed = join(cwd, 'signed.igvm');
    await addSnpIdBlock({ input: image, output: signed, source: { kind: 'guestSvn', guestSvn: 1 } });
    await expectAgreement(signed);
  });

  withKernel.each(['vmlinuz', 'vmlinux'])(
    'reads and measures a directly booted SNP guest with a Debian %s with the same result as ours',
    async (form) => {
      const cwd = join(folder, form);
      mkdirSync(cwd);
      placeCase('cases/snp-linux-direct', cwd, inputs);
      const manifest = JSON.parse(readFileSync(join(cwd, 'manifest.json'), 'utf8')) as SnpLinuxDirectManifest;
      manifest.guest_configs[0].image.snp_linux_direct.memory_page_count = DEBIAN_PAGES;
      writeFileSync(join(cwd, 'manifest.json'), JSON.stringify(manifest));
      const { vmlinuz } = debianKernel();
      const kernel = join(cwd, form);
      if (form === 'vmlinux') writeFileSync(kernel, extractVmlinux(vmlinuz));
      else copyFileSync(vmlinuz, kernel);
      const resources = { linux_kernel: kernel, linux_initrd: join(inputs, 'initrd-small.bin') };
      writeFileSync(join(cwd, 'resources.json'), JSON.stringify({ resources }));

      const image = await build(cwd);
      if (image === undefined) throw new Error('the image is refused');
      await expectAgreement(image);
      const { digest } = await withImage(
        image,
        async ({ file }) => (await measure(file))[0] ?? { digest: new Uint8Array(0) },
      );
      const reported = Buffer.from(digest).toString('hex').toUpperCase();
      expect(readFileSync(join(cwd, 'out-snp.json'), 'utf8')).toContain(`"snp_ld":"${reported}"`);
      rmSync(cwd, { recursive: true });
    },
  );

  it('reads and measures random images with the same result as ours and as the build’s report', async () => {
    const built: { image: RandomImage; path: string; digests: string[] }[] = [];
    for (const [index, image] of fc.sample(randomImage, RANDOM).entries()) {
      const cwd = join(folder, `random-${index}`);
      mkdirSync(cwd);
      placeImage(image, cwd);
      const path = join(folder, `random-${index}.igvm`);
      try {
        const { measurements } = await buildManifest({ manifest: join(cwd, 'igvm.json'), output: path });
        built.push({ image, path, digests: measurements.map(({ digest }) => Buffer.from(digest).toString('hex')) });
      } catch (error) {
        if (!(error instanceof IgvmError)) throw error;
      }
      rmSync(cwd, { recursive: true });
    }
    expect(built.length).toBeGreaterThan(RANDOM.numRuns / 2);

    const seen = crateLines(built.map(({ path }) => path));
    expect(seen).toHaveLength(built.length);
    for (const [index, { image, path, digests }] of built.entries()) {
      try {
        await expectAgreement(path, seen[index]);
        for (const digest of digests) expect(seen[index]!.join('\n')).toContain(`"digest":"${digest}"`);
      } catch (cause) {
        throw new Error(`seed ${RANDOM.seed}, ${path}: ${inspect(image, { depth: null })}`, { cause });
      }
    }
  });
});
