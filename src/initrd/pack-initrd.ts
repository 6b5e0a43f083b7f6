import { realpathSync } from 'node:fs';
import { isAbsolute, relative, sep } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { createOutputSet } from '../files/atomic-output';
import { placeOf } from '../files/check-not-inputs';
import { openFileSource } from '../files/file-source';
import { collectEntries, type InitrdEntry } from './collect-entries';
import { compress } from './compress';
import { cpioHeader, cpioPadding, cpioTrailer } from './cpio-newc';
import type { InitrdOptions } from './initrd-options';

/** What was packed. */
export interface InitrdReport {
  output: string;
  /** Bytes of the file. */
  size: number;
  /** Bytes before compression. */
  archiveSize: number;
  entryCount: number;
}

/** Files are read in pieces of this size, in bytes. */
const CHUNK = 1 << 20;

/**
 * Packs a folder into an initramfs: cpio newc, everything owned by root, times zero, order by name. The same folder gives
 * the same file on every machine. The file appears when it is complete.
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, FILE_UNWRITABLE, INITRD_ENTRY, INITRD_COMPRESSION
 */
export async function packInitrd(options: InitrdOptions): Promise<InitrdReport> {
  const entries = collectEntries(options.folder, options);
  checkOutside(options.folder, options.output);
  const outputs = createOutputSet();
  try {
    const file = outputs.add(options.output);
    let size = 0;
    const counted = { archiveSize: 0 };
    for await (const chunk of compress(archive(entries, counted), options.compression)) {
      await file.write(size, chunk);
      size += chunk.length;
    }
    await outputs.commit();
    return { output: options.output, size, archiveSize: counted.archiveSize, entryCount: entries.length };
  } catch (error) {
    await outputs.abort();
    throw error;
  }
}

async function* archive(entries: InitrdEntry[], counted: { archiveSize: number }): AsyncGenerator<Uint8Array> {
  for (const chunk of members(entries)) {
    counted.archiveSize += chunk.length;
    yield chunk;
  }
  const trailer = cpioTrailer(counted.archiveSize);
  counted.archiveSize += trailer.length;
  yield trailer;
}

function* members(entries: InitrdEntry[]): Generator<Uint8Array> {
  for (const [index, entry] of entries.entries()) {
    yield cpioHeader(entry, index + 1);
    if (entry.target !== undefined) yield Buffer.from(entry.target);
    if (entry.content !== undefined) yield entry.content;
    if (entry.source !== undefined) yield* content(entry.source, entry.size);
    yield cpioPadding(entry.size);
  }
}

/** Exactly `size` bytes, which the header has announced. Each piece is a buffer of its own: it may be queued. */
function* content(path: string, size: number): Generator<Uint8Array> {
  const source = openFileSource(path);
  try {
    if (source.size !== size) throw new IgvmError('FILE_CHANGED', 'changed while it was packed', { file: path });
    for (let offset = 0; offset < size; offset += CHUNK) {
      const chunk = new Uint8Array(Math.min(CHUNK, size - offset));
      source.read(offset, chunk);
      yield chunk;
    }
    source.checkUnchanged();
  } finally {
    source.close();
  }
}

/** The next initramfs would contain this one, and no two would be the same. @throws IgvmError INITRD_ENTRY */
function checkOutside(folder: string, output: string): void {
  const way = relative(realpathSync(folder), placeOf(output));
  if (!isAbsolute(way) && way.split(sep)[0] !== '..') {
    throw new IgvmError('INITRD_ENTRY', 'the initramfs would lie in the folder that it is made of', { file: output });
  }
}
