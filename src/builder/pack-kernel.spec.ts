import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IgvmError } from '../errors/igvm-error';
import { packKernel } from './pack-kernel';

describe('packing a kernel', () => {
  it.each([
    [{ processorCount: 300 }, 'processor_count: expected a whole number from 1 to 254, found 300'],
    [{ memory: 1 }, 'memory_size: expected a whole number from 4096'],
  ])('names the invalid value of its generated manifest: %j', async (wrong, message) => {
    const pack = { kernel: { path: __filename }, commandLine: '', memory: 2 ** 28, output: 'never.igvm' };
    await expect(packKernel({ ...pack, ...wrong })).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining(message),
      where: { gpa: undefined, offset: undefined },
    });
  });

  it('names the invalid file, and suggests only one remedy', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-pack-'));
    const path = join(folder, 'initrd.cpio');
    writeFileSync(path, '070701'.padEnd(200, '0'));
    const pack = { kernel: { path, display: 'initrd.cpio' }, memory: 2 ** 28, output: join(folder, 'never.igvm') };
    try {
      await packKernel(pack);
      expect('an error').toBe('thrown');
    } catch (error) {
      expect((error as IgvmError).format()).toMatch(
        /^initrd\.cpio: linux-kernel is a cpio archive.*\(byte offset 0x0\) \[KERNEL_INVALID\]$/,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
