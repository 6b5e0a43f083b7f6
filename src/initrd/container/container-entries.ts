import { mkdirSync, rmdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type ErrorWhere, IgvmError } from '../../errors/igvm-error';
import { type Access, modeOfOutput, OWNER_ONLY } from '../../files/access';
import { unwritable } from '../../files/file-failure';
import { openFileSource } from '../../files/file-source';
import { sha256OfSource } from '../../files/hashes';
import { TempFile } from '../../files/temp-file';
import { type ByteSource, regionSource } from '../../memory/byte-source';
import type { InitrdEntry } from '../collect-entries';
import type { InitArchitecture } from '../guest-init';
import type { GuestProcess } from '../guest-start';
import { readContainerImage, type ImageChoice } from './container-image';
import { containerProcess, type ProcessOverrides } from './container-process';
import { openImageParts, type Scratch } from './image-parts';
import type { Inode } from './layer-tree';
import { unpackLayers } from './unpack-layer';

/** The container image of a guest. */
export interface ContainerSource extends ImageChoice {
  /** Absolute path: the folder of an OCI layout, or an archive. */
  path: string;
  /** The pinned SHA-256 of an archive, in hexadecimal. */
  sha256?: string;
  /** The place that names it. */
  where?: ErrorWhere;
}

/** The content of a container image, with its bytes in a temporary file. Discard it after reading them. */
export interface ContainerEntries {
  entries: InitrdEntry[];
  architecture: InitArchitecture;
  process: GuestProcess;
  /** Who may read all of the image. */
  access: Access;
  discard(): void;
}

/**
 * Unpacks a container image into a temporary file beside an output.
 * @throws IgvmError CONTAINER_IMAGE, CONTAINER_DIGEST, CONTAINER_LAYER, CONTAINER_PROCESS, RESOURCE_DIGEST, FILE_UNREADABLE,
 *   FILE_CHANGED, FILE_UNWRITABLE
 */
export async function containerEntries(
  source: ContainerSource,
  output: string,
  overrides: ProcessOverrides,
): Promise<ContainerEntries> {
  if (source.sha256 !== undefined) checkPinned(source.path, source.sha256, source.where);
  const spools: TempSpool[] = [];
  const newSpool = (): TempSpool => {
    const spool = new TempSpool(output);
    spools.push(spool);
    return spool;
  };
  const discard = (): void => {
    for (const spool of spools) spool.discard();
  };
  try {
    const parts = await openImageParts(source.path, source.path, newSpool);
    try {
      const { config, layers } = readContainerImage(parts, source.path, source);
      const spool = newSpool();
      const tree = await unpackLayers(layers, spool);
      parts.checkUnchanged();
      const bytes = spool.source();
      const data = (inode: Inode) => regionSource(bytes, inode.offset ?? 0, inode.size);
      const read = (inode: Inode): Uint8Array => {
        const content = new Uint8Array(inode.size);
        data(inode).read(0, content);
        return content;
      };
      const process = placed(source, () => containerProcess(config, tree, read, overrides));
      const entries: InitrdEntry[] = [];
      for (const { path, inode } of tree.all()) {
        const { type, permissions, owner, group, time, size, target } = inode;
        entries.push({
          path,
          type,
          permissions,
          owner,
          group,
          time,
          size,
          ...(type === 'file' ? { inode, data: data(inode) } : {}),
          ...(target === undefined ? {} : { target }),
        });
      }
      return { entries, architecture: config.architecture, process, access: parts.access, discard };
    } finally {
      parts.close();
    }
  } catch (error) {
    discard();
    throw error;
  }
}

/** Checks an archive before anything in it is read. Its parts are later checked against the digests that it states. */
function checkPinned(path: string, sha256: string, where: ErrorWhere | undefined): void {
  const file = openFileSource(path);
  try {
    const actual = sha256OfSource(file);
    if (actual === sha256.toLowerCase()) return;
    throw new IgvmError('RESOURCE_DIGEST', `${path} has the SHA-256 ${actual}, not ${sha256}`, where);
  } finally {
    file.close();
  }
}

/** Adds the place that names the image to errors about its process. */
function placed<T>({ path, where }: ContainerSource, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof IgvmError ? error.at(where ?? { file: path }) : error;
  }
}

/**
 * A temporary file beside an output, for the unpacked bytes of an image. It is not in the system's temporary folder, which may be in
 * memory. The next build of that output removes the file of a killed process.
 */
class TempSpool implements Scratch {
  size = 0;
  private readonly file: TempFile;
  private readonly madeFolders: string[] = [];

  /** @throws IgvmError FILE_UNWRITABLE */
  constructor(output: string) {
    const target = resolve(output);
    const folder = dirname(target);
    try {
      const first = mkdirSync(folder, { recursive: true });
      for (let each = folder; first !== undefined && each.length >= first.length; each = dirname(each)) {
        this.madeFolders.push(each);
      }
    } catch (error) {
      throw unwritable(output, error);
    }
    this.file = new TempFile(output, target, modeOfOutput(OWNER_ONLY), OWNER_ONLY);
  }

  async append(bytes: Uint8Array): Promise<void> {
    const at = this.size;
    this.size += bytes.length;
    await this.file.write(at, bytes);
  }

  /** The bytes that have been written so far. */
  source(): ByteSource {
    return { size: this.size, read: (offset, target) => this.file.read(offset, target) };
  }

  /** Removes the file, and the folders that were created for it if they are empty. */
  discard(): void {
    this.file.discard();
    for (const folder of this.madeFolders) {
      try {
        rmdirSync(folder);
      } catch {
        return;
      }
    }
  }
}
