import { dirname, resolve } from 'node:path';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { parseJson, readJsonFile } from '../manifest/json-document';
import type { JsonPath } from '../manifest/json-path';
import { type ManifestWarning, validate } from '../manifest/validate';
import type { InitChoice } from './guest-init';
import type * as InitrdSchema from './initrd-schema';

/** A device node, which no folder under version control can hold. */
export interface DeviceNode {
  /** In the initramfs, for example `/dev/console`. */
  path: string;
  type: 'char' | 'block';
  major: number;
  minor: number;
  /** Octal permissions; by default 600. */
  mode?: string;
}

/** What an initramfs is made of, besides the folder. Paths are those in the initramfs. */
export interface InitrdLists {
  /** Where the initrd.json has a place such as `['devices', 0]`, for errors. */
  whereOf?: (path: JsonPath) => ErrorWhere;
  /**
   * The architecture whose {@link GUEST_INIT} becomes `/init`; without it the folder brings its own. `none` is for an initramfs that
   * starts nothing, such as one of modules that is loaded beside another.
   */
  init?: InitChoice;
  devices?: DeviceNode[];
  /** Folders that may be empty, which version control drops. */
  directories?: string[];
  /** Path to what it points to, for machines that can't have symbolic links. */
  symlinks?: Record<string, string>;
  /** Path to octal permissions, in place of 755 for folders and executables and 644 for other files. */
  modes?: Record<string, string>;
}

export type Compression = 'none' | 'gzip' | 'zstd';

export interface InitrdOptions extends InitrdLists {
  /** The folder whose content becomes the root of the initramfs. */
  folder: string;
  /** The file to write. */
  output: string;
  compression: Compression;
  /** Nobody but its owner may read the initramfs, whatever it is made of. */
  private?: boolean;
}

/** initrd.json after validation. */
export interface InitrdConfig extends Required<Omit<InitrdLists, 'init'>>, Pick<InitrdLists, 'init'> {
  /** Absolute path. */
  folder: string;
  compression: Compression;
  warnings: readonly ManifestWarning[];
}

/** What a packed initramfs is called. */
export const INITRD_NAMES: Record<Compression, string> = {
  none: 'initrd.cpio',
  gzip: 'initrd.cpio.gz',
  zstd: 'initrd.cpio.zst',
};

/**
 * Reads an initrd.json.
 * @param display the file's name in messages
 * @param within an absolute folder: a file inside it that leads out of it by way of links is refused
 * @throws IgvmError FILE_UNREADABLE, and everything that {@link parseInitrd} throws
 */
export const loadInitrd = (path: string, display: string = path, within?: string): InitrdConfig =>
  parseInitrd(readJsonFile(path, display, { within }), path, display);

/**
 * Reads the bytes of an initrd.json.
 * @param path what relative paths in it are relative to
 * @param display the file's name in messages
 * @throws IgvmError MANIFEST_SYNTAX, MANIFEST_DUPLICATE_KEY, MANIFEST_INVALID, MANIFEST_UNKNOWN_KEY for a key of a device
 */
export function parseInitrd(content: Uint8Array, path: string, display: string = path): InitrdConfig {
  const document = parseJson(content, display);
  const [duplicate] = document.duplicates;
  if (duplicate !== undefined) {
    const key = String(duplicate.path.at(-1));
    throw new IgvmError('MANIFEST_DUPLICATE_KEY', `duplicate key "${key}"`, duplicate.where);
  }
  const { initrdSchema } = require('./initrd-schema') as typeof InitrdSchema;
  const { value, warnings } = validate(document, initrdSchema, false);
  const { folder, compression, init, directories, devices, symlinks, modes } = value;
  const whereOf = (place: JsonPath): ErrorWhere => document.whereKey(place);
  const lists = { ...(init === undefined ? {} : { init }), directories, devices, symlinks, modes, whereOf };
  return { folder: resolve(dirname(path), folder), compression, ...lists, warnings };
}
