import { readJson, type Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { logger } from '../../plugin/workspace-nx';
import { guestImageGenerator, type GuestImageGeneratorSchema } from './generator';

let tree: Tree;
beforeEach(() => {
  tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
  jest.spyOn(logger, 'warn').mockImplementation(() => {});
});
afterEach(() => jest.restoreAllMocks());

const generate = (options: Partial<GuestImageGeneratorSchema>) =>
  guestImageGenerator(tree, { ...options, name: 'my-image' });

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
