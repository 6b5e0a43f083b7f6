import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { join, sep } from 'node:path';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { unreadable } from '../files/file-failure';
import { PLACEHOLDER } from '../files/placeholder';
import { type CpioMember, LARGEST_FILE } from './cpio-newc';
import { GUEST_INIT } from './guest-init';
import type { InitrdLists } from './initrd-options';

/** A member of the archive and where its data comes from. */
export interface InitrdEntry extends CpioMember {
  /** The file on disk that holds the content. */
  source?: string;
  /** The content itself, of what is in no file. */
  content?: Uint8Array;
  /** What a link points to. */
  target?: string;
}

/**
 * Everything that goes into an initramfs, in the order of its paths, folders before what is in them. The result depends
 * on names, contents, executable bits and link targets alone.
 * @throws IgvmError FILE_UNREADABLE, INITRD_ENTRY
 */
export function collectEntries(folder: string, lists: InitrdLists): InitrdEntry[] {
  const { whereOf = () => ({ file: folder }) } = lists;
  const entries = new Map<string, InitrdEntry>();
  for (const entry of walk(folder, '')) {
    entries.set(entry.path, entry);
  }
  for (const { where, ...entry } of listed(lists, whereOf)) {
    const present = entries.get(entry.path);
    if (present?.type === 'directory' && entry.type === 'directory') continue;
    if (present !== undefined) {
      throw new IgvmError('INITRD_ENTRY', `"${entry.path}" is there already, as a ${present.type}`, where);
    }
    addParents(entries, entry.path, where);
    entries.set(entry.path, entry);
  }
  for (const [path, mode] of Object.entries(lists.modes ?? {})) {
    const where = whereOf(['modes', path]);
    const entry = entries.get(memberPath(path, where));
    if (entry === undefined) {
      throw new IgvmError('INITRD_ENTRY', `a mode is given for "${path}", which is not there`, where);
    }
    entry.permissions = parseMode(mode, where);
  }
  return [...entries.values()].sort(byPath);
}

function* walk(folder: string, prefix: string): Generator<InitrdEntry> {
  const names = fromSystem(folder, () => readdirSync(folder, { encoding: 'buffer' }));
  for (const bytes of names) {
    const name = utf8(bytes) ?? refuse('holds a name that is not UTF-8', folder);
    const file = join(folder, name);
    const path = prefix + name;
    const stats = fromSystem(file, () => lstatSync(file));
    if (stats.isDirectory()) {
      yield directory(path);
      yield* walk(file, `${path}/`);
    } else if (name !== PLACEHOLDER) {
      yield fromDisk(path, file, stats);
    }
  }
}

/** @throws IgvmError FILE_UNREADABLE for what the system says of `path` */
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
    return link(path, (target ?? refuse('links to a name that is not UTF-8', file)).split(sep).join('/'));
  }
  if (!stats.isFile()) {
    refuse('is neither a file, a folder nor a symbolic link', file);
  }
  if (stats.size > LARGEST_FILE) {
    refuse('is larger than an initramfs can hold: 4 GiB', file);
  }
  const executable = (stats.mode & 0o111) !== 0;
  return { path, type: 'file', permissions: executable ? 0o755 : 0o644, size: stats.size, source: file };
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
  if (init !== undefined) {
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

function addParents(entries: Map<string, InitrdEntry>, path: string, where: ErrorWhere): void {
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
    const parent = path.slice(0, slash);
    const present = entries.get(parent);
    if (present === undefined) {
      entries.set(parent, directory(parent));
    } else if (present.type !== 'directory') {
      throw new IgvmError('INITRD_ENTRY', `"${path}" lies below "${parent}", which is no folder`, where);
    }
  }
}

/** @throws IgvmError INITRD_ENTRY */
function memberPath(path: string, where: ErrorWhere): string {
  const clean = path.replace(/^\/+|\/+$/g, '');
  if (clean === '' || clean.includes('\0') || clean.split('/').some((part) => ['', '.', '..'].includes(part))) {
    throw new IgvmError('INITRD_ENTRY', `"${path}" is not a path in an initramfs`, where);
  }
  return clean;
}

/** @throws IgvmError INITRD_ENTRY */
function parseMode(mode: string, where: ErrorWhere): number {
  if (!/^[0-7]{3,4}$/.test(mode)) {
    throw new IgvmError('INITRD_ENTRY', `"${mode}" is not a mode of three or four octal digits`, where);
  }
  return Number.parseInt(mode, 8);
}

/** By bytes, part by part, so that a folder comes right before its content. */
function byPath(a: InitrdEntry, b: InitrdEntry): number {
  const key = (entry: InitrdEntry): Buffer => Buffer.from(entry.path.replaceAll('/', '\0'));
  return Buffer.compare(key(a), key(b));
}
