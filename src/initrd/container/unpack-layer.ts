import { createHash, type Hash } from 'node:crypto';
import { type EventEmitter, once } from 'node:events';
import type { Header } from 'tar-stream';
import { type ErrorWhere, IgvmError } from '../../errors/igvm-error';
import { decompressed, UnpackError } from '../../resources/decompress';
import { LARGEST_FILE, shortened } from '../cpio-newc';
import { type Inode, LayerTree } from './layer-tree';

/** Storage for the contents of files while layers are unpacked. */
export interface Spool {
  /** The number of bytes so far. */
  size: number;
  /** Appends bytes, which must not change afterwards. */
  append(bytes: Uint8Array): Promise<void>;
}

/** A layer as its image describes it. */
export interface Layer {
  /** Its place, for messages. */
  where: ErrorWhere;
  /** The layer as it is stored, compressed or not. */
  chunks(): AsyncIterable<Uint8Array>;
  /** `sha256:…` of the stored bytes. A docker archive doesn't state it. */
  digest?: string;
  /** `sha256:…` of the layer's tar archive. */
  diffId: string;
}

/** The most bytes of all unpacked layers: twice as much as the largest guest can hold. A larger image is a mistake or an attack. */
export const MOST_BYTES = 2 ** 33;

/** The header of an entry. `pax` has the values that don't fit into it. */
type Entry = Partial<Omit<Header, 'pax'>> &
  Pick<Header, 'name'> & {
    pax?: Record<string, string> | null;
    /** Where its data begins in the archive. */
    byteOffset: number;
  };

/** The latest time of a file, in seconds since 1970: a header of an initramfs has 32 bits for it. */
const LATEST = 2 ** 32 - 1;

/** Bytes of a block. A tar archive consists of blocks. */
const BLOCK = 512;

const NO_ARCHIVE = 'is not a readable tar archive';

const TYPES = { file: 'file', 'contiguous-file': 'file', directory: 'directory', symlink: 'link' } as const;

const KINDS: Record<string, string> = {
  'character-device': 'a device node',
  'block-device': 'a device node',
  fifo: 'a named pipe',
};

/**
 * Unpacks layers one on top of the other. Each is read once: its digests, its entries and the contents of its files come from the
 * same pass. Memory use doesn't depend on the size of files.
 * @throws IgvmError CONTAINER_LAYER, CONTAINER_DIGEST, FILE_UNREADABLE, FILE_CHANGED, FILE_UNWRITABLE
 */
export async function unpackLayers(layers: readonly Layer[], spool: Spool): Promise<LayerTree> {
  const tree = new LayerTree();
  const budget = { left: MOST_BYTES };
  for (const layer of layers) {
    tree.nextLayer();
    await unpackLayer(layer, tree, spool, budget);
  }
  return tree;
}

async function unpackLayer(layer: Layer, tree: LayerTree, spool: Spool, budget: { left: number }): Promise<void> {
  const stored = new HashedStream(layer.chunks(), layer.digest);
  const archive = new HashedStream(decompressed(stored), layer.diffId, budget);
  try {
    await readArchive(archive, tree, spool);
  } catch (error) {
    // If the digest is wrong, that is the error to report: the others result from it.
    await stored.finish();
    if (!stored.isStated) throw wrongDigest(layer.where, stored, 'has data');
    if (error instanceof UnpackError) throw new IgvmError('CONTAINER_LAYER', error.message, layer.where);
    throw error instanceof IgvmError ? error.at(layer.where) : error;
  }
  await stored.finish();
  if (!stored.isStated) throw wrongDigest(layer.where, stored, 'has data');
  if (!archive.isStated) throw wrongDigest(layer.where, archive, 'unpacks to a layer');
}

const wrongDigest = (where: ErrorWhere, { actual, stated }: HashedStream, what: string): IgvmError =>
  new IgvmError('CONTAINER_DIGEST', `${what} with the digest ${actual}, but the image states ${stated}`, where);

/** A stream whose digest is computed while it is read. */
class HashedStream implements AsyncIterable<Uint8Array> {
  private readonly chunks: AsyncIterator<Uint8Array>;
  private readonly hash: Hash;
  private digest: string | undefined;

  /** @param stated the digest that the image states, in a form that has been checked */
  constructor(
    chunks: AsyncIterable<Uint8Array>,
    readonly stated: string | undefined,
    private readonly budget?: { left: number },
  ) {
    this.chunks = chunks[Symbol.asyncIterator]();
    this.hash = createHash(stated?.split(':')[0] ?? 'sha256');
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: () => this.next(),
      return: async () => {
        await this.chunks.return?.();
        return { done: true, value: undefined };
      },
    };
  }

  /** Reads the rest of the stream and ignores it, so that the digest covers all of it. */
  async finish(): Promise<void> {
    for (let { done } = await this.next(); done !== true; { done } = await this.next());
  }

  get actual(): string {
    this.digest ??= this.hash.digest('hex');
    return `${this.stated?.split(':')[0] ?? 'sha256'}:${this.digest}`;
  }

  get isStated(): boolean {
    return this.stated === undefined || this.actual === this.stated;
  }

  private async next(): Promise<IteratorResult<Uint8Array>> {
    const result = await this.chunks.next();
    if (result.done === true) return result;
    this.hash.update(result.value);
    if (this.budget === undefined) return result;
    this.budget.left -= result.value.length;
    if (this.budget.left >= 0) return result;
    throw new IgvmError('CONTAINER_LAYER', `the layers of the image unpack to more than ${MOST_BYTES} bytes`);
  }
}

/** Reads a whole tar archive into the tree and the spool. */
async function readArchive(archive: HashedStream, tree: LayerTree, spool: Spool): Promise<void> {
  const { extract } = require('tar-stream') as typeof import('tar-stream');
  const reader = extract();
  const closed = new AbortController();
  (reader as unknown as EventEmitter).once('close', () => closed.abort());
  const write = async (chunk: Uint8Array): Promise<void> => {
    if (!reader.write(chunk)) await once(reader as unknown as EventEmitter, 'drain', { signal: closed.signal });
  };
  let failure: unknown;
  /** Bytes of the archive so far, and the bytes that the entries so far require. */
  let size = 0;
  let needed = 0;
  const feed = async (): Promise<void> => {
    try {
      for await (const chunk of archive) {
        size += chunk.length;
        await write(chunk);
      }
      // Some tools omit the blocks at the end of an archive, and even the padding of the last file ("umoci insert").
      if (size % BLOCK !== 0) await write(new Uint8Array(BLOCK - (size % BLOCK)));
      reader.end(undefined);
    } catch (error) {
      failure ??= error;
      reader.destroy(error as Error);
    }
  };
  const feeding = feed();
  try {
    for await (const entry of reader) {
      const header = entry.header as Entry;
      needed = Math.max(needed, header.byteOffset + (header.size ?? 0));
      checkEntry(header, spool);
      const offset = spool.size;
      const isStored = TYPES[header.type as keyof typeof TYPES] === 'file';
      for await (const chunk of entry) if (isStored) await spool.append(chunk as Uint8Array);
      addEntry(tree, header, offset);
    }
  } catch (error) {
    if (error instanceof IgvmError) throw error;
    if (failure !== undefined) throw failure;
    throw new UnpackError(`${NO_ARCHIVE}: ${(error as Error).message}`);
  } finally {
    reader.destroy();
    await feeding;
  }
  if (needed > size) throw new UnpackError(`${NO_ARCHIVE}: it ends within a file`);
}

/** @throws IgvmError CONTAINER_LAYER for an entry that an initramfs can't have, before its content is unpacked */
function checkEntry({ name, type, size = 0, pax }: Entry, spool: Spool): void {
  const refuse = (what: string): never => {
    throw new IgvmError('CONTAINER_LAYER', `"${shortened(name)}" ${what}`);
  };
  if (type === 'link') return;
  const kind = KINDS[type ?? ''];
  if (kind !== undefined) {
    refuse(
      `is ${kind}, which a layer must not have: the kernel provides device nodes, and "devices" in initrd.json creates others`,
    );
  }
  if (!Object.hasOwn(TYPES, type ?? '')) refuse('is an entry of an unknown type');
  if (Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse')))
    refuse('is a sparse file in the format of GNU tar, which is not supported');
  if (size > LARGEST_FILE) refuse(`has ${size} bytes, but files in an initramfs must be smaller than 4 GiB`);
  if (spool.size + size > MOST_BYTES)
    refuse(`makes the layers of the image larger than ${MOST_BYTES} bytes, which is the limit`);
}

function addEntry(tree: LayerTree, header: Entry, offset: number): void {
  const { name, type, linkname, size = 0 } = header;
  if (type === 'link') {
    tree.addHardLink(name, linkname ?? '');
    return;
  }
  const kind = TYPES[type as keyof typeof TYPES];
  const isFile = kind === 'file';
  const target = kind === 'link' ? linkTargetOf(name, linkname ?? '') : undefined;
  const inode: Inode = {
    type: kind,
    // Linux has no permissions for links.
    permissions: kind === 'link' ? 0o777 : (header.mode ?? 0o644) & 0o7777,
    owner: idOf(header, 'uid'),
    group: idOf(header, 'gid'),
    time: timeOf(header),
    size: isFile ? size : target === undefined ? 0 : Buffer.byteLength(target),
    ...(isFile ? { offset } : {}),
    ...(target === undefined ? {} : { target }),
  };
  tree.add(name, inode);
}

/** A link may lead anywhere, because only the guest follows it, and the guest contains nothing but the image. */
function linkTargetOf(name: string, target: string): string {
  if (!target.includes('\ufffd')) return target;
  throw new IgvmError('CONTAINER_LAYER', `"${shortened(name)}" is a link to a name that is not UTF-8`);
}

/** Numbers that are too large for a header are in an extended header, which the package doesn't evaluate. */
function idOf({ uid, gid, pax, name }: Entry, key: 'uid' | 'gid'): number {
  const id = pax?.[key] === undefined ? ((key === 'uid' ? uid : gid) ?? 0) : Number(pax[key]);
  if (Number.isInteger(id) && id >= 0 && id <= 0xffffffff) return id;
  throw new IgvmError('CONTAINER_LAYER', `"${shortened(name)}" has an owner or group that is not a number of 32 bits`);
}

function timeOf({ mtime, pax }: Entry): number {
  const seconds = pax?.['mtime'] === undefined ? (mtime?.getTime() ?? 0) / 1000 : Number(pax['mtime']);
  return Number.isFinite(seconds) ? Math.min(Math.max(Math.floor(seconds), 0), LATEST) : 0;
}
