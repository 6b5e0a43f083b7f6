import { IgvmError, unreachable } from '../errors/igvm-error';
import type { ByteSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { checkFileSize, FileDataWriter, type IgvmSink } from './file-data';
import type { Crc32, Sha256Hex } from './hashes';
import {
  ARCHITECTURE,
  FIXED_HEADER,
  FIXED_HEADER_V2_PART,
  fixedHeaderSize,
  MAGIC,
  PAGE_DATA,
  SUPPORTED_PLATFORM,
  HEADER_LABEL,
  HEADER_TYPE,
  headerSizeFor,
  TYPE_AND_LENGTH_SIZE,
} from './headers/header-tables';
import { encodeHeader, fileDataOf, type SingleHeader } from './headers/header-bytes';
import type { IgvmFile, PageDataDirective } from './model';
import { PageIndex } from './page-index';
import { type DirectiveObserver, streamDirectives } from './stream';
import { type ValidationOptions, validateIgvm } from './validate';
import { invalidHeader } from './header-rules';

/** Functions that the writer takes from its caller, and further observers of the pages. */
export interface WriteOptions extends ValidationOptions {
  crc32: Crc32;
  sha256Hex: Sha256Hex;
  /** Observers of the same pass over the guest's memory, which are called after the writer. */
  observers?: readonly DirectiveObserver[];
}

/** What was written; sizes in bytes. */
export interface WriteReport {
  fileSize: number;
  /** Fixed and variable headers; the file data starts right after them. */
  headerBytes: number;
  /** Pages in all runs. */
  pages: number;
  /** Of these, pages without file data. */
  emptyPages: number;
  /** Pages that are stored. Every other page with file data equals one of them, or a context or parameter area. */
  uniquePages: number;
  /** File data that was not stored, as an equal page, context or parameter area already was. */
  dedupedBytes: number;
}

const PAGE_HEADER_SIZE = headerSizeFor(PAGE_DATA.size);

/** The first header of each run is written here, to check that its values fit. */
const SCRATCH = new DataView(new ArrayBuffer(PAGE_DATA.size));

/**
 * Writes a file in one pass over its memory: headers with the CRC-32 over them come last, when all offsets are known.
 * Layout as upstream's (igvm/src/lib.rs: serialize): file data right after the headers, CoRIM documents first, then
 * everything in header order; equal data is stored once. The same model always gives the same bytes.
 * @throws IgvmError IGVM_INVALID (see validateIgvm), IGVM_TOO_LARGE, and what sources, sink and observers throw; the
 *   sink then holds part of a file, and no write is in progress
 */
export async function writeIgvm(file: IgvmFile, sink: IgvmSink, options: WriteOptions): Promise<WriteReport> {
  validateIgvm(file, options);
  const writer = new IgvmWriter(file, sink, options);
  try {
    await writer.initializations();
    await streamDirectives(file, [writer, ...(options.observers ?? [])]);
    return await writer.finish(options.crc32);
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

class IgvmWriter implements DirectiveObserver {
  readonly pagesOverlap = true;
  private readonly headers: DataView;
  private cursor: number;
  private readonly data: FileDataWriter;
  private readonly pageIndex: PageIndex;
  /** Offsets of data that isn't one page, by size and SHA-256. */
  private readonly otherData = new Map<string, number>();
  private readonly late: { offset: number; source: ByteSource }[] = [];
  private readonly report: WriteReport;

  constructor(
    private readonly file: IgvmFile,
    private readonly sink: IgvmSink,
    private readonly options: WriteOptions,
  ) {
    const headerBytes = headerBytesOf(file);
    checkFileSize(headerBytes);
    this.headers = new DataView(new ArrayBuffer(headerBytes));
    this.cursor = fixedHeaderSize(file.version);
    this.data = new FileDataWriter(sink, headerBytes);
    this.pageIndex = new PageIndex(mostStoredPages(file), this.data, options.sha256Hex);
    this.report = { fileSize: 0, headerBytes, pages: 0, emptyPages: 0, uniquePages: 0, dedupedBytes: 0 };
    for (const platform of file.platforms) {
      const at = this.begin(HEADER_TYPE.supportedPlatform, SUPPORTED_PLATFORM.size);
      named('supported platform', platform, () => SUPPORTED_PLATFORM.write(this.headers, at, platform));
    }
  }

  async initializations(): Promise<void> {
    for (const header of this.file.initializations) await this.directive(header);
  }

  async directive(header: SingleHeader): Promise<void> {
    const data = fileDataOf(header);
    const offset = data === undefined ? 0 : await this.place(data.source, data.size);
    const encoded = encodeHeader(header);
    const at = this.begin(encoded.headerType, encoded.size);
    named(HEADER_LABEL[header.type], header, () => encoded.write(this.headers, at, offset));
    await this.data.settle();
  }

  pages(
    run: PageDataDirective,
    firstPage: number,
    pageCount: number,
    bytes: Uint8Array | undefined,
  ): Promise<void> | undefined {
    if (firstPage === 0)
      named(HEADER_LABEL.pageData, run, () => PAGE_DATA.write(SCRATCH, 0, { ...run, fileOffset: 0 }));
    const gpa = run.gpa + firstPage * PAGE_SIZE;
    this.report.pages += pageCount;
    if (bytes === undefined) {
      this.report.emptyPages += pageCount;
      for (let page = 0; page < pageCount; page++) this.pageHeader(run, gpa + page * PAGE_SIZE, 0);
      return undefined;
    }
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    for (let page = 0; page < pageCount; page++) {
      const { end } = this.data;
      const offset = this.placePage(bytes, words, page * PAGE_SIZE);
      if (offset === end) this.report.uniquePages++;
      this.pageHeader(run, gpa + page * PAGE_SIZE, offset);
    }
    return this.data.settle();
  }

  async finish(crc32: Crc32): Promise<WriteReport> {
    await this.data.finish();
    for (const { offset, source } of this.late) {
      await source.ready?.();
      await this.sink.write(offset, readPadded(source, source.size));
    }
    const { version, arch } = this.file;
    const headerSize = fixedHeaderSize(version);
    const fixed = {
      magic: MAGIC,
      formatVersion: version,
      variableHeaderOffset: headerSize,
      variableHeaderSize: this.headers.byteLength - headerSize,
      totalFileSize: this.data.end,
      checksum: 0,
    };
    FIXED_HEADER.write(this.headers, 0, fixed);
    if (version === 2) {
      FIXED_HEADER_V2_PART.write(this.headers, FIXED_HEADER.size, {
        architecture: ARCHITECTURE[arch],
        pageSize: PAGE_SIZE,
      });
    }
    const bytes = new Uint8Array(this.headers.buffer);
    FIXED_HEADER.write(this.headers, 0, { ...fixed, checksum: crc32(bytes) });
    await this.sink.write(0, bytes);
    this.report.fileSize = this.data.end;
    return this.report;
  }

  /** Waits for the writes in progress, so that the sink can be closed. */
  async abandon(): Promise<void> {
    await this.data.settled();
  }

  /** Writes type and length of the next header; returns where its structure goes. The buffer's zeros are its padding. */
  private begin(headerType: number, size: number): number {
    const at = this.cursor;
    this.headers.setUint32(at, headerType, true);
    this.headers.setUint32(at + 4, size, true);
    this.cursor += headerSizeFor(size);
    return at + TYPE_AND_LENGTH_SIZE;
  }

  /**
   * PAGE_DATA.write for a million pages, faster: the same fields at the same offsets. `pages` has already checked that
   * the values of the run fit.
   */
  private pageHeader(run: PageDataDirective, gpa: number, fileOffset: number): void {
    const { headers } = this;
    const at = this.begin(HEADER_TYPE.pageData, PAGE_DATA.size);
    headers.setUint32(at + PAGE_DATA.offsets.gpa, gpa % 2 ** 32, true);
    headers.setUint32(at + PAGE_DATA.offsets.gpa + 4, Math.floor(gpa / 2 ** 32), true);
    headers.setUint32(at + PAGE_DATA.offsets.compatibilityMask, run.compatibilityMask, true);
    headers.setUint32(at + PAGE_DATA.offsets.fileOffset, fileOffset, true);
    headers.setUint32(at + PAGE_DATA.offsets.flags, run.flags, true);
    headers.setUint16(at + PAGE_DATA.offsets.dataType, run.dataType, true);
  }

  private placePage(bytes: Uint8Array, words: Uint32Array, at: number): number {
    const offset = this.pageIndex.place(words, at / 4, this.data.end);
    if (offset !== 0) {
      this.report.dedupedBytes += PAGE_SIZE;
      return offset;
    }
    return this.data.append(bytes, at, PAGE_SIZE);
  }

  private async place(source: ByteSource, size: number): Promise<number> {
    checkFileSize(this.data.end + size);
    if (source.late) {
      const offset = this.data.append(new Uint8Array(size), 0, size);
      this.late.push({ offset, source });
      return offset;
    }
    await source.ready?.();
    const bytes = readPadded(source, size);
    if (size === PAGE_SIZE) return this.placePage(bytes, new Uint32Array(bytes.buffer), 0);
    const key = `${size} ${this.options.sha256Hex(bytes)}`;
    const known = this.otherData.get(key);
    if (known !== undefined) {
      this.report.dedupedBytes += size;
      return known;
    }
    const offset = this.data.append(bytes, 0, size);
    this.otherData.set(key, offset);
    return offset;
  }
}

/**
 * Writes a header. @throws IgvmError IGVM_INVALID with the names of the header and of the field that a value doesn't
 * fit
 */
function named(what: string, header: object, write: () => void): void {
  try {
    write();
  } catch (error) {
    throw error instanceof IgvmError ? invalidHeader(what, error.message, header) : error;
  }
}

function headerBytesOf(file: IgvmFile): number {
  let size = fixedHeaderSize(file.version) + file.platforms.length * headerSizeFor(SUPPORTED_PLATFORM.size);
  for (const header of file.initializations) size += headerSizeFor(encodeHeader(header).size);
  for (const directive of file.directives) {
    size +=
      directive.type === 'pageData'
        ? directive.pageCount * PAGE_HEADER_SIZE
        : headerSizeFor(encodeHeader(directive).size);
  }
  return size;
}

/** Pages and what may equal a page. */
function mostStoredPages(file: IgvmFile): number {
  let pages = 0;
  for (const directive of file.directives) {
    pages += directive.type === 'pageData' ? Math.ceil(directive.content.size / PAGE_SIZE) : 1;
  }
  return pages + file.initializations.length;
}

function readPadded(source: ByteSource, size: number): Uint8Array {
  if (source.size > size) unreachable(`${source.size} bytes of data in ${size}`);
  const bytes = new Uint8Array(size);
  source.read(0, bytes.subarray(0, source.size));
  return bytes;
}
