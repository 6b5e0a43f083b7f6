import fc from 'fast-check';
import { crc32, sha256Hex } from '../files/hashes';
import { type ByteSource, bytesSource, EMPTY_SOURCE, readAll } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import {
  type Directive,
  type IgvmFile,
  type InitializationHeader,
  type PageDataDirective,
  PARAMETER_TYPE,
  type ParameterKind,
  PLATFORM_TYPE,
  type PlatformHeader,
  type PlatformType,
  type VpContextDirective,
} from './model';
import { memorySink } from './file-data';
import { type WriteReport, writeIgvm } from './write-igvm';

/** The hashes that the format library takes from its caller. */
export const hashes = { crc32, sha256Hex };

/** The bytes of a file, as written to memory. */
export async function written(file: IgvmFile): Promise<{ bytes: Uint8Array; report: WriteReport }> {
  const sink = memorySink();
  const report = await writeIgvm(file, sink, hashes);
  return { bytes: sink.bytes(), report };
}

/** A source that counts the bytes that are read from it. */
export function countingSource(bytes: Uint8Array): ByteSource & { total: number } {
  const inner = bytesSource(bytes);
  const source = {
    size: inner.size,
    total: 0,
    read(offset: number, target: Uint8Array) {
      source.total += target.length;
      inner.read(offset, target);
    },
  };
  return source;
}

const patterns = new Map<number, Uint8Array>();

/** A page whose bytes are derived from a number; 0 gives zeros. */
export function patternPage(seed: number): Uint8Array {
  let page = patterns.get(seed);
  if (page === undefined) {
    page = new Uint8Array(PAGE_SIZE).map((_, index) => (seed * 131 + index * seed * 7) % 251);
    patterns.set(seed, page);
  }
  return page;
}

/** A platform header that is valid. */
export const platformOf = (platformType: PlatformType, compatibilityMask = 1): PlatformHeader => ({
  compatibilityMask,
  highestVtl: 0,
  platformType,
  platformVersion: 1,
  sharedGpaBoundary: 0n,
});

/** A valid file with these directives, by default for VBS. */
export const fileOf = (directives: Directive[], more: Partial<IgvmFile> = {}): IgvmFile => ({
  version: 1,
  arch: 'x64',
  platforms: [platformOf(PLATFORM_TYPE.VSM_ISOLATION)],
  initializations: [],
  directives,
  ...more,
});

/** A run of these pages. */
export const runOf = (
  gpa: number,
  content: Uint8Array | ByteSource,
  more: Partial<PageDataDirective> = {},
): PageDataDirective => {
  const source = content instanceof Uint8Array ? bytesSource(content) : content;
  return {
    type: 'pageData',
    gpa,
    pageCount: Math.max(1, Math.ceil(source.size / PAGE_SIZE)),
    flags: 0,
    dataType: 0,
    compatibilityMask: 1,
    content: source,
    ...more,
  };
};

const HV_X64_REGISTER_RIP = 0x00020010;

/** A VBS context with the given number of registers. */
export function vbsContext(vtl: number, registers = 1): Uint8Array {
  const data = new Uint8Array(4 + 32 * registers);
  const view = new DataView(data.buffer);
  view.setUint32(0, registers, true);
  for (let index = 0; index < registers; index++) {
    view.setUint8(4 + 32 * index, vtl);
    view.setUint32(4 + 32 * index + 1, HV_X64_REGISTER_RIP, true);
  }
  return data;
}

/** A VP context of the format `vbs`, by default with one register. */
export const contextOf = (more: Partial<VpContextDirective> = {}): VpContextDirective => ({
  type: 'vpContext',
  format: 'vbs',
  gpa: 0,
  compatibilityMask: 1,
  vpIndex: 0,
  data: vbsContext(2),
  ...more,
});

/**
 * The contents of a file, with one header per page and its data, so that two files can be compared whatever their runs.
 */
export function flatten(file: IgvmFile): unknown {
  const digest = (bytes: Uint8Array): string => `${bytes.length} bytes, ${sha256Hex(bytes)}`;
  const bytesOf = (source: ByteSource, size = source.size): Uint8Array => {
    const bytes = new Uint8Array(size);
    bytes.set(readAll(source, size));
    return bytes;
  };
  const directives = file.directives.flatMap((directive): unknown[] => {
    if (directive.type === 'parameterArea') {
      const { initialData, size } = directive;
      return [{ ...directive, initialData: initialData.size === 0 ? 'none' : digest(bytesOf(initialData, size)) }];
    }
    if (directive.type === 'vpContext') return [{ ...directive, data: digest(directive.data) }];
    if (directive.type !== 'pageData') return [directive];
    const { content, pageCount, ...rest } = directive;
    const bytes = bytesOf(content, pageCount * PAGE_SIZE);
    return Array.from({ length: pageCount }, (_, page) => ({
      ...rest,
      gpa: rest.gpa + page * PAGE_SIZE,
      bytes:
        page * PAGE_SIZE < content.size ? digest(bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)) : 'empty',
    }));
  });
  const initializations = file.initializations.map((header) =>
    'content' in header ? { ...header, content: digest(bytesOf(header.content)) } : header,
  );
  return { ...file, initializations, directives };
}

const u32 = (): fc.Arbitrary<number> => fc.nat(0xffff_ffff);
const u64 = (): fc.Arbitrary<bigint> => fc.bigInt(0n, 2n ** 64n - 1n);
const bytesOfSize = (size: number): fc.Arbitrary<Uint8Array> =>
  fc.nat(255).map((seed) => Uint8Array.from({ length: size }, (_, index) => seed + 3 * index));
const gpaOf = (): fc.Arbitrary<number> => fc.nat(2 ** 40).map((page) => page * PAGE_SIZE);

/** A few distinct pages, so that equal pages are frequent. */
const pages = (): fc.Arbitrary<Uint8Array> =>
  fc.tuple(fc.array(fc.nat(4), { minLength: 1, maxLength: 5 }), fc.nat(PAGE_SIZE - 1)).map(([seeds, missing]) => {
    const bytes = new Uint8Array(seeds.length * PAGE_SIZE);
    seeds.forEach((seed, page) => bytes.set(patternPage(seed), page * PAGE_SIZE));
    return bytes.subarray(0, bytes.length - missing);
  });

const anyRun = (mask: number): fc.Arbitrary<Directive> =>
  fc
    .record({
      gpa: gpaOf(),
      empty: fc.nat(3),
      content: fc.option(pages(), { nil: undefined }),
      flags: fc.constantFrom(0, 2, 4),
      dataType: fc.nat(3),
    })
    .map(({ empty, content, ...rest }) => {
      const source = content === undefined ? EMPTY_SOURCE : bytesSource(content);
      return runOf(rest.gpa, source, {
        ...rest,
        compatibilityMask: mask,
        pageCount: Math.ceil(source.size / PAGE_SIZE) + empty + (content === undefined ? 1 : 0),
      });
    });

const anyArea = (index: number, mask: number): fc.Arbitrary<Directive[]> =>
  fc
    .record({
      size: fc.integer({ min: 1, max: 3 }).map((count) => count * PAGE_SIZE),
      initialData: fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ maxLength: PAGE_SIZE }), pages()),
      kinds: fc.array(fc.constantFrom(...(Object.keys(PARAMETER_TYPE) as ParameterKind[])), { maxLength: 4 }),
      byteOffset: fc.nat(PAGE_SIZE),
      gpa: gpaOf(),
      isInserted: fc.boolean(),
    })
    .map(({ size, initialData, kinds, byteOffset, gpa, isInserted }) => [
      { type: 'parameterArea', size, index, initialData: bytesSource(initialData.subarray(0, size)) },
      ...kinds.map((kind): Directive => ({ type: 'parameter', kind, index, byteOffset })),
      ...(isInserted ? [{ type: 'parameterInsert', gpa, compatibilityMask: mask, index } as const] : []),
    ]);

const anyContext = (platform: PlatformHeader): fc.Arbitrary<Directive> => {
  const { compatibilityMask } = platform;
  if (platform.platformType === PLATFORM_TYPE.VSM_ISOLATION) {
    return fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 5 })).map(([vtl, registers]) => ({
      type: 'vpContext',
      format: 'vbs',
      gpa: 0,
      compatibilityMask,
      vpIndex: 0,
      data: vbsContext(vtl, registers),
    }));
  }
  const format = platform.platformType === PLATFORM_TYPE.SEV_SNP ? 'snp' : 'native';
  return fc.tuple(gpaOf(), fc.nat(0xffff), bytesOfSize(200)).map(([gpa, vpIndex, registers]) => {
    const data = new Uint8Array(PAGE_SIZE);
    data.set(registers);
    return { type: 'vpContext', format, gpa: format === 'snp' ? gpa : 0, compatibilityMask, vpIndex, data };
  });
};

const signature = (): fc.Arbitrary<{ r: Uint8Array; s: Uint8Array }> =>
  fc.record({ r: bytesOfSize(72), s: bytesOfSize(72) });
const publicKey = (): fc.Arbitrary<{ curve: number; qx: Uint8Array; qy: Uint8Array }> =>
  fc.record({ curve: u32(), qx: bytesOfSize(72), qy: bytesOfSize(72) });

const anySingle = (mask: number): fc.Arbitrary<Directive> =>
  fc.oneof(
    fc.record({
      type: fc.constant('requiredMemory' as const),
      gpa: gpaOf(),
      compatibilityMask: fc.constant(mask),
      size: fc.nat(2 ** 20 - 1).map((count) => count * PAGE_SIZE),
      vtl2Protectable: fc.boolean(),
    }),
    fc.record({
      type: fc.constant('errorRange' as const),
      gpa: gpaOf(),
      compatibilityMask: fc.constant(mask),
      size: u32(),
    }),
    fc.record({
      type: fc.constant('unknown' as const),
      headerType: fc.constantFrom(0x8000_03f0, 0x8000_0400),
      data: fc.uint8Array({ maxLength: 40 }),
    }),
    fc.record({
      type: fc.constant('snpIdBlock' as const),
      compatibilityMask: fc.constant(mask),
      authorKeyEnabled: fc.boolean(),
      ld: bytesOfSize(48),
      familyId: bytesOfSize(16),
      imageId: bytesOfSize(16),
      version: u32(),
      guestSvn: u32(),
      idKeyAlgorithm: u32(),
      authorKeyAlgorithm: u32(),
      idKeySignature: signature(),
      idPublicKey: publicKey(),
      authorKeySignature: signature(),
      authorPublicKey: publicKey(),
    }),
    fc.record({
      type: fc.constant('vbsMeasurement' as const),
      compatibilityMask: fc.constant(mask),
      version: u32(),
      productId: u32(),
      moduleId: u32(),
      securityVersion: u32(),
      policyFlags: u32(),
      bootDigestAlgorithm: u32(),
      signingAlgorithm: u32(),
      bootMeasurementDigest: bytesOfSize(64),
      signature: bytesOfSize(256),
      publicKey: bytesOfSize(512),
    }),
  );

const anyInitialization = (mask: number): fc.Arbitrary<InitializationHeader> =>
  fc.oneof(
    fc.record({ type: fc.constant('guestPolicy' as const), policy: u64(), compatibilityMask: fc.constant(mask) }),
    fc.record({
      type: fc.constant('unknown' as const),
      headerType: fc.constantFrom(0x8000_01f0, 0x8000_0200),
      data: fc.uint8Array({ maxLength: 40 }),
    }),
  );

const corims = (mask: number): fc.Arbitrary<InitializationHeader[]> =>
  fc.tuple(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 100 })).map(([document, signed]) => [
    { type: 'corimDocument', compatibilityMask: mask, content: bytesSource(document) },
    { type: 'corimSignature', compatibilityMask: mask, content: bytesSource(signed) },
  ]);

const x64Platforms = (): fc.Arbitrary<PlatformHeader[]> =>
  fc
    .tuple(
      fc.uniqueArray(
        fc.constantFrom(PLATFORM_TYPE.VSM_ISOLATION, PLATFORM_TYPE.SEV_SNP, PLATFORM_TYPE.TDX, PLATFORM_TYPE.NATIVE),
        { minLength: 1 },
      ),
      fc.shuffledSubarray([0, 1, 5, 31], { minLength: 4 }),
    )
    .map(([types, bits]) => types.map((type, index) => platformOf(type, (1 << (bits[index] as number)) >>> 0)));

/** Valid x64 files with little data, in which equal pages are frequent. */
export const anyIgvmFile = (): fc.Arbitrary<IgvmFile> =>
  x64Platforms().chain((platforms) => {
    const all = platforms.reduce((mask, platform) => (mask | platform.compatibilityMask) >>> 0, 0);
    const contexts = platforms.filter(({ platformType }) => platformType !== PLATFORM_TYPE.TDX).map(anyContext);
    const single = fc.oneof(anyRun(all), anySingle(all), ...contexts).map((directive) => [directive]);
    const areas = fc
      .nat(2)
      .chain((count) => fc.tuple(...Array.from({ length: count }, (_, index) => anyArea(index, all))));
    return fc.record({
      version: fc.constantFrom(1 as const, 2 as const),
      arch: fc.constant('x64' as const),
      platforms: fc.constant(platforms),
      initializations: fc
        .tuple(
          fc.array(anyInitialization(all), { maxLength: 3 }),
          fc.option(fc.string({ unit: 'grapheme' }), { nil: undefined }),
          corims(all),
        )
        .map(([plain, label, signed]): InitializationHeader[] => [
          ...plain,
          ...(label === undefined ? [] : [{ type: 'versionString' as const, value: label }]),
          ...signed,
        ]),
      directives: fc
        .tuple(fc.array(single, { maxLength: 8 }), areas, fc.array(single, { maxLength: 4 }))
        .map(([before, between, after]) => [...before, ...between, ...after].flat()),
    });
  });
