/** How much of two images a comparison reads. */
import { countingSource, fileOf, hashes, patternPage, platformOf, runOf, written } from '../igvm/igvm-file.fixture';
import { type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { launchesOf } from '../measurement/launches';
import { bytesSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { type ComparedImage, diffImages } from './diff-images';
import { diffText } from './diff-text';

describe('what diff reads', () => {
  const PAGES = 64;
  /** Three platforms with pages of their own; the last page of the file is the one given. */
  const file = (last: number): IgvmFile =>
    fileOf(
      [1, 2, 4].flatMap((compatibilityMask, index) =>
        Array.from({ length: PAGES }, (_, page) => {
          const seed = index === 2 && page === PAGES - 1 ? last : 1 + index * PAGES + page;
          return runOf(page * PAGE_SIZE, patternPage(seed), { compatibilityMask });
        }),
      ),
      {
        platforms: [
          platformOf(PLATFORM_TYPE.VSM_ISOLATION, 1),
          platformOf(PLATFORM_TYPE.SEV_SNP, 2),
          platformOf(PLATFORM_TYPE.TDX, 4),
        ],
        initializations: [{ type: 'guestPolicy', policy: 0x30000n, compatibilityMask: 2 }],
      },
    );
  const LAUNCHES = launchesOf({ vmm: 'qemu-kvm', vcpus: [1, 2, 4], cpu: ['EPYC-Milan', 'EPYC-Genoa'] });
  const read = async (a: IgvmFile, b: IgvmFile, launches = LAUNCHES) => {
    const sources = [countingSource((await written(a)).bytes), countingSource((await written(b)).bytes)] as const;
    const [imageA, imageB] = sources.map((source): ComparedImage => ({ source, file: readIgvm(source, hashes) }));
    for (const source of sources) source.total = 0;
    const difference = await diffImages(imageA!, imageB!, launches);
    return { difference, sources };
  };

  it('is each byte of both images once, whatever the number of platforms and launches', async () => {
    const { difference, sources } = await read(file(201), file(202));
    expect(difference.guests.map(({ pages: ranges }) => ranges.length)).toEqual([0, 0, 1]);
    for (const { total, size } of sources) expect(total).toBe(size);
  });

  it('is each byte once if the images are the same', async () => {
    const { difference, sources } = await read(file(201), file(201));
    expect(difference.isSame).toBe(true);
    for (const { total, size } of sources) expect(total).toBe(size);
  });

  it('is only page data if the files differ in size', async () => {
    const longer = file(201);
    const { difference, sources } = await read(longer, { ...longer, directives: longer.directives.slice(1) });
    expect(difference.guests[0]?.pages).toMatchObject([{ gpa: 0, difference: 'onlyInA' }]);
    expect(sources.map(({ total }) => total)).toEqual([3 * PAGES * PAGE_SIZE, (3 * PAGES - 1) * PAGE_SIZE]);
  });

  it('shows the digest of each launch that differs, from the same pass', async () => {
    const changed = file(201);
    const directives = changed.directives.map((each) =>
      each.type === 'pageData' && each.compatibilityMask === 2 && each.gpa === 0
        ? { ...each, content: bytesSource(patternPage(202)) }
        : each,
    );
    const { difference, sources } = await read(changed, { ...changed, directives });
    const snp = difference.guests.find(({ platform }) => platform === 'SEV_SNP');
    expect(snp?.digests.map(({ vmm, vcpus, cpu }) => [vmm, vcpus, cpu])).toEqual([
      ['hyperv', undefined, undefined],
      ...LAUNCHES.map(({ vmm, vcpus, cpu }) => [vmm, vcpus, cpu?.name]),
    ]);
    for (const { total, size } of sources) expect(total).toBe(size);
  });

  it('finds a difference in bytes that no header refers to', async () => {
    const bytes = (await written(file(201))).bytes;
    const imageWith = (last: number): ComparedImage => {
      const longer = Uint8Array.from([...bytes, last]);
      const view = new DataView(longer.buffer);
      view.setUint32(16, longer.length, true);
      view.setUint32(20, 0, true);
      const headersEnd = view.getUint32(8, true) + view.getUint32(12, true);
      view.setUint32(20, hashes.crc32(longer.subarray(0, headersEnd)), true);
      const source = bytesSource(longer);
      return { source, file: readIgvm(source, hashes) };
    };
    const difference = await diffImages(imageWith(1), imageWith(2));
    expect(diffText(difference)).toBe('the guests are the same, but the files are laid out differently\n');
    expect((await diffImages(imageWith(1), imageWith(1))).isSame).toBe(true);
  });
});
