import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockOf, tdxFile } from './lock.fixture';
import { lockText, readLock } from './lock-file';
import type { MeasurementLock } from './model';

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

describe('a measurement lock', () => {
  it('is read as it was written', async () => {
    const lock = { $schema: '../igvm.lock.schema.json', ...(await lockOf(tdxFile())) };
    expect(read(lockText(lock))).toEqual(lock);
  });

  it('has the same text in whatever order it was put together', async () => {
    const { lockVersion, platforms } = await lockOf(tdxFile());
    const { tdx } = platforms;
    const shuffled = Object.fromEntries(Object.entries(tdx!).reverse()) as unknown as typeof tdx;
    expect(lockText({ platforms: { tdx: shuffled }, lockVersion })).toBe(lockText({ lockVersion, platforms }));
  });

  it('has a line for each region, so that a diff names what changed', async () => {
    const [before, after] = [lockText(await lockOf(tdxFile(1, 2))), lockText(await lockOf(tdxFile(1, 3)))];
    const changed = after.split('\n').filter((line) => !before.split('\n').includes(line));
    expect(changed).toEqual([
      expect.stringMatching(/^ +"any": "[0-9A-F]{96}"$/),
      expect.stringMatching(
        /^ +\{ "gpa": "0x1000", "size": "0x1000", "kind": "data", "tag": "linux-initrd", "sha256": "[0-9a-f]{64}" \}$/,
      ),
    ]);
  });

  it('is missed', () => {
    expect(() => readLock(path)).toThrow(expect.objectContaining({ code: 'LOCK_MISSING' }));
  });

  it.each([
    ['another version', '{ "lockVersion": 2, "platforms": {} }', 1],
    [
      'a digest that is too short',
      '{ "lockVersion": 1, "platforms": { "tdx": {\n "algorithm": "SHA-384", "digests": { "any": "AB" }, "headers": {}, "registers": {}, "regions": [] } } }',
      2,
    ],
    [
      'a platform without a digest',
      '{ "lockVersion": 1, "platforms": { "snp": {\n "algorithm": "SHA-384",\n "digests": {}, "headers": {}, "registers": {}, "regions": [] } } }',
      3,
    ],
    ['a platform that it does not know', '{ "lockVersion": 1,\n "platforms": { "cca": {} } }', 2],
    ['an unknown key', '{ "lockVersion": 1, "platforms": {},\n "digest": "AB" }', 2],
    ['two values for one key', '{ "lockVersion": 1, "platforms": {},\n "platforms": {} }', 2],
  ])('is refused with %s, at its place', (_, text, line) => {
    expect(() => read(text)).toThrow(
      expect.objectContaining({
        code: 'LOCK_INVALID',
        where: expect.objectContaining({ file: 'igvm.lock.json', line }),
      }),
    );
  });

  it('is refused when it is no JSON', () => {
    expect(() => read('{')).toThrow(expect.objectContaining({ code: 'MANIFEST_SYNTAX' }));
  });
});
