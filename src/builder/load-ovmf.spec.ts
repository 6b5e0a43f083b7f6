import { textOf } from '../errors/json-path.fixture';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import {
  efiProgram,
  IGVM_REGIONS,
  ovmfFirmware,
  SEV_REGIONS,
  variableStore,
} from '../loader/ovmf/ovmf-firmware.fixture';
import { ukiFile } from '../uki/uki.fixture';
import { buildManifest } from './build-manifest';
import type { BuildReport } from './build-report';
import { updateFiles, wrapFiles } from './ovmf-image';

let folder: string;
const at = (name: string): string => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-ovmf-'));
  const files: Record<string, Uint8Array | string> = {
    'OVMF.fd': ovmfFirmware({ sev: SEV_REGIONS }),
    'plain.fd': ovmfFirmware(),
    'no-hob.fd': ovmfFirmware({ igvm: IGVM_REGIONS.slice(0, 3), sev: SEV_REGIONS }),
    'large-area.fd': ovmfFirmware({ igvm: [[0x80_8000, 0x3000, 0x100]], sev: SEV_REGIONS }),
    'wrong-offset.fd': ovmfFirmware({
      igvm: [
        [0x80_8000, 0x1000, 0x100],
        [0xffd, 4, 0x102],
      ],
    }),
    'odd.fd': ovmfFirmware().subarray(1),
    'empty.fd': '',
    'VARS.fd': variableStore(),
    'shim.efi': efiProgram('shim'),
    'linux.efi': efiProgram('kernel'.repeat(2000)),
    'other.efi': efiProgram('other'),
    'text.txt': 'not a program',
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(at(name), content);
});
afterAll(() => rmSync(folder, { recursive: true }));

const SNP = { policy: 0x30000, enable_debug: false, injection_type: 'normal' };
type Json = Record<string, unknown>;
const guest = (isolation: 'none' | Json, ovmf: Json = {}): Json => ({
  guest_svn: 1,
  max_vtl: 0,
  isolation_type: isolation === 'none' ? 'none' : { snp: { ...SNP, ...isolation } },
  image: { ovmf },
});

function build(guests: Json[], resources: Json, more: Json = {}): Promise<BuildReport> {
  writeFileSync(
    at('igvm.json'),
    JSON.stringify({ guest_arch: 'x64', guest_configs: guests, resources, ...more }, null, 2),
  );
  return buildManifest({
    manifest: at('igvm.json'),
    output: at('built.igvm'),
    display: (path) => path.replace(`${folder}/`, ''),
  });
}

async function failureOf(promise: Promise<unknown>): Promise<IgvmError> {
  const error: unknown = await promise.catch((thrown: unknown) => thrown);
  if (error instanceof IgvmError) return error;
  throw new Error('no failure, or a bug', { cause: error });
}

/** The image that the two commands make from the same files. */
async function byCommands(
  wrap: Partial<Parameters<typeof wrapFiles>[0]>,
  update?: Partial<Parameters<typeof updateFiles>[0]>,
): Promise<Buffer> {
  const output = at('wrapped.igvm');
  const usual = { firmware: at('OVMF.fd'), native: true, snp: false, parameters: true, bootMode: 'real16' as const };
  await wrapFiles({ ...usual, ...wrap, output });
  if (update === undefined) return readFileSync(output);
  await updateFiles({ image: output, addHashes: false, arch: 'x64', ...update, output: at('updated.igvm') });
  return readFileSync(at('updated.igvm'));
}

const isSame = (expected: Buffer): boolean => readFileSync(at('built.igvm')).equals(expected);

describe('an image of OVMF from a manifest', () => {
  it.each([
    ['a guest without isolation', [guest('none')], { native: true }],
    ['an SEV-SNP guest', [guest({})], { native: false, snp: true }],
    ['both', [guest('none'), guest({})], { native: true, snp: true }],
    ['both in the other order', [guest({}), guest('none')], { native: true, snp: true }],
    [
      'both in protected mode without parameters',
      [
        guest('none', { boot_mode: 'flat32', parameters: false }),
        guest({}, { boot_mode: 'flat32', parameters: false }),
      ],
      { native: true, snp: true, bootMode: 'flat32' as const, parameters: false },
    ],
  ])('is the same as wrap makes: %s', async (_, guests, options) => {
    await build(guests, { ovmf_code: 'OVMF.fd' });
    expect(isSame(await byCommands(options))).toBe(true);
  });

  it.each([
    ['a UKI', {}, { uki: 'linux.efi' }, { kernel: 'linux.efi' }],
    ['a kernel', {}, { linux_kernel: 'linux.efi' }, { kernel: 'linux.efi' }],
    ['shim and UKI', {}, { shim: 'shim.efi', uki: 'linux.efi' }, { shim: 'shim.efi', kernel: 'linux.efi' }],
    [
      'Secure Boot by hashes',
      { secure_boot: { hashes: true } },
      { shim: 'shim.efi', uki: 'linux.efi' },
      { shim: 'shim.efi', kernel: 'linux.efi', addHashes: true },
    ],
    ['Secure Boot by a profile', { secure_boot: { profile: 'win+rom23' } }, {}, { profile: 'win+rom23' as const }],
    [
      'Secure Boot by both',
      { secure_boot: { profile: 'uefi11', hashes: true } },
      { uki: 'linux.efi' },
      { kernel: 'linux.efi', addHashes: true, profile: 'uefi11' as const },
    ],
  ])('is the same as wrap and then update make: %s', async (_, ovmf, resources, { shim, kernel, ...options }: Json) => {
    await build([guest('none', ovmf), guest({}, ovmf)], { ovmf_code: 'OVMF.fd', ovmf_vars: 'VARS.fd', ...resources });
    const programs = {
      ...(shim === undefined ? {} : { shim: at(shim as string) }),
      ...(kernel === undefined ? {} : { kernel: at(kernel as string) }),
    };
    const expected = await byCommands({ snp: true, vars: at('VARS.fd') }, { ...options, ...programs });
    expect(isSame(expected)).toBe(true);
  });

  it('shows the contents of a UKI, and refuses a damaged one', async () => {
    writeFileSync(at('uki.efi'), ukiFile({ '.cmdline': 'quiet', '.linux': new Uint8Array(700) }));
    const { notes } = await build([guest('none')], { ovmf_code: 'OVMF.fd', uki: 'uki.efi' });
    expect(notes).toContainEqual(expect.stringMatching(/uki\.efi is a UKI: \.cmdline "quiet", \.linux 700 bytes$/));
    writeFileSync(at('uki.efi'), ukiFile({ '.linux': new Uint8Array(700) }).subarray(0, 1500));
    await expect(build([guest('none')], { ovmf_code: 'OVMF.fd', uki: 'uki.efi' })).rejects.toMatchObject({
      code: 'EFI_DATA_INVALID',
      message: expect.stringContaining('its section .linux lies outside the file') as string,
    });
  });

  it("has the manifest's policy, with its debug bit", async () => {
    await build([guest({ policy: 0x1_30000, enable_debug: true })], { ovmf_code: 'OVMF.fd' });
    const built = readFileSync(at('built.igvm'));
    const wrapped = await byCommands({ native: false, snp: true });
    const at8 = wrapped.indexOf(Buffer.from('0000030000000000', 'hex'), 32);
    expect(built.readBigUInt64LE(at8)).toBe(0x1_b0000n);
  });

  it('lists the regions with their names, and says which are measured', async () => {
    const ovmf = { secure_boot: { profile: 'uefi23' } };
    const { notes } = await build([guest('none', ovmf), guest({}, ovmf)], {
      ovmf_code: 'OVMF.fd',
      ovmf_vars: 'VARS.fd',
      uki: 'linux.efi',
    });
    const [native = '', snp = ''] = readFileSync(at('built.igvm.map'), 'utf8').trim().split('\n\n');
    const names = (text: string): string[] => [...text.matchAll(/bytes\) (.*)$/gm)].map(([, name = '']) => name);
    const shared = ['ovmf-parameters', 'ovmf-hob'];
    const variables = ['secure-boot-pk', 'secure-boot-kek', 'secure-boot-db', 'secure-boot-dbx'];
    expect(names(native)).toEqual(['ovmf-code-low', ...shared, ...variables, 'uki', 'ovmf-vars', 'ovmf-code']);
    expect(names(snp)).toEqual([
      'ovmf-code-low',
      'sev-memory',
      ...shared,
      'sev-memory',
      'sev-secrets',
      'sev-cpuid',
      'sev-calling-area',
      'sev-kernel-hashes',
      ...variables,
      'uki',
      'ovmf-vars',
      'ovmf-code',
      'vp-context-page',
    ]);
    expect(notes).toEqual([
      'measured: firmware, variable store, list of programs, PK, KEK, db, dbx; not measured: UKI, what the VMM fills in; ' +
        'the firmware checks UKI by db and dbx',
      expect.stringContaining('qemu-kvm'),
    ]);
  });

  it('measures programs without Secure Boot', async () => {
    const { notes } = await build([guest('none', { parameters: false })], { ovmf_code: 'OVMF.fd', uki: 'linux.efi' });
    expect(notes).toEqual(['measured: firmware, list of programs, UKI']);
  });

  it('has its CoRIM in a separate file, and in the image only if the manifest says so', async () => {
    const { files } = await build([guest({})], { ovmf_code: 'OVMF.fd' });
    expect(files.map(({ kind }) => kind)).toEqual(['image', 'map', 'corim', 'identity', 'idBlock']);
    const without = readFileSync(at('built.igvm')).length;
    await build([guest({})], { ovmf_code: 'OVMF.fd' }, { embed_corim: true });
    expect(readFileSync(at('built.igvm')).length).toBeGreaterThan(without);
  });
});

describe('a build of an image that no VMM would start is refused with', () => {
  it.each<[string, Json[], Json, Partial<IgvmError>]>([
    [
      'an empty file as firmware',
      [guest('none')],
      { ovmf_code: 'empty.fd' },
      { code: 'FIRMWARE_INVALID', where: { file: 'empty.fd' } },
    ],
    [
      'firmware whose size is not a whole number of pages',
      [guest('none')],
      { ovmf_code: 'odd.fd' },
      { code: 'IGVM_INVALID', where: { file: 'odd.fd' } },
    ],
    [
      'firmware without pages for SEV-SNP',
      [guest('none'), guest({})],
      { ovmf_code: 'plain.fd' },
      {
        code: 'OVMF_UNSUITABLE',
        where: { file: 'plain.fd' },
        message: expect.stringMatching(/secrets and no .*CPUID/) as string,
      },
    ],
    [
      'firmware that does not look for a UKI',
      [guest('none')],
      { ovmf_code: 'no-hob.fd', uki: 'linux.efi' },
      { code: 'OVMF_UNSUITABLE', where: { file: 'no-hob.fd' } },
    ],
    [
      'an area over pages that SEV-SNP accepts',
      [guest({})],
      { ovmf_code: 'large-area.fd' },
      { code: 'LAYOUT_OVERLAP' },
    ],
    [
      'a parameter outside its area',
      [guest('none')],
      { ovmf_code: 'wrong-offset.fd' },
      { code: 'FIRMWARE_INVALID', where: { file: 'wrong-offset.fd' } },
    ],
    [
      'a UKI that is not a program',
      [guest('none')],
      { ovmf_code: 'OVMF.fd', uki: 'text.txt' },
      { code: 'EFI_DATA_INVALID', where: { file: 'text.txt' } },
    ],
    [
      'a file of keys without keys',
      [guest('none', { secure_boot: {} })],
      { ovmf_code: 'OVMF.fd', secure_boot_db: 'text.txt' },
      { code: 'EFI_DATA_INVALID', where: { file: 'text.txt' } },
    ],
  ])('%s', async (_, guests, resources, expected) => {
    rmSync(at('built.igvm'), { force: true });
    const { code, where, message } = await failureOf(build(guests, resources));
    expect({ code, where, message }).toMatchObject(expected);
    expect(() => readFileSync(at('built.igvm'))).toThrow();
  });

  it('another loader, which does not know OVMF images', async () => {
    await build([guest('none')], { ovmf_code: 'OVMF.fd' });
    const failure = await failureOf(
      buildManifest({ manifest: at('igvm.json'), output: at('built.igvm'), loader: '/bin/true' }),
    );
    expect([failure.code, textOf(failure.where)]).toEqual(['EXTERNAL_LOADER_FAILED', 'guest_configs[0].image']);
  });
});
