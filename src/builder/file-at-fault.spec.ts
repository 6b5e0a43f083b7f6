import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { INPUTS } from '../../conformance/make-inputs';
import { IgvmError } from '../errors/igvm-error';
import { arm64ImageFile, bzImageFile } from '../loader/formats/kernel.fixture';
import type { GuestConfig, Manifest, ResourceName } from '../manifest/model';
import { buildImage } from './build-image';
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

describe('the error of a kernel that can not be loaded', () => {
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

  it('names the file of a kernel that leaves no place for an initrd', async () => {
    write('vmlinuz', bzImageFile(new Uint8Array(4096), { pref_address: 2n ** 63n }));
    write('initrd-small.bin', new Uint8Array(5000));
    expect(await fileBlamed('x64', guest(linux()), { linux_kernel: 'vmlinuz' })).toBe('vmlinuz');
  });
});
