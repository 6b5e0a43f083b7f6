import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { IgvmError } from '../errors/igvm-error';
import type { Compression } from './initrd-options';

/** Where zlib writes the operating system it runs on, into gzip's header (RFC 1952, 2.3). */
const GZIP_OS_OFFSET = 9;
const GZIP_OS_UNKNOWN = 255;

/** Node has zstd from 22.15 on. */
type WithZstd = { createZstdCompress?: () => NodeJS.ReadWriteStream };

/**
 * Compresses an archive so that the same bytes come out on every machine that has the same version of the compressor.
 * @throws IgvmError INITRD_COMPRESSION
 */
export function compress(archive: AsyncIterable<Uint8Array>, compression: Compression): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'none':
      return archive;
    case 'gzip':
      return gzip(archive);
    case 'zstd':
      return zstd(archive);
  }
}

async function* gzip(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for await (const chunk of through(archive, zlib.createGzip({ level: 9 }))) {
    if (offset <= GZIP_OS_OFFSET && offset + chunk.length > GZIP_OS_OFFSET) {
      chunk[GZIP_OS_OFFSET - offset] = GZIP_OS_UNKNOWN;
    }
    offset += chunk.length;
    yield chunk;
  }
}

function zstd(archive: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const createZstdCompress = (zlib as WithZstd).createZstdCompress;
  return createZstdCompress === undefined ? zstdProgram(archive) : through(archive, createZstdCompress());
}

/** The stream's output; an error of the source surfaces here as well. */
async function* through(source: AsyncIterable<Uint8Array>, stream: NodeJS.ReadWriteStream): AsyncGenerator<Uint8Array> {
  const feeding = pipeline(Readable.from(source, { objectMode: false }), stream);
  // The reader below sees the failure too; this one must not count as unhandled meanwhile.
  feeding.catch(() => undefined);
  for await (const chunk of stream as AsyncIterable<Uint8Array>) yield chunk;
  await feeding;
}

async function* zstdProgram(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const child = spawn('zstd', ['-q', '-c', '-T1', '-'], { env: process.env, stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString('utf8');
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', () => reject(new IgvmError('INITRD_COMPRESSION', 'the program zstd cannot be started')));
    child.once('close', (status) =>
      status === 0
        ? resolve()
        : reject(new IgvmError('INITRD_COMPRESSION', `zstd failed: ${complaint.trim() || `exit code ${status}`}`)),
    );
  });
  ended.catch(() => undefined);
  let failure: unknown;
  const feeding = pipeline(Readable.from(archive, { objectMode: false }), child.stdin).catch((error: unknown) => {
    failure = error;
  });
  try {
    for await (const chunk of child.stdout) yield chunk as Uint8Array;
    await feeding;
    // A failing archive also ends zstd; its own error says more than the broken pipe.
    if (failure instanceof IgvmError) throw failure;
    await ended;
    if (failure !== undefined) throw failure;
  } finally {
    child.kill();
  }
}
