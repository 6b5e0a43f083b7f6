import { IgvmError, unreachable } from '../../errors/igvm-error';
import { type ByteSource, bytesSource, EMPTY_SOURCE } from '../../memory/byte-source';
import {
  type Directive,
  type InitializationHeader,
  type PageDataDirective,
  PARAMETER_TYPE,
  type ParameterKind,
  type PlatformHeader,
} from '../model';
import {
  CORIM_DATA,
  PARAMETER,
  PARAMETER_AREA,
  PLAIN_DIRECTIVES,
  PLAIN_INITIALIZATIONS,
  SUPPORTED_PLATFORM,
  VP_CONTEXT,
  type VpContextFields,
  PAGE_DATA,
  HEADER_TYPE,
} from './header-tables';
import { type Struct, readAddress } from './struct';
import { PAGE_SIZE } from '../../memory/page';

/** The bytes of one structure in the variable headers. */
export interface StructBytes {
  headerType: number;
  view: DataView;
  at: number;
  /** As stated by the header; already checked against `view`. */
  length: number;
}

/** Access to the file data, checked against the file. */
export interface FileDataReader {
  /** @throws IgvmError IGVM_MALFORMED when it lies outside the file data */
  region(offset: number, size: number): ByteSource;
  /** The VP context that the fields point to. @throws IgvmError IGVM_MALFORMED */
  vpContext(fields: VpContextFields): Extract<Directive, { type: 'vpContext' }>;
}

const PARAMETER_KINDS = new Map(
  Object.entries(PARAMETER_TYPE).map(([kind, headerType]) => [headerType as number, kind as ParameterKind]),
);

const plainStructs = (structs: Record<string, Struct<object>>): Map<number, { type: string; of: Struct<object> }> =>
  new Map(Object.entries(structs).map(([type, of]) => [HEADER_TYPE[type as keyof typeof HEADER_TYPE], { type, of }]));

const INITIALIZATIONS = plainStructs(PLAIN_INITIALIZATIONS as unknown as Record<string, Struct<object>>);
const DIRECTIVES = plainStructs(PLAIN_DIRECTIVES as unknown as Record<string, Struct<object>>);

/** @throws IgvmError IGVM_MALFORMED */
export const decodePlatform = (bytes: StructBytes): PlatformHeader => read(SUPPORTED_PLATFORM, bytes);

/** A header of the initialization section, of a known type. @throws IgvmError IGVM_MALFORMED */
export function decodeInitialization(bytes: StructBytes, data: FileDataReader): InitializationHeader {
  const { headerType } = bytes;
  if (headerType === HEADER_TYPE.corimDocument || headerType === HEADER_TYPE.corimSignature) {
    const { compatibilityMask, fileOffset, size } = read(CORIM_DATA, bytes);
    const content = size === 0 ? EMPTY_SOURCE : data.region(fileOffset, size);
    const type = headerType === HEADER_TYPE.corimDocument ? 'corimDocument' : 'corimSignature';
    return { type, compatibilityMask, content };
  }
  if (headerType === HEADER_TYPE.versionString) return { type: 'versionString', value: decodeText(bytes) };
  const plain =
    INITIALIZATIONS.get(headerType) ?? unreachable(`no structure for header type 0x${headerType.toString(16)}`);
  return { type: plain.type, ...read(plain.of, bytes) } as InitializationHeader;
}

/** A directive of a known type other than page data. @throws IgvmError IGVM_MALFORMED */
export function decodeDirective(bytes: StructBytes, data: FileDataReader): Directive {
  const { headerType } = bytes;
  const kind = PARAMETER_KINDS.get(headerType);
  if (kind !== undefined) return { type: 'parameter', kind, ...read(PARAMETER, bytes) };
  if (headerType === HEADER_TYPE.vpContext) return data.vpContext(read(VP_CONTEXT, bytes));
  if (headerType === HEADER_TYPE.parameterArea) {
    const { size, index, fileOffset } = read(PARAMETER_AREA, bytes);
    const initialData = fileOffset === 0 ? EMPTY_SOURCE : data.region(fileOffset, size);
    return { type: 'parameterArea', size, index, initialData };
  }
  const plain = DIRECTIVES.get(headerType) ?? unreachable(`no structure for header type 0x${headerType.toString(16)}`);
  return { type: plain.type, ...read(plain.of, bytes) } as Directive;
}

function read<T>(of: Struct<T>, { view, at, length }: StructBytes): T {
  checkLength(of, length);
  return of.read(view, at);
}

/** @throws IgvmError IGVM_MALFORMED when the length of a header differs from that of its structure */
export function checkLength(of: Struct<unknown>, length: number): void {
  if (length !== of.size) fail(`a header of ${of.size} bytes says that it has ${length}`);
}

function decodeText({ view, at, length }: StructBytes): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      new Uint8Array(view.buffer, view.byteOffset + at, length),
    );
  } catch {
    return fail('the version string is not UTF-8');
  }
}

function fail(message: string): never {
  throw new IgvmError('IGVM_MALFORMED', message);
}

/** Every header except page data, whose many headers the writer fills in place. */
export type SingleHeader = InitializationHeader | Exclude<Directive, PageDataDirective>;

/** How a header is written. */
export interface EncodedHeader {
  headerType: number;
  /** Bytes of the structure, without type, length and padding. */
  size: number;
  /** @throws IgvmError IGVM_INVALID when a value doesn't fit its field */
  write(view: DataView, at: number, fileOffset: number): void;
}

const PLAIN_HEADERS = { ...PLAIN_INITIALIZATIONS, ...PLAIN_DIRECTIVES };

/** The structure of a header, except for the offset of its file data, which is known later. */
export function encodeHeader(header: SingleHeader): EncodedHeader {
  switch (header.type) {
    case 'corimDocument':
    case 'corimSignature': {
      const { compatibilityMask, content } = header;
      return withData(HEADER_TYPE[header.type], CORIM_DATA, { compatibilityMask, size: content.size });
    }
    case 'parameterArea':
      return withData(HEADER_TYPE.parameterArea, PARAMETER_AREA, header);
    case 'vpContext':
      return withData(HEADER_TYPE.vpContext, VP_CONTEXT, header);
    case 'parameter':
      return plain(PARAMETER_TYPE[header.kind], PARAMETER, header);
    case 'versionString':
      return raw(HEADER_TYPE.versionString, new TextEncoder().encode(header.value));
    case 'unknown':
      return raw(header.headerType, header.data);
    default:
      return plain(HEADER_TYPE[header.type], PLAIN_HEADERS[header.type] as Struct<object>, header);
  }
}

/** What a header refers to in the file data. */
export interface FileData {
  source: ByteSource;
  /** Bytes in the file; the source is padded with zeros. */
  size: number;
}

/** The file data of a header; undefined when it has none and its file offset is 0. */
export function fileDataOf(header: SingleHeader): FileData | undefined {
  switch (header.type) {
    case 'corimDocument':
    case 'corimSignature':
      return { source: header.content, size: header.content.size };
    case 'parameterArea':
      return header.initialData.size === 0 ? undefined : { source: header.initialData, size: header.size };
    case 'vpContext':
      return { source: bytesSource(header.data), size: header.data.length };
    default:
      return undefined;
  }
}

function plain<T>(headerType: number, of: Struct<T>, value: T): EncodedHeader {
  return { headerType, size: of.size, write: (view, at) => of.write(view, at, value) };
}

function withData<T extends { fileOffset: number }>(
  headerType: number,
  of: Struct<T>,
  value: Omit<T, 'fileOffset'>,
): EncodedHeader {
  return {
    headerType,
    size: of.size,
    write: (view, at, fileOffset) => of.write(view, at, { ...value, fileOffset } as T),
  };
}

function raw(headerType: number, data: Uint8Array): EncodedHeader {
  return {
    headerType,
    size: data.length,
    write: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, data.length).set(data),
  };
}

/** Turns page headers back into runs: pages that follow each other in the guest and in the file. */
export class RunCollector {
  private gpa = 0;
  private pageCount = 0;
  private flags = 0;
  private dataType = 0;
  private compatibilityMask = 0;
  /** Offset of the first page in the file; 0: the pages are empty. */
  private fileOffset = 0;
  /** Offset of its header in the file. */
  private headerOffset = 0;

  /**
   * @param region file data by offset and size, checked against the file
   * @param emit takes the runs, in file order
   */
  constructor(
    private readonly region: (offset: number, size: number) => ByteSource,
    private readonly emit: (run: PageDataDirective) => void,
  ) {}

  /**
   * Adds the IGVM_VHS_PAGE_DATA at `at`.
   * @param headerOffset byte offset of its header in the file, for messages
   * @throws IgvmError IGVM_MALFORMED; for an earlier run, with the byte offset of its first header
   */
  add(view: DataView, at: number, headerOffset: number): void {
    const { offsets } = PAGE_DATA;
    const gpa = readAddress(view, at + offsets.gpa, 'gpa');
    const compatibilityMask = view.getUint32(at + offsets.compatibilityMask, true);
    const fileOffset = view.getUint32(at + offsets.fileOffset, true);
    const flags = view.getUint32(at + offsets.flags, true);
    const dataType = view.getUint16(at + offsets.dataType, true);
    if (view.getUint16(at + PAGE_DATA.size - 2, true) !== 0) {
      throw new IgvmError('IGVM_MALFORMED', 'a reserved field is not zero');
    }
    if (
      this.pageCount > 0 &&
      gpa === this.gpa + this.pageCount * PAGE_SIZE &&
      fileOffset === (this.fileOffset === 0 ? 0 : this.fileOffset + this.pageCount * PAGE_SIZE) &&
      compatibilityMask === this.compatibilityMask &&
      flags === this.flags &&
      dataType === this.dataType
    ) {
      this.pageCount++;
      return;
    }
    this.finish();
    this.gpa = gpa;
    this.pageCount = 1;
    this.flags = flags;
    this.dataType = dataType;
    this.compatibilityMask = compatibilityMask;
    this.fileOffset = fileOffset;
    this.headerOffset = headerOffset;
  }

  /**
   * Emits the run that is being collected. Called when it can't go on: another header follows.
   * @throws IgvmError IGVM_MALFORMED with the byte offset of the run's first header
   */
  finish(): void {
    const { gpa, pageCount, flags, dataType, compatibilityMask, fileOffset } = this;
    if (pageCount === 0) return;
    this.pageCount = 0;
    const content = fileOffset === 0 ? EMPTY_SOURCE : this.contentAt(fileOffset, pageCount * PAGE_SIZE);
    this.emit({ type: 'pageData', gpa, pageCount, flags, dataType, compatibilityMask, content });
  }

  private contentAt(offset: number, size: number): ByteSource {
    try {
      return this.region(offset, size);
    } catch (error) {
      throw error instanceof IgvmError ? error.at({ offset: this.headerOffset }) : error;
    }
  }
}
