import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ByteSource, bytesSource, EMPTY_SOURCE, readAll } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { SUPPORTED_PLATFORM } from './headers/header-tables';
import {
  contextOf,
  fileOf,
  flatten,
  hashes,
  patternPage,
  platformOf,
  runOf,
  vbsContext,
  written,
} from './igvm-file.fixture';
import {
  type Directive,
  type IgvmFile,
  PAGE_DATA_TYPE,
  PAGE_FLAG,
  type PageDataDirective,
  PLATFORM_TYPE,
} from './model';
import { isLinuxKernel, notAnImage, readIgvm } from './read-igvm';

const golden = (name: string): Uint8Array => new Uint8Array(readFileSync(join(__dirname, 'fixtures', name)));
const read = (bytes: Uint8Array): IgvmFile => readIgvm(bytesSource(bytes), hashes);

/** The file with some bytes changed and, as an author would do, the checksum corrected. */
function changed(bytes: Uint8Array, ...changes: [at: number, value: number][]): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  for (const [at, value] of changes) view.setUint32(at, value, true);
  const start = view.getUint32(8, true);
  const end = Math.min(start + view.getUint32(12, true), copy.length);
  view.setUint32(20, 0, true);
  view.setUint32(20, hashes.crc32(copy.subarray(start, end), hashes.crc32(copy.subarray(0, start))), true);
  return copy;
}

describe('readIgvm', () => {
  it('reads what the igvm crate wrote', () => {
    const { version, arch, platforms, initializations, directives } = read(golden('every-header-x64.igvm'));
    expect({ version, arch }).toEqual({ version: 2, arch: 'x64' });
    expect(platforms.map(({ platformType, sharedGpaBoundary }) => [platformType, sharedGpaBoundary])).toEqual([
      [1, 0n],
      [2, 1n << 39n],
      [3, 1n << 47n],
      [0, 0n],
      [4, 0n],
      [5, 0n],
    ]);
    expect(initializations.slice(0, 3)).toEqual([
      { type: 'guestPolicy', policy: 0xffff_ffff_0003_0000n, compatibilityMask: 2 },
      {
        type: 'relocatableRegion',
        compatibilityMask: 1,
        vpIndex: 0,
        vtl: 2,
        isVtl2: true,
        applyPc: true,
        applyGdtr: true,
        relocationAlignment: 0x200000,
        gpa: 0x8000000,
        size: 0x400000,
        minimumGpa: 0x200000,
        maximumGpa: 0x40000000000,
      },
      {
        type: 'pageTableRelocation',
        compatibilityMask: 1,
        vpIndex: 0,
        vtl: 2,
        gpa: 0x9000000,
        size: 0x20000,
        usedSize: 0x5000,
      },
    ]);
    const texts = initializations.map((header) =>
      'content' in header ? [header.type, Buffer.from(readAll(header.content, 100)).toString()] : [],
    );
    expect(texts.slice(3)).toEqual([
      ['corimDocument', 'a corim document'],
      ['corimDocument', 'another document!'],
      ['corimSignature', 'a signature'],
    ]);
    const ofType = <T extends Directive['type']>(type: T): Extract<Directive, { type: T }>[] =>
      directives.filter((directive): directive is Extract<Directive, { type: T }> => directive.type === type);
    expect(ofType('parameter').map(({ kind, index, byteOffset }) => `${kind} ${index} ${byteOffset}`)).toEqual([
      'vpCount 0 0',
      'environmentInfo 0 4',
      'srat 1 0',
      'madt 1 256',
      'slit 1 512',
      'pptt 1 768',
      'mmioRanges 0 64',
      'memoryMap 0 128',
      'commandLine 7 0',
      'deviceTree 7 4096',
    ]);
    expect(ofType('requiredMemory')[0]).toEqual({
      type: 'requiredMemory',
      gpa: 0x100000,
      compatibilityMask: 3,
      size: 0xfffff000,
      vtl2Protectable: true,
    });
    expect(ofType('vpContext').map(({ format, gpa, vpIndex, data }) => [format, gpa, vpIndex, data.length])).toEqual([
      ['snp', 0xfffff000, 0, PAGE_SIZE],
      ['snp', 0xfffff000, 1, PAGE_SIZE],
      ['native', 0, 0, PAGE_SIZE],
      ['native', 0, 3, PAGE_SIZE],
      ['vbs', 0, 0, 4 + 3 * 32],
    ]);
    expect(ofType('snpIdBlock')).toMatchObject([
      { authorKeyEnabled: true, guestSvn: 5, authorPublicKey: { curve: 2, qx: new Uint8Array(72).fill(10) } },
    ]);
    expect(ofType('vbsMeasurement')).toMatchObject([
      { policyFlags: 5, bootMeasurementDigest: new Uint8Array(64).fill(6), publicKey: new Uint8Array(512).fill(8) },
    ]);
    expect(ofType('errorRange')).toEqual([{ type: 'errorRange', gpa: 0x5000, compatibilityMask: 1, size: 0x1000 }]);
    expect(read(golden('every-header-aarch64.igvm')).initializations).toEqual([
      {
        type: 'ccaPolicy',
        compatibilityMask: 2,
        attributesRequiredZeroes: 1n,
        attributesRequiredOnes: 2n,
        hashAlgorithm: 1,
        lfaPolicy: 1,
      },
    ]);
  });

  it('joins pages into a run if they are adjacent in the guest and in the file', async () => {
    const content = new Uint8Array(600 * PAGE_SIZE);
    for (let page = 0; page < 200; page++) content.set(patternPage(page + 1), page * PAGE_SIZE);
    const file = fileOf([runOf(0, content, { pageCount: 700 }), runOf(2 ** 30, content.subarray(0, 100 * PAGE_SIZE))]);
    const runs = read((await written(file)).bytes).directives.map(
      (run) => run.type === 'pageData' && [run.gpa, run.pageCount, run.content.size],
    );
    expect(runs.slice(0, 2)).toEqual([
      [0, 201, 201 * PAGE_SIZE],
      [201 * PAGE_SIZE, 1, PAGE_SIZE],
    ]);
    expect(runs.slice(-2)).toEqual([
      [600 * PAGE_SIZE, 100, 0],
      [2 ** 30, 100, 100 * PAGE_SIZE],
    ]);
  });

  it('keeps adjacent pages apart that differ in platform, flags or type', async () => {
    const platforms = [platformOf(PLATFORM_TYPE.VSM_ISOLATION), platformOf(PLATFORM_TYPE.SEV_SNP, 0x0200_0000)];
    const page = (gpa: number, more: Partial<PageDataDirective>) => runOf(gpa * PAGE_SIZE, patternPage(gpa), more);
    const runs = [
      page(1, {}),
      page(2, { compatibilityMask: 0x0200_0001 }),
      page(3, { compatibilityMask: 0x0200_0001, flags: PAGE_FLAG.UNMEASURED }),
      page(4, { compatibilityMask: 0x0200_0000, flags: PAGE_FLAG.UNMEASURED }),
      page(5, { compatibilityMask: 0x0200_0000, dataType: PAGE_DATA_TYPE.CPUID_DATA }),
    ];
    const file = fileOf(runs, { platforms });
    expect(flatten(read((await written(file)).bytes))).toEqual(flatten(file));
  });

  it('reads no page data', () => {
    const bytes = golden('every-header-x64.igvm');
    const view = new DataView(bytes.buffer);
    const headersEnd = view.getUint32(8, true) + view.getUint32(12, true);
    const contexts: number[] = [];
    const source: ByteSource = {
      size: bytes.length,
      read(offset, target) {
        if (offset >= headersEnd) contexts.push(target.length);
        target.set(bytes.subarray(offset, offset + target.length));
      },
    };
    readIgvm(source, hashes);
    expect(contexts).toEqual([PAGE_SIZE, PAGE_SIZE, 4, 100]);
  });

  it('finds the data of parameter areas and documents, where they have any', async () => {
    const text = bytesSource(Buffer.from('document'));
    const file = fileOf(
      [
        { type: 'parameterArea', index: 0, size: 2 * PAGE_SIZE, initialData: bytesSource(patternPage(3)) },
        { type: 'parameterArea', index: 1, size: PAGE_SIZE, initialData: EMPTY_SOURCE },
      ],
      {
        platforms: [platformOf(PLATFORM_TYPE.VSM_ISOLATION), platformOf(PLATFORM_TYPE.TDX, 2)],
        initializations: [
          { type: 'corimDocument', compatibilityMask: 1, content: text },
          { type: 'corimDocument', compatibilityMask: 2, content: EMPTY_SOURCE },
        ],
      },
    );
    expect(flatten(read((await written(file)).bytes))).toEqual(flatten(file));
    const noOffset = changed((await written(file)).bytes, [24 + 2 * 24 + 24 + 12, 0]);
    expect(flatten(read(noOffset))).toEqual(flatten(file));
  });

  it('keeps a version string and unknown optional headers', async () => {
    const file = fileOf([{ type: 'unknown', headerType: 0x8000_03ff, data: Uint8Array.of(1, 2, 3) }], {
      initializations: [
        { type: 'versionString', value: '\ufeff1.0 – ü' },
        { type: 'unknown', headerType: 0x8000_01ff, data: new Uint8Array(0) },
      ],
    });
    expect(read((await written(file)).bytes)).toEqual(file);
  });

  it('reads variable headers that are larger than its window', async () => {
    const file = fileOf([{ type: 'unknown', headerType: 0x8000_03ff, data: new Uint8Array(600_000).fill(1) }], {
      initializations: [{ type: 'versionString', value: 'x'.repeat(300_000) }],
    });
    const back = read((await written(file)).bytes);
    expect(back.initializations).toEqual(file.initializations);
    expect(back.directives).toMatchObject([{ data: { length: 600_000 } }]);
  });

  it('accepts plain bytes, with its own checksum and rules', () => {
    const bytes = golden('version-1.igvm');
    expect(flatten(readIgvm(bytes))).toEqual(flatten(read(bytes)));
    expect(() => readIgvm(Object.assign(bytes.slice(), { [20]: 0 }))).toThrow('checksum');
  });

  it('passes on errors of its source', () => {
    const bytes = golden('version-1.igvm');
    const broken = new Error('the disk is gone');
    let reads = 0;
    const source: ByteSource = {
      size: bytes.length,
      read(offset, target) {
        if (++reads > 2) throw broken; // The first two reads are the fixed header and the checksum.
        target.set(bytes.subarray(offset, offset + target.length));
      },
    };
    expect(() => readIgvm(source, hashes)).toThrow(broken);
  });

  describe('refuses', () => {
    /** One platform, one VP context, one page: 24 + 24 + 32 + 32 bytes of headers. */
    const file = fileOf([contextOf(), runOf(0x1000, patternPage(1))]);
    const PLATFORM = 24;
    const CONTEXT = 48;
    const PAGE = 80;
    const DATA = 112;
    let bytes: Uint8Array;
    beforeAll(async () => void ({ bytes } = await written(file)));

    const cases: [what: string, code: string, change: () => Uint8Array, offset: number, message?: string][] = [
      ['an empty file', 'IGVM_MALFORMED', () => new Uint8Array(0), 0],
      ['another magic', 'IGVM_MALFORMED', () => changed(bytes, [0, 0x464c457f]), 0],
      ['a truncated fixed header', 'IGVM_MALFORMED', () => bytes.subarray(0, 20), 0],
      ['a truncated fixed header of version 2', 'IGVM_MALFORMED', () => changed(bytes, [4, 2]).subarray(0, 30), 0],
      ['another version', 'IGVM_UNSUPPORTED', () => changed(bytes, [4, 3]), 4],
      ['a truncated file', 'IGVM_MALFORMED', () => bytes.subarray(0, 200), 16],
      ['headers within the fixed header', 'IGVM_MALFORMED', () => changed(bytes, [8, 16]), 8],
      ['headers at an odd offset', 'IGVM_MALFORMED', () => changed(bytes, [8, 28]), 8],
      ['headers beyond the file', 'IGVM_MALFORMED', () => changed(bytes, [12, 0xffff_ffff]), 12],
      ['a wrong checksum', 'IGVM_MALFORMED', () => Object.assign(bytes.slice(), { [PAGE + 8]: 1 }), 20],
      ['an unknown header', 'IGVM_UNSUPPORTED', () => changed(bytes, [PAGE, 0x3f0]), PAGE],
      ['a known header marked as optional', 'IGVM_UNSUPPORTED', () => changed(bytes, [PAGE, 0x8000_0305]), PAGE],
      [
        'a header that belongs to no section',
        'IGVM_MALFORMED',
        () => changed(bytes, [PAGE, 0x250]),
        PAGE,
        'header type 0x250 belongs to no section',
      ],
      [
        'sections out of order',
        'IGVM_MALFORMED',
        () => changed(bytes, [PAGE, 0x101], [PAGE + 4, 16]),
        PAGE,
        'follows one of a later section',
      ],
      ['a header with another length', 'IGVM_MALFORMED', () => changed(bytes, [PLATFORM + 4, 15]), PLATFORM],
      ['a header that goes beyond the headers', 'IGVM_MALFORMED', () => changed(bytes, [PAGE + 4, 32]), PAGE],
      ['a header of 4 GiB', 'IGVM_MALFORMED', () => changed(bytes, [PAGE + 4, 0xffff_ffff]), PAGE],
      ['padding that is not zero', 'IGVM_MALFORMED', () => changed(bytes, [CONTEXT + 28, 1]), CONTEXT],
      ['a reserved field that is not zero', 'IGVM_MALFORMED', () => changed(bytes, [PAGE + 28, 1 << 16]), PAGE],
      ['a GPA beyond 2^53', 'IGVM_MALFORMED', () => changed(bytes, [PAGE + 12, 1 << 21]), PAGE],
      ['page data within the headers', 'IGVM_MALFORMED', () => changed(bytes, [PAGE + 20, 8]), PAGE],
      ['page data beyond the file', 'IGVM_MALFORMED', () => changed(bytes, [PAGE + 20, DATA + 40]), PAGE],
      ['a context beyond the file', 'IGVM_MALFORMED', () => changed(bytes, [CONTEXT + 20, bytes.length - 3]), CONTEXT],
      [
        'a context for a platform that the file lacks',
        'IGVM_MALFORMED',
        () => changed(bytes, [CONTEXT + 16, 2]),
        CONTEXT,
      ],
      [
        'too many registers for any context',
        'IGVM_MALFORMED',
        () => changed(bytes, [DATA, 0xffff_ffff]),
        CONTEXT,
        '4294967295 registers',
      ],
      ['registers beyond the file', 'IGVM_MALFORMED', () => changed(bytes, [DATA, 1000]), CONTEXT],
    ];
    it.each(cases)('%s', (_what, code, change, offset, message = '') => {
      expect(() => read(change())).toThrow(
        expect.objectContaining({ code, where: { offset }, message: expect.stringContaining(message) }),
      );
    });

    it('a run of pages beyond the file, with the place of its first header', async () => {
      const three = await written(fileOf([runOf(0, patternPage(1)), runOf(0x8000, EMPTY_SOURCE, { pageCount: 3 })]));
      const second = 48 + 32;
      const beyond = [0, 1, 2].map((page): [number, number] => [
        second + 32 * page + 20,
        three.bytes.length + page * PAGE_SIZE,
      ]);
      expect(() => read(changed(three.bytes, ...beyond))).toThrow(
        expect.objectContaining({ code: 'IGVM_MALFORMED', where: { offset: second } }),
      );
    });

    it('a file that breaks the rules, unless it is only to be inspected', () => {
      const unaligned = changed(bytes, [PAGE + 8, 0x1001]);
      expect(() => read(unaligned)).toThrow(expect.objectContaining({ code: 'IGVM_INVALID' }));
      expect(readIgvm(bytesSource(unaligned), { ...hashes, validate: false }).directives[1]).toMatchObject({
        gpa: 0x1001,
      });
    });

    it.each<[what: string, changes: [at: number, value: number][], offset: number]>([
      ['an architecture that is not known', [[24, 2]], 24],
      ['pages of another size', [[28, 0x4000]], 28],
      ['headers within the fixed header of version 2', [[8, 24]], 8],
      ['an optional platform', [[32, 0x8000_0002]], 32],
    ])('%s', async (_what, changes, offset) => {
      const second = (await written(fileOf([], { version: 2 }))).bytes;
      expect(read(second)).toMatchObject({ version: 2, arch: 'x64' });
      expect(() => read(changed(second, ...changes))).toThrow(expect.objectContaining({ where: { offset } }));
    });

    it('more platforms than a mask has bits', async () => {
      const platform = platformOf(PLATFORM_TYPE.VSM_ISOLATION);
      const headers = new Uint8Array(33 * 24);
      const view = new DataView(headers.buffer);
      for (let at = 0; at < headers.length; at += 24) {
        view.setUint32(at, 1, true);
        view.setUint32(at + 4, SUPPORTED_PLATFORM.size, true);
        SUPPORTED_PLATFORM.write(view, at + 8, platform);
      }
      const withPlatforms = (count: number): Uint8Array =>
        changed(
          Uint8Array.of(...bytes.subarray(0, 24), ...headers.subarray(0, 24 * count)),
          [12, 24 * count],
          [16, 24 * (count + 1)],
        );
      const lenient = { ...hashes, validate: false };
      expect(readIgvm(withPlatforms(32), lenient).platforms).toEqual(Array.from({ length: 32 }, () => platform));
      expect(() => readIgvm(withPlatforms(33), lenient)).toThrow('there are more than 32 platforms');
    });

    it('contexts that overlap, and thus allocations larger than the file', async () => {
      // Each page begins with a register count of 1000, so a context that begins there has eight pages.
      const counts = new Uint8Array(20 * PAGE_SIZE);
      const view = new DataView(counts.buffer);
      for (let page = 0; page < 20; page++) {
        view.setUint32(page * PAGE_SIZE, 1000, true);
        view.setUint32(page * PAGE_SIZE + 4, page, true);
      }
      const context = file.directives[0] as Directive;
      const { bytes: valid, report } = await written(fileOf([context, context, context, runOf(0x1000, counts)]));
      const start = report.headerBytes + vbsContext(2).length;
      const placed = (...pages: number[]): Uint8Array =>
        changed(
          valid,
          ...pages.map((page, index): [number, number] => [48 + 32 * index + 20, start + page * PAGE_SIZE]),
        );
      const lenient = { ...hashes, validate: false };
      expect(readIgvm(placed(0, 1, 1), lenient).directives).toMatchObject([
        { data: { length: 32_004 } },
        { data: { length: 32_004 } },
        { data: { length: 32_004 } },
        {},
      ]);
      expect(() => readIgvm(placed(0, 1, 2), lenient)).toThrow('VP contexts overlap');
    });

    it('a version string that is not valid text', async () => {
      const label = (await written(fileOf([], { initializations: [{ type: 'versionString', value: 'four' }] }))).bytes;
      expect(() => read(changed(label, [56, 0xffff_ffff]))).toThrow('the version string is not UTF-8');
    });
  });
});

function file(size: number, ...marks: [offset: number, text: string][]): Uint8Array {
  const bytes = new Uint8Array(size);
  for (const [offset, text] of marks) bytes.set(Buffer.from(text, 'latin1'), offset);
  return bytes;
}

describe('another file instead of an image', () => {
  it.each([
    ['a bzImage, an EFI program at the same time', file(4096, [0, 'MZ'], [0x202, 'HdrS']), 'is a Linux kernel'],
    ['an Image', file(4096, [0x38, 'ARM\x64']), 'is a Linux kernel'],
    ['a vmlinux', file(64, [0, '\x7fELF']), 'an ELF file'],
    ['an initramfs', file(110, [0, '070701']), 'a cpio archive'],
    ['a manifest', file(20, [0, '{ "guest_arch"']), '"nx-igvm build" builds an image from one'],
    ['nothing', file(0), 'is empty'],
  ])('is named: %s', (_, bytes, said) => {
    expect(notAnImage(bytesSource(bytes))).toContain(said);
    // The general remedy is about damaged images.
    expect(() => readIgvm(bytesSource(bytes))).toThrow(expect.objectContaining({ saysAll: bytes.length > 0 }));
  });

  it('is distinguished from a firmware DLL', () => {
    expect(isLinuxKernel(bytesSource(file(4096, [0, 'MZ'])))).toBe(false);
    expect(isLinuxKernel(bytesSource(file(0x206, [0, 'MZ'], [0x202, 'HdrS'])))).toBe(true);
    expect(isLinuxKernel(bytesSource(file(0x205, [0, 'MZ'], [0x202, 'Hdr'])))).toBe(false);
    expect(notAnImage(bytesSource(file(8)))).toBeUndefined();
  });
});
