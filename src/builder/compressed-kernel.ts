/**
 * Compressed kernels for arm64: EFI zboot kernels, which unpack themselves with the help of firmware, and Images in
 * gzip.
 */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { unwritable } from '../files/file-failure';
import { type FileSource, openFileSource } from '../files/file-source';
import { makeProcessFolder } from '../files/process-folder';
import type { ResourceName } from '../manifest/model';
import { type ByteSource, regionSource } from '../memory/byte-source';
import {
  type Compression,
  compressionOf,
  decompress,
  isUnpacked,
  MAGIC_SIZE,
  UnpackError,
} from '../resources/decompress';

/** Most bytes that a kernel may unpack to: many times the size of a kernel with everything built in. */
const KERNEL_LIMIT = 2 ** 30;

/** Bytes read at once. */
const CHUNK = 2 ** 20;

/** Fields of an EFI zboot kernel (Linux, drivers/firmware/efi/libstub/zboot-header.S). */
const ZBOOT = { mark: 'zimg', markOffset: 4, payloadOffset: 8, payloadSize: 12, headerSize: 64 };

/** Kernels of arm64 guests, and their names in messages. */
export const ARM64_KERNELS = [
  ['linux_kernel', 'linux-kernel'],
  ['underhill_kernel', 'underhill-kernel'],
] as const satisfies readonly (readonly [ResourceName, string])[];

interface Packed {
  payload: ByteSource;
  compression: Compression;
  /** Bytes that it unpacks to, if the file states that outside the compressed data. */
  size?: number;
}

/**
 * The compressed part of a kernel; undefined for a kernel that isn't compressed, or in a form that can't be unpacked
 * here. In that case its loader says what it is and which program unpacks it.
 * @throws IgvmError KERNEL_INVALID for a header that can't be true
 */
function packedKernel(source: ByteSource, label: string): Packed | undefined {
  const head = Buffer.alloc(Math.min(source.size, ZBOOT.headerSize));
  source.read(0, head);
  const isZboot =
    head.length === ZBOOT.headerSize &&
    head.toString('latin1', 0, 2) === 'MZ' &&
    head.toString('latin1', ZBOOT.markOffset, ZBOOT.markOffset + ZBOOT.mark.length) === ZBOOT.mark;
  if (!isZboot) {
    const compression = compressionOf(head);
    return compression === undefined || !isUnpacked(compression) ? undefined : { payload: source, compression };
  }
  const [offset, size] = [head.readUInt32LE(ZBOOT.payloadOffset), head.readUInt32LE(ZBOOT.payloadSize)];
  if (offset < ZBOOT.headerSize || size === 0 || offset + size > source.size) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `${label} is an EFI zboot kernel that says its kernel is ${size} bytes at ${offset}, and has ${source.size} bytes`,
      { offset: ZBOOT.payloadOffset },
    );
  }
  const payload = regionSource(source, offset, size);
  const start = new Uint8Array(Math.min(size, MAGIC_SIZE));
  payload.read(0, start);
  const compression = compressionOf(start);
  if (compression === undefined || !isUnpacked(compression)) return undefined;
  return { payload, compression, ...unpackedSize(source, offset + size, compression) };
}

/** Size of the field after the data that holds the unpacked size. gzip has none, as its data ends with that size. */
function unpackedSize(source: ByteSource, end: number, compression: Compression): Pick<Packed, 'size'> {
  if (compression === 'gzip' || end + 4 > source.size) return {};
  const size = Buffer.alloc(4);
  source.read(end, size);
  return { size: size.readUInt32LE() };
}

/** An unpacked kernel. */
export interface UnpackedKernel {
  readonly source: FileSource;
  /** Closes and removes it. */
  dispose(): void;
}

/**
 * Unpacks a compressed kernel into a temporary file.
 * @param label its name in messages
 * @param limit most bytes that it may unpack to
 * @returns undefined when there is nothing to unpack
 * @throws IgvmError KERNEL_INVALID, FILE_CHANGED, FILE_UNREADABLE, FILE_UNWRITABLE
 */
export async function unpackKernel(
  source: ByteSource,
  label: string,
  limit = KERNEL_LIMIT,
): Promise<UnpackedKernel | undefined> {
  const packed = packedKernel(source, label);
  if (packed === undefined) return undefined;
  const folder = makeProcessFolder('kernel');
  const dispose = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const path = join(folder, 'kernel');
    const size = await write(packed, path, limit);
    if (packed.size !== undefined && packed.size !== size) {
      throw new UnpackError(`unpacks to ${size} bytes, and says that it has ${packed.size}`);
    }
    const unpacked = openFileSource(path);
    return {
      source: unpacked,
      dispose() {
        unpacked.close();
        dispose();
      },
    };
  } catch (error) {
    dispose();
    throw error instanceof UnpackError ? new IgvmError('KERNEL_INVALID', `${label} ${error.message}`) : error;
  }
}

/** @returns bytes that were written */
async function write({ payload, compression }: Packed, path: string, limit: number): Promise<number> {
  let fd: number;
  try {
    fd = openSync(path, 'wx', 0o600);
  } catch (error) {
    throw unwritable(path, error);
  }
  let size = 0;
  try {
    for await (const chunk of decompress(chunksOf(payload), compression, limit)) {
      size += chunk.length;
      writeFully(fd, chunk, path);
    }
    return size;
  } finally {
    closeSync(fd);
  }
}

function writeFully(fd: number, chunk: Uint8Array, path: string): void {
  try {
    for (let done = 0; done < chunk.length; ) done += writeSync(fd, chunk, done);
  } catch (error) {
    throw unwritable(path, error);
  }
}

async function* chunksOf(source: ByteSource): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < source.size; at += CHUNK) {
    const chunk = new Uint8Array(Math.min(CHUNK, source.size - at));
    source.read(at, chunk);
    yield chunk;
  }
}
