import { lstatSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';
import { Readable } from 'node:stream';
import { type ErrorWhere, IgvmError } from '../../errors/igvm-error';
import { type Access, accessOf } from '../../files/access';
import { unreadable } from '../../files/file-failure';
import { type FileSource, openFileSource } from '../../files/file-source';
import { type ByteSource, regionSource } from '../../memory/byte-source';
import { decompressed, isGzipOrZstd, UnpackError } from '../../resources/decompress';
import { shortened } from '../cpio-newc';
import { chunksOf, type ImageParts } from './container-image';
import { MOST_BYTES, type Spool } from './unpack-layer';

/** The open files of an image. */
export interface OpenParts extends ImageParts {
  /** Who may read all files that were opened. */
  readonly access: Access;
  /** @throws IgvmError FILE_CHANGED when a file has changed since it was opened */
  checkUnchanged(): void;
  close(): void;
}

/** The most entries of an archive. An image has a few for each of its layers. */
const MOST_PARTS = 10_000;

/** The most links to follow from one part of an archive to another. */
const MOST_LINKS = 8;

/** Temporary storage for an unpacked archive. */
export interface Scratch extends Spool {
  source(): ByteSource;
}

/**
 * Opens the folder of an OCI layout, or the archive of an image.
 * @param display its name in messages
 * @param scratch creates temporary storage, for an archive that is compressed as a whole
 * @throws IgvmError FILE_UNREADABLE, CONTAINER_IMAGE
 */
export async function openImageParts(path: string, display: string, scratch: () => Scratch): Promise<OpenParts> {
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch (error) {
    throw unreadable(display, error);
  }
  if (isFolder) return new FolderParts(path, display);
  const file = openFileSource(path);
  try {
    return await openArchive(file, accessOf(statSync(path)), display, scratch);
  } catch (error) {
    file.close();
    if (error instanceof UnpackError) throw new IgvmError('CONTAINER_IMAGE', error.message, { file: display });
    throw error;
  }
}

/** The parts of an OCI layout in a folder. */
class FolderParts implements OpenParts {
  private readonly open = new Map<string, FileSource>();
  access: Access;

  constructor(
    private readonly folder: string,
    private readonly display: string,
  ) {
    this.access = accessOf(statSync(folder));
  }

  find(name: string): ByteSource | undefined {
    const present = this.open.get(name);
    if (present !== undefined) return present;
    const path = join(this.folder, ...name.split('/'));
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    // A change of what the link leads to could go unnoticed.
    if (stats.isSymbolicLink())
      throw new IgvmError('CONTAINER_IMAGE', 'is a link, but the parts of an image must be files', this.where(name));
    const source = openFileSource(path);
    this.access &= accessOf(stats);
    this.open.set(name, source);
    return source;
  }

  where(name: string): ErrorWhere {
    return { file: posix.join(this.display, name) };
  }

  checkUnchanged(): void {
    for (const source of this.open.values()) source.checkUnchanged();
  }

  close(): void {
    for (const source of this.open.values()) source.close();
    this.open.clear();
  }
}

/** The places of parts in an archive, and the links from one name to another. */
interface ArchiveIndex {
  places: Map<string, { offset: number; size: number }>;
  links: Map<string, string>;
}

async function openArchive(
  file: FileSource,
  access: Access,
  display: string,
  scratch: () => Scratch,
): Promise<OpenParts> {
  const start = new Uint8Array(Math.min(4, file.size));
  file.read(0, start);
  let archive: ByteSource = file;
  if (isGzipOrZstd(start)) {
    const room = scratch();
    for await (const chunk of decompressed(chunksOf(file))) {
      if (room.size + chunk.length > MOST_BYTES) throw new UnpackError(`unpacks to more than ${MOST_BYTES} bytes`);
      await room.append(chunk);
    }
    archive = room.source();
  }
  const { places, links } = await indexOf(archive);
  return {
    access,
    find(name) {
      let at = name;
      for (let count = 0; links.has(at); at = links.get(at)!) if (++count > MOST_LINKS) return undefined;
      const place = places.get(at);
      return place === undefined ? undefined : regionSource(archive, place.offset, place.size);
    },
    where: (name) => ({ file: `${display}(${shortened(name)})` }),
    checkUnchanged: () => file.checkUnchanged(),
    close: () => file.close(),
  };
}

/** Reads an archive once. If several parts have the same name, the last one counts, as it would after unpacking. */
async function indexOf(archive: ByteSource): Promise<ArchiveIndex> {
  const { extract } = require('tar-stream') as typeof import('tar-stream');
  const index: ArchiveIndex = { places: new Map(), links: new Map() };
  const reader = extract();
  const source = Readable.from(chunksOf(archive));
  source.on('error', (error) => reader.destroy(error));
  source.pipe(reader as unknown as NodeJS.WritableStream);
  try {
    for await (const entry of reader) {
      const { name, type, linkname, size, byteOffset } = entry.header as typeof entry.header & { byteOffset: number };
      const path = posix.normalize(name).replace(/^\/+/, '');
      if (index.places.size + index.links.size >= MOST_PARTS)
        throw new UnpackError(`has more than ${MOST_PARTS} parts`);
      index.links.delete(path);
      index.places.delete(path);
      if (type === 'file' || type === 'contiguous-file') index.places.set(path, { offset: byteOffset, size });
      if (type === 'symlink') index.links.set(path, posix.join(posix.dirname(path), linkname));
      if (type === 'link') index.links.set(path, posix.normalize(linkname));
      entry.resume();
    }
    return index;
  } catch (error) {
    if (error instanceof IgvmError || error instanceof UnpackError) throw error;
    throw new UnpackError(`is not a readable archive: ${(error as Error).message}`);
  } finally {
    source.destroy();
    reader.destroy();
  }
}
