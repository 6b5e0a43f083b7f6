import { countingSource, fileOf, patternPage, platformOf, runOf, written } from '../igvm/igvm-file.fixture';
import { type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { PAGE_SIZE } from '../memory/page';
import { launchesOf } from '../measurement/launches';
import { describeImage } from './described-image';

const PAGES = 64;

/** Three platforms: each has the pages of the one before, but for the first, and new ones. */
const file = (): IgvmFile =>
  fileOf(
    [1, 2, 4].flatMap((compatibilityMask) =>
      Array.from({ length: PAGES }, (_, page) =>
        runOf(page * PAGE_SIZE, patternPage(page + compatibilityMask), { compatibilityMask }),
      ),
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

describe('an image that is described', () => {
  it('is read once, for any number of platforms, launches and digests', async () => {
    const source = countingSource((await written(file())).bytes);
    const image = readIgvm(source);
    source.total = 0;
    const { guests } = await describeImage(
      image,
      undefined,
      launchesOf({ vmm: 'qemu-kvm', vcpus: [1, 2, 4], cpu: ['EPYC-Milan', 'EPYC-Genoa'] }),
    );
    expect(guests.map(({ name, regions }) => [name, regions.length])).toEqual([
      ['vbs', 1],
      ['snp', 1],
      ['tdx', 1],
    ]);
    expect(guests.flatMap(({ digests }) => digests).length).toBeGreaterThanOrEqual(3);
    // The platforms have all but a few pages in common.
    expect(source.total).toBe((PAGES + 3) * PAGE_SIZE);
  });

  it('has the same digest for a region whatever the order of its pages in the file', async () => {
    const digestOf = async (directives: IgvmFile['directives']): Promise<string | undefined> =>
      (await describeImage(fileOf(directives), undefined)).guests[0]?.regions[0]?.sha256;
    const pages = [0, 1, 2, 3].map((page) => runOf(page * PAGE_SIZE, patternPage(page + 1)));
    const inOrder = await digestOf(pages);
    expect(inOrder).toMatch(/^[0-9a-f]{64}$/);
    expect(await digestOf([pages[2]!, pages[0]!, pages[3]!, pages[1]!])).toBe(inOrder);
    expect(await digestOf([pages[1]!, pages[0]!, pages[2]!, pages[3]!])).toBe(inOrder);
    expect(await digestOf([...pages.slice(0, 3), runOf(3 * PAGE_SIZE, patternPage(9))])).not.toBe(inOrder);
  });

  it('tells whether the launch measures each region', async () => {
    const { guests } = await describeImage(
      fileOf([runOf(0, patternPage(1)), runOf(0x10000, patternPage(2), { flags: 2 })]),
      undefined,
    );
    expect(guests[0]?.regions.map(({ kind, isMeasured, sha256 }) => [kind, isMeasured, sha256?.length])).toEqual([
      ['data', true, 64],
      ['unmeasured', false, 64],
    ]);
  });
});
