import fc from 'fast-check';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { type ByteSource, bytesSource } from '../memory/byte-source';
import { streamDirectives } from './stream';
import { anyIgvmFile, flatten, hashes, written } from './igvm-file.fixture';
import type { IgvmFile } from './model';
import { readIgvm } from './read-igvm';

/** Processor time of this process, so that other load doesn't matter. */
const cpuSeconds = (): number => (process.cpuUsage().user + process.cpuUsage().system) / 1e6;

const folder = join(__dirname, 'fixtures');
const goldenFiles = readdirSync(folder).filter((name) => name.endsWith('.igvm'));
const golden = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)));
const read = (bytes: Uint8Array): IgvmFile => readIgvm(bytesSource(bytes), hashes);

describe('reading and writing', () => {
  it.each(goldenFiles)('restore %s of the igvm crate', async (name) => {
    const bytes = golden(name);
    expect(Buffer.compare((await written(read(bytes))).bytes, bytes)).toBe(0);
  });

  it('restore any valid file', async () => {
    await fc.assert(
      fc.asyncProperty(anyIgvmFile(), async (file) => {
        const { bytes } = await written(file);
        const back = read(bytes);
        expect(flatten(back)).toEqual(flatten(file));
        expect(Buffer.compare((await written(back)).bytes, bytes)).toBe(0);
      }),
      { numRuns: 150 },
    );
  });
});

describe('readIgvm on a damaged file', () => {
  /** Changes to a file. Each has a position, as a fraction of the file's size, and the change there. */
  const damages = fc.array(
    fc.record({
      where: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      isHeader: fc.boolean(),
      value: fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x302, 0x304)),
    }),
    { minLength: 1, maxLength: 4 },
  );

  it('only ever throws an IgvmError, quickly, and reads nothing outside the file', async () => {
    const originals = goldenFiles.map(golden);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...originals),
        damages,
        fc.boolean(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (original, changes, isCut, cut) => {
          const bytes = original.slice(0, isCut ? Math.floor(original.length * cut) : undefined);
          const view = new DataView(bytes.buffer);
          const headerEnd = bytes.length < 16 ? bytes.length : view.getUint32(8, true) + view.getUint32(12, true);
          for (const { where, isHeader, value } of changes) {
            const at = Math.floor((where * Math.min(isHeader ? headerEnd : bytes.length, bytes.length)) / 4) * 4;
            if (at + 4 <= bytes.length) view.setUint32(at, value, true);
          }
          repairChecksum(bytes);
          const began = cpuSeconds();
          try {
            const file = readIgvm(checkedSource(bytes), hashes);
            await streamDirectives(file, [{ pages: () => undefined }]);
          } catch (error) {
            if (!(error instanceof IgvmError)) throw error;
          }
          expect(cpuSeconds() - began).toBeLessThan(1);
        },
      ),
      { numRuns: 5000 },
    );
  });

  function repairChecksum(bytes: Uint8Array): void {
    if (bytes.length < 32) return;
    const view = new DataView(bytes.buffer);
    const start = view.getUint32(8, true);
    const end = start + view.getUint32(12, true);
    const fixed = bytes.slice(0, view.getUint32(4, true) === 2 ? 32 : 24);
    new DataView(fixed.buffer).setUint32(20, 0, true);
    if (end <= bytes.length) view.setUint32(20, hashes.crc32(bytes.subarray(start, end), hashes.crc32(fixed)), true);
  }

  function checkedSource(bytes: Uint8Array): ByteSource {
    return {
      size: bytes.length,
      read(offset, target) {
        if (offset < 0 || offset + target.length > bytes.length) throw new Error(`read at ${offset}, outside the file`);
        target.set(bytes.subarray(offset, offset + target.length));
      },
    };
  }
});
