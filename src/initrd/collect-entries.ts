import { lstatSync, readdirSync, readlinkSync, realpathSync, type Stats } from 'node:fs';
import { join, sep } from 'node:path';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { unreadable } from '../files/file-failure';
import { PLACEHOLDER } from '../files/find-program';
import type { ByteSource } from '../memory/byte-source';
import { type CpioMember, faultOf, MOST_ENTRIES, shortened } from './cpio-newc';
import { GUEST_INIT } from './guest-init';
import type { InitrdLists } from './load-initrd';

/** A member of the archive, with the source of its data. */
export interface InitrdEntry extends Omit<CpioMember, 'permissions'> {
  /** Permission bits. Without them, those of a file from disk follow from its content. */
  permissions?: number;
  /** The file on disk that holds the content. */
  source?: string;
  /** The content, if it is not in a file. */
  content?: Uint8Array;
  /** The content, if it is part of a file. */
  data?: ByteSource;
  /** Identifies a file with several names: entries with the same value are hard links. */
  inode?: object;
  /** The stats of that file, or of the folder. */
  stats?: Stats;
  /** The target of a link. */
  target?: string;
}

/** The sources of an initramfs, in addition to its lists. */
export interface CollectedFrom {
  folder?: string | undefined;
  /** Entries that the folder is put over, such as those of a container image, and their origin. */
  base?: { entries: readonly InitrdEntry[]; where: ErrorWhere } | undefined;
  /** Entries that the first program needs. */
  added?: readonly InitrdEntry[];
  /** Entries that are added only if there is no other one with the same path. */
  defaults?: readonly InitrdEntry[];
}

/**
 * All entries of an initramfs, in the order of their paths, folders before their contents. The result depends only on names, contents and
 * link targets. Folders of a base are kept, and its files are replaced by those of the folder.
 * @throws IgvmError FILE_UNREADABLE, INITRD_ENTRY
 */
export function collectEntries(
  { folder, base, added = [], defaults = [] }: CollectedFrom,
  lists: InitrdLists,
): InitrdEntry[] {
  const whole = base?.where ?? { file: folder ?? '' };
  const { whereOf = () => whole } = lists;
  const entries = new Map<string, InitrdEntry>();
  const add = (entry: InitrdEntry, where: ErrorWhere): void => {
    checkRules(entry, where);
    if (entries.size === MOST_ENTRIES) {
      throw new IgvmError('INITRD_ENTRY', `there are more than ${MOST_ENTRIES} files and folders`, where);
    }
    entries.set(entry.path, entry);
  };
  for (const entry of base?.entries ?? []) add(entry, whole);
  if (folder !== undefined) {
    for (const name of fromSystem(folder, () => realpathSync(folder)).split(sep)) checkNoRepository(name, folder);
    for (const [entry, file] of walk(folder, '')) {
      const present = entries.get(entry.path);
      if (present?.type === 'directory' && entry.type === 'directory') continue;
      if (present?.type === 'directory' || (present !== undefined && entry.type === 'directory')) {
        const there = present.type === 'link' ? `a link to "${shortened(present.target ?? '')}"` : `a ${present.type}`;
        throw new IgvmError('INITRD_ENTRY', `is ${there} in the image, so it cannot be a ${entry.type}`, { file });
      }
      add(entry, { file });
    }
  }
  for (const { where, ...entry } of [...listed(lists, whereOf), ...added.map((each) => ({ ...each, where: whole }))]) {
    // Checked before its parent folders are added: a path that is too long may have a million.
    checkRules(entry, where);
    const present = entries.get(entry.path);
    if (present?.type === 'directory' && entry.type === 'directory') continue;
    if (present !== undefined) {
      throw new IgvmError('INITRD_ENTRY', `"${entry.path}" already exists as a ${present.type}`, where);
    }
    for (const parent of missingParents(entries, entry.path, where)) add(parent, where);
    add(entry, where);
  }
  for (const entry of defaults) {
    const steps = entry.path.split('/');
    const above = steps.map((_, index) => entries.get(steps.slice(0, index).join('/')));
    if (entries.has(entry.path) || above.some((each) => each !== undefined && each.type !== 'directory')) continue;
    for (const parent of missingParents(entries, entry.path, whole)) add(parent, whole);
    add(entry, whole);
  }
  applyModes(entries, lists.modes ?? {}, whereOf);
  return inOrder([...entries.values()]);
}

/** @throws IgvmError INITRD_ENTRY for an entry that Linux would drop or change */
function checkRules(entry: InitrdEntry, where: ErrorWhere): void {
  const fault = faultOf(entry);
  if (fault !== undefined) throw new IgvmError('INITRD_ENTRY', `"${shortened(entry.path)}" ${fault}`, where);
}

function applyModes(
  entries: ReadonlyMap<string, InitrdEntry>,
  modes: Record<string, string>,
  whereOf: NonNullable<InitrdLists['whereOf']>,
): void {
  const changed = new Set<InitrdEntry>();
  for (const [path, mode] of Object.entries(modes)) {
    const where = whereOf(['modes', path]);
    const entry = entries.get(memberPath(path, where));
    if (entry === undefined) {
      throw new IgvmError('INITRD_ENTRY', `a mode is given for "${path}", which does not exist`, where);
    }
    if (entry.type === 'link') {
      throw new IgvmError('INITRD_ENTRY', `a mode is given for "${path}", a link: Linux has no modes for links`, where);
    }
    if (changed.has(entry)) {
      throw new IgvmError('INITRD_ENTRY', `a mode is given for "${path}" a second time`, where);
    }
    changed.add(entry);
    const permissions = parseMode(mode, where);
    // All names of a file have the same mode.
    const same =
      entry.inode === undefined ? [entry] : [...entries.values()].filter(({ inode }) => inode === entry.inode);
    for (const each of same) each.permissions = permissions;
  }
}

/**
 * Refuses `.git`: it holds the history of a repository and, in CI, the token that it was fetched with. File systems may ignore case.
 * @throws IgvmError INITRD_ENTRY
 */
function checkNoRepository(name: string, file: string): void {
  if (name.toLowerCase() !== '.git') return;
  refuse('holds the data of a Git repository and perhaps its credentials, which are never packed: leave it out', file);
}

/** Each entry, with its path on disk. */
function* walk(folder: string, prefix: string): Generator<[entry: InitrdEntry, file: string]> {
  const names = fromSystem(folder, () => readdirSync(folder, { encoding: 'buffer' }));
  for (const bytes of names) {
    const name = utf8(bytes) ?? refuse('contains a name that is not UTF-8', folder);
    const file = join(folder, name);
    const path = prefix + name;
    checkNoRepository(name, file);
    const stats = fromSystem(file, () => lstatSync(file));
    if (stats.isDirectory()) {
      yield [{ ...directory(path), stats }, file];
      yield* walk(file, `${path}/`);
    } else if (name !== PLACEHOLDER) {
      yield [fromDisk(path, file, stats), file];
    }
  }
}

/** @throws IgvmError FILE_UNREADABLE for an error of the system about `path` */
function fromSystem<T>(path: string, ask: () => T): T {
  try {
    return ask();
  } catch (error) {
    throw unreadable(path, error);
  }
}

function utf8(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes).toString();
  return Buffer.from(text).equals(bytes) ? text : undefined;
}

function refuse(what: string, file: string): never {
  throw new IgvmError('INITRD_ENTRY', what, { file });
}

function fromDisk(path: string, file: string, stats: Stats): InitrdEntry {
  if (stats.isSymbolicLink()) {
    const target = utf8(fromSystem(file, () => readlinkSync(file, { encoding: 'buffer' })));
    return link(path, linkTarget(target ?? refuse('links to a name that is not UTF-8', file), file));
  }
  if (!stats.isFile()) {
    refuse('is neither a file, a folder nor a symbolic link', file);
  }
  return { path, type: 'file', size: stats.size, source: file, stats };
}

/**
 * The target of a link, in the form for Linux.
 * @param separator the path separator of this system
 * @throws IgvmError INITRD_ENTRY for a drive or share of Windows
 */
export function linkTarget(target: string, file: string, separator: string = sep): string {
  if (separator === '/') return target;
  if (/^([a-z]:|[\\/]{2})/i.test(target)) {
    refuse(
      'links to a path of this machine; list it under "symlinks" in initrd.json, with its path in the guest',
      file,
    );
  }
  return target.split(separator).join('/');
}

const directory = (path: string): InitrdEntry => ({ path, type: 'directory', permissions: 0o755, size: 0 });

const link = (path: string, target: string): InitrdEntry => ({
  path,
  type: 'link',
  permissions: 0o777,
  size: Buffer.byteLength(target),
  target,
});

function* listed(
  { init, devices = [], directories = [], symlinks = {} }: InitrdLists,
  whereOf: NonNullable<InitrdLists['whereOf']>,
): Generator<InitrdEntry & { where: ErrorWhere }> {
  if (init !== undefined && init !== 'none') {
    const content = GUEST_INIT[init];
    yield { path: 'init', type: 'file', permissions: 0o755, size: content.length, content, where: whereOf(['init']) };
  }
  for (const [index, path] of directories.entries()) {
    const where = whereOf(['directories', index]);
    yield { ...directory(memberPath(path, where)), where };
  }
  for (const [path, target] of Object.entries(symlinks)) {
    const where = whereOf(['symlinks', path]);
    yield { ...link(memberPath(path, where), target), where };
  }
  for (const [index, { path, type, major, minor, mode = '600' }] of devices.entries()) {
    const where = whereOf(['devices', index]);
    yield { path: memberPath(path, where), type, permissions: parseMode(mode, where), size: 0, major, minor, where };
  }
}

/** The parent folders of `path` that have no entry yet. @throws IgvmError INITRD_ENTRY */
function* missingParents(
  entries: ReadonlyMap<string, InitrdEntry>,
  path: string,
  where: ErrorWhere,
): Generator<InitrdEntry> {
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
    const parent = path.slice(0, slash);
    const present = entries.get(parent);
    if (present === undefined) {
      yield directory(parent);
    } else if (present.type !== 'directory') {
      throw new IgvmError('INITRD_ENTRY', `"${path}" lies below "${parent}", which is not a folder`, where);
    }
  }
}

/** A path from a list, without leading and trailing slashes. @throws IgvmError INITRD_ENTRY */
function memberPath(path: string, where: ErrorWhere): string {
  const parts = path.split('/');
  const first = parts.findIndex((part) => part !== '');
  const clean = parts.slice(first, parts.findLastIndex((part) => part !== '') + 1);
  if (first === -1 || path.includes('\0') || clean.some((part) => ['', '.', '..'].includes(part))) {
    throw new IgvmError('INITRD_ENTRY', `"${shortened(path)}" is not a path in an initramfs`, where);
  }
  return clean.join('/');
}

/** @throws IgvmError INITRD_ENTRY */
function parseMode(mode: string, where: ErrorWhere): number {
  if (!/^[0-7]{3,4}$/.test(mode)) {
    throw new IgvmError('INITRD_ENTRY', `"${shortened(mode)}" is not a mode of three or four octal digits`, where);
  }
  return Number.parseInt(mode, 8);
}

/** Compares by bytes, part by part, so that a folder comes directly before its content. */
function inOrder(entries: readonly InitrdEntry[]): InitrdEntry[] {
  const keyed = entries.map((entry) => ({ entry, key: Buffer.from(entry.path.replaceAll('/', '\0')) }));
  return keyed.sort((a, b) => Buffer.compare(a.key, b.key)).map(({ entry }) => entry);
}
