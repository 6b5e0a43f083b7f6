/** The launch digests that don't depend on the VMM: TDX's MRTD and VBS's boot digest. */
import { createHash, hash } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import { SHA256_SIZE } from '../igvm/hashes';
import {
  type Directive,
  type IgvmFile,
  PAGE_DATA_TYPE,
  PAGE_FLAG,
  type PageDataDirective,
  pageTypeName,
} from '../igvm/model';
import { PAGE_SIZE } from '../memory/page';
import { isForPlatform, type LaunchDigests, type LaunchResult, ParameterAreas, storedPages } from './launch-digests';
import { CHAIN_HEAD_SIZE, type PageChain, pageChainFor } from './page-hashing';

/** Bytes of a record's head: operation (16), GPA (8), zeros (104). */
const HEAD_SIZE = 128;

/** Bytes of guest memory in one TDH.MR.EXTEND. */
const EXTEND_SIZE = 256;

const EXTENDS_PER_PAGE = PAGE_SIZE / EXTEND_SIZE;
const RECORD_SIZE = HEAD_SIZE + EXTENDS_PER_PAGE * (HEAD_SIZE + EXTEND_SIZE);

/** Pages hashed in one call: few enough for the cache, enough to make the call cheap. */
const BATCH = 16;

/**
 * MRTD: one SHA-384 over a record for every page added and one for every 256 bytes of its contents (Intel TDX module
 * base specification, "MRTD: Build-Time Measurement Register"; the igvm crate, measurement/tdx.rs).
 */
export class TdxLaunchDigest implements LaunchDigests {
  private readonly hash = createHash('sha384');
  private readonly areas = new ParameterAreas();
  /** Records of BATCH pages: the operations' names are in place, GPAs and contents are filled in. */
  private readonly records = new Uint8Array(BATCH * RECORD_SIZE);
  private readonly view = new DataView(this.records.buffer);

  constructor(readonly compatibilityMask: number) {
    const pageAdd = new TextEncoder().encode('MEM.PAGE.ADD');
    const extend = new TextEncoder().encode('MR.EXTEND');
    for (let page = 0; page < BATCH; page++) {
      const record = page * RECORD_SIZE;
      this.records.set(pageAdd, record);
      for (let index = 0; index < EXTENDS_PER_PAGE; index++) this.records.set(extend, record + extendAt(index));
    }
  }

  directive(directive: Exclude<Directive, PageDataDirective>): void {
    if (!isForPlatform(directive, this.compatibilityMask)) return;
    if (directive.type === 'parameterArea') this.areas.add(directive);
    else if (directive.type === 'parameterInsert') {
      for (const gpa of this.areas.pagesOf(directive)) this.addUnmeasured(gpa);
    }
  }

  pages(run: PageDataDirective, firstPage: number, pageCount: number, bytes: Uint8Array | undefined): void {
    if (!isForPlatform(run, this.compatibilityMask) || (run.flags & PAGE_FLAG.SHARED) !== 0) return;
    const gpa = run.gpa + firstPage * PAGE_SIZE;
    if ((run.flags & PAGE_FLAG.UNMEASURED) !== 0) {
      for (let page = 0; page < pageCount; page++) this.addUnmeasured(gpa + page * PAGE_SIZE);
      return;
    }
    for (let page = 0; page < pageCount; page += BATCH) {
      const count = Math.min(BATCH, pageCount - page);
      for (let index = 0; index < count; index++) {
        const offset = (page + index) * PAGE_SIZE;
        this.fillRecord(index, gpa + offset, bytes?.subarray(offset, offset + PAGE_SIZE));
      }
      this.hash.update(this.records.subarray(0, count * RECORD_SIZE));
    }
  }

  async results(): Promise<LaunchResult[]> {
    return [{ digest: this.hash.digest(), refusals: [], warnings: [] }];
  }

  async close(): Promise<void> {}

  private fillRecord(index: number, gpa: number, page: Uint8Array | undefined): void {
    const record = index * RECORD_SIZE;
    this.setGpa(record, gpa);
    for (let extend = 0; extend < EXTENDS_PER_PAGE; extend++) {
      const at = record + extendAt(extend);
      const offset = extend * EXTEND_SIZE;
      this.setGpa(at, gpa + offset);
      const data = at + HEAD_SIZE;
      if (page === undefined) this.records.fill(0, data, data + EXTEND_SIZE);
      else this.records.set(page.subarray(offset, offset + EXTEND_SIZE), data);
    }
  }

  private addUnmeasured(gpa: number): void {
    this.setGpa(0, gpa);
    this.hash.update(this.records.subarray(0, HEAD_SIZE));
  }

  private setGpa(record: number, gpa: number): void {
    this.view.setBigUint64(record + 16, BigInt(gpa), true);
  }
}

/** Offset of an MR.EXTEND record within those of its page. */
const extendAt = (index: number): number => HEAD_SIZE + index * (HEAD_SIZE + EXTEND_SIZE);

/** Kinds of chunks (the igvm crate, measurement/vbs.rs: BootMeasurementType). */
const CHUNK_TYPE = { vpRegister: 0, gpaPage: 2 } as const;

/** A register's chunk: byte count, type, reserved (16 together), reserved (4), VTL (4), reserved (4), name (4), value (16). */
const REGISTER_CHUNK_SIZE = 48;

/** Metadata of a page: the accesses that the guest accepts, and whether its contents count. */
const PAGE_METADATA = { readable: 1n, writable: 2n, unmeasured: 4n } as const;

/** Bytes of a register in a stored VBS context (igvm_defs: VbsVpContextRegister): VTL, u32 name, 11 zero bytes, value. */
const STORED_REGISTER_SIZE = 32;

/**
 * VBS boot digest: a chain of SHA-256, each over the digest so far and one chunk, for every page in file order, then for
 * the registers of all VPs (the igvm crate, measurement/vbs.rs).
 */
export class VbsLaunchDigest implements LaunchDigests {
  private readonly areas = new ParameterAreas();
  private readonly contexts: Uint8Array[] = [];
  private readonly chain: PageChain;
  /** Pages are measured in the order of the calls, which need not wait for each other. */
  readonly pagesOverlap = true;

  constructor(
    file: Pick<IgvmFile, 'directives'>,
    readonly compatibilityMask: number,
  ) {
    this.chain = pageChainFor(storedPages(file.directives, compatibilityMask));
  }

  directive(directive: Exclude<Directive, PageDataDirective>): void {
    if (!isForPlatform(directive, this.compatibilityMask)) return;
    if (directive.type === 'parameterArea') this.areas.add(directive);
    else if (directive.type === 'parameterInsert') {
      this.extendByZeros(this.areas.pagesOf(directive), PAGE_METADATA.unmeasured);
    } else if (directive.type === 'errorRange') {
      const metadata = PAGE_METADATA.readable | PAGE_METADATA.writable | PAGE_METADATA.unmeasured;
      this.extendByZeros(this.areas.pagesOfRange(directive.gpa, directive.size), metadata);
    } else if (directive.type === 'vpContext' && directive.format === 'vbs') {
      this.contexts.push(directive.data);
    }
  }

  /** @throws IgvmError MEASUREMENT_IMPOSSIBLE for a page of a type that VBS does not have. */
  pages(
    run: PageDataDirective,
    firstPage: number,
    pageCount: number,
    bytes: Uint8Array | undefined,
  ): void | Promise<void> {
    if (!isForPlatform(run, this.compatibilityMask)) return;
    const gpa = run.gpa + firstPage * PAGE_SIZE;
    if (run.dataType !== PAGE_DATA_TYPE.NORMAL) {
      const message = `VBS measures NORMAL pages only, and the file has one of type ${pageTypeName(run.dataType)}`;
      throw new IgvmError('MEASUREMENT_IMPOSSIBLE', message, { gpa: { start: gpa, end: gpa + PAGE_SIZE } });
    }
    if ((run.flags & PAGE_FLAG.SHARED) !== 0) return;
    const isMeasured = (run.flags & PAGE_FLAG.UNMEASURED) === 0;
    return this.extend(gpa, pageCount, isMeasured ? 0n : PAGE_METADATA.unmeasured, isMeasured ? bytes : undefined);
  }

  async results(): Promise<LaunchResult[]> {
    try {
      let digest = await this.chain.end();
      for (const context of this.contexts) digest = extendByContext(digest, context);
      return [{ digest, refusals: [], warnings: [] }];
    } finally {
      await this.chain.close();
    }
  }

  async close(): Promise<void> {
    await this.chain.close();
  }

  /** Adjacent pages of which only the addresses are measured. */
  private extendByZeros(gpas: Iterable<number>, metadata: bigint): void {
    let first: number | undefined;
    let count = 0;
    for (const gpa of gpas) {
      first ??= gpa;
      count++;
    }
    if (first !== undefined) void this.extend(first, count, metadata, undefined);
  }

  /** Adjacent pages. A page's chunk: byte count (4), type (4), reserved (8), metadata (8), page number (8), contents. */
  private extend(gpa: number, count: number, metadata: bigint, pages: Uint8Array | undefined): void | Promise<void> {
    const head = new DataView(new ArrayBuffer(CHAIN_HEAD_SIZE));
    head.setUint32(0, CHAIN_HEAD_SIZE + PAGE_SIZE, true);
    head.setUint32(4, CHUNK_TYPE.gpaPage, true);
    head.setBigUint64(16, metadata, true);
    head.setBigUint64(24, BigInt(Math.floor(gpa / PAGE_SIZE)), true);
    return this.chain.extend(new Uint8Array(head.buffer), count, pages);
  }
}

/** A context is a register count and that many registers. The reader has checked that they fit. */
function extendByContext(digest: Uint8Array, context: Uint8Array): Uint8Array {
  const stored = new DataView(context.buffer, context.byteOffset, context.length);
  const count = context.length < 4 ? 0 : stored.getUint32(0, true);
  if (context.length < 4 + count * STORED_REGISTER_SIZE) {
    throw new IgvmError('MEASUREMENT_IMPOSSIBLE', `a VP context is too short for its ${count} registers`);
  }
  const link = new Uint8Array(SHA256_SIZE + REGISTER_CHUNK_SIZE);
  const chunk = new DataView(link.buffer, SHA256_SIZE);
  link.set(digest);
  chunk.setUint32(0, REGISTER_CHUNK_SIZE, true);
  chunk.setUint32(4, CHUNK_TYPE.vpRegister, true);
  for (let index = 0; index < count; index++) {
    const at = 4 + index * STORED_REGISTER_SIZE;
    chunk.setUint32(20, stored.getUint8(at), true);
    chunk.setUint32(28, stored.getUint32(at + 1, true), true);
    link.set(context.subarray(at + 16, at + STORED_REGISTER_SIZE), SHA256_SIZE + 32);
    link.set(hash('sha256', link, 'buffer'));
  }
  return link.slice(0, SHA256_SIZE);
}
