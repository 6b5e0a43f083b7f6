import fc from 'fast-check';
import { imageDigests } from '../measurement/measure';
import { launchesOf } from '../measurement/launches';
import { type ByteSource, bytesSource, EMPTY_SOURCE, regionSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { contextOf, countingSource, fileOf, patternPage, platformOf, runOf, written } from './igvm-file.fixture';
import { type Directive, type IgvmFile, type PageDataDirective, PLATFORM_TYPE } from './model';
import { readIgvm } from './read-igvm';
import { inFileOrder, readingOrder, type Step } from './reading-order';
import { streamDirectives } from './stream';

const PLATFORMS = [
  platformOf(PLATFORM_TYPE.VSM_ISOLATION, 1),
  platformOf(PLATFORM_TYPE.SEV_SNP, 2),
  platformOf(PLATFORM_TYPE.TDX, 4),
];
const POLICY = { type: 'guestPolicy' as const, policy: 0x30000n, compatibilityMask: 2 };

const withPlatforms = (directives: Directive[]): IgvmFile =>
  fileOf(directives, { platforms: PLATFORMS, initializations: [POLICY] });

/** What the platforms of a mask see of the steps: their directives and pages. */
const seenBy = (mask: number, steps: Iterable<Step>): unknown[] =>
  [...steps].flatMap((step): unknown[] => {
    if (step.type !== 'pages')
      return 'compatibilityMask' in step && (step.compatibilityMask & mask) === 0 ? [] : [step];
    const own = step.runs.filter(({ run }) => (run.compatibilityMask & mask) !== 0);
    return own.flatMap(({ run, firstPage }) =>
      Array.from({ length: step.pageCount }, (_, page) => [run, firstPage + page, step.hasData]),
    );
  });

/** Bytes that a pass reads. */
async function bytesRead(file: IgvmFile): Promise<number> {
  const source = countingSource((await written(file)).bytes);
  const image = readIgvm(source);
  source.total = 0;
  await streamDirectives(image, [], readingOrder(image));
  return source.total;
}

/** The number of distinct pages of a file. */
const distinct = async (file: IgvmFile): Promise<number> => (await written(file)).report.uniquePages;

const own = (compatibilityMask: number, seeds: readonly number[], gpa = 0): PageDataDirective[] =>
  seeds.map((seed, page) => runOf(gpa + page * PAGE_SIZE, patternPage(seed), { compatibilityMask }));

const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, index) => first + index);

describe('the order of reading', () => {
  it.each<[string, Directive[]]>([
    ['have the same pages', [1, 2, 4].flatMap((mask) => own(mask, range(1, 100)))],
    [
      'have other pages before the common ones',
      [1, 2, 4].flatMap((mask) => own(mask, [...range(200 + mask, 1), ...range(1, 100)])),
    ],
    [
      'have other pages between the common ones',
      [1, 2, 4].flatMap((mask) => own(mask, [...range(1, 50), 200 + mask, ...range(51, 50)])),
    ],
    [
      'each lack some of the common pages',
      [own(1, range(1, 90)), own(2, range(11, 90)), own(4, [...range(1, 20), ...range(60, 41)])].flat(),
    ],
    [
      'are two of three that have pages in common',
      [own(1, range(1, 60)), own(2, range(101, 60)), own(4, range(1, 60))].flat(),
    ],
    [
      'have areas and contexts of their own between the pages',
      [1, 2, 4].flatMap((compatibilityMask, index): Directive[] => [
        ...own(compatibilityMask, range(1, 30)),
        { type: 'parameterArea', index, size: PAGE_SIZE, initialData: EMPTY_SOURCE },
        { type: 'parameter', kind: 'memoryMap', index, byteOffset: 0 },
        { type: 'parameterInsert', index, gpa: 0x10_0000, compatibilityMask },
        ...own(compatibilityMask, range(31, 30), 0x20_0000),
      ]),
    ],
  ])('reads data once if platforms %s', async (_, directives) => {
    const file = withPlatforms(directives);
    expect(await bytesRead(file)).toBe((await distinct(file)) * PAGE_SIZE);
  });

  it('reads data again that two platforms have in opposite orders', async () => {
    const file = withPlatforms([...own(1, [1, 2]), ...own(2, [2, 1])]);
    expect(await bytesRead(file)).toBe(3 * PAGE_SIZE);
  });

  it('is file order if only one platform has pages, or all have the same runs', () => {
    const one = fileOf([...own(1, [1, 1, 2]), ...own(1, [2])]);
    expect([...readingOrder(one)]).toEqual([...inFileOrder(one.directives)]);
    const common = withPlatforms([...own(7, [1, 2]), ...own(7, [1, 2], 0x10_0000)]);
    expect([...readingOrder(common)]).toEqual([...inFileOrder(common.directives)]);
  });

  it('keeps the order of each platform, and shows each page once, for any data', () => {
    const data = bytesSource(new Uint8Array(24 * PAGE_SIZE + 16));
    const content = fc.oneof(
      fc
        .tuple(fc.nat(20), fc.integer({ min: 1, max: 4 }), fc.constantFrom(0, 0, 0, 16))
        .map(([first, count, shift]) => regionSource(data, first * PAGE_SIZE + shift, count * PAGE_SIZE)),
      fc.constantFrom<ByteSource>(EMPTY_SOURCE, bytesSource(new Uint8Array(PAGE_SIZE)), regionSource(data, 0, 100)),
    );
    const mask = fc.integer({ min: 1, max: 7 });
    const directive = fc.oneof(
      {
        weight: 4,
        arbitrary: fc
          .tuple(mask, content, fc.nat(2))
          .map(([compatibilityMask, source, empty]) =>
            runOf(0, source, { compatibilityMask, pageCount: Math.ceil(source.size / PAGE_SIZE) + empty || 1 }),
          ),
      },
      fc
        .tuple(mask, fc.nat(3))
        .map(
          ([compatibilityMask, index]): Directive => ({ type: 'parameterInsert', index, gpa: 0, compatibilityMask }),
        ),
      fc
        .nat(3)
        .map((index): Directive => ({ type: 'parameterArea', index, size: PAGE_SIZE, initialData: EMPTY_SOURCE })),
      fc.nat(3).map((index): Directive => ({ type: 'parameter', kind: 'vpCount', index, byteOffset: 0 })),
      fc.constant<Directive>({ type: 'unknown', headerType: 0x8000_0300, data: new Uint8Array(0) }),
    );
    fc.assert(
      fc.property(fc.array(directive, { maxLength: 30 }), (directives) => {
        const file = withPlatforms(directives);
        const steps = [...readingOrder(file)];
        const all = (list: Iterable<Step>) => seenBy(7, list).length;
        expect(all(steps)).toBe(all(inFileOrder(directives)));
        for (const { compatibilityMask } of PLATFORMS) {
          const areas = directives.flatMap((each) =>
            each.type === 'parameterInsert' && (each.compatibilityMask & compatibilityMask) !== 0 ? [each.index] : [],
          );
          // What has no mask of its own is in the order of the platforms that it is for.
          const isOwn = (seen: unknown) =>
            Array.isArray(seen) || !('index' in (seen as object)) || areas.includes((seen as { index: number }).index);
          expect(seenBy(compatibilityMask, steps).filter(isOwn)).toEqual(
            seenBy(compatibilityMask, inFileOrder(directives)).filter(isOwn),
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  it('changes no digest', async () => {
    const guest = (compatibilityMask: number, index: number): Directive[] => [
      ...own(compatibilityMask, [...range(100 + index, 2), ...range(1, 20)]),
      { type: 'parameterArea', index, size: PAGE_SIZE, initialData: EMPTY_SOURCE },
      { type: 'parameterInsert', index, gpa: 0x10_0000, compatibilityMask },
      ...own(compatibilityMask, range(31, 30), 0x20_0000),
    ];
    const all = withPlatforms([...guest(1, 0), contextOf(), ...guest(2, 1), ...guest(4, 2)]);
    const together = readIgvm((await written(all)).bytes);
    const launches = launchesOf({ vmm: 'qemu-kvm', vcpus: [1, 2], cpu: ['EPYC-Milan'] });
    const digests = await imageDigests(together, { launches });
    expect(digests.length).toBe(4);
    for (const [index, platform] of PLATFORMS.entries()) {
      const alone = {
        ...together,
        platforms: [platform],
        directives: together.directives.filter(
          ({ type, ...each }) =>
            type === 'parameterArea' ||
            ('compatibilityMask' in each && each.compatibilityMask === platform.compatibilityMask),
        ),
      };
      const [name] = ['vbs', 'snp', 'tdx'].slice(index);
      expect(await imageDigests(alone as IgvmFile, { launches })).toEqual(
        digests.filter((each) => each.platform === name),
      );
    }
  });
});
