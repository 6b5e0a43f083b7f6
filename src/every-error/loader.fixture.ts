import { buildImage } from '../api';
import type { LOADER_CODES } from '../errors/codes';
import { elfFile } from '../loader/formats/elf.fixture';
import { EMPTY_GUEST, KERNEL, linuxGuest, type Provocation, shownBy } from './scene.fixture';

const OPENHCL = {
  underhill_kernel: 'vmlinux-x64.elf',
  underhill_initrd: 'initrd-small.bin',
  openhcl_boot: 'openhcl_boot-x64.elf',
};

const openhclGuest = (more: object): typeof EMPTY_GUEST => ({
  ...EMPTY_GUEST,
  isolation_type: 'none',
  image: { openhcl: { command_line: '', memory_page_count: 16384, ...more } },
});

export const LOADER_ERRORS: Record<keyof typeof LOADER_CODES, Provocation> = {
  LAYOUT_OVERLAP: [
    'uses a kernel that is linked to the addresses of the boot data',
    (scene) => {
      scene.write('low.elf', elfFile('x64', 0x1000, [{ address: 0x1000, data: new Uint8Array(4096) }]));
      return scene.buildOf(linuxGuest(), { linux_kernel: 'low.elf' });
    },
  ],
  LAYOUT_OUT_OF_RANGE: [
    'writes a command line that the kernel would cut off',
    (scene) => scene.buildOf(linuxGuest({ command_line: 'x'.repeat(3000) }), KERNEL),
  ],
  KERNEL_INVALID: [
    'names an initrd as the kernel',
    (scene) => scene.buildOf(linuxGuest(), { linux_kernel: 'initrd-small.bin' }),
  ],
  INITRD_INVALID: [
    'names a kernel as the initrd',
    (scene) => scene.buildOf(linuxGuest({ use_initrd: true }), { ...KERNEL, linux_initrd: 'vmlinux-x64.elf' }),
  ],
  FIRMWARE_INVALID: [
    'names a kernel as the firmware',
    (scene) => scene.buildOf({ ...EMPTY_GUEST, image: { uefi: { config_type: 'none' } } }, { uefi: 'vmlinux-x64.elf' }),
  ],
  OVMF_UNSUITABLE: [
    'adds a kernel to an image without firmware',
    async (scene) => {
      await scene.image(linuxGuest(), KERNEL);
      return scene.nxIgvm('update', '-i', 'image.igvm', '-k', 'vmlinux-x64.elf', '-o', 'updated.igvm');
    },
  ],
  EFI_DATA_INVALID: [
    'requests the hash of a kernel that is not an EFI program',
    async (scene) => {
      await scene.image(linuxGuest(), KERNEL);
      const options = ['-k', 'vmlinux-x64.elf', '--add-hash-sha256', '-o', 'updated.igvm'];
      return scene.nxIgvm('update', '-i', 'image.igvm', ...options);
    },
  ],
  CONFIG_UNSUPPORTED: [
    'gives OpenHCL a policy that is larger than its page',
    (scene) => {
      const json = Buffer.alloc(10_000).toString('base64');
      const demands = ['ephemeral_vmgs', 'secure_boot', 'secure_boot_vars', 'bcd_integrity'];
      const none = Object.fromEntries(demands.map((name) => [`require_${name}`, false]));
      const policy = { sivm: { ...none, custom_uefi_json: json } };
      return scene.buildOf(openhclGuest({ product_policy: policy }), OPENHCL);
    },
  ],
  ISOLATION_UNSUPPORTED: [
    'builds an unchecked manifest with the library',
    (scene) =>
      shownBy(() =>
        buildImage({
          manifest: {
            guest_arch: 'aarch64',
            guest_configs: [
              {
                guest_svn: 1,
                max_vtl: 2,
                isolation_type: { tdx: { enable_debug: false, sept_ve_disable: false } },
                image: 'none',
              },
            ],
          },
          resources: new Map(),
          output: scene.path('image.igvm'),
        }),
      ),
  ],
  EXTERNAL_LOADER_FAILED: [
    'names a loader that is not a program',
    (scene) => {
      scene.manifest(EMPTY_GUEST);
      scene.write('igvmfilegen', 'not a program');
      return scene.nxIgvm('build', 'igvm.json', '--loader', 'igvmfilegen');
    },
  ],
};
