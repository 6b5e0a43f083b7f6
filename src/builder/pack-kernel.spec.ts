import { packKernel } from './pack-kernel';

describe('packing a kernel', () => {
  it.each([
    [{ processorCount: 300 }, 'processor_count: expected a whole number from 1 to 254, found 300'],
    [{ memory: 1 }, 'memory_size: expected a whole number from 4096'],
  ])('names the value that is wrong, of a manifest that nobody wrote: %j', async (wrong, message) => {
    const pack = { kernel: { path: __filename }, commandLine: '', memory: 2 ** 28, output: 'never.igvm' };
    await expect(packKernel({ ...pack, ...wrong })).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining(message),
      where: { gpa: undefined, offset: undefined },
    });
  });
});
