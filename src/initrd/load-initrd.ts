import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type ErrorWhere, IgvmError, type JsonPath, unreachable } from '../errors/igvm-error';
import { parseJson, readJsonFile } from '../manifest/json-document';
import { type ManifestWarning, validate } from '../manifest/validate';
import { matchGlob } from '../resources/glob';
import { findWorkspaceRoot } from '../resources/resolve-resources';
import type { Download, DownloadOptions } from '../resources/downloads';
import {
  type FileReference,
  type OutputReference,
  parseResource,
  type UrlReference,
} from '../resources/resource-reference';
import type { ContainerSource } from './container/container-entries';
import type { InitChoice } from './guest-init';
import type { GuestNetwork } from './guest-start';
import type * as InitrdSchema from './initrd-schema';

/** A device node, which version control can't store. */
export interface DeviceNode {
  /** Its path in the initramfs, for example `/dev/console`. */
  path: string;
  type: 'char' | 'block';
  major: number;
  minor: number;
  /** Octal permissions; by default 600. */
  mode?: string;
}

/** A kernel module, uncompressed. */
export interface ModuleFile {
  /** Absolute path on disk. */
  path: string;
  /** The place that names it. */
  where?: ErrorWhere;
}

export interface NetworkSettings extends GuestNetwork {
  /** Addresses of DNS servers, for `/etc/resolv.conf`. */
  nameservers?: readonly string[];
}

/** The sources of an initramfs, in addition to the folder. Paths are those in the initramfs. */
export interface InitrdLists {
  /** The position of a place such as `['devices', 0]` in the initrd.json, for errors. */
  whereOf?: (path: JsonPath) => ErrorWhere;
  /**
   * The architecture whose {@link GUEST_INIT} becomes `/init`; without it, the folder must have its own. `none` is for an initramfs that
   * starts nothing, such as one with modules that is loaded beside another.
   */
  init?: InitChoice;
  devices?: DeviceNode[];
  /** Folders that may be empty, which version control can't store. */
  directories?: string[];
  /** Symbolic links, from path to target, for machines without symbolic links. */
  symlinks?: Record<string, string>;
  /** Kernel modules that our first program loads, in this order. */
  modules?: readonly ModuleFile[];
  /** The network that our first program sets up, in addition to the loopback interface. */
  network?: NetworkSettings;
  /** Octal permissions by path. The default is 755 for folders and executables, and 644 for other files. */
  modes?: Record<string, string>;
}

export type Compression = 'none' | 'gzip' | 'zstd';

export interface InitrdOptions extends InitrdLists {
  /** The folder whose content becomes the root of the initramfs; with an image, its files are added to those of the image. */
  folder?: string;
  /** A container image whose content becomes the root of the initramfs. */
  image?: ContainerSource;
  /** The command that the guest runs instead of that of the image. */
  command?: readonly string[];
  /** Environment variables in addition to those of the image. */
  environment?: Readonly<Record<string, string>>;
  /** The output file. */
  output: string;
  compression: Compression;
  /** Whether only its owner may read the initramfs, even if others may read its sources. */
  private?: boolean;
}

/** A file or folder that an initrd.json names. */
export interface NamedSource {
  reference: FileReference | OutputReference | UrlReference;
  where: ErrorWhere;
}

type Optional = 'init' | 'network';

/** initrd.json after validation, before its files are located. */
export interface InitrdConfig extends Required<Omit<InitrdLists, Optional | 'modules'>>, Pick<InitrdLists, Optional> {
  /** Absolute path; undefined if there is an image and no folder. */
  folder?: string;
  compression: Compression;
  image?: NamedSource & { tag?: string };
  command?: readonly string[];
  environment: Readonly<Record<string, string>>;
  modules: readonly NamedSource[];
  warnings: readonly ManifestWarning[];
}

/** An initrd.json with all files that it names. */
export interface LoadedInitrd extends Omit<InitrdConfig, 'image' | 'modules'> {
  image?: ContainerSource;
  modules: readonly ModuleFile[];
}

/** The names of packed initramfs files. */
export const INITRD_NAMES: Record<Compression, string> = {
  none: 'initrd.cpio',
  gzip: 'initrd.cpio.gz',
  zstd: 'initrd.cpio.zst',
};

/**
 * Reads an initrd.json and locates the files that it names.
 * @param display the file's name in messages
 * @param workspaceRoot an absolute folder: a file inside it that leads out of it through links is refused. The default base of paths from
 *   the workspace is the nearest folder above with an nx.json.
 * @param checkOutput called with every output of another target before it is located
 * @param fetched the result of {@link fetchInitrdUrls}, for an initrd.json with URLs
 * @throws IgvmError FILE_UNREADABLE, RESOURCE_PATH, and everything that {@link parseInitrd} throws
 */
export function loadInitrd(
  path: string,
  display: string = path,
  workspaceRoot?: string,
  checkOutput: (reference: OutputReference, where: ErrorWhere) => void = () => undefined,
  fetched: FetchedUrls = new Map(),
): LoadedInitrd {
  const config = parseInitrd(readJsonFile(path, display, { within: workspaceRoot }), path, display);
  const { image, modules, ...others } = config;
  const place = { folder: dirname(resolve(path)), workspaceRoot, fetched };
  for (const { reference, where } of [...(image === undefined ? [] : [image]), ...modules]) {
    if (reference.kind === 'output') checkOutput(reference, where);
  }
  const found: LoadedInitrd = {
    ...others,
    modules: modules.map(({ reference, where }) => ({ path: findSource(reference, where, place), where })),
  };
  if (image === undefined) return found;
  const { reference, where, tag } = image;
  return {
    ...found,
    image: {
      path: findSource(reference, where, place),
      where,
      ...(tag === undefined ? {} : { tag }),
      ...pinOf(reference, fetched),
    },
  };
}

/** The downloads of an initrd.json, by the texts of their references. */
export type FetchedUrls = ReadonlyMap<string, Download>;

const keyOf = (reference: UrlReference): string => JSON.stringify(reference);

/**
 * Downloads the files that an initrd.json names by URL, unless they are in the download folder, and checks their digests.
 * @throws IgvmError as `fetchReference`, with the place that names the file; FILE_UNREADABLE, and everything that {@link parseInitrd} throws
 */
export async function fetchInitrdUrls(
  path: string,
  { display = path, workspaceRoot }: { display?: string; workspaceRoot?: string },
  options: DownloadOptions = {},
): Promise<FetchedUrls> {
  const { image, modules } = parseInitrd(readJsonFile(path, display, { within: workspaceRoot }), path, display);
  const fetched = new Map<string, Download>();
  for (const { reference, where } of [...(image === undefined ? [] : [image]), ...modules]) {
    if (reference.kind !== 'url') continue;
    const { discardDamaged, fetchReference } =
      require('../resources/downloads') as typeof import('../resources/downloads');
    let download = await fetchReference(reference, where, options);
    if (discardDamaged([download])) download = await fetchReference(reference, where, options);
    fetched.set(keyOf(reference), download);
  }
  return fetched;
}

/** For a member of an archive, the digest differs from the one in the initrd.json, which is that of the archive. */
function pinOf(reference: NamedSource['reference'], fetched: FetchedUrls): { sha256?: string } {
  const sha256 = reference.kind === 'url' ? fetched.get(keyOf(reference))?.sha256 : reference.sha256;
  return sha256 === undefined ? {} : { sha256 };
}

/** The path on disk of a file that an initrd.json names. @throws IgvmError RESOURCE_PATH, FILE_UNREADABLE */
function findSource(
  reference: NamedSource['reference'],
  where: ErrorWhere,
  place: { folder: string; workspaceRoot?: string | undefined; fetched: FetchedUrls },
): string {
  if (reference.kind === 'url')
    return place.fetched.get(keyOf(reference))?.path ?? unreachable('a URL was not fetched');
  const isFromWorkspace = reference.kind === 'output' || reference.base === 'workspace';
  const root = isFromWorkspace ? (place.workspaceRoot ?? findWorkspaceRoot(place.folder)) : place.folder;
  if (root === undefined) {
    throw new IgvmError('RESOURCE_PATH', 'this path needs an Nx workspace, and no folder above has an nx.json', where);
  }
  let path = resolve(root, reference.path);
  if (reference.kind === 'file' && reference.glob) {
    const matches = matchGlob(reference.path, root);
    if (matches.length !== 1) {
      const message = `the pattern "${reference.path}" matches ${matches.length} files, expected exactly one`;
      throw new IgvmError('RESOURCE_PATH', message, where);
    }
    [path = ''] = matches;
  }
  if (existsSync(path)) return path;
  const cure = reference.kind === 'output' ? `: it is an output of ${reference.project}:${reference.target}` : '';
  throw new IgvmError('FILE_UNREADABLE', `${reference.path} does not exist${cure}`, where);
}

/**
 * Reads the bytes of an initrd.json.
 * @param path the base of relative paths in it
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
  const { compression, init, image, command, environment = {}, directories, devices, symlinks, modes } = value;
  const whereOf = (place: JsonPath): ErrorWhere => document.whereKey(place);
  const conflict = (key: string, message: string): IgvmError =>
    new IgvmError('MANIFEST_CONFLICT', message, document.where([key]));
  const bringsInit = init === undefined ? image !== undefined : init !== 'none';
  for (const key of ['modules', 'network'] as const) {
    if (bringsInit || value[key] === undefined || (key === 'modules' && value.modules.length === 0)) continue;
    throw conflict(key, `"${key}" is for the first program of nx-igvm: set "init" to "x64" or "aarch64"`);
  }
  for (const key of ['command', 'environment'] as const) {
    if (value[key] === undefined) continue;
    if (image === undefined) throw conflict(key, `"${key}" is for an "image"`);
    if (!bringsInit) throw conflict(key, `"${key}" is for the first program of nx-igvm, and "init" is "none"`);
  }
  for (const name of Object.keys(environment)) {
    if (name !== '' && !/[=\0]/.test(name)) continue;
    throw new IgvmError(
      'MANIFEST_INVALID',
      'a variable cannot have this name',
      document.whereKey(['environment', name]),
    );
  }
  const sourceOf = (named: unknown, place: JsonPath): NamedSource => {
    const reference = parseResource(named);
    if (reference === undefined) {
      throw new IgvmError('RESOURCE_PATH', 'this does not name a file', document.where(place));
    }
    return { reference, where: document.where(place) };
  };
  const folder = value.folder ?? (image === undefined ? 'rootfs' : undefined);
  const tag = typeof image === 'object' ? image.tag : undefined;
  return {
    ...(folder === undefined ? {} : { folder: resolve(dirname(path), folder) }),
    compression,
    ...(init === undefined ? {} : { init }),
    ...(image === undefined ? {} : { image: { ...sourceOf(image, ['image']), ...(tag === undefined ? {} : { tag }) } }),
    ...(command === undefined ? {} : { command }),
    environment,
    modules: value.modules.map((module, index) => sourceOf(module, ['modules', index])),
    ...(value.network === undefined ? {} : { network: value.network }),
    directories,
    devices,
    symlinks,
    modes,
    whereOf,
    warnings,
  };
}
