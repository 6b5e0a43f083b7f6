import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { anyIgvmFile, fileOf, platformOf, written } from '../igvm/igvm-file.fixture';
import type { IgvmFile } from '../igvm/model';
import { bytesSource } from '../memory/byte-source';
import { corimFileName, corimsOf, extractCorims } from './corims';

const document = (compatibilityMask: number): IgvmFile['initializations'][number] => ({
  type: 'corimDocument',
  compatibilityMask,
  content: bytesSource(Uint8Array.of(1, 2, 3)),
});

/** A file with an arbitrary platform type. */
const oddFile = (platformType: number): IgvmFile =>
  fileOf([], { platforms: [{ ...platformOf(2), platformType } as IgvmFile['platforms'][number]] });

describe('the files of extracted CoRIMs', () => {
  let home: string;
  beforeEach(() => void (home = mkdtempSync(join(tmpdir(), 'nx-igvm-corims-'))));
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  async function extract(file: IgvmFile): Promise<void> {
    const path = join(home, 'image.igvm');
    writeFileSync(path, (await written(file)).bytes);
    const folder = join(home, 'out');
    await extractCorims({ path, display: path }, {}, { path: folder, display: folder });
  }

  it('have harmless and different names, whatever the image', () => {
    const names = (file: IgvmFile): string[] => corimsOf(file).map(corimFileName);
    fc.assert(
      fc.property(anyIgvmFile(), (file) => {
        expect(new Set(names(file)).size).toBe(names(file).length);
        for (const name of names(file)) expect(name).toMatch(/^corim_(document|signature)_\w+\.(cbor|cose)$/);
      }),
    );
    fc.assert(
      fc.property(fc.nat(255), fc.nat(0xffff_ffff), (platformType, mask) => {
        const file = { ...oddFile(platformType), initializations: [document(1), document(mask)] };
        for (const name of names(file)) expect(name).toMatch(/^corim_document_\w+\.cbor$/);
      }),
    );
  });

  it('are together no larger than the image, and each is for a platform', async () => {
    const shared = (compatibilityMask: number): IgvmFile['initializations'][number] => ({
      type: 'corimDocument',
      compatibilityMask,
      content: bytesSource(new Uint8Array(2 ** 20).fill(1)),
    });
    // Masks of platforms that the file doesn't have. Each has its own name, and all share their contents.
    const many = Array.from({ length: 31 }, (_, bit) => shared(2 ** (bit + 1)));
    await expect(extract(fileOf([], { initializations: many }))).rejects.toMatchObject({
      code: 'IGVM_INVALID',
      message: expect.stringContaining('more bytes than the file'),
    });
    expect(readdirSync(home)).toEqual(['image.igvm']);
    await expect(extract(fileOf([], { initializations: [document(0)] }))).rejects.toMatchObject({
      code: 'IGVM_INVALID',
    });
  });

  it('do not replace the target of a link', async () => {
    const file = fileOf([], { initializations: [document(1)] });
    mkdirSync(join(home, 'out'));
    const [name = ''] = corimsOf(file).map(corimFileName);
    writeFileSync(join(home, 'precious'), 'mine');
    symlinkSync(join(home, 'precious'), join(home, 'out', name));
    await expect(extract(file)).rejects.toMatchObject({ code: 'FILE_UNWRITABLE', where: { file: expect.any(String) } });
    expect(readFileSync(join(home, 'precious'), 'utf8')).toBe('mine');
    expect(readdirSync(home).sort()).toEqual(['image.igvm', 'out', 'precious']);
  });
});
