/** Archives and container images, which are untrusted and unpacked for a build. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { readContainerImage } from '../../src/initrd/container/container-image';
import { APP, archiveOf, dockerOf, layoutOf, sha256, tarOf } from '../../src/initrd/container/image.fixture';
import { type Layer, type Spool, unpackLayers } from '../../src/initrd/container/unpack-layer';
import { bytesSource } from '../../src/memory/byte-source';
import { type ArchiveFile, archiveFile } from '../../src/resources/archive-entries';
import { readMember } from '../../src/resources/archive-member';
import type { Target } from '../engine/target';

const sample = (name: string): Buffer => readFileSync(join(__dirname, '..', 'samples', name));

/** The requested file; the samples contain it and a link to it. */
const MEMBER = 'boot/vmlinuz';

/** Bytes of a member, and of an unpacked archive. */
const LIMIT = 2 ** 20;

/** A tar archive with all kinds of entries that readers distinguish. */
const tar = (): Promise<Buffer> =>
  tarOf([
    { name: 'boot', type: 'directory' },
    { name: './boot/vmlinuz-1', content: 'kernel' },
    { name: MEMBER, type: 'symlink', linkname: 'vmlinuz-1' },
    { name: 'boot/again', type: 'link', linkname: 'boot/vmlinuz-1' },
    { name: `${'long/'.repeat(30)}name`, content: 'x' },
  ]);

/** Archives with a table at their end are read from a file, because they can't be read as a stream. */
function withFile(bytes: Uint8Array, use: (file: ArchiveFile) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-fuzz-archive-'));
  const fd = openSync(join(folder, 'archive'), 'w+');
  ftruncateSync(fd, 0);
  writeSync(fd, bytes);
  return use(archiveFile(fd)).finally(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });
}

export const archive: Target = {
  name: 'archive',
  about: 'archives with resources: tar, .deb, .rpm, .zip',
  format: 'binary',
  dictionary: ['!<arch>\n', 'data.tar.gz/', 'PK\u0001\u0002', 'PK\u0003\u0004', 'PK\u0005\u0006', '070701', 'ustar'],
  seeds: async () => [
    await tar(),
    gzipSync(await tar()),
    sample('archive.deb'),
    sample('archive.rpm'),
    sample('archive.zip'),
  ],
  run({ bytes }) {
    let size = 0;
    const sink = {
      async write(chunk: Uint8Array): Promise<void> {
        size += chunk.length;
        if (size > LIMIT) throw new Error(`a member has more than the ${LIMIT} bytes that were allowed`);
      },
    };
    return withFile(bytes, (file) => readMember(file, MEMBER, { display: 'archive', limit: LIMIT }, sink));
  },
};

/** Counts bytes, and keeps nothing. */
class EmptySpool implements Spool {
  size = 0;
  async append(bytes: Uint8Array): Promise<void> {
    this.size += bytes.length;
  }
}

/** Concatenated parts: a byte with the length of the name, the name, four bytes with the length of the part, the part. */
function encodeParts(parts: ReadonlyMap<string, Uint8Array>): Buffer {
  return Buffer.concat(
    [...parts].flatMap(([name, bytes]) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [Buffer.of(name.length), Buffer.from(name, 'latin1'), length, bytes];
    }),
  );
}

function decodeParts(bytes: Buffer): Map<string, Uint8Array> {
  const parts = new Map<string, Uint8Array>();
  for (let at = 0; at < bytes.length; ) {
    const name = bytes.toString('latin1', at + 1, at + 1 + bytes[at]!);
    at += 1 + bytes[at]!;
    if (at + 4 > bytes.length) break;
    const size = bytes.readUInt32LE(at);
    parts.set(name, bytes.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return parts;
}

const IMAGE = async () => ({ layers: [await tarOf([APP, { name: 'etc/a', content: 'a' }]), await tar()] });

export const containerImage: Target = {
  name: 'container-image',
  about: 'the parts of container images: OCI layouts and docker archives, their JSON and their layers',
  format: 'binary',
  dictionary: ['.wh.', '.wh..wh..opq', '"layers":', '"diff_ids":', 'sha256:', '../'],
  seeds: async () => [encodeParts(dockerOf(await IMAGE())), encodeParts(layoutOf(await IMAGE()))],
  async run({ bytes }) {
    const found = decodeParts(Buffer.from(bytes));
    const image = readContainerImage(
      {
        find: (name) => {
          const part = found.get(name);
          return part === undefined ? undefined : bytesSource(part);
        },
        where: (name) => ({ file: `image/${name}` }),
      },
      'image',
    );
    await unpackLayers(image.layers, new EmptySpool());
  },
};

/** The layer below the one that is fuzzed. */
const BASE = tar();

export const containerLayer: Target = {
  name: 'container-layer',
  about: 'layers of container images, whatever their digests: tar archives, compressed or not',
  format: 'binary',
  dictionary: ['.wh.', '.wh..wh..opq', '../', 'ustar', 'SCHILY.xattr.'],
  seeds: async () => [await tar(), gzipSync(await tar()), await archiveOf(dockerOf(await IMAGE()))],
  async run({ bytes }) {
    const layer = (content: Uint8Array): Layer => ({
      where: { file: 'layer' },
      // The digest of the compressed data differs, but that is detected only after all entries have been read.
      diffId: sha256(content),
      async *chunks() {
        yield content;
      },
    });
    await unpackLayers([layer(await BASE), layer(bytes)], new EmptySpool());
  },
};
