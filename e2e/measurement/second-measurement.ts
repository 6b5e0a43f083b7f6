import { createHash } from 'node:crypto';

/**
 * A second implementation of the launch measurements, for tests only: it shares no code with src, reads the file's bytes
 * itself and follows the specifications as directly as possible, one page at a time. The SEV-SNP part follows svsm's
 * tools/igvmmeasure, with `vanadium` as its `--native-zero`.
 */

interface RawPage {
  kind: 'page';
  gpa: bigint;
  flags: number;
  dataType: number;
  /** Undefined if the file has no data for it. */
  data: Buffer | undefined;
}
type RawDirective =
  | RawPage
  | { kind: 'area'; index: number; size: bigint }
  | { kind: 'insert'; gpa: bigint; index: number }
  | { kind: 'context'; gpa: bigint; fileOffset: number }
  | { kind: 'errorRange'; gpa: bigint; size: number };

const u16 = (value: number): Buffer => Buffer.from([value & 255, value >> 8]);
const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
};
const u64 = (value: bigint): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(value);
  return buffer;
};
const sha = (algorithm: string, ...parts: Uint8Array[]): Buffer => {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** The compatibility mask of a platform type; undefined when the file doesn't have it. */
export function maskOf(file: Buffer, platformType: number): number | undefined {
  for (const { type, at } of headers(file)) {
    if (type === 1 && file.readUInt8(at + 5) === platformType) return file.readUInt32LE(at);
  }
  return undefined;
}

function* headers(file: Buffer): Generator<{ type: number; at: number }> {
  const end = file.readUInt32LE(8) + file.readUInt32LE(12);
  for (let at = file.readUInt32LE(8); at < end; ) {
    yield { type: file.readUInt32LE(at), at: at + 8 };
    at += 8 + Math.ceil(file.readUInt32LE(at + 4) / 8) * 8;
  }
}

function* directives(file: Buffer, mask: number): Generator<RawDirective> {
  for (const { type, at } of headers(file)) {
    if (type === 0x301) yield { kind: 'area', size: file.readBigUInt64LE(at), index: file.readUInt32LE(at + 8) };
    else if ((type < 0x302 || type > 0x304) && type !== 0x30d) continue;
    else if ((file.readUInt32LE(at + 8) & mask) === 0) continue;
    else if (type === 0x302) {
      const fileOffset = file.readUInt32LE(at + 12);
      yield {
        kind: 'page',
        gpa: file.readBigUInt64LE(at),
        flags: file.readUInt32LE(at + 16),
        dataType: file.readUInt16LE(at + 20),
        data: fileOffset === 0 ? undefined : file.subarray(fileOffset, fileOffset + 4096),
      };
    } else if (type === 0x303) {
      yield { kind: 'insert', gpa: file.readBigUInt64LE(at), index: file.readUInt32LE(at + 12) };
    } else if (type === 0x304) {
      yield { kind: 'context', gpa: file.readBigUInt64LE(at), fileOffset: file.readUInt32LE(at + 12) };
    } else {
      yield { kind: 'errorRange', gpa: file.readBigUInt64LE(at), size: file.readUInt32LE(at + 12) };
    }
  }
}

/** GPAs of the pages of every parameter area that is inserted. */
function insertedPages(sizes: Map<number, bigint>, insert: { gpa: bigint; index: number }): bigint[] {
  const size = sizes.get(insert.index) ?? 0n;
  return Array.from({ length: Number(size / 4096n) }, (_, page) => insert.gpa + BigInt(page) * 4096n);
}

export function secondSnpDigest(file: Buffer, mask: number, vmm: 'hyperv' | 'vanadium'): Buffer {
  let digest: Buffer = Buffer.alloc(48);
  const extend = (type: number, gpa: bigint, data?: Uint8Array): void => {
    const contents = data === undefined ? Buffer.alloc(48) : sha('sha384', data);
    const info = [digest, contents, u16(0x70), Buffer.from([type, 0, 0, 0, 0, 0]), u64(gpa)];
    digest = sha('sha384', ...info);
  };
  const sizes = new Map<number, bigint>();
  for (const directive of directives(file, mask)) {
    if (directive.kind === 'area') sizes.set(directive.index, directive.size);
    else if (directive.kind === 'insert') insertedPages(sizes, directive).forEach((gpa) => extend(4, gpa));
    else if (directive.kind === 'context') {
      const data = file.subarray(directive.fileOffset, directive.fileOffset + 4096);
      extend(2, directive.gpa, data);
    } else if (directive.kind === 'page') {
      const { gpa, flags, dataType, data } = directive;
      if (vmm === 'hyperv' && (flags & 4) !== 0) continue;
      if (dataType === 1) extend(5, gpa);
      else if (dataType === 2 || dataType === 3) extend(6, gpa);
      else if ((flags & 2) !== 0) extend(4, gpa);
      else if (data === undefined && vmm === 'vanadium') extend(3, gpa);
      else extend(1, gpa, data ?? Buffer.alloc(4096));
    }
  }
  return digest;
}

export function secondTdxDigest(file: Buffer, mask: number): Buffer {
  const hash = createHash('sha384');
  const record = (operation: string, gpa: bigint): Buffer =>
    Buffer.concat([Buffer.from(operation.padEnd(16, '\0')), u64(gpa), Buffer.alloc(104)]);
  const sizes = new Map<number, bigint>();
  for (const directive of directives(file, mask)) {
    if (directive.kind === 'area') sizes.set(directive.index, directive.size);
    else if (directive.kind === 'insert') {
      for (const gpa of insertedPages(sizes, directive)) hash.update(record('MEM.PAGE.ADD', gpa));
    } else if (directive.kind === 'page' && (directive.flags & 4) === 0) {
      hash.update(record('MEM.PAGE.ADD', directive.gpa));
      if ((directive.flags & 2) !== 0) continue;
      const data = directive.data ?? Buffer.alloc(4096);
      for (let at = 0; at < 4096; at += 256) {
        hash.update(record('MR.EXTEND', directive.gpa + BigInt(at)));
        hash.update(data.subarray(at, at + 256));
      }
    }
  }
  return hash.digest();
}

export function secondVbsDigest(file: Buffer, mask: number): Buffer {
  let digest: Buffer = Buffer.alloc(32);
  const extendPage = (gpa: bigint, metadata: bigint, data: Uint8Array): void => {
    const head = [u32(4096 + 32), u32(2), u64(0n), u64(metadata), u64(gpa / 4096n)];
    digest = sha('sha256', digest, ...head, data);
  };
  const nothing = Buffer.alloc(4096);
  const sizes = new Map<number, bigint>();
  const registers: Buffer[] = [];
  for (const directive of directives(file, mask)) {
    if (directive.kind === 'area') sizes.set(directive.index, directive.size);
    else if (directive.kind === 'insert')
      insertedPages(sizes, directive).forEach((gpa) => extendPage(gpa, 4n, nothing));
    else if (directive.kind === 'errorRange') {
      for (let at = 0; at < directive.size; at += 4096) extendPage(directive.gpa + BigInt(at), 7n, nothing);
    } else if (directive.kind === 'context') {
      const count = file.readUInt32LE(directive.fileOffset);
      for (let index = 0; index < count; index++) {
        const at = directive.fileOffset + 4 + index * 32;
        registers.push(file.subarray(at, at + 32));
      }
    } else if ((directive.flags & 4) === 0) {
      const isMeasured = (directive.flags & 2) === 0;
      extendPage(directive.gpa, isMeasured ? 0n : 4n, isMeasured ? (directive.data ?? nothing) : nothing);
    }
  }
  for (const register of registers) {
    const [vtl, name, value] = [register.subarray(0, 1), register.subarray(1, 5), register.subarray(16)];
    const head = [u32(48), u32(0), u64(0n), u32(0), vtl, Buffer.alloc(3), u32(0)];
    digest = sha('sha256', digest, ...head, name, value);
  }
  return digest;
}
