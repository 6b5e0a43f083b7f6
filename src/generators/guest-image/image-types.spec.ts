import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, type Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { ISOLATION_NAMES } from '../../igvm/platforms';
import { parseManifest } from '../../manifest/load-manifest';
import { logger } from '../../plugin/workspace-nx';
import { guestImageGenerator, type GuestImageGeneratorSchema } from './generator';
import { parseMemorySize } from './image-types';

let tree: Tree;
beforeEach(() => {
  tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
  jest.spyOn(logger, 'warn').mockImplementation(() => {});
});
afterEach(() => jest.restoreAllMocks());

const generate = (options: Partial<GuestImageGeneratorSchema>) =>
  guestImageGenerator(tree, { name: 'my-image', ...options });

describe('every type of guest-image', () => {
  it('offers every isolation type', () => {
    const schema = JSON.parse(readFileSync(join(__dirname, 'schema.json'), 'utf8')) as {
      properties: { isolation: { items: { enum: string[] } } };
    };
    expect(schema.properties.isolation.items.enum).toEqual(ISOLATION_NAMES);
  });

  it.each<[Partial<GuestImageGeneratorSchema>, string[]]>([
    [{ type: 'linux-paravisor' }, ['none']],
    [{ type: 'linux-paravisor', isolation: ['snp', 'tdx', 'vbs'] }, ['snp', 'tdx', 'vbs']],
    [{ type: 'linux-paravisor', isolation: ['none', 'snp'], initrd: 'none' }, ['none', 'snp']],
    [{ type: 'linux-paravisor', arch: 'aarch64' }, ['none']],
    [{ type: 'uefi' }, ['none']],
    [{ type: 'uefi', isolation: ['tdx', 'snp'] }, ['tdx', 'snp']],
    [{ type: 'uefi', arch: 'aarch64' }, ['none']],
    [{ type: 'uefi', paravisor: true, isolation: ['snp'] }, ['snp']],
    [{ type: 'uefi', paravisor: true, arch: 'aarch64' }, ['none']],
    [{ type: 'ovmf' }, ['none']],
    [{ type: 'ovmf', isolation: ['snp', 'none'], debug: true }, ['none', 'snp']],
    [{ type: 'ovmf', isolation: ['snp'], kernel: 'boot/vmlinuz.efi', initrd: 'none' }, ['snp']],
    [{ type: 'snp-linux-direct', processorCount: 4 }, ['snp']],
    [{ type: 'linux-direct', arch: 'aarch64', isolation: ['vbs'] }, ['vbs']],
  ])('%j gives a manifest that passes the strict check', async (options, isolation) => {
    await generate(options);
    const text = tree.read('my-image/igvm.json', 'utf8') ?? '';
    const { manifest } = parseManifest(text, 'igvm.json', { strict: true });
    expect(
      manifest.guest_configs.map(({ isolation_type: type }) =>
        typeof type === 'string' ? type : Object.keys(type)[0],
      ),
    ).toEqual(isolation);
    const readme = tree.read('my-image/README.md', 'utf8');
    for (const resource of Object.keys(manifest.resources ?? {})) {
      expect(readme).toContain(`| \`${resource}\` | \`boot/`);
    }
  });

  it.each<[Partial<GuestImageGeneratorSchema>, string]>([
    [{ isolation: ['snp'] }, "linux-direct can't have the isolation snp"],
    [{ isolation: ['none', 'vbs'] }, 'none and vbs are the same platform'],
    [{ type: 'snp-linux-direct', arch: 'aarch64' }, 'SEV-SNP is for x64 only'],
    [{ type: 'uefi', arch: 'aarch64', isolation: ['tdx'] }, "uefi can't have the isolation tdx"],
    [{ type: 'linux-paravisor', memorySize: '1M' }, 'is not a multiple of 2097152 bytes'],
    [{ memorySize: '4G' }, 'embedded boot data can describe at most 2 GiB'],
    [{ processorCount: 2, bootData: 'vmm' }, 'processorCount needs embedded boot data'],
    [{ kernel: ' ' }, 'kernel is empty'],
    [{ name: 'My Image' }, '"My Image" can\'t name a project'],
    [{ directory: '../elsewhere' }, 'is not a folder below the workspace root'],
    [{ directory: '.' }, 'an image needs a folder of its own'],
  ])('refuses %j with one sentence and without a stack trace', async (options, sentence) => {
    const failure = await generate(options).then(
      () => undefined,
      (error: Error) => error,
    );
    expect(failure?.message).toContain(sentence);
    expect(failure?.message).toMatch(/\[GENERATOR_\w+\](?:\n {2}\w.*)?$/);
    expect(failure?.stack).toBeUndefined();
    expect(tree.exists('my-image')).toBe(false);
  });
});

describe('guest-image with OVMF', () => {
  it('has firmware and a UKI, and for SEV-SNP launches of QEMU', async () => {
    tree.write('my-image/boot/OVMF.fd', '');
    await generate({ type: 'ovmf', isolation: ['none', 'snp'], firmware: 'my-image/boot/OVMF.fd' });
    const isolation = {
      snp: { policy: 0x30000, injection_type: 'normal', secure_avic: 'disabled', enable_debug: false },
    };
    expect(readJson(tree, 'my-image/igvm.json')).toEqual({
      $schema: '../node_modules/nx-igvm/schemas/igvm.schema.json',
      guest_arch: 'x64',
      guest_configs: ['none', isolation].map((isolation_type) => ({
        guest_svn: 1,
        max_vtl: 0,
        isolation_type,
        image: { ovmf: { boot_mode: 'real16', parameters: true } },
      })),
      launches: [{ vmm: 'qemu-kvm', vcpus: [1], cpu: ['EPYC-Milan'] }],
      resources: { ovmf_code: 'boot/OVMF.fd', uki: 'boot/linux.efi' },
    });
    const readme = tree.read('my-image/README.md', 'utf8');
    for (const text of ['nx boot my-image', 'nx measure my-image', '`launches` lists']) expect(readme).toContain(text);
  });

  it('is distinguished from the firmware of Hyper-V', async () => {
    await generate({ type: 'uefi' });
    expect(tree.read('my-image/README.md', 'utf8')).toMatch(
      /UEFI firmware for Hyper-V[^]*For OVMF, QEMU's firmware, use `--type=ovmf`/,
    );
  });

  it.each<[Partial<GuestImageGeneratorSchema>, string]>([
    [{ type: 'ovmf', isolation: ['tdx'] }, "ovmf can't have the isolation tdx"],
    [{ type: 'ovmf', arch: 'aarch64' }, 'an ovmf image is for x64 only'],
    [{ type: 'ovmf', kernel: 'a.efi', uki: 'b.efi' }, 'give kernel or uki, not both'],
    [{ type: 'ovmf', initrd: 'initrd' }, 'initrd would be ignored by an image of the type ovmf'],
    [{ type: 'ovmf', uefi: 'MSVM.fd' }, 'uefi would be ignored by an image of the type ovmf'],
    [
      { type: 'uefi', firmware: 'OVMF.fd' },
      'firmware would be ignored by an image of the type uefi: it is for ovmf images',
    ],
    [{ uki: 'linux.efi' }, 'uki would be ignored by an image of the type linux-direct'],
  ])('refuses %j', async (options, sentence) => {
    const failure = await generate(options).then(
      () => undefined,
      (error: Error) => error,
    );
    expect(failure?.message).toContain(sentence);
    expect(failure?.message).toContain('[GENERATOR_OPTION]');
    expect(tree.exists('my-image')).toBe(false);
  });
});

describe('the option memorySize', () => {
  it('may be text or a number, because Nx converts digits to a number', () => {
    expect(parseMemorySize('1g')).toBe(2 ** 30);
    expect(parseMemorySize(536870912)).toBe(2 ** 29);
  });

  it('must be a size', () => {
    expect(() => parseMemorySize('5T')).toThrow('memorySize "5T" is not a size like 512M or 1G');
  });

  it('must be a multiple of the page size', () => {
    expect(() => parseMemorySize('4097')).toThrow('is not a multiple of 4096 bytes');
    expect(() => parseMemorySize('1M', 2 ** 21)).toThrow('is not a multiple of 2097152 bytes');
  });
});
