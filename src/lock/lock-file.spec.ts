import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { lockOf, tdxFile } from './lock.fixture';
import { lockText, readLock } from './lock-file';
import { IgvmError } from '../errors/igvm-error';
import type { MeasurementLock } from './lock-schema';

function failureOf(run: () => unknown): IgvmError {
  try {
    run();
  } catch (error) {
    if (error instanceof IgvmError) return error;
  }
  throw new Error('nothing was thrown');
}

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-lock-'));
  path = join(folder, 'igvm.lock.json');
});
afterEach(() => rmSync(folder, { recursive: true }));

const read = (text: string): MeasurementLock => {
  writeFileSync(path, text);
  return readLock(path, 'igvm.lock.json');
};

/** A lock of a TDX guest; its digests are on the third line. */
const tdxText = (digests: string): string =>
  `{ "lockVersion": 2, "file": {}, "platforms": { "tdx": {
 "debug": false, "highestVtl": 0, "sharedGpaBoundary": "0x0", "algorithm": "SHA-384",
 ${digests},
 "headers": {}, "registers": {}, "regions": [] } } }`;

describe('a measurement lock', () => {
  it('is read as it was written', async () => {
    const lock = { $schema: '../igvm.lock.schema.json', ...(await lockOf(tdxFile())) };
    expect(read(lockText(lock))).toEqual(lock);
  });

  it('has the same text whatever the order of its members', async () => {
    const lock = await lockOf(tdxFile());
    const tdx = lock.platforms['tdx']!;
    const shuffled = Object.fromEntries(Object.entries(tdx).reverse()) as unknown as typeof tdx;
    expect(lockText({ platforms: { tdx: shuffled }, file: lock.file, lockVersion: 2 })).toBe(lockText(lock));
  });

  it('has a line for each region, so that a diff names what changed', async () => {
    const [before, after] = [lockText(await lockOf(tdxFile(1, 2))), lockText(await lockOf(tdxFile(1, 3)))];
    const changed = after.split('\n').filter((line) => !before.split('\n').includes(line));
    expect(changed).toEqual([
      expect.stringMatching(/^ +\{ "digest": "[0-9A-F]{96}" \}$/),
      expect.stringMatching(
        /^ +\{ "gpa": "0x1000", "size": "0x1000", "kind": "data", "measured": true, "tag": "linux-initrd", "sha256": "[0-9a-f]{64}" \}$/,
      ),
    ]);
  });

  it('is reported as missing', () => {
    expect(() => readLock(path)).toThrow(expect.objectContaining({ code: 'LOCK_MISSING' }));
  });

  it('is not reported as missing if the file cannot be examined', () => {
    // For users other than root, a folder without permission has the same effect.
    symlinkSync(basename(path), path);
    expect(() => readLock(path)).toThrow(expect.objectContaining({ code: 'FILE_UNREADABLE' }));
    expect(() => readLock(path)).toThrow('form a loop');
  });

  it.each([
    ['an older version', '{ "lockVersion": 1, "platforms": {} }', 1],
    ['a newer version', '{\n"lockVersion": 3, "platforms": {} }', 2],
    ['no facts about the file', '{ "lockVersion": 2, "platforms": {} }', 1],
    ['a digest that is too short', tdxText('"digests": [{ "digest": "AB" }]'), 3],
    ['a platform without a digest', tdxText('"digests": []'), 3],
    ['an unknown platform', '{ "lockVersion": 2, "file": {},\n "platforms": { "cva": {} } }', 2],
    [
      'launches of a guest whose digest does not depend on them',
      tdxText(`"digests": [{ "digest": "${'A'.repeat(96)}", "launches": [] }]`),
      3,
    ],
    ['an unknown key', '{ "lockVersion": 2, "file": {}, "platforms": {},\n "digest": "AB" }', 2],
    ['two values for one key', '{ "lockVersion": 2, "file": {}, "platforms": {},\n "platforms": {} }', 2],
  ])('is refused with %s, and the error names the line', (_, text, line) => {
    expect(() => read(text)).toThrow(
      expect.objectContaining({
        code: 'LOCK_INVALID',
        where: expect.objectContaining({ file: 'igvm.lock.json', line }),
      }),
    );
  });

  it('of an older version is refused with the command that updates it', () => {
    const error = failureOf(() => read('{ "lockVersion": 1, "platforms": {} }'));
    expect(error.format()).toMatch(/^igvm\.lock\.json:1:18: it has version 1, which does not cover debugging/);
    expect(error.format()).toContain('measure --update-lock');
  });

  it('has no characters that reorder text, whatever the names of its regions', async () => {
    const lock = await lockOf(tdxFile());
    lock.platforms['tdx']!.regions[0]!.tag = 'linux\u202ekernel';
    expect(lockText(lock)).toContain('linux\\u202ekernel');
    expect(read(lockText(lock))).toEqual(lock);
  });

  it('is refused if it is not JSON', () => {
    expect(() => read('{')).toThrow(expect.objectContaining({ code: 'MANIFEST_SYNTAX' }));
  });
});
