import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256OfSource } from '../files/hashes';
import { countingSource, fileOf, patternPage, platformOf, runOf, written } from '../igvm/igvm-file.fixture';
import { PLATFORM_TYPE } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { lockText } from '../lock/lock-file';
import { lockImage } from '../lock/lock-of-image';
import { bytesSource, EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { describePage } from './described-page';
import { guestViews } from './guest-view';

const BANNER = 'Linux version 6.1.0-test (someone@somewhere) #1 SMP';

/** Pages with a banner at an offset. */
function bannerAt(offset: number, pages: number): Uint8Array {
  const bytes = new Uint8Array(pages * PAGE_SIZE);
  bytes.set(Buffer.from(`${BANNER}\n`), offset);
  return bytes;
}

describe('the description of an image for its page', () => {
  it('is made in one pass over its pages', async () => {
    const platforms = [platformOf(PLATFORM_TYPE.VSM_ISOLATION, 1), platformOf(PLATFORM_TYPE.SEV_SNP, 2)];
    const initializations = [{ type: 'guestPolicy' as const, policy: 0x30000n, compatibilityMask: 2 }];
    const pages = [1, 2].map((compatibilityMask) =>
      runOf(0, bannerAt(100 * compatibilityMask, 4), { compatibilityMask }),
    );
    const source = countingSource((await written(fileOf(pages, { platforms, initializations }))).bytes);
    const file = readIgvm(source);
    source.total = 0;
    const { guests, sha256 } = await describePage({ file, source }, {});
    // The file has the page of zeros once, and it is read for each of three pages. The first page of the second platform is the last one of
    // the file, and read again for the digest of the file.
    expect(source.total).toBe(source.size + 3 * PAGE_SIZE);
    expect(sha256).toBe(sha256OfSource(source));
    expect(guests.map(({ label, kernels }) => [label, kernels.map(({ gpa, release }) => [gpa, release])])).toEqual([
      ['VBS', [[114, '6.1.0-test']]],
      ['SEV-SNP', [[214, '6.1.0-test']]],
    ]);
  });

  it.each(['no lock', 'a lock'])(
    "is made in one pass even if one platform can't be measured, with %s",
    async (kind) => {
      const platforms = [platformOf(PLATFORM_TYPE.SEV_SNP, 1), platformOf(PLATFORM_TYPE.TDX, 2)];
      const pages = [1, 2].map((compatibilityMask) => runOf(0, patternPage(compatibilityMask), { compatibilityMask }));
      const policy = { type: 'guestPolicy' as const, policy: 0x30000n, compatibilityMask: 1 };
      const measurable = (await written(fileOf(pages, { platforms, initializations: [policy] }))).bytes;
      const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-page-'));
      const lock = join(folder, 'igvm.lock.json');
      writeFileSync(lock, lockText((await lockImage(readIgvm(bytesSource(measurable)), {})).lock));
      // Without a policy, SEV-SNP has no digest.
      const source = countingSource((await written(fileOf(pages, { platforms }))).bytes);
      const file = readIgvm(source);
      source.total = 0;
      const asked =
        kind === 'no lock' ? {} : { image: join(folder, 'a.igvm'), lock: { path: lock, isOptional: false } };
      const { guests, agreement } = await describePage({ file, source }, asked);
      rmSync(folder, { recursive: true });
      expect(source.total).toBe(source.size);
      expect(guests.map(({ digests, impossible }) => [digests.length, impossible?.message])).toEqual([
        [0, 'the file has no guest policy for its SEV-SNP platform'],
        [1, undefined],
      ]);
      expect(agreement?.impossible).toBe(kind === 'no lock' ? undefined : guests[0]?.impossible?.message);
    },
  );
});

describe('the rows of a map', () => {
  const rowsOf = async (tags: readonly string[]) => {
    const image = fileOf(tags.map((_, page) => runOf(page * 2 * PAGE_SIZE, patternPage(page + 1))));
    const map = [tags.map((tag, page) => ({ gpa: page * 2 * PAGE_SIZE, end: (page * 2 + 1) * PAGE_SIZE, tag }))];
    const [view] = guestViews(image, (await describePage({ file: image, source: EMPTY_SOURCE }, { map })).guests);
    return view!.rows.map(({ id, parts, isMeasured }) => [id, parts.length, isMeasured]);
  };

  it('are folded if neighbours have the same name and kind', async () => {
    expect(await rowsOf(['kernel', 'kernel', 'initrd', 'kernel'])).toEqual([
      ['region-0-0x0', 2, true],
      ['region-0-0x4000', 1, true],
      ['region-0-0x6000', 1, true],
    ]);
  });

  it('are joined if there are too many, and none is lost', async () => {
    const rows = await rowsOf(Array.from({ length: 900 }, (_, index) => `part ${index}`));
    expect(rows.length).toBeLessThanOrEqual(400);
    expect(rows.reduce((sum, [, parts]) => sum + Number(parts), 0)).toBe(900);
  });
});
