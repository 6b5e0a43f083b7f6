/** Packs container images, in a separate folder for each test. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IgvmError } from '../../errors/igvm-error';
import { cpioMembers, type ReadMember } from '../cpio-newc.fixture';
import { packInitrd } from '../pack-initrd';
import { layoutOf, tarOf, type TarEntry, type TestImage, writeParts } from './image.fixture';

export let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-container-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

export const output = (): string => join(folder, 'out', 'initrd.cpio');

/** Packs the image at a path in the folder. */
export async function pack(path = 'image', more: object = {}): Promise<ReadMember[]> {
  await packInitrd({ image: { path: join(folder, path), ...more }, output: output(), compression: 'none', ...more });
  expect(readdirSync(join(folder, 'out'))).toEqual(['initrd.cpio']);
  return cpioMembers(readFileSync(output()));
}

export async function packLayout(image: TestImage, more: object = {}): Promise<ReadMember[]> {
  writeParts(join(folder, 'image'), layoutOf(image));
  return pack('image', more);
}

export const layersOf = (...layers: TarEntry[][]): Promise<Buffer[]> => Promise.all(layers.map(tarOf));

/** The error of a packing, which must not leave anything in the output folder. */
export async function failureOf(action: Promise<unknown>): Promise<IgvmError> {
  try {
    await action;
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    expect(existsSync(join(folder, 'out'))).toBe(false);
    return error;
  }
  throw new Error('nothing was thrown');
}
