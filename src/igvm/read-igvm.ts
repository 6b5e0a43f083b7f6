import { IgvmError } from '../errors/igvm-error';
import { type ByteSource, bytesSource, readAll, regionSource } from '../memory/byte-source';
import { alignUp, PAGE_SIZE } from '../memory/page';
import { type Crc32, portableCrc32 } from './hashes';
import {
  ARCHITECTURE,
  FIXED_HEADER,
  FIXED_HEADER_V2_PART,
  type FixedHeaderFields,
  fixedHeaderSize,
  MAGIC,
  PAGE_DATA,
  type VpContextFields,
  HEADER_ALIGNMENT,
  HEADER_TYPE,
  isKnown,
  isOptional,
  sectionOf,
  SECTIONS,
  TYPE_AND_LENGTH_SIZE,
} from './headers/header-tables';
import {
  checkLength,
  decodeDirective,
  decodeInitialization,
  decodePlatform,
  type FileDataReader,
  type StructBytes,
  RunCollector,
} from './headers/header-bytes';
import type { GuestArch, IgvmFile, UnknownHeader, VpContextDirective } from './model';
import { MOST_VBS_REGISTERS, PAGE_CONTEXT_SIZE, VBS_HEADER_SIZE, vbsContextSize, vpContextFormat } from './platforms';
import { validateIgvm } from './validate';

/** A function that Node has in a faster form, and how much the reader checks. */
export interface ReadOptions {
  /** Default: a portable one. */
  crc32?: Crc32;
  /** Whether the rules of the format are checked, too (see validateIgvm). Default true. */
  validate?: boolean;
}

/**
 * Reads a file's headers; page data, parameter data and CoRIMs become regions of `source` and are not read. Nothing in
 * the file is trusted: every offset, size and count is checked before it is used, and memory use is bounded by the size
 * of the headers. Optional headers that are not known are kept as they are.
 * @param image its bytes, or where they are; stays in use by the result
 * @throws IgvmError IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with the byte offset or GPA range; and what the
 *   source throws
 */
export function readIgvm(
  image: ByteSource | Uint8Array,
  { crc32 = portableCrc32, validate = true }: ReadOptions = {},
): IgvmFile {
  const source = ArrayBuffer.isView(image) ? bytesSource(image) : image;
  const { file, fixed } = readFixedHeader(source, crc32);
  const dataStart = fixed.variableHeaderOffset + fixed.variableHeaderSize;
  const headers = new HeaderWindow(source, fixed.variableHeaderOffset, dataStart);
  try {
    readVariableHeaders(headers, file, new FileData(source, dataStart, file));
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ offset: headers.offset }) : error;
  }
  if (validate) validateIgvm(file);
  return file;
}

function readFixedHeader(source: ByteSource, crc32: Crc32): { file: IgvmFile; fixed: FixedHeaderFields } {
  const bytes = new Uint8Array(Math.min(source.size, fixedHeaderSize(2)));
  source.read(0, bytes);
  const view = new DataView(bytes.buffer);
  if (bytes.length < 4 || view.getUint32(0, true) !== MAGIC) {
    const kind = notAnImage(source);
    const message = kind ?? 'the file does not begin with "IGVM"';
    throw new IgvmError('IGVM_MALFORMED', message, { offset: 0 }, { saysAll: kind !== undefined && source.size > 0 });
  }
  if (bytes.length < FIXED_HEADER.size) throw malformed('the file ends within its fixed header', 0);
  const fixed = FIXED_HEADER.read(view, 0);
  const { formatVersion: version, variableHeaderOffset, variableHeaderSize, totalFileSize, checksum } = fixed;
  if (version !== 1 && version !== 2) throw unsupported(`version ${version} of the format is not known`, 4);
  const size = fixedHeaderSize(version);
  if (bytes.length < size) throw malformed('the file ends within its fixed header', 0);
  if (totalFileSize !== source.size) {
    throw malformed(`the file has ${source.size} bytes but says that it has ${totalFileSize}`, 16);
  }
  if (variableHeaderOffset < size || variableHeaderOffset % 8 !== 0) {
    throw malformed(`the variable headers can't begin at byte ${variableHeaderOffset}`, 8);
  }
  const end = variableHeaderOffset + variableHeaderSize;
  if (end > source.size) throw malformed('the variable headers go beyond the end of the file', 12);

  FIXED_HEADER.write(view, 0, { ...fixed, checksum: 0 });
  const crc = crcOfRange(source, variableHeaderOffset, end, crc32, crc32(bytes.subarray(0, size)));
  if (crc !== checksum) throw malformed('the checksum of the headers is wrong', 20);
  const arch = version === 1 ? 'x64' : readArch(view);
  return { file: { version, arch, platforms: [], initializations: [], directives: [] }, fixed };
}

function readArch(view: DataView): GuestArch {
  const { architecture, pageSize } = FIXED_HEADER_V2_PART.read(view, FIXED_HEADER.size);
  if (pageSize !== PAGE_SIZE) throw unsupported(`pages of ${pageSize} bytes are not supported`, FIXED_HEADER.size + 4);
  const names = Object.keys(ARCHITECTURE) as GuestArch[];
  const arch = names.find((name) => ARCHITECTURE[name] === architecture);
  if (arch === undefined) throw unsupported(`architecture ${architecture} is not known`, FIXED_HEADER.size);
  return arch;
}

/** More platforms than bits in a compatibility mask can't be told apart. */
const MOST_PLATFORMS = 32;

function readVariableHeaders(headers: HeaderWindow, file: IgvmFile, data: FileData): void {
  const runs = new RunCollector(
    (offset, size) => data.region(offset, size),
    (run) => file.directives.push(run),
  );
  let current = 0;
  for (let header = headers.next(); header !== undefined; header = headers.next()) {
    const { headerType } = header;
    if (headerType === HEADER_TYPE.pageData) {
      current = SECTIONS.length - 1;
      checkLength(PAGE_DATA, header.length);
      runs.add(header.view, header.at, headers.offset);
      continue;
    }
    runs.finish();
    const section = SECTIONS.findIndex((name) => name === sectionOf(headerType));
    if (section === -1) throw malformed(`header type 0x${headerType.toString(16)} belongs to no section`);
    if (section < current)
      throw malformed(`a header of the ${SECTIONS[section]} section follows one of a later section`);
    current = section;
    readHeader(header, section, file, data);
  }
  runs.finish();
}

function readHeader(header: StructBytes, section: number, file: IgvmFile, data: FileData): void {
  const isOpaque = isOptional(header.headerType);
  if (isOpaque ? isKnown(header.headerType) || section === 0 : !isKnown(header.headerType)) {
    throw unsupported(`header type 0x${header.headerType.toString(16)} is not known`);
  }
  if (section === 0) {
    if (file.platforms.length === MOST_PLATFORMS) throw malformed(`there are more than ${MOST_PLATFORMS} platforms`);
    file.platforms.push(decodePlatform(header));
  } else if (section === 1) {
    file.initializations.push(isOpaque ? opaque(header) : decodeInitialization(header, data));
  } else {
    file.directives.push(isOpaque ? opaque(header) : decodeDirective(header, data));
  }
}

const opaque = ({ headerType, view, at, length }: StructBytes): UnknownHeader => ({
  type: 'unknown',
  headerType,
  data: new Uint8Array(view.buffer, view.byteOffset + at, length).slice(),
});

/** The part of the file after its headers. */
class FileData implements FileDataReader {
  /** VP contexts by place: the processors of one guest mostly share theirs. */
  private readonly contexts = new Map<string, Uint8Array>();
  private contextBytes = 0;

  constructor(
    private readonly source: ByteSource,
    private readonly start: number,
    private readonly file: IgvmFile,
  ) {}

  region(offset: number, size: number): ByteSource {
    if (offset < this.start || offset + size > this.source.size) {
      throw malformed(`${size} bytes at offset 0x${offset.toString(16)} do not lie in the file data`);
    }
    return regionSource(this.source, offset, size);
  }

  vpContext({ fileOffset, ...fields }: VpContextFields): VpContextDirective {
    const format = vpContextFormat(this.file.platforms, fields.compatibilityMask);
    if (format === undefined || format === 'tdx') {
      throw malformed(`compatibility mask 0x${fields.compatibilityMask.toString(16)} has no kind of VP context`);
    }
    const size = format === 'vbs' ? this.vbsSize(fileOffset) : PAGE_CONTEXT_SIZE;
    return { type: 'vpContext', format, ...fields, data: this.contextAt(fileOffset, size) };
  }

  private vbsSize(offset: number): number {
    const header = readAll(this.region(offset, VBS_HEADER_SIZE), VBS_HEADER_SIZE);
    const count = new DataView(header.buffer).getUint32(0, true);
    if (count > MOST_VBS_REGISTERS) throw malformed(`a VP context says that it has ${count} registers`);
    return vbsContextSize(count);
  }

  private contextAt(offset: number, size: number): Uint8Array {
    const place = `${offset} ${size}`;
    let data = this.contexts.get(place);
    if (data === undefined) {
      const region = this.region(offset, size);
      // Contexts that overlap without being the same would make a small file a large allocation.
      this.contextBytes += size;
      if (this.contextBytes > this.source.size) throw malformed('VP contexts overlap');
      data = readAll(region, size);
      this.contexts.set(place, data);
    }
    return data;
  }
}

const malformed = (message: string, offset?: number): IgvmError =>
  new IgvmError('IGVM_MALFORMED', message, offset === undefined ? {} : { offset });

const unsupported = (message: string, offset?: number): IgvmError =>
  new IgvmError('IGVM_UNSUPPORTED', message, offset === undefined ? {} : { offset });

/** Bytes that are read at once. A header is larger only if it is one that this version doesn't know. */
const WINDOW_SIZE = 256 * 1024;

/** CRC-32 of a part of a source, continuing from `seed`. */
function crcOfRange(source: ByteSource, start: number, end: number, crc32: Crc32, seed: number): number {
  const window = new Uint8Array(Math.min(WINDOW_SIZE, end - start));
  let crc = seed;
  for (let at = start; at < end; at += window.length) {
    const part = window.subarray(0, end - at);
    source.read(at, part);
    crc = crc32(part, crc);
  }
  return crc;
}

/** Goes through the variable headers one by one and holds a bounded part of them. */
class HeaderWindow {
  /** Offset in the file of the header that `next` returned last. */
  offset: number;
  private following: number;
  private window: Uint8Array;
  private view: DataView;
  private windowStart: number;
  private windowEnd: number;

  /** @param start and @param end of the variable headers in the source, checked by the caller */
  constructor(
    private readonly source: ByteSource,
    start: number,
    private readonly end: number,
  ) {
    this.offset = start;
    this.following = start;
    this.windowStart = start;
    this.windowEnd = start;
    this.window = new Uint8Array(Math.min(WINDOW_SIZE, end - start));
    this.view = new DataView(this.window.buffer);
  }

  /**
   * The next header, to be used before `next` is called again; undefined at the end.
   * @throws IgvmError IGVM_MALFORMED when it is cut off or its padding isn't zero
   */
  next(): StructBytes | undefined {
    this.offset = this.following;
    if (this.offset === this.end) return undefined;
    const head = this.hold(TYPE_AND_LENGTH_SIZE);
    const headerType = this.view.getUint32(head, true);
    const length = this.view.getUint32(head + 4, true);
    const padded = alignUp(length, HEADER_ALIGNMENT);
    const at = this.hold(TYPE_AND_LENGTH_SIZE + padded) + TYPE_AND_LENGTH_SIZE;
    for (let index = length; index < padded; index++) {
      if (this.window[at + index] !== 0) throw this.malformed('the padding of a header is not zero');
    }
    this.following = this.offset + TYPE_AND_LENGTH_SIZE + padded;
    return { headerType, view: this.view, at, length };
  }

  /** Makes sure that `size` bytes from the current header on are in the window; returns where they begin in it. */
  private hold(size: number): number {
    if (this.offset + size > this.end) throw this.malformed('a header goes beyond the end of the variable headers');
    if (this.offset + size > this.windowEnd) {
      if (size > this.window.length) {
        this.window = new Uint8Array(size);
        this.view = new DataView(this.window.buffer);
      }
      this.windowStart = this.offset;
      this.windowEnd = Math.min(this.offset + this.window.length, this.end);
      this.source.read(this.offset, this.window.subarray(0, this.windowEnd - this.offset));
    }
    return this.offset - this.windowStart;
  }

  private malformed(message: string): IgvmError {
    return new IgvmError('IGVM_MALFORMED', message, { offset: this.offset });
  }
}

/** How files begin that are often given in place of an image, and what they are. */
const MARKS: readonly (readonly [mark: string, what: string])[] = [
  ['\x7fELF', 'an ELF file, such as an uncompressed kernel'],
  ['070701', 'a cpio archive, such as an initramfs'],
  ['070702', 'a cpio archive, such as an initramfs'],
  ['\x1f\x8b', 'compressed with gzip'],
  ['\x28\xb5\x2f\xfd', 'compressed with zstd'],
  ['\xfd7zXZ\0', 'compressed with xz'],
  ['{', 'text, such as a manifest: "nx-igvm build" builds an image from one'],
  ['QFI\xfb', 'a disk image'],
];

/** The setup header of a bzImage (Linux, Documentation/arch/x86/boot.rst), and the mark of an arm64 Image (booting.rst). */
const KERNELS: readonly (readonly [offset: number, mark: string])[] = [
  [0x202, 'HdrS'],
  [0x38, 'ARM\x64'],
];

/** Bytes up to the end of the last of these marks. */
const HEAD_SIZE = 0x206;

const KERNEL = 'the file is a Linux kernel, not an IGVM image: "nx-igvm pack" turns it into one';

/**
 * A sentence that says what a file is instead of an IGVM image; undefined if that isn't known. A kernel may look like a firmware DLL, as
 * both can be EFI programs.
 */
export function notAnImage(source: ByteSource): string | undefined {
  if (source.size === 0) return 'the file is empty';
  const head = new Uint8Array(Math.min(source.size, HEAD_SIZE));
  source.read(0, head);
  const has = (offset: number, mark: string): boolean =>
    mark === String.fromCharCode(...head.subarray(offset, offset + mark.length));
  if (KERNELS.some(([offset, mark]) => has(offset, mark))) {
    return KERNEL;
  }
  const what = MARKS.find(([mark]) => has(0, mark))?.[1];
  return what === undefined ? undefined : `the file is not an IGVM image, but ${what}`;
}

/** Whether a file is a Linux kernel, which may be an EFI program at the same time. */
export const isLinuxKernel = (source: ByteSource): boolean => notAnImage(source) === KERNEL;
