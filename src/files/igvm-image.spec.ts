import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rewriteImage, withImage } from './igvm-image';

const FIXTURE = join(__dirname, '..', 'igvm', 'fixtures', 'version-1.igvm');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-image-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('withImage', () => {
  it('opens an image for as long as it is used', async () => {
    const platforms = await withImage(FIXTURE, ({ file, source, isFirmwareDll }) => {
      expect({ isFirmwareDll, size: source.size }).toEqual({
        isFirmwareDll: false,
        size: readFileSync(FIXTURE).length,
      });
      return file.platforms.length;
    });
    expect(platforms).toBe(1);
  });

  it.each([
    ['that is not an image', 'hello world', 'IGVM_MALFORMED'],
    ['that is empty', '', 'IGVM_MALFORMED'],
    ['that looks like a DLL', 'MZ', 'IGVM_MALFORMED'],
  ])('names a file %s', async (_, content, code) => {
    const path = join(folder, 'file');
    writeFileSync(path, content);
    await expect(withImage(path, () => undefined)).rejects.toMatchObject({ code, where: { file: path } });
  });

  it('notices a file that changes while it is used', async () => {
    const path = join(folder, 'a.igvm');
    copyFileSync(FIXTURE, path);
    await expect(withImage(path, () => writeFileSync(path, 'x', { flag: 'a' }))).rejects.toMatchObject({
      code: 'FILE_CHANGED',
    });
  });
});

describe('rewriteImage', () => {
  it('replaces an image by its changed copy', async () => {
    const path = join(folder, 'a.igvm');
    copyFileSync(FIXTURE, path);
    await rewriteImage(path, path, (file) => ({
      ...file,
      initializations: [...file.initializations, { type: 'versionString', value: 'v2' }],
    }));
    expect(readdirSync(folder)).toEqual(['a.igvm']);
    const version = await withImage(path, ({ file }) => file.initializations.at(-1));
    expect(version).toEqual({ type: 'versionString', value: 'v2' });
  });

  it('writes the same bytes when nothing changes', async () => {
    await rewriteImage(FIXTURE, join(folder, 'b.igvm'), (file) => file);
    expect(readFileSync(join(folder, 'b.igvm')).equals(readFileSync(FIXTURE))).toBe(true);
  });

  it('leaves everything as it was when the change fails', async () => {
    const path = join(folder, 'a.igvm');
    copyFileSync(FIXTURE, path);
    await expect(rewriteImage(path, path, (file) => ({ ...file, platforms: [] }))).rejects.toMatchObject({
      code: 'IGVM_INVALID',
    });
    expect(readdirSync(folder)).toEqual(['a.igvm']);
    expect(readFileSync(path).equals(readFileSync(FIXTURE))).toBe(true);
  });
});
