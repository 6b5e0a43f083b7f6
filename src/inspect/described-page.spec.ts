import { fileOf, patternPage, platformOf, runOf, written } from '../igvm/igvm-file.fixture';
import { PLATFORM_TYPE } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { bytesSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { describePage, KernelVersions } from './described-page';
import { guestViews } from './guest-view';

const BANNER = 'Linux version 6.1.0-test (someone@somewhere) #1 SMP';

/** Pages with a banner at an offset. */
function bannerAt(offset: number, pages: number): Uint8Array {
  const bytes = new Uint8Array(pages * PAGE_SIZE);
  bytes.set(Buffer.from(`${BANNER}\n`), offset);
  return bytes;
}

describe('what a page says of an image', () => {
  it('is found in one pass over its pages', async () => {
    const platforms = [platformOf(PLATFORM_TYPE.VSM_ISOLATION, 1), platformOf(PLATFORM_TYPE.SEV_SNP, 2)];
    const initializations = [{ type: 'guestPolicy' as const, policy: 0x30000n, compatibilityMask: 2 }];
    const pages = [1, 2].map((compatibilityMask) =>
      runOf(0, bannerAt(100 * compatibilityMask, 4), { compatibilityMask }),
    );
    const inner = bytesSource((await written(fileOf(pages, { platforms, initializations }))).bytes);
    let total = 0;
    const image = readIgvm({
      size: inner.size,
      read(offset: number, target: Uint8Array) {
        total += target.length;
        inner.read(offset, target);
      },
    });
    total = 0;
    const { guests } = await describePage(image, {});
    expect(total).toBe(2 * 4 * PAGE_SIZE);
    expect(guests.map(({ label, kernels }) => [label, kernels.map(({ gpa, text }) => [gpa, text])])).toEqual([
      ['VBS', [[100, BANNER]]],
      ['SEV-SNP', [[200, BANNER]]],
    ]);
  });
});

describe('the search for kernel versions', () => {
  const search = (bytes: Uint8Array, chunkPages: number): [number, string][] => {
    const versions = new KernelVersions();
    const run = runOf(0x10000, bytes);
    for (let page = 0; page < run.pageCount; page += chunkPages) {
      const count = Math.min(chunkPages, run.pageCount - page);
      versions.pages(run, page, count, bytes.subarray(page * PAGE_SIZE, (page + count) * PAGE_SIZE));
    }
    return versions.found.map(({ gpa, text }) => [gpa, text]);
  };

  it.each([0, 3000, PAGE_SIZE - 20, PAGE_SIZE, PAGE_SIZE - 300, PAGE_SIZE - 301, 3 * PAGE_SIZE - 60])(
    'finds one at offset %i once, however the pages come',
    (offset) => {
      const bytes = bannerAt(offset, 3);
      for (const chunk of [1, 2, 3]) expect(search(bytes, chunk)).toEqual([[0x10000 + offset, BANNER]]);
    },
  );

  it('takes neither format strings nor control characters', () => {
    expect(
      search(Buffer.concat([Buffer.from('Linux version %s\0Linux version 6.1\u001b[2Jx\0'), Buffer.alloc(4043)]), 1),
    ).toEqual([[0x10000 + 17, 'Linux version 6.1']]);
  });
});

describe('the rows of a map', () => {
  const rowsOf = async (tags: readonly string[]) => {
    const image = fileOf(tags.map((_, page) => runOf(page * 2 * PAGE_SIZE, patternPage(page + 1))));
    const map = [tags.map((tag, page) => ({ gpa: page * 2 * PAGE_SIZE, end: (page * 2 + 1) * PAGE_SIZE, tag }))];
    const [view] = guestViews(image, (await describePage(image, { map })).guests);
    return view!.rows.map(({ id, parts, isMeasured }) => [id, parts.length, isMeasured]);
  };

  it('are folded where neighbours have one name and kind', async () => {
    expect(await rowsOf(['kernel', 'kernel', 'initrd', 'kernel'])).toEqual([
      ['region-0-0x0', 2, true],
      ['region-0-0x4000', 1, true],
      ['region-0-0x6000', 1, true],
    ]);
  });

  it('are joined where there are too many, and none is lost', async () => {
    const rows = await rowsOf(Array.from({ length: 900 }, (_, index) => `part ${index}`));
    expect(rows.length).toBeLessThanOrEqual(400);
    expect(rows.reduce((sum, [, parts]) => sum + Number(parts), 0)).toBe(900);
  });
});
