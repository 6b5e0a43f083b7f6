import { runOf } from '../igvm/igvm-file.fixture';
import { PAGE_SIZE } from '../memory/page';
import { KernelVersions } from './kernel-versions';

const GPA = 0x10000;
const RELEASE = '6.1.0-test';
const BANNER = `Linux version ${RELEASE} (someone@somewhere) (gcc (Debian) 12.2.0) #1 SMP`;

/** The version strings that kernels have in memory. */
const STRINGS = {
  'banner of an uncompressed kernel': BANNER,
  'string of the code that unpacks a bzImage': BANNER.slice('Linux version '.length),
  'string of the setup code of a bzImage': `${RELEASE} (someone@somewhere) #1 SMP`,
};

/** Pages with a string at an offset. */
function pagesWith(text: string, offset: number, pages = 3): Uint8Array {
  const bytes = new Uint8Array(pages * PAGE_SIZE);
  bytes.set(Buffer.from(text, 'latin1'), offset);
  return bytes;
}

function search(bytes: Uint8Array, chunkPages: number): unknown[] {
  const versions = new KernelVersions();
  const run = runOf(GPA, bytes);
  for (let page = 0; page < run.pageCount; page += chunkPages) {
    const count = Math.min(chunkPages, run.pageCount - page);
    versions.pages(run, page, count, bytes.subarray(page * PAGE_SIZE, (page + count) * PAGE_SIZE));
  }
  return versions.found.map(({ gpa, release, build }) => [gpa, release, build]);
}

describe('the search for kernel versions', () => {
  const offsets = [
    0,
    1,
    2,
    3000,
    3795,
    3796,
    3797,
    PAGE_SIZE - 60,
    PAGE_SIZE - 20,
    PAGE_SIZE - 1,
    PAGE_SIZE,
    PAGE_SIZE + 1,
  ];
  it.each(Object.entries(STRINGS))('finds the %s once, wherever it is and however the pages are split', (_, text) => {
    const start = text.indexOf(RELEASE);
    const build = text.slice(start + RELEASE.length + 1);
    for (const offset of [...offsets, 3 * PAGE_SIZE - 100]) {
      for (const chunk of [1, 2, 3]) {
        expect({ offset, chunk, found: search(pagesWith(text, offset), chunk) }).toEqual({
          offset,
          chunk,
          found: [[GPA + offset + start, RELEASE, build]],
        });
      }
    }
  });

  it.each([
    ['a format', 'Linux version %s (%s@%s) (%s) #%s'],
    ['a module', '6.1.0-test SMP mod_unload modversions '],
    ['a release with something before it', 'x6.1.0 (a@b) #1 SMP'],
    ['a release without a builder', '6.1.0 (somewhere) #1 SMP'],
    ['a version alone', 'Linux version 6.1.0'],
  ])('ignores %s', (_, text) => {
    expect(search(pagesWith(text, 100), 1)).toEqual([]);
  });

  it('ends at the first character that is not printable', () => {
    expect(search(pagesWith('6.1 (a@b) #1 SMP\u001b[2Jx', 0), 1)).toEqual([[GPA, '6.1', '(a@b) #1 SMP']]);
  });

  it('finds at most 16 versions', () => {
    expect(search(pagesWith(`${BANNER}\0`.repeat(100), 0), 1)).toHaveLength(16);
  });
});
