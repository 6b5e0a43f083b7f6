import { crc32 } from 'node:zlib';
import fc from 'fast-check';

/**
 * Random files with an SEV-SNP guest, as bytes, for comparing launch digests. Like the second implementation this shares no
 * code with src.
 */
export interface RandomLaunchFile {
  bytes: Buffer;
  /** Compatibility mask of SEV-SNP. */
  mask: number;
  /** Whether QEMU loads it, for a guest with at least {@link leastVcpus}. */
  isForQemu: boolean;
  isForCloudHypervisor: boolean;
  leastVcpus: number;
}

const SNP = 0x1;
const OTHERS = [0x2, 0x80000000] as const;
/** Masks for SEV-SNP alone, with others, and for others alone. */
const masks = fc.constantFrom(SNP, SNP, SNP, SNP | OTHERS[0], SNP | OTHERS[1], ...OTHERS);

const oneIn = (count: number) => fc.nat(count - 1).map((drawn) => drawn === 0);

/** Most of these are adjacent, so that there are runs. */
const place = { isHigh: oneIn(4), gap: fc.constantFrom(0, 0, 0, 0, 1, 7) };

const pages = fc.record({
  is: fc.constant('page' as const),
  mask: masks,
  isLarge: oneIn(40),
  isUnmeasured: oneIn(5),
  isShared: oneIn(6),
  kind: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3),
  data: fc.constantFrom(undefined, 0, 1, 2, 255),
  ...place,
});

/** A page and the following pages with the same attributes. */
const runs = fc
  .tuple(pages, fc.integer({ min: 1, max: 5 }))
  .map(([first, count]) =>
    Array.from({ length: first.isLarge ? 1 : count }, (_, index) =>
      index === 0 ? first : { ...first, gap: 0 as const },
    ),
  );

const inserts = fc.record({
  is: fc.constant('insert' as const),
  mask: masks,
  pages: fc.integer({ min: 1, max: 4 }),
  /** Whether the area is declared here, and not before all pages. */
  isDeclaredHere: fc.boolean(),
  ...place,
});

/** A directive between pages that isn't measured. */
const memories = fc.record({ is: fc.constant('memory' as const), mask: masks, ...place });

type Item = typeof pages | typeof inserts | typeof memories extends fc.Arbitrary<infer Of> ? Of : never;

const byte = fc.nat(0xff);
const long = fc.oneof(
  fc.constantFrom(0n, 1n, 0xffff_ffff_ffff_ffffn, 0x8000_0000n, 0x1_0000_0000n),
  fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
);
const bitsOf = (...bits: number[]) =>
  fc.subarray(bits).map((set) => set.reduce((value, bit) => value | (1n << BigInt(bit)), 0n));

const segments = fc.record({
  selector: fc.nat(0xffff),
  attributes: fc.nat(0xffff),
  limit: fc.oneof(fc.constantFrom(0, 0xffff, 0xffffffff), fc.nat(0xffffffff)),
  base: long,
});
const tables = fc.record({
  limit: fc.oneof({ weight: 9, arbitrary: fc.nat(0xffff) }, { weight: 1, arbitrary: fc.nat(0xffffffff) }),
  base: long,
});

/** Places of the registers that may have any value: RFLAGS, RIP, RSP, RAX, CR3, DR6, PAT, RCX to RBX, RBP to R15. */
const FREE = [0x150, 0x168, 0x170, 0x178, 0x1d8, 0x1f8, 0x268, 0x308, 0x310, 0x318];
for (let at = 0x328; at <= 0x378; at += 8) FREE.push(at);
/** Fields of others: VMPL, XSS, CR2, virtual TOM, x87 and the end of the vector registers. */
const UNKNOWN_TO_QEMU = [0xca, 0x140, 0x240, 0x3c8, 0x400, 0x66f];

const contexts = fc.record({
  vpIndex: fc.constantFrom(0, 0, 0, 1, 2, 5),
  segments: fc.array(segments, { minLength: 8, maxLength: 8 }),
  tables: fc.tuple(tables, tables),
  free: fc.array(long, { minLength: FREE.length, maxLength: FREE.length }),
  /** Long mode: on; on without LMA, which QEMU adds; or off. */
  mode: fc.constantFrom('long', 'long', 'long without LMA', 'short', 'short'),
  cr0: bitsOf(0, 1, 2, 3, 4, 5, 16, 18, 29, 30),
  cr4: fc.oneof(bitsOf(0, 5, 7, 9, 10, 16, 18, 20, 21), bitsOf(0, 5, 6, 9, 11, 16, 20, 21, 22, 23, 24, 28)),
  efer: bitsOf(0, 11, 12),
  /** Whether only paging or only long mode is on, if not both are. */
  half: fc.constantFrom('paging', 'LME', 'neither'),
  dr7: fc.constantFrom(0n, 0x400n),
  xcr0: fc.constantFrom(1n, 3n, 7n, 0x207n),
  features: bitsOf(5, 9).map((bits) => bits | 1n),
  mxcsr: fc.nat(0xffffffff),
  fcw: fc.nat(0xffff),
  noise: fc.oneof({ weight: 14, arbitrary: fc.constant(undefined) }, fc.constantFrom(...UNKNOWN_TO_QEMU)),
  noiseValue: byte.map((value) => value || 1),
  where: fc.nat(20),
});
type Context = typeof contexts extends fc.Arbitrary<infer Of> ? Of : never;

const SEGMENTS = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x70, 0x90];
const TABLES = [0x60, 0x80];
const LONG_CODE = 0x200;

function vmsaOf(of: Context): Buffer {
  const vmsa = Buffer.alloc(4096);
  const isLong = of.mode !== 'short';
  of.segments.forEach(({ selector, attributes, limit, base }, index) => {
    const at = SEGMENTS[index]!;
    vmsa.writeUInt16LE(selector, at);
    vmsa.writeUInt16LE(index === 1 && !isLong ? attributes & ~LONG_CODE : attributes, at + 2);
    vmsa.writeUInt32LE(limit, at + 4);
    vmsa.writeBigUInt64LE(base, at + 8);
  });
  of.tables.forEach(({ limit, base }, index) => {
    vmsa.writeUInt32LE(limit, TABLES[index]! + 4);
    vmsa.writeBigUInt64LE(base, TABLES[index]! + 8);
  });
  FREE.forEach((at, index) => vmsa.writeBigUInt64LE(of.free[index]!, at));
  const isPaging = isLong || of.half === 'paging';
  const lme = isLong || of.half === 'LME' ? 0x100n : 0n;
  vmsa.writeBigUInt64LE(of.cr0 | (isPaging ? 0x80000000n : 0n), 0x158);
  vmsa.writeBigUInt64LE(of.cr4 | (isLong ? 0x20n : 0n), 0x148);
  vmsa.writeBigUInt64LE(of.efer | lme | (of.mode === 'long' ? 0x400n : 0n), 0xd0);
  vmsa.writeBigUInt64LE(of.dr7, 0x160);
  vmsa.writeBigUInt64LE(of.xcr0, 0x3e8);
  vmsa.writeBigUInt64LE(of.features, 0x3b0);
  vmsa.writeUInt32LE(of.mxcsr, 0x408);
  vmsa.writeUInt16LE(of.fcw, 0x410);
  if (of.noise !== undefined) vmsa.writeUInt8(of.noiseValue, of.noise);
  return vmsa;
}

const u16 = (value: number): Buffer => Buffer.from([value & 255, value >> 8]);
function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}
function u64(value: number | bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}

/** Collects headers and their data. The data follows the headers, so offsets are filled in at the end. */
class FileWriter {
  private readonly headers: { type: number; body: Buffer; dataAt?: number }[] = [];
  private readonly data: Buffer[] = [];

  /** @param offsetAt the position of the data's offset in the header */
  add(type: number, body: Buffer, data?: Buffer, offsetAt?: number): void {
    this.headers.push({ type, body, ...(data === undefined ? {} : { dataAt: offsetAt! }) });
    if (data !== undefined) this.data.push(data);
  }

  bytes(): Buffer {
    const size = this.headers.reduce((sum, { body }) => sum + 8 + Math.ceil(body.length / 8) * 8, 0);
    let offset = 24 + size;
    const parts = this.headers.map(({ type, body, dataAt }) => {
      if (dataAt !== undefined) {
        body.writeUInt32LE(offset, dataAt);
        offset += 4096;
      }
      return Buffer.concat([u32(type), u32(body.length), body, Buffer.alloc(-body.length & 7)]);
    });
    const fixed = (checksum: number): Buffer =>
      Buffer.concat([Buffer.from('IGVM'), u32(1), u32(24), u32(size), u32(offset), u32(checksum)]);
    const headers = Buffer.concat(parts);
    return Buffer.concat([fixed(crc32(Buffer.concat([fixed(0), headers]))), headers, ...this.data]);
  }
}

/** Allocates guest addresses from two areas, so that the file is not in the order of addresses. */
class Addresses {
  private readonly next = [0x10_0000, 0x1_0000_0000];

  take({ isHigh, gap }: { isHigh: boolean; gap: number }, pageCount: number, alignment: number): number {
    const region = isHigh ? 1 : 0;
    const gpa = Math.ceil((this.next[region]! + gap * 4096) / alignment) * alignment;
    this.next[region] = gpa + pageCount * 4096;
    return gpa;
  }
}

function fileOf(items: readonly Item[], all: readonly Context[], others: readonly number[]): RandomLaunchFile {
  const writer = new FileWriter();
  const platform = (mask: number, type: number): void =>
    writer.add(1, Buffer.concat([u32(mask), Buffer.from([0, type]), u16(1), u64(0)]));
  platform(SNP, 2);
  if (others.includes(OTHERS[0])) platform(OTHERS[0], 3);
  if (others.includes(OTHERS[1])) platform(OTHERS[1], 1);
  writer.add(0x101, Buffer.concat([u64(0x30000), u32(SNP), u32(0)]));
  const known = others.reduce((sum, mask) => sum + mask, SNP);
  const own = items.map((item) => ({ ...item, mask: (item.mask & known) >>> 0 })).filter(({ mask }) => mask !== 0);
  const insertsOf = own.filter((item) => item.is === 'insert');
  const area = (insert: (typeof insertsOf)[number]): void =>
    writer.add(0x301, Buffer.concat([u64(insert.pages * 4096), u32(insertsOf.indexOf(insert)), u32(0)]));
  insertsOf.filter(({ isDeclaredHere }) => !isDeclaredHere).forEach(area);
  const addresses = new Addresses();
  const contextsAt = (index: number): void => {
    for (const context of all) {
      if (Math.min(context.where, own.length) !== index) continue;
      const head = Buffer.concat([u64(0xfffffffff000n), u32(SNP), u32(0), u16(context.vpIndex), u16(0)]);
      writer.add(0x304, head, vmsaOf(context), 12);
    }
  };
  own.forEach((item, index) => {
    contextsAt(index);
    if (item.is === 'insert') {
      if (item.isDeclaredHere) area(item);
      const gpa = addresses.take(item, item.pages, 4096);
      writer.add(0x303, Buffer.concat([u64(gpa), u32(item.mask), u32(insertsOf.indexOf(item))]));
    } else if (item.is === 'memory') {
      const gpa = addresses.take(item, 1, 4096);
      writer.add(0x305, Buffer.concat([u64(gpa), u32(item.mask), u32(4096), u32(0), u32(0)]));
    } else {
      const { isLarge, isUnmeasured, isShared, kind, data } = item;
      const gpa = addresses.take(item, isLarge ? 512 : 1, isLarge ? 0x20_0000 : 4096);
      const flags = (isLarge ? 1 : 0) | (isUnmeasured ? 2 : 0) | (isShared ? 4 : 0);
      const body = Buffer.concat([u64(gpa), u32(item.mask), u32(0), u32(flags), u16(kind), u16(0)]);
      writer.add(0x302, body, data === undefined ? undefined : Buffer.alloc(4096, data), 12);
    }
  });
  contextsAt(own.length);
  const hasXfPage = own.some((item) => item.is === 'page' && item.kind === 3);
  return {
    bytes: writer.bytes(),
    mask: SNP,
    isForQemu: all.every(({ noise }) => noise === undefined),
    isForCloudHypervisor:
      others.length === 0 &&
      !hasXfPage &&
      all.every(({ mode, tables: both }) => mode !== 'long without LMA' && both.every(({ limit }) => limit <= 0xffff)),
    leastVcpus: Math.max(0, ...all.map(({ vpIndex }) => vpIndex)) + 1,
  };
}

/** Files that the VMMs load, and some that one of them refuses. */
export const randomLaunchFiles: fc.Arbitrary<RandomLaunchFile> = fc
  .tuple(
    fc.array(
      fc.oneof(
        { weight: 5, arbitrary: runs },
        inserts.map((each) => [each]),
        memories.map((each) => [each]),
      ),
      {
        maxLength: 12,
      },
    ),
    fc.uniqueArray(contexts, { maxLength: 3, selector: ({ vpIndex }) => vpIndex }),
    fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 2, arbitrary: fc.subarray([...OTHERS], { minLength: 1 }) },
    ),
  )
  .map(([items, all, others]) => fileOf(items.flat(), all, others));
