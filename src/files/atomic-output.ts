import {
  type BigIntStats,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmdirSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { IgvmError, unreachable } from '../errors/igvm-error';
import { type Access, EVERYONE, modeOfOutput } from './access';
import { unwritable } from './file-failure';
import { type FolderLock, lockFolder } from './folder-lock';
import { isLeftover, isTempName, type OutputFile, TempFile } from './temp-file';

interface CommitOptions {
  last?: string;
  /** Called when all files are complete. */
  remove?: () => readonly string[];
}

/**
 * The files of one build. They are written beside their targets and renamed when all are complete. So every file is whole at any
 * moment, and the presence of the file that is renamed last implies the others.
 */
export interface OutputSet {
  /**
   * Starts a file, and creates its folder if it is missing. Removes files that killed builds left in that folder. A file that replaces
   * another keeps the permission bits of that file.
   * @param access the most access to allow; by default, what the umask allows
   * @throws IgvmError FILE_UNWRITABLE: also when `path` is a directory, a symbolic link (it could lead anywhere; an
   *   output replaces files, not what they point to) or a device
   */
  add(path: string, access?: Access): OutputFile;
  /**
   * Renames every file to its target, `last` as the last one. Nothing can be added afterwards.
   * @param options.last the path whose presence implies all others. Sets with such a path are renamed in a folder one at a time,
   *   so that the files of two simultaneous builds don't mix
   * @param options.remove returns files that an earlier build made and this one doesn't; they are removed before `last` is renamed
   * @throws IgvmError FILE_UNWRITABLE; the set is then aborted
   */
  commit(options?: CommitOptions): Promise<void>;
  /** Removes everything that was written, and the folders that were created for it. Does nothing after a commit. */
  abort(): Promise<void>;
}

/** An empty {@link OutputSet}. Commit or abort it. */
export const createOutputSet = (): OutputSet => new TempFileSet();

class TempFileSet implements OutputSet {
  private readonly files: TempFile[] = [];
  private readonly cleared = new Set<string>();
  private readonly madeFolders: string[] = [];
  private isOpen = true;

  add(path: string, access: Access = EVERYONE): OutputFile {
    if (!this.isOpen) unreachable(`output ${path} added to a finished set`);
    const target = resolve(path);
    const replaced = checkReplaceable(path, target);
    try {
      this.makeFolder(dirname(target));
    } catch (error) {
      throw unwritable(path, error);
    }
    this.clearLeftovers(dirname(target));
    const file = new TempFile(path, target, modeOfOutput(access, replaced), access);
    this.files.push(file);
    return file;
  }

  async commit({ last, remove = () => [] }: CommitOptions = {}): Promise<void> {
    if (!this.isOpen) unreachable('commit of a finished set of outputs');
    const lastTarget = last === undefined ? undefined : resolve(last);
    let lock: FolderLock | undefined;
    try {
      await Promise.all(this.files.map((file) => file.settled()));
      for (const file of this.files) file.close();
      if (last !== undefined) lock = await lockFolder(last);
      for (const file of this.files) {
        // Checked again: better now than between two renames.
        checkReplaceable(file.path, file.target);
      }
      const targets = new Set(this.files.map((file) => file.target));
      const isLast = (file: TempFile): boolean => file.target === lastTarget;
      const rename = async (file: TempFile): Promise<void> => {
        lock?.refresh();
        await file.rename();
      };
      for (const file of this.files.filter((each) => !isLast(each))) await rename(file);
      for (const path of remove()) if (!targets.has(resolve(path))) removeFile(path);
      for (const file of this.files.filter(isLast)) await rename(file);
    } catch (error) {
      lock?.release();
      await this.abort();
      throw error;
    }
    lock?.release();
    this.isOpen = false;
  }

  async abort(): Promise<void> {
    if (!this.isOpen) return;
    this.isOpen = false;
    await Promise.allSettled(this.files.map((file) => file.settled()));
    for (const file of this.files) file.discard();
    for (const folder of this.madeFolders.reverse()) {
      try {
        rmdirSync(folder);
      } catch {
        // Only empty folders are removed: another program may have put a file there meanwhile.
      }
    }
  }

  private makeFolder(folder: string): void {
    const first = mkdirSync(folder, { recursive: true });
    if (first === undefined) return;
    const made: string[] = [];
    for (let each = folder; each.length >= first.length; each = dirname(each)) made.unshift(each);
    this.madeFolders.push(...made);
  }

  private clearLeftovers(folder: string): void {
    if (this.cleared.has(folder)) return;
    this.cleared.add(folder);
    let names: string[] = [];
    try {
      names = readdirSync(folder).filter(isTempName);
    } catch {
      // A folder may be writable but not listable; then the old files stay.
    }
    for (const name of names) {
      const path = join(folder, name);
      try {
        if (isLeftover(path, lstatSync(path).mtimeMs)) rmSync(path, { force: true });
      } catch {
        // Another build has removed it, or it belongs to another user.
      }
    }
  }
}

/**
 * An output replaces a file or nothing; never a directory, what a link points to, or a device.
 * @returns the file that is there
 */
function checkReplaceable(path: string, target: string): Stats | undefined {
  let stats: Stats | undefined;
  try {
    stats = lstatSync(target, { throwIfNoEntry: false });
  } catch (error) {
    throw unwritable(path, error);
  }
  if (stats === undefined || stats.isFile()) return stats;
  const kind = stats.isDirectory() ? 'a directory' : stats.isSymbolicLink() ? 'a symbolic link' : 'not a regular file';
  throw new IgvmError('FILE_UNWRITABLE', `cannot be written: it is ${kind}`, { file: path });
}

function removeFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw unwritable(path, error);
  }
}

/**
 * Refuses outputs that would replace one of their own inputs, also by another name: through linked folders, links to files, and
 * file systems that ignore case. (A second hard link is allowed, because an output replaces only one of the names.)
 * @param outputs paths of files that may not exist yet
 * @param inputs paths
 * @throws IgvmError FILE_UNWRITABLE
 */
export function checkNotInputs(outputs: readonly string[], inputs: readonly string[]): void {
  const read = new Set(inputs.flatMap(namesOfInput));
  const clash = outputs.find((path) => namesOfOutput(path).some((name) => read.has(name)));
  if (clash !== undefined) {
    throw new IgvmError('FILE_UNWRITABLE', 'the output would replace one of its own inputs', { file: clash });
  }
}

const namesOfInput = (path: string): string[] => [
  resolve(path),
  placeOf(path),
  ...some(() => realpathSync(path)),
  ...some(() => inode(statSync(path, { bigint: true }))),
];

/** An output replaces a link, not what it points to. */
const namesOfOutput = (path: string): string[] => [
  resolve(path),
  placeOf(path),
  ...some(() => inode(lstatSync(path, { bigint: true }))),
];

/** The path with the links in its folders resolved, as far as the folders exist. */
export function placeOf(path: string): string {
  const absolute = resolve(path);
  const parent = dirname(absolute);
  if (parent === absolute) return absolute;
  const [folder = placeOf(parent)] = some(() => realpathSync(parent));
  return join(folder, basename(absolute));
}

/** Identifies a file that has only one name. */
const inode = ({ dev, ino, nlink }: BigIntStats): string | undefined =>
  nlink === 1n && ino !== 0n ? `${dev}:${ino}` : undefined;

/** Empty for a path that doesn't exist or can't be examined: reading or writing it reports why. */
function some(look: () => string | undefined): string[] {
  try {
    const found = look();
    return found === undefined ? [] : [found];
  } catch {
    return [];
  }
}

/** Characters to write at once: each single line would cost a system call. */
const CHUNK = 2 ** 16;

/** Joins small pieces of text into chunks, so that fewer system calls are needed. */
export function* textChunks(pieces: Iterable<string>): Generator<string> {
  let chunk = '';
  for (const piece of pieces) {
    chunk += piece;
    if (chunk.length < CHUNK) continue;
    yield chunk;
    chunk = '';
  }
  if (chunk !== '') yield chunk;
}
