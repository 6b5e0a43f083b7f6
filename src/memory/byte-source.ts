import { type ErrorWhere, IgvmError, unreachable } from '../errors/igvm-error';

/**
 * Bytes that can be read without being kept in memory: a region of a file, bytes in memory, or bytes that are only
 * known late. Reading is synchronous: a page-cache read is a memory copy, and a synchronous format library stays
 * simple.
 */
export interface ByteSource {
  /** Size in bytes, known before anything is read. */
  readonly size: number;
  /**
   * Where the bytes are, for errors about them: the file, the offset of the first byte, and the setting that names the
   * file.
   */
  readonly place?: ErrorWhere;
  /**
   * Fills all of `target` from `offset` (bytes).
   * @throws IgvmError FILE_CHANGED when the source ends early, FILE_UNREADABLE when it can't be read.
   */
  read(offset: number, target: Uint8Array): void;
  /**
   * Awaited before the first read, for bytes that depend on pages streamed earlier (OpenHCL's page hashes, an
   * initrd's CRC32). The streaming pass calls it after all earlier runs have been observed.
   */
  ready?(): Promise<void>;
  /**
   * The bytes are known only when every page has been streamed (a CoRIM holds the launch digest). The writer leaves a
   * hole of `size` bytes and fills it last; such a source never takes part in deduplication.
   */
  readonly late?: boolean;
}

/** A source over bytes in memory; the bytes are not copied and must not change. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read(offset, target) {
      checkRange(bytes.length, offset, target.length);
      target.set(bytes.subarray(offset, offset + target.length));
    },
  };
}

/** No bytes. As page content it means *empty* pages: no file data, offset 0 in the file. */
export const EMPTY_SOURCE: ByteSource = bytesSource(new Uint8Array(0));

/** The `size` bytes of `source` from `offset` on. Both are checked against the source. */
export function regionSource(source: ByteSource, offset: number, size: number): ByteSource {
  checkRange(source.size, offset, size);
  if (offset === 0 && size === source.size) return source;
  if (source instanceof Region) return new Region(source.of, source.start + offset, size);
  return new Region(source, offset, size);
}

/** The source that a region is part of, and where it begins there, in bytes. A source that is no region is its own. */
export const originOf = (source: ByteSource): { readonly of: ByteSource; readonly start: number } =>
  source instanceof Region ? source : { of: source, start: 0 };

/** Where `part` begins in `whole`, in bytes; undefined unless it is a region of it. */
export function offsetIn(whole: ByteSource, part: ByteSource): number | undefined {
  if (part === whole) return 0;
  if (!(part instanceof Region)) return undefined;
  const { of, start } = originOf(whole);
  return part.of === of ? part.start - start : undefined;
}

/** A class without closures, as a file of 3.5 GiB may consist of a million regions. */
class Region implements ByteSource {
  constructor(
    readonly of: ByteSource,
    readonly start: number,
    readonly size: number,
  ) {}

  get ready(): ByteSource['ready'] {
    return this.of.ready?.bind(this.of);
  }

  get late(): boolean | undefined {
    return this.of.late;
  }

  read(offset: number, target: Uint8Array): void {
    checkRange(this.size, offset, target.length);
    this.of.read(this.start + offset, target);
  }
}

/** All bytes of a source in memory. For small sources only; `limit` (bytes) guards against hostile sizes. */
export function readAll(source: ByteSource, limit: number): Uint8Array<ArrayBuffer> {
  if (source.size > limit) {
    throw new IgvmError('IGVM_MALFORMED', `expected at most ${limit} bytes of data but there are ${source.size}`);
  }
  const bytes = new Uint8Array(source.size);
  source.read(0, bytes);
  return bytes;
}

function checkRange(size: number, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
    unreachable(`read of ${length} bytes at ${offset} of a source of ${size}`);
  }
}

/** `zeros` zero bytes followed by `source`, for contents that start in the middle of their first page. */
export function leadingZerosSource(zeros: number, source: ByteSource): ByteSource {
  if (zeros === 0) return source;
  return {
    size: zeros + source.size,
    read(offset, target) {
      const blank = Math.min(Math.max(zeros - offset, 0), target.length);
      target.fill(0, 0, blank);
      if (blank < target.length) source.read(offset + blank - zeros, target.subarray(blank));
    },
    ready: source.ready?.bind(source),
    late: source.late,
  };
}
