import { LaidOutGuest } from '../guest/laid-out-guest.fixture';
import { encodeCommandLine, noteCutOff } from './linux-direct';

describe('encodeCommandLine', () => {
  it('is UTF-8 with a NUL', () => {
    expect([...encodeCommandLine('a=é', 2047, 4096)]).toEqual([0x61, 0x3d, 0xc3, 0xa9, 0]);
    expect([...encodeCommandLine('', 2047, 4096)]).toEqual([0]);
  });

  it.each([
    ['the kernel says', 100, 4096, 100],
    ['x86 kernels take, where the kernel does not say', undefined, 4096, 2047],
    ['x86 kernels take, where the kernel says 0', 0, 4096, 2047],
    ['the memory holds', 10000, 4096, 4095],
  ])('is at most as long as %s', (_name, kernelLimit, room, limit) => {
    expect(encodeCommandLine('x'.repeat(limit), kernelLimit, room)).toHaveLength(limit + 1);
    expect(() => encodeCommandLine('x'.repeat(limit + 1), kernelLimit, room)).toThrow(
      `command_line has ${limit + 1} bytes, and the kernel takes at most ${limit}`,
    );
  });

  it('counts bytes, not characters', () => {
    expect(() => encodeCommandLine('é'.repeat(51), 100, 4096)).toThrow(/102 bytes/);
  });

  it('must not contain a NUL', () => {
    expect(() => encodeCommandLine('quiet\0init=/bin/sh', 2047, 4096)).toThrow(/NUL as character 5/);
  });
});

describe('noteCutOff', () => {
  it.each([
    ['what the kernel says', 100, 100],
    ['what x86 kernels take', undefined, 2047],
  ])('notes a line longer than %s', async (_name, kernelLimit, limit) => {
    const { notes } = await LaidOutGuest.of({}, (importer) => {
      noteCutOff(importer, limit, kernelLimit);
      noteCutOff(importer, limit + 1, kernelLimit);
    });
    expect(notes).toEqual([
      expect.stringContaining(`${limit + 1} bytes, and the kernel reads only the first ${limit}`),
    ]);
  });

  it('refuses a line that must be read completely', async () => {
    const tooLong = LaidOutGuest.of({}, (importer) =>
      noteCutOff(importer, 101, 100, ['image', 'linux', 'command_line']),
    );
    await expect(tooLong).rejects.toMatchObject({
      code: 'LAYOUT_OUT_OF_RANGE',
      where: { jsonPath: ['image', 'linux', 'command_line'] },
    });
  });
});
