import { dirname, resolve } from 'node:path';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { parseJson, readJsonFile } from '../manifest/json-document';
import type { JsonPath } from '../manifest/json-path';
import { type ManifestWarning, validate } from '../manifest/validate';
import type { Compression, InitrdLists } from './initrd-options';
import type * as InitrdSchema from './initrd-schema';

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
