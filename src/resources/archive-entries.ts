/** The entries of archives, in the same form for every format: tar, .deb, .rpm and .zip. */
import { read } from 'node:fs';
import { pipeline, Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { Header } from 'tar-stream';
import type { Entry as ZipEntry, ZipFile } from 'yauzl';
import { ByteReader, compressionOf, decompress, MAGIC_SIZE, UnpackError } from './decompress';

/** One entry of an archive. */
export interface ArchiveEntry {
  /** Without leading `./` or `/`. */
  readonly path: string;
  readonly kind: 'file' | 'link' | 'hard link' | 'folder' | 'other';
  /** The target of a link, unchanged. */
  readonly target?: string;
  /** For an entry whose content comes with another name of the same file: the inode of both. */
  readonly inode?: string;
  /** Bytes. */
  readonly size: number;
  /** The content. Empty unless it is read before the next entry. */
  content(): AsyncIterable<Uint8Array>;
}

/** The bytes of an archive, with random access. */
export interface ArchiveFile {
  /** The open file, for formats with a table at their end. */
  readonly fd: number;
  /** All bytes from the beginning. */
  stream(): AsyncIterable<Uint8Array>;
}

const readAt = promisify(read);

/** Bytes read at once. */
const CHUNK = 2 ** 18;

/** An open file, which its owner closes after the last read. */
export const archiveFile = (fd: number): ArchiveFile => ({
  fd,
  async *stream() {
    for (let at = 0; ; ) {
      const { bytesRead, buffer } = await readAt(fd, Buffer.allocUnsafe(CHUNK), 0, CHUNK, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  },
});

/** The most bytes of a path or of the target of a link. */
const MOST_PATH = 4096;

const RPM_MAGIC = [0xed, 0xab, 0xee, 0xdb];
const AR_MAGIC = '!<arch>\n';
/** A local header, or the end of an archive without entries. */
const ZIP_MAGICS = ['PK\u0003\u0004', 'PK\u0005\u0006'];

/** The supported formats, for messages. */
export const ARCHIVES = 'tar, also with gzip, xz or zstd, .deb, .rpm and .zip';

/**
 * The entries of an archive, in its order. The first bytes determine its format.
 * @param limit the most bytes that a compressed archive may unpack to
 * @throws UnpackError for anything but an archive, and for a damaged one
 */
export async function* archiveEntries(file: ArchiveFile, limit: number): AsyncGenerator<ArchiveEntry> {
  const reader = new ByteReader(file.stream());
  try {
    const start = Buffer.from(await reader.peek(AR_MAGIC.length));
    if (start.toString('latin1') === AR_MAGIC) yield* debEntries(reader, limit);
    else if (ZIP_MAGICS.includes(start.toString('latin1', 0, 4))) yield* zipEntries(file.fd, limit);
    else if (RPM_MAGIC.every((byte, index) => start[index] === byte)) yield* rpmEntries(reader, limit);
    else yield* tarEntries(await plain(reader, limit));
  } finally {
    await reader.close();
  }
}

/** The rest of a stream, unpacked if it is compressed. */
async function plain(reader: ByteReader, limit: number): Promise<AsyncIterable<Uint8Array>> {
  const compression = compressionOf(await reader.peek(MAGIC_SIZE));
  return compression === undefined ? reader.remaining() : decompress(reader.remaining(), compression, limit);
}

export const normalPath = (path: string): string => path.replace(/^(?:\.?\/+)+/, '').replace(/\/+$/, '');

const TAR_KINDS: Readonly<Partial<Record<string, ArchiveEntry['kind']>>> = {
  file: 'file',
  'contiguous-file': 'file',
  symlink: 'link',
  link: 'hard link',
  directory: 'folder',
};

async function* tarEntries(source: AsyncIterable<Uint8Array>): AsyncGenerator<ArchiveEntry> {
  const { extract } = require('tar-stream') as typeof import('tar-stream');
  const extraction = extract();
  let failure: unknown;
  const named = (error: unknown): UnpackError => {
    const cause = failure ?? error;
    if (cause instanceof UnpackError) return cause;
    return new UnpackError(`is not an archive that can be read (${ARCHIVES}): ${(cause as Error).message}`);
  };
  pipeline(Readable.from(source, { objectMode: false }), extraction, (error) => void (failure = error));
  try {
    for await (const entry of extraction) {
      yield tarEntry(entry.header, () => tarContent(entry as AsyncIterable<Uint8Array>, named));
      // The next entry comes after this one has been read.
      entry.resume();
    }
  } catch (error) {
    throw named(error);
  }
}

async function* tarContent(
  entry: AsyncIterable<Uint8Array>,
  named: (error: unknown) => UnpackError,
): AsyncGenerator<Uint8Array> {
  try {
    yield* entry;
  } catch (error) {
    throw named(error);
  }
}

function tarEntry(header: Header, content: ArchiveEntry['content']): ArchiveEntry {
  const { name, linkname, size } = header;
  const { type, pax } = header as Header & { pax?: Record<string, string> | null };
  // The content lacks the holes of the file.
  const isSparse = Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse.'));
  const kind = isSparse ? 'other' : (TAR_KINDS[type ?? ''] ?? 'other');
  return {
    path: normalPath(name),
    kind,
    ...(linkname && (kind === 'link' || kind === 'hard link') ? { target: linkname } : {}),
    size,
    content,
  };
}

/** A Debian package: an ar archive with a tar archive in it (deb(5)). */
async function* debEntries(reader: ByteReader, limit: number): AsyncGenerator<ArchiveEntry> {
  await reader.skip(AR_MAGIC.length);
  for (;;) {
    if ((await reader.peek(1)).length === 0)
      throw new UnpackError('is not a Debian package: it is an ar archive without a data.tar');
    const header = (await reader.read(60)).toString('latin1');
    const name = header.slice(0, 16).trim().replace(/\/$/, '');
    const sizeText = header.slice(48, 58).trim();
    if (!/^\d+$/.test(sizeText) || header.slice(58) !== '`\n') throw new UnpackError('has a damaged ar header');
    const size = Number(sizeText);
    if (!/^data\.tar(?:\.|$)/.test(name)) {
      await reader.skip(size + (size % 2));
      continue;
    }
    const data = new ByteReader(reader.take(size));
    try {
      yield* tarEntries(await plain(data, limit));
    } finally {
      await data.close();
    }
    return;
  }
}

/** Bytes of an RPM's lead, and of the intro of each of the two headers after it (RPM's format documentation). */
const RPM_LEAD = 96;
const RPM_INTRO = 16;
const RPM_INDEX_ENTRY = 16;
/** The limit of RPM itself. */
const RPM_HEADER_LIMIT = 2 ** 28;

/** An RPM package: two headers, and a compressed cpio archive. */
async function* rpmEntries(reader: ByteReader, limit: number): AsyncGenerator<ArchiveEntry> {
  await reader.skip(RPM_LEAD);
  // The signature is padded to a multiple of 8 bytes.
  await skipRpmHeader(reader, 8);
  await skipRpmHeader(reader, 1);
  const payload = new ByteReader(await plain(reader, limit));
  try {
    yield* cpioEntries(payload);
  } finally {
    await payload.close();
  }
}

async function skipRpmHeader(reader: ByteReader, alignment: number): Promise<void> {
  const intro = await reader.read(RPM_INTRO);
  if (intro.readUInt32BE(0) !== 0x8eade801) throw new UnpackError('has a damaged RPM header');
  const size = intro.readUInt32BE(8) * RPM_INDEX_ENTRY + intro.readUInt32BE(12);
  if (size > RPM_HEADER_LIMIT) throw new UnpackError(`has an RPM header of ${size} bytes`);
  await reader.skip(size + (-size & (alignment - 1)));
}

const CPIO_HEADER = 110;

const CPIO_KINDS: Readonly<Partial<Record<number, ArchiveEntry['kind']>>> = {
  0o100000: 'file',
  0o120000: 'link',
  0o040000: 'folder',
};

/** A cpio archive in the format of RPM: "newc", with or without checksums (cpio(5)). */
async function* cpioEntries(reader: ByteReader): AsyncGenerator<ArchiveEntry> {
  const toBoundary = (): Promise<void> => reader.skip(-reader.position & 3);
  for (;;) {
    const header = (await reader.read(CPIO_HEADER)).toString('latin1');
    if (header.startsWith('07070X')) {
      throw new UnpackError('has files of more than 4 GiB, in an RPM format that is not supported');
    }
    if (!/^07070[12][0-9a-fA-F]{104}$/.test(header)) throw new UnpackError('has a damaged cpio header');
    const field = (index: number): number => Number.parseInt(header.slice(6 + index * 8, 14 + index * 8), 16);
    const [inode, mode, links, size, nameSize] = [field(0), field(1), field(4), field(6), field(11)];
    if (nameSize === 0 || nameSize > MOST_PATH) throw new UnpackError(`has a path of ${nameSize} bytes`);
    const name = (await reader.read(nameSize)).toString('utf8').replace(/\0.*$/s, '');
    await toBoundary();
    if (name === 'TRAILER!!!') return;
    const kind = CPIO_KINDS[mode & 0o170000] ?? 'other';
    const end = reader.position + size;
    const target = kind === 'link' ? await readTarget(reader, size) : undefined;
    yield {
      path: normalPath(name),
      kind,
      ...(target === undefined ? {} : { target }),
      ...(kind === 'file' && links > 1 ? { inode: String(inode) } : {}),
      size,
      content: () => reader.take(size),
    };
    await reader.skip(end - reader.position);
    await toBoundary();
  }
}

async function readTarget(reader: ByteReader, size: number): Promise<string> {
  if (size > MOST_PATH) throw new UnpackError(`has a link of ${size} bytes`);
  return (await reader.read(size)).toString('utf8');
}

/** A .zip: its entries are listed at its end. */
async function* zipEntries(fd: number, limit: number): AsyncGenerator<ArchiveEntry> {
  const zip = await openZip(fd);
  try {
    for (;;) {
      const entry = await nextZipEntry(zip);
      if (entry === undefined) return;
      yield await zipEntry(zip, entry, limit);
    }
  } catch (error) {
    throw zipFailure(error);
  }
}

const zipFailure = (error: unknown): Error =>
  error instanceof UnpackError ? error : new UnpackError(`is a damaged .zip: ${(error as Error).message}`);

function openZip(fd: number): Promise<ZipFile> {
  const { fromFd } = require('yauzl') as typeof import('yauzl');
  return new Promise((resolve, reject) => {
    fromFd(fd, { lazyEntries: true, autoClose: false }, (error, zip) =>
      error === null ? resolve(zip) : reject(zipFailure(error)),
    );
  });
}

function nextZipEntry(zip: ZipFile): Promise<ZipEntry | undefined> {
  return new Promise((resolve, reject) => {
    zip.removeAllListeners();
    zip.once('entry', resolve);
    zip.once('end', () => resolve(undefined));
    zip.once('error', reject);
    zip.readEntry();
  });
}

async function zipEntry(zip: ZipFile, entry: ZipEntry, limit: number): Promise<ArchiveEntry> {
  const { fileName, uncompressedSize: size, externalFileAttributes } = entry;
  const isLink = ((externalFileAttributes >>> 16) & 0o170000) === 0o120000;
  const content = (): AsyncIterable<Uint8Array> => zipContent(zip, entry);
  const shared = { path: normalPath(fileName), size, content };
  if (fileName.endsWith('/')) return { ...shared, kind: 'folder' };
  if (!isLink) return { ...shared, kind: size > limit ? 'other' : 'file' };
  const target = await readTarget(new ByteReader(content()), size);
  return { ...shared, kind: 'link', target };
}

async function* zipContent(zip: ZipFile, entry: ZipEntry): AsyncGenerator<Uint8Array> {
  try {
    yield* await new Promise<Readable>((resolve, reject) => {
      zip.openReadStream(entry, (error, stream) => (error === null ? resolve(stream) : reject(error)));
    });
  } catch (error) {
    throw zipFailure(error);
  }
}
