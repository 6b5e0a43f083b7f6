import { hash } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import type { Directive, PageDataDirective } from '../igvm/model';
import { PAGE_DATA_TYPE, PAGE_FLAG } from '../igvm/page-data';
import { PAGE_SIZE } from '../memory/page';
import { isForPlatform, type LaunchDigest } from './launch-digest';
import { ParameterAreas } from './parameter-areas';

const SHA256_SIZE = 32;

/** Kinds of chunks (the igvm crate, measurement/vbs.rs: BootMeasurementType). */
const CHUNK_TYPE = { vpRegister: 0, gpaPage: 2 } as const;

/** A page's chunk: byte count (4), type (4), reserved (8), metadata (8), page number (8), contents. */
const PAGE_CHUNK_HEAD = 32;

/** A register's chunk: byte count, type, reserved (16 together), reserved (4), VTL (4), reserved (4), name (4), value (16). */
const REGISTER_CHUNK_SIZE = 48;

/** Metadata of a page: what the guest accepts it for, and whether its contents count. */
const PAGE_METADATA = { readable: 1n, writable: 2n, unmeasured: 4n } as const;

/** Bytes of a register in a stored VBS context (igvm_defs: VbsVpContextRegister): VTL, u32 name, 11 zero bytes, value. */
const STORED_REGISTER_SIZE = 32;

/**
 * VBS boot digest: a chain of SHA-256, each over the digest so far and one chunk, for every page in file order and for
 * the registers of all VPs behind them (the igvm crate, measurement/vbs.rs).
 */
export class VbsLaunchDigest implements LaunchDigest {
  readonly warnings: readonly string[] = [];
  private readonly areas = new ParameterAreas();
  private readonly contexts: Uint8Array[] = [];
  /** The digest so far, followed by the chunk that extends it. */
  private readonly link = new Uint8Array(SHA256_SIZE + PAGE_CHUNK_HEAD + PAGE_SIZE);
  private readonly view = new DataView(this.link.buffer, SHA256_SIZE);
  private readonly contents = this.link.subarray(SHA256_SIZE + PAGE_CHUNK_HEAD);

  constructor(readonly compatibilityMask: number) {}

  directive(directive: Exclude<Directive, PageDataDirective>): void {
    if (!isForPlatform(directive, this.compatibilityMask)) return;
    if (directive.type === 'parameterArea') this.areas.add(directive);
    else if (directive.type === 'parameterInsert') {
      for (const gpa of this.areas.pagesOf(directive)) this.extendByPage(gpa, PAGE_METADATA.unmeasured, undefined);
    } else if (directive.type === 'errorRange') {
      const metadata = PAGE_METADATA.readable | PAGE_METADATA.writable | PAGE_METADATA.unmeasured;
      for (const gpa of this.areas.pagesOfRange(directive.gpa, directive.size)) {
        this.extendByPage(gpa, metadata, undefined);
      }
    } else if (directive.type === 'vpContext' && directive.format === 'vbs') {
      this.contexts.push(directive.data);
    }
  }

  /** @throws IgvmError MEASUREMENT_IMPOSSIBLE for a page of a type that VBS does not have. */
  pages(run: PageDataDirective, firstPage: number, pageCount: number, bytes: Uint8Array | undefined): void {
    if (!isForPlatform(run, this.compatibilityMask)) return;
    const gpa = run.gpa + firstPage * PAGE_SIZE;
    if (run.dataType !== PAGE_DATA_TYPE.NORMAL) {
      throw new IgvmError('MEASUREMENT_IMPOSSIBLE', 'VBS measures normal pages only, and this one has another type', {
        gpa: { start: gpa, end: gpa + PAGE_SIZE },
      });
    }
    if ((run.flags & PAGE_FLAG.SHARED) !== 0) return;
    const isMeasured = (run.flags & PAGE_FLAG.UNMEASURED) === 0;
    for (let page = 0; page < pageCount; page++) {
      const offset = page * PAGE_SIZE;
      const contents = isMeasured ? bytes?.subarray(offset, offset + PAGE_SIZE) : undefined;
      this.extendByPage(gpa + offset, isMeasured ? 0n : PAGE_METADATA.unmeasured, contents);
    }
  }

  async digest(): Promise<Uint8Array> {
    for (const context of this.contexts) this.extendByContext(context);
    return this.link.slice(0, SHA256_SIZE);
  }

  async close(): Promise<void> {}

  private extendByPage(gpa: number, metadata: bigint, contents: Uint8Array | undefined): void {
    this.startChunk(PAGE_CHUNK_HEAD + PAGE_SIZE, CHUNK_TYPE.gpaPage);
    this.view.setBigUint64(16, metadata, true);
    this.view.setBigUint64(24, BigInt(Math.floor(gpa / PAGE_SIZE)), true);
    if (contents === undefined) this.contents.fill(0);
    else this.contents.set(contents);
    this.extend(PAGE_CHUNK_HEAD + PAGE_SIZE);
  }

  /** A context is a register count and that many registers; the reader has checked that they fit. */
  private extendByContext(context: Uint8Array): void {
    const stored = new DataView(context.buffer, context.byteOffset, context.length);
    const count = context.length < 4 ? 0 : stored.getUint32(0, true);
    if (context.length < 4 + count * STORED_REGISTER_SIZE) {
      throw new IgvmError('MEASUREMENT_IMPOSSIBLE', `a VP context is too short for its ${count} registers`);
    }
    for (let index = 0; index < count; index++) {
      const at = 4 + index * STORED_REGISTER_SIZE;
      this.startChunk(REGISTER_CHUNK_SIZE, CHUNK_TYPE.vpRegister);
      this.view.setUint32(16, 0, true);
      this.view.setUint32(20, stored.getUint8(at), true);
      this.view.setUint32(24, 0, true);
      this.view.setUint32(28, stored.getUint32(at + 1, true), true);
      this.contents.set(context.subarray(at + 16, at + STORED_REGISTER_SIZE));
      this.extend(REGISTER_CHUNK_SIZE);
    }
  }

  private startChunk(byteCount: number, type: number): void {
    this.view.setUint32(0, byteCount, true);
    this.view.setUint32(4, type, true);
  }

  private extend(chunkSize: number): void {
    this.link.set(hash('sha256', this.link.subarray(0, SHA256_SIZE + chunkSize), 'buffer'));
  }
}
