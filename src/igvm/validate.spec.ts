import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { contextOf, fileOf, hashes, patternPage, platformOf, runOf, vbsContext } from './igvm-file.fixture';
import {
  type Directive,
  type GuestArch,
  type IgvmFile,
  type InitializationHeader,
  PLATFORM_TYPE,
  type PlatformType,
} from './model';
import { readIgvm } from './read-igvm';
import { validateIgvm } from './validate';

/** Processor time of this process, so that other load doesn't matter. */
const cpuSeconds = (): number => (process.cpuUsage().user + process.cpuUsage().system) / 1e6;

const page = patternPage(1);
/** A page whose first bytes are not zero. */
const filledTo = (size: number): Uint8Array => new Uint8Array(PAGE_SIZE).fill(1, 0, size);
const area = (index: number, more = {}): Directive => ({
  type: 'parameterArea',
  size: PAGE_SIZE,
  index,
  initialData: EMPTY_SOURCE,
  ...more,
});
const parameter = (index: number, byteOffset = 0): Directive => ({
  type: 'parameter',
  kind: 'madt',
  index,
  byteOffset,
});
const insert = (index: number, gpa = 0x1000): Directive => ({
  type: 'parameterInsert',
  gpa,
  compatibilityMask: 1,
  index,
});
const relocatable = (more = {}): InitializationHeader => ({
  type: 'relocatableRegion',
  compatibilityMask: 1,
  vpIndex: 0,
  vtl: 2,
  isVtl2: true,
  applyPc: true,
  applyGdtr: true,
  relocationAlignment: 0x200000,
  gpa: 0x200000,
  size: 0x400000,
  minimumGpa: 0,
  maximumGpa: 0x40000000,
  ...more,
});
const pageTables = (more = {}): InitializationHeader => ({
  type: 'pageTableRelocation',
  compatibilityMask: 1,
  vpIndex: 0,
  vtl: 2,
  gpa: 0x1000,
  size: 0x4000,
  usedSize: 0x2000,
  ...more,
});
const corim = (type: 'corimDocument' | 'corimSignature', compatibilityMask = 1): InitializationHeader => ({
  type,
  compatibilityMask,
  content: bytesSource(page),
});
const ccaPolicy = (more = {}): InitializationHeader => ({
  type: 'ccaPolicy',
  compatibilityMask: 2,
  attributesRequiredZeroes: 1n,
  attributesRequiredOnes: 2n,
  hashAlgorithm: 0,
  lfaPolicy: 0,
  ...more,
});
const cca: Partial<IgvmFile> = { version: 2, arch: 'aarch64', platforms: [platformOf(PLATFORM_TYPE.CCA, 2)] };
const init = (...initializations: InitializationHeader[]): IgvmFile => fileOf([contextOf()], { initializations });
const platform = (more: object): IgvmFile =>
  fileOf([], { platforms: [{ ...platformOf(PLATFORM_TYPE.VSM_ISOLATION), ...more }] });
const native = { platforms: [platformOf(PLATFORM_TYPE.NATIVE)] };
const snp = { platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)] };

describe('validateIgvm', () => {
  it.each(['every-header-x64', 'every-header-aarch64', 'version-1'])('accepts %s', (name) => {
    const bytes = readFileSync(join(__dirname, 'fixtures', `${name}.igvm`));
    expect(() => validateIgvm(readIgvm(bytesSource(bytes), { ...hashes, validate: false }))).not.toThrow();
  });

  const noRegisters = { data: Object.assign(new Uint8Array(PAGE_SIZE), { [4]: 2 }) };
  const isolated: Partial<IgvmFile> = {
    platforms: [platformOf(PLATFORM_TYPE.VSM_ISOLATION), platformOf(PLATFORM_TYPE.TDX, 2)],
  };
  const valid: [what: string, file: IgvmFile][] = [
    ['relocation whose VP has a context', init(relocatable(), pageTables())],
    ['page tables that are used to their end', init(pageTables({ usedSize: 0x4000 }))],
    ['regions side by side', init(relocatable(), relocatable({ gpa: 0x600000 }), pageTables({ gpa: 0x1fc000 }))],
    ['a version string', init({ type: 'versionString', value: 'a' })],
    ['optional initialization headers', init({ type: 'unknown', headerType: 0x8000_0108, data: page })],
    ['optional directives', fileOf([{ type: 'unknown', headerType: 0x8000_03ff, data: page }])],
    ['a parameter at the end of its area', fileOf([area(0), parameter(0, PAGE_SIZE)])],
    ['initial data that fills its area', fileOf([area(0, { initialData: bytesSource(page) })])],
    [
      'parameters before and after the page tables, and those of another platform within them',
      fileOf(
        [
          area(0),
          insert(0, 0),
          area(1),
          insert(1, 0x5000),
          area(2),
          { ...insert(2, 0x1000), compatibilityMask: 2 } as Directive,
          contextOf(),
        ],
        {
          ...isolated,
          initializations: [pageTables()],
        },
      ),
    ],
    ['a VBS context with any GPA, because no loader reads it', fileOf([contextOf({ gpa: 1 })])],
    [
      'a native context that ends where its structure does',
      fileOf([contextOf({ format: 'native', data: filledTo(232) })], native),
    ],
    [
      'a CCA context that ends where its structure does',
      fileOf([contextOf({ format: 'cca', compatibilityMask: 2, data: filledTo(80) })], cca),
    ],
    ['a VMSA that fills its page', fileOf([contextOf({ format: 'snp', data: page })], snp)],
  ];
  it.each(valid)('accepts a file with %s', (_, file) => {
    expect(() => validateIgvm(file)).not.toThrow();
  });

  it.each<[name: string, type: PlatformType, arch: GuestArch[], hasSharedBoundary: boolean]>([
    ['native', PLATFORM_TYPE.NATIVE, ['x64'], false],
    ['VBS', PLATFORM_TYPE.VSM_ISOLATION, ['x64', 'aarch64'], false],
    ['SEV-SNP', PLATFORM_TYPE.SEV_SNP, ['x64'], true],
    ['TDX', PLATFORM_TYPE.TDX, ['x64'], true],
    ['SEV', PLATFORM_TYPE.SEV, ['x64'], true],
    ['SEV-ES', PLATFORM_TYPE.SEV_ES, ['x64'], true],
    ['CCA', PLATFORM_TYPE.CCA, ['aarch64'], true],
  ])(
    'knows on which architectures the platform %s exists and whether it has a shared GPA boundary',
    (name, type, archs, hasSharedBoundary) => {
      for (const arch of ['x64', 'aarch64'] as const) {
        for (const sharedGpaBoundary of [0n, 1n << 40n]) {
          const file = fileOf([], { version: 2, arch, platforms: [{ ...platformOf(type), sharedGpaBoundary }] });
          if (sharedGpaBoundary !== 0n && !hasSharedBoundary) {
            expect(() => validateIgvm(file)).toThrow(`${name} has no shared GPA boundary`);
          } else if (!archs.includes(arch)) {
            expect(() => validateIgvm(file)).toThrow(`${name} does not exist on ${arch}`);
          } else expect(() => validateIgvm(file)).not.toThrow();
        }
      }
    },
  );

  const invalid: [complaint: string, file: IgvmFile][] = [
    ['version 1 of the format supports only x64', fileOf([], { arch: 'aarch64' })],
    ['supports no platform', fileOf([], { platforms: [] })],
    ['mask 0x3 is not a single bit', platform({ compatibilityMask: 3 })],
    ['mask 0x0 is not a single bit', platform({ compatibilityMask: 0 })],
    ['highest VTL is 1', platform({ highestVtl: 1 })],
    ['type 9 is not a platform', platform({ platformType: 9 })],
    ['version is 2 instead of 1', platform({ platformVersion: 2 })],
    ['VBS has no shared GPA boundary', platform({ sharedGpaBoundary: 1n })],
    ['native does not exist on aarch64', fileOf([], { ...native, version: 2, arch: 'aarch64' })],
    ['CCA does not exist on x64', fileOf([], { ...cca, arch: 'x64' })],
    ['SEV-SNP appears twice', fileOf([], { platforms: [...snp.platforms, platformOf(PLATFORM_TYPE.SEV_SNP, 2)] })],
    ['mask 0x1 appears twice', fileOf([], { platforms: [...snp.platforms, ...native.platforms] })],

    ['size 0x400001 is not a multiple of 4096', init(relocatable({ size: 0x400001 }))],
    ['relocationAlignment 0x1001 is not a multiple of 4096', init(relocatable({ relocationAlignment: 0x1001 }))],
    ['gpa 0x1000 is not a multiple of relocationAlignment', init(relocatable({ gpa: 0x1000 }))],
    ['is not a multiple of relocationAlignment 0x0', init(relocatable({ relocationAlignment: 0 }))],
    ['minimumGpa 0x1000 is not a multiple', init(relocatable({ minimumGpa: 0x1000 }))],
    ['maximumGpa 0x1000 is not a multiple', init(relocatable({ maximumGpa: 0x1000 }))],
    ['the region is empty', init(relocatable({ size: 0 }))],
    ['there is no VTL 3', init(relocatable({ vtl: 3 }))],
    ['regions that a loader may move overlap', init(relocatable(), relocatable({ gpa: 0x400000 }))],
    ['regions that a loader may move overlap', init(relocatable(), pageTables({ gpa: 0x5ff000 }))],
    ['gpa 0x1 is not a multiple', init(pageTables({ gpa: 1 }))],
    ['size 0x4001 is not a multiple', init(pageTables({ size: 0x4001 }))],
    ['usedSize 0x1 is not a multiple', init(pageTables({ usedSize: 1 }))],
    ['the used part of the page tables is larger than the region', init(pageTables({ usedSize: 0x5000 }))],
    ['page table relocation: a platform has more than one', init(pageTables(), pageTables({ gpa: 0x100000 }))],
    [
      'VP 0 in VTL 2, which has no VP context', // not an overlap with the region of another platform
      fileOf([contextOf()], {
        ...isolated,
        initializations: [relocatable(), relocatable({ compatibilityMask: 2 })],
      }),
    ],
    ['VP 1 in VTL 2, which has no VP context', init(relocatable({ vpIndex: 1 }))],
    ['VP 0 in VTL 0, which has no VP context', init(pageTables({ vtl: 0 }))],
    ['CoRIM document: a platform has more than one', init(corim('corimDocument', 3), corim('corimDocument', 2))],
    ['the document that it signs does not precede it', init(corim('corimSignature'), corim('corimDocument'))],
    [
      'CoRIM signature: a platform has more than one',
      init(corim('corimDocument'), corim('corimSignature'), corim('corimSignature')),
    ],
    [
      'VP 0 in VTL 2, which has no VP context',
      fileOf([contextOf({ format: 'snp', ...noRegisters })], { ...snp, initializations: [relocatable()] }),
    ],
    ['CCA does not exist on x64', init(ccaPolicy())],
    ['both one and zero', fileOf([], { ...cca, initializations: [ccaPolicy({ attributesRequiredOnes: 1n })] })],
    ['platform other than CCA', fileOf([], { ...cca, initializations: [ccaPolicy({ compatibilityMask: 3 })] })],
    [
      'platform other than CCA',
      fileOf([], {
        ...cca,
        platforms: [platformOf(PLATFORM_TYPE.VSM_ISOLATION), platformOf(PLATFORM_TYPE.CCA, 2)],
        initializations: [ccaPolicy({ compatibilityMask: 1 })],
      }),
    ],
    ['at most one', init({ type: 'versionString', value: 'a' }, { type: 'versionString', value: 'b' })],
    ['not an optional initialization', init({ type: 'unknown', headerType: 0x1f0, data: page })],
    ['0x80000104 is a known type that is not optional', init({ type: 'unknown', headerType: 0x8000_0104, data: page })],
    ['not an optional initialization', init({ type: 'unknown', headerType: 0x8000_03f0, data: page })],

    ['gpa 0x1001 is not a multiple', fileOf([runOf(0x1001, page)])],
    ['0 pages is not a run', fileOf([runOf(0, EMPTY_SOURCE, { pageCount: 0 })])],
    ['4 is not a type of page data', fileOf([runOf(0, page, { dataType: 4 })])],
    ['8192 bytes do not fit in 1 pages', fileOf([runOf(0, new Uint8Array(8192), { pageCount: 1 })])],
    ['size 0x1 is not a multiple', fileOf([area(0, { size: 1 })])],
    ['4096 bytes of initial data do not fit in 0', fileOf([area(0, { size: 0, initialData: bytesSource(page) })])],
    ['parameter area 0 is declared twice', fileOf([area(0), area(0)])],
    ['parameter area 1 is not declared before it', fileOf([area(0), parameter(1), area(1)])],
    ['offset 4097 lies after the end of parameter area 0', fileOf([area(0), parameter(0, 4097)])],
    ['parameter area 0 is inserted before it', fileOf([area(0), insert(0), parameter(0)])],
    ['parameter area 0 is inserted before it', fileOf([area(0), insert(0), insert(0)])],
    ['gpa 0x1 is not a multiple', fileOf([area(0), insert(0, 1)])],
    [
      'it lies in the region of the page tables',
      fileOf([area(0), insert(0, 0x4000), contextOf()], { initializations: [pageTables()] }),
    ],
    [
      'it lies in the region of the page tables',
      fileOf([area(0), insert(0, 0x1000), contextOf()], { initializations: [pageTables()] }),
    ],
    [
      'size 0x1 is not a multiple',
      fileOf([{ type: 'requiredMemory', gpa: 0, compatibilityMask: 1, size: 1, vtl2Protectable: false }]),
    ],
    ['gpa 0x1 is not a multiple', fileOf([{ type: 'errorRange', gpa: 1, compatibilityMask: 1, size: 1 }])],
    ['does not fit the platforms of compatibility mask 0x2', fileOf([contextOf({ compatibilityMask: 2 })])],
    ['does not fit the platforms of compatibility mask 0x3', fileOf([contextOf({ compatibilityMask: 3 })])],
    ['does not fit the platforms of compatibility mask 0x3', fileOf([contextOf({ compatibilityMask: 3 })], isolated)],
    ['a vbs context does not fit', fileOf([contextOf()], snp)],
    ['TDX has no VP context', fileOf([contextOf({ format: 'tdx' })], { platforms: [platformOf(PLATFORM_TYPE.TDX)] })],
    ['gpa 0x1 is not a multiple', fileOf([contextOf({ format: 'snp', gpa: 1, data: page })], snp)],
    ['a snp context has 4096 bytes, not 4', fileOf([contextOf({ format: 'snp', data: page.subarray(0, 4) })], snp)],
    ['bytes after the native context', fileOf([contextOf({ format: 'native', data: filledTo(233) })], native)],
    [
      'bytes after the cca context',
      fileOf([contextOf({ format: 'cca', compatibilityMask: 2, data: filledTo(81) })], cca),
    ],
    ['no register count', fileOf([contextOf({ data: new Uint8Array(3) })])],
    ['no registers', fileOf([contextOf({ data: new Uint8Array(4) })])],
    ['1 registers do not fit in 37 bytes', fileOf([contextOf({ data: Uint8Array.of(1, ...new Uint8Array(36)) })])],
    ['there is no VTL 3', fileOf([contextOf({ data: vbsContext(3) })])],
    [
      'of several VTLs',
      fileOf([
        contextOf({ data: Uint8Array.of(2, 0, 0, 0, ...vbsContext(1).subarray(4), ...vbsContext(2).subarray(4)) }),
      ]),
    ],
    ['a VBS context is for VP 0, not 1', fileOf([contextOf({ vpIndex: 1 })])],
    ['not an optional directive', fileOf([{ type: 'unknown', headerType: 0x8000_01f0, data: page }])],
    ['not an optional directive', fileOf([{ type: 'unknown', headerType: 0x1_8000_03f0, data: page }])],
    [
      '0x80000305 is a known type that is not optional',
      fileOf([{ type: 'unknown', headerType: 0x8000_0305, data: page }]),
    ],
  ];
  it.each(invalid)('refuses a file: %s', (complaint, file) => {
    expect(() => validateIgvm(file)).toThrow(expect.objectContaining({ code: 'IGVM_INVALID' }));
    expect(() => validateIgvm(file)).toThrow(complaint);
  });

  const places: [what: string, where: object, file: IgvmFile][] = [
    [
      'the pages of a run',
      { gpa: { start: 0x1001, end: 0x3001 } },
      fileOf([runOf(0x1001, new Uint8Array(2 * PAGE_SIZE))]),
    ],
    [
      'the bytes of a range',
      { gpa: { start: 1, end: 0x3001 } },
      fileOf([{ type: 'errorRange', gpa: 1, compatibilityMask: 1, size: 0x3000 }]),
    ],
    [
      'the page of a context',
      { gpa: { start: 1, end: 0x1001 } },
      fileOf([contextOf({ format: 'snp', gpa: 1, data: page })], snp),
    ],
    [
      'the region that overlaps an earlier one',
      { gpa: { start: 0x400000, end: 0x800000 } },
      init(relocatable(), relocatable({ gpa: 0x400000 })),
    ],
    ['nothing when the header has no GPA', {}, fileOf([area(0, { size: 1 })])],
  ];
  it.each(places)('names %s', (_, where, file) => {
    expect(() => validateIgvm(file)).toThrow(expect.objectContaining({ where }));
  });

  it('is quick with a hostile number of regions and contexts', () => {
    const many = Array.from({ length: 20_000 }, (_, index) =>
      relocatable({ gpa: index * 0x400000, maximumGpa: 0, compatibilityMask: 0xffff_ffff }),
    );
    const began = cpuSeconds();
    validateIgvm(
      fileOf(
        Array.from({ length: 20_000 }, () => contextOf()),
        { initializations: many },
      ),
    );
    expect(cpuSeconds() - began).toBeLessThan(1);
  });

  it('is quick with any number of page tables for no platform, and any number of inserts', () => {
    const initializations = Array.from({ length: 30_000 }, (_, index) =>
      pageTables({ gpa: 0x1000 * index, compatibilityMask: 0 }),
    );
    const inserts = Array.from({ length: 30_000 }, (_, index) => [area(index), insert(index)]).flat();
    const began = cpuSeconds();
    expect(() => validateIgvm(fileOf([...inserts, contextOf()], { initializations }))).toThrow('has no VP context');
    expect(cpuSeconds() - began).toBeLessThan(1);
  });
});
