import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { INPUTS } from '../../conformance/make-inputs';
import { IgvmError } from '../errors/igvm-error';
import { cpioHeader, cpioTrailer } from '../initrd/cpio-newc';
import { arm64ImageFile, bzImageFile } from '../loader/formats/kernel.fixture';
import type { GuestConfig, Manifest, ResourceName } from '../manifest/model';
import { buildImage } from './build-image';
import { buildManifest } from './build-manifest';
import { guest, linux, openhcl, requestIn } from './build-request.fixture';

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-naming-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (name: string, content: Uint8Array): void => writeFileSync(join(folder, name), content);

async function fileBlamed(
  arch: Manifest['guest_arch'],
  config: GuestConfig,
  files: Partial<Record<ResourceName, string>>,
): Promise<string | undefined> {
  const request = requestIn(folder, folder, [config], files);
  const building = buildImage({ ...request, manifest: { ...request.manifest, guest_arch: arch } });
  const error = await building.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code: 'KERNEL_INVALID' });
  return error instanceof IgvmError ? error.where.file : undefined;
}

describe('the error for a kernel that cannot be loaded', () => {
  it.each([
    ['underhill_kernel', { linux_kernel: 'Image', underhill_kernel: 'bad' }],
    ['linux_kernel', { linux_kernel: 'bad', underhill_kernel: 'Image' }],
  ])('names the file of %s on aarch64, where OpenHCL has two kernels', async (_, files) => {
    write('Image', arm64ImageFile(0x1000));
    write('bad', arm64ImageFile(0x1000, { magic: 0 }));
    write('initrd-small.bin', new Uint8Array(5000));
    write('openhcl_boot-aarch64.elf', INPUTS['openhcl_boot-aarch64.elf']!());
    const image = {
      openhcl: { ...openhcl.openhcl, linux: { use_initrd: false, command_line: '' } },
    } satisfies GuestConfig['image'];
    const all = { ...files, openhcl_boot: 'openhcl_boot-aarch64.elf' };
    expect(await fileBlamed('aarch64', guest(image, { max_vtl: 2 }), all)).toBe('bad');
  });

  it('names the file of a kernel that leaves no room for an initrd', async () => {
    write('vmlinuz', bzImageFile(new Uint8Array(4096), { pref_address: 2n ** 63n }));
    write('initrd-small.bin', new Uint8Array(5000));
    expect(await fileBlamed('x64', guest(linux()), { linux_kernel: 'vmlinuz' })).toBe('vmlinuz');
  });
});

describe('the error for a file that is not what its resource needs', () => {
  const cpio = Buffer.concat([cpioHeader({ path: 'bin', type: 'directory', permissions: 0o755, size: 0 }, 1)]);
  const archive = Buffer.concat([cpio, cpioTrailer(cpio.length)]);

  /** Builds from a manifest that names each resource on its own line, from line 8 on. */
  async function failure(config: GuestConfig, files: Partial<Record<ResourceName, string>>): Promise<string> {
    const manifest = join(folder, 'igvm.json');
    const lines = Object.entries(files).map(([name, file]) => `    "${name}": "${file}"`);
    const json = JSON.stringify(config, (_, value) => (typeof value === 'bigint' ? Number(value) : value) as unknown);
    writeFileSync(
      manifest,
      `{\n  "guest_arch": "x64",\n  "guest_configs": [\n    ${json}\n  ],\n\n  "resources": {\n${lines.join(',\n')}\n  }\n}\n`,
    );
    const building = buildManifest({
      manifest,
      output: join(folder, 'image.igvm'),
      workspaceRoot: folder,
      display: (path) => relative(folder, path),
    });
    const error = await building.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(existsSync(join(folder, 'image.igvm'))).toBe(false);
    return error instanceof IgvmError ? error.format() : String(error);
  }
  const LINUX = { use_initrd: true, command_line: 'console=ttyS0' };
  const embedded = (more: object = {}) =>
    guest({ linux: { ...LINUX, boot_data: 'embedded', memory_size: 2 ** 29, processor_count: 1, ...more } });

  beforeEach(() => {
    write('initrd.cpio', archive);
    write('vmlinux', INPUTS['vmlinux-x64.elf']!());
    write('openhcl_boot', INPUTS['openhcl_boot-x64.elf']!());
  });

  it.each([
    [
      'linux_kernel',
      { linux_kernel: 'initrd.cpio', linux_initrd: 'initrd.cpio' },
      'initrd.cpio: linux-kernel is a cpio archive, like an initramfs, not a kernel: give it as linux_initrd (at resources.linux_kernel, byte offset 0x0) [KERNEL_INVALID]',
    ],
    [
      'linux_initrd',
      { linux_initrd: 'vmlinux', linux_kernel: 'vmlinux' },
      'vmlinux: linux-initrd is an ELF file, such as a kernel or a program, not an initramfs (at resources.linux_initrd) [INITRD_INVALID]',
    ],
  ] as const)('has the place of %s in the manifest, and no cure that says less', async (_, files, message) => {
    expect((await failure(embedded(), files)).split('\n  Name')[0]).toBe(`igvm.json:8:21: ${message}`);
  });

  it('has a location for every other kind of resource, too', async () => {
    write('noise', new Uint8Array(5000).fill(7));
    const image = { ...openhcl, openhcl: { ...openhcl.openhcl } };
    const files = { underhill_initrd: 'initrd.cpio', underhill_kernel: 'noise', openhcl_boot: 'openhcl_boot' };
    expect(await failure(guest(image, { max_vtl: 2 }), files)).toMatch(
      /^igvm\.json:9:25: noise: .* \(at resources\.underhill_kernel/,
    );
    expect(await failure(guest({ uefi: { config_type: 'none' } }), { uefi: 'noise' })).toMatch(
      /^igvm\.json:8:13: noise: /,
    );
  });

  it('reports an initramfs without an init program if the image embeds the command line', async () => {
    const files = { linux_initrd: 'initrd.cpio', linux_kernel: 'vmlinux' };
    expect(await failure(embedded(), files)).toMatch(
      /^igvm\.json:8:21: initrd\.cpio: the initramfs has no program "\/init".*add an init.*\(at resources\.linux_initrd\) \[INITRD_INVALID\]$/,
    );
  });

  it.each([
    ['names another program', embedded({ command_line: 'rdinit=/bin/sh' }), []],
    ['comes from the VMM', guest(linux({ use_initrd: true })), [expect.stringContaining('Linux panics unless')]],
  ] as const)('builds with it where the command line %s', async (_, config, notes) => {
    const request = requestIn(folder, folder, [config], { linux_initrd: 'initrd.cpio', linux_kernel: 'vmlinux' });
    expect((await buildImage(request)).notes.filter((note) => note.includes('/init'))).toEqual(notes);
  });
});
