import { EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { fileOf, flatten, patternPage, platformOf, runOf } from './igvm-file.fixture';
import { mergeGuests } from './merge';
import { type Directive, type IgvmFile, PLATFORM_TYPE, type PlatformType } from './model';

const area = (index: number): Directive[] => [
  { type: 'parameterArea', size: PAGE_SIZE, index, initialData: EMPTY_SOURCE },
  { type: 'parameter', kind: 'madt', index, byteOffset: 0 },
  { type: 'parameterInsert', gpa: 0x1000 * index, compatibilityMask: 1, index },
];
const guest = (type: PlatformType, areas: number[] = [], more: Partial<IgvmFile> = {}): IgvmFile =>
  fileOf([runOf(0x1000, patternPage(1)), ...areas.flatMap(area)], {
    platforms: [platformOf(type)],
    initializations: [{ type: 'guestPolicy', policy: 1n, compatibilityMask: 1 }],
    ...more,
  });
const indices = ({ directives }: IgvmFile): number[] =>
  directives.flatMap((directive) => ('index' in directive ? [directive.index] : []));
const masks = (headers: readonly object[]): (number | undefined)[] =>
  headers.map((header) => (header as { compatibilityMask?: number }).compatibilityMask);

describe('mergeGuests', () => {
  it('gives each later guest the next free compatibility bit, in all its headers', () => {
    const merged = mergeGuests([
      guest(PLATFORM_TYPE.VSM_ISOLATION),
      guest(PLATFORM_TYPE.SEV_SNP, [0]),
      guest(PLATFORM_TYPE.TDX),
    ]);
    expect(masks(merged.platforms)).toEqual([1, 2, 4]);
    expect(masks(merged.initializations)).toEqual([1, 2, 4]);
    expect(masks(merged.directives)).toEqual([1, 2, undefined, undefined, 2, 4]);
  });

  it('gives each later guest the lowest free parameter areas', () => {
    const merged = mergeGuests([
      guest(PLATFORM_TYPE.VSM_ISOLATION, [0, 2]),
      guest(PLATFORM_TYPE.SEV_SNP, [0, 1]),
      guest(PLATFORM_TYPE.TDX, [9, 2]),
    ]);
    expect(indices(merged)).toEqual([0, 2, 1, 3, 9, 4].flatMap((index) => [index, index, index]));
  });

  it('keeps numbers that are free, and gives them to no other guest', () => {
    const two = guest(PLATFORM_TYPE.TDX, [1, 0], {
      platforms: [platformOf(PLATFORM_TYPE.TDX, 2), platformOf(PLATFORM_TYPE.SEV_SNP, 1)],
    });
    const merged = mergeGuests([guest(PLATFORM_TYPE.VSM_ISOLATION, [0]), two]);
    expect(masks(merged.platforms)).toEqual([1, 2, 4]);
    expect(indices(merged)).toEqual([0, 1, 2].flatMap((index) => [index, index, index]));
  });

  it('keeps directives that belong to no guest, and mask bits of no platform', () => {
    const labelled = guest(PLATFORM_TYPE.SEV_SNP, [], {
      initializations: [{ type: 'versionString', value: '1.0' }],
      directives: [{ type: 'errorRange', gpa: 0, size: 0x1000, compatibilityMask: 0x8000_0001 }],
    });
    const merged = mergeGuests([guest(PLATFORM_TYPE.VSM_ISOLATION), labelled]);
    expect(merged.initializations[1]).toEqual({ type: 'versionString', value: '1.0' });
    expect(masks(merged.directives)).toEqual([1, 0x8000_0002]);
  });

  it('changes none of its input files, and shares no directive with them', () => {
    const first = guest(PLATFORM_TYPE.VSM_ISOLATION, [0]);
    const second = guest(PLATFORM_TYPE.SEV_SNP, [0]);
    const before = flatten(second);
    const merged = mergeGuests([first, second]);
    expect(flatten(second)).toEqual(before);
    expect(merged.directives).toHaveLength(first.directives.length + second.directives.length);
    expect(mergeGuests([first])).toBe(first);
  });

  it.each<[string, string, IgvmFile[]]>([
    [
      'versions that differ',
      'a native guest must be the only guest',
      [guest(PLATFORM_TYPE.VSM_ISOLATION), guest(PLATFORM_TYPE.NATIVE, [], { version: 2 })],
    ],
    [
      'architectures that differ',
      "for aarch64 can't join one in version 2 for x64",
      [
        guest(PLATFORM_TYPE.VSM_ISOLATION, [], { version: 2 }),
        guest(PLATFORM_TYPE.CCA, [], { version: 2, arch: 'aarch64' }),
      ],
    ],
    [
      'initialization headers of an unknown type',
      'header type 0x80000108 is not known',
      [
        guest(PLATFORM_TYPE.TDX),
        guest(PLATFORM_TYPE.SEV_SNP, [], {
          initializations: [{ type: 'unknown', headerType: 0x8000_0108, data: patternPage(1) }],
        }),
      ],
    ],
    [
      'more guests than a mask has bits',
      'more platforms than the 32 that a file can have',
      Array.from({ length: 33 }, () => guest(PLATFORM_TYPE.TDX)),
    ],
    ['two guests for one platform', 'appears twice', [guest(PLATFORM_TYPE.TDX), guest(PLATFORM_TYPE.TDX)]],
    [
      'directives of an unknown type',
      'header type 0x800003f0 is not known',
      [
        guest(PLATFORM_TYPE.TDX),
        fileOf([{ type: 'unknown', headerType: 0x8000_03f0, data: patternPage(1) }], {
          platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)],
        }),
      ],
    ],
  ])('refuses %s', (_what, complaint, files) => {
    expect(() => mergeGuests(files)).toThrow(
      expect.objectContaining({ name: 'IgvmError', message: expect.stringContaining(complaint) }),
    );
  });
});
