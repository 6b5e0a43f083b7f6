import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { dll } from '../igvm/firmware-dll.fixture';
import type { IgvmFile } from '../igvm/model';
import { readAll } from '../memory/byte-source';
import { readImage, rewriteImage, withImage, writeImage } from './igvm-image';

const FIXTURE = join(__dirname, '..', 'igvm', 'fixtures', 'version-1.igvm');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-image-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Writes a firmware DLL with an image at 0x300. @returns its path */
function inDll(image: Uint8Array): string {
  const path = join(folder, 'firmware.dll');
  writeFileSync(path, dll({ image }));
  return path;
}

describe('withImage', () => {
  it('keeps an image open as long as it is used', async () => {
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

  it('locates a fault of an image in its firmware DLL', async () => {
    const image = readFileSync(FIXTURE);
    image.writeUInt32LE(0, 20);
    await expect(withImage(inDll(image), () => undefined)).rejects.toMatchObject({
      code: 'IGVM_MALFORMED',
      where: { file: join(folder, 'firmware.dll'), offset: 0x300 + 20 },
    });
  });

  it('detects a file that changes while it is used', async () => {
    const path = join(folder, 'a.igvm');
    copyFileSync(FIXTURE, path);
    await expect(withImage(path, () => writeFileSync(path, 'x', { flag: 'a' }))).rejects.toMatchObject({
      code: 'FILE_CHANGED',
    });
  });
});

/** The bytes of an image's first run of pages. */
function firstPages({ directives }: IgvmFile): Uint8Array {
  const run = directives.find((directive) => directive.type === 'pageData' && directive.content.size > 0);
  if (run?.type !== 'pageData') throw new Error('the image has no pages');
  return readAll(run.content, run.content.size);
}

/** How many times this process has a file open. */
const timesOpen = (path: string): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    const target = join('/proc/self/fd', fd);
    return existsSync(target) && readlinkSync(target) === path;
  }).length;

describe('readImage', () => {
  it('reads the same from a path as from bytes, and from Node buffers as from other bytes', () => {
    const fromPath = readImage(FIXTURE);
    const buffer = readFileSync(FIXTURE);
    for (const bytes of [buffer, new Uint8Array(buffer)]) {
      const fromBytes = readImage(bytes);
      expect(fromBytes.directives.map(({ type }) => type)).toEqual(fromPath.directives.map(({ type }) => type));
      expect(firstPages(fromBytes)).toEqual(firstPages(fromPath));
    }
  });

  it.each([
    ['is missing', undefined, 'FILE_UNREADABLE'],
    ['is not an image', 'hello world', 'IGVM_MALFORMED'],
  ])('names a file that %s', (_, content, code) => {
    const path = join(folder, 'file');
    if (content !== undefined) writeFileSync(path, content);
    expect(() => readImage(path)).toThrow(
      expect.objectContaining({ code, where: expect.objectContaining({ file: path }) }),
    );
  });

  it('detects a changed file at the next page', () => {
    const path = join(folder, 'a.igvm');
    copyFileSync(FIXTURE, path);
    const image = readImage(path);
    writeFileSync(path, 'x', { flag: 'a' });
    expect(() => firstPages(image)).toThrow(expect.objectContaining({ code: 'FILE_CHANGED' }));
  });

  it('closes a file when the image is no longer referenced', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const path = join(folder, 'a.igvm');
    copyFileSync(FIXTURE, path);
    let images: IgvmFile[] = Array.from({ length: 20 }, () => readImage(path));
    expect(timesOpen(path)).toBe(images.length);
    images = [];
    for (let round = 0; round < 100 && timesOpen(path) > 0; round++) {
      await setImmediate();
      collectGarbage();
    }
    expect(timesOpen(path)).toBe(0);
  });
});

describe('writeImage', () => {
  it('writes the same bytes that were read', async () => {
    const path = join(folder, 'b.igvm');
    const { fileSize } = await writeImage(readImage(FIXTURE), path);
    expect(readFileSync(path).equals(readFileSync(FIXTURE))).toBe(true);
    expect(fileSize).toBe(readFileSync(FIXTURE).length);
  });

  it('leaves nothing behind when it fails', async () => {
    await expect(writeImage({ ...readImage(FIXTURE), platforms: [] }, join(folder, 'b.igvm'))).rejects.toMatchObject({
      code: 'IGVM_INVALID',
    });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('rewriteImage', () => {
  it('replaces an image with its changed copy', async () => {
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

  (process.platform === 'win32' ? it.skip : it)('lets nobody else read the copy, in place or elsewhere', async () => {
    const path = join(folder, 'a.igvm');
    copyFileSync(FIXTURE, path);
    for (const mode of [0o600, 0o640, 0o444]) {
      chmodSync(path, mode);
      const copy = join(folder, `copy-${mode}`);
      await rewriteImage(path, copy, (file) => file);
      await rewriteImage(path, path, (file) => file);
      expect(statSync(path).mode & 0o777).toBe(mode);
      // A user who may not read the image may not read the copy.
      expect(statSync(copy).mode & 0o044 & ~mode).toBe(0);
    }
  });

  it('writes the same bytes when nothing changes', async () => {
    await rewriteImage(FIXTURE, join(folder, 'b.igvm'), (file) => file);
    expect(readFileSync(join(folder, 'b.igvm')).equals(readFileSync(FIXTURE))).toBe(true);
  });

  it('does not change an image inside a firmware DLL', async () => {
    const path = inDll(readFileSync(FIXTURE));
    await expect(rewriteImage(path, path, (file) => file)).rejects.toMatchObject({ code: 'IGVM_IN_DLL' });
    expect(await withImage(path, ({ isFirmwareDll }) => isFirmwareDll)).toBe(true);
  });

  it('leaves everything unchanged when the change fails', async () => {
    const path = join(folder, 'a.igvm');
    copyFileSync(FIXTURE, path);
    await expect(rewriteImage(path, path, (file) => ({ ...file, platforms: [] }))).rejects.toMatchObject({
      code: 'IGVM_INVALID',
    });
    expect(readdirSync(folder)).toEqual(['a.igvm']);
    expect(readFileSync(path).equals(readFileSync(FIXTURE))).toBe(true);
  });
});
