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
  /** Asked when nothing changes any more. */
  remove?: () => readonly string[];
}

/**
 * The files of one build. They are written beside their targets and take their names when all are complete, so that
 * every file is whole at any moment, and the one that is renamed last implies the others.
 */
export interface OutputSet {
  /**
   * Starts a file; makes its folder when it is missing. Clears what killed builds left in that folder. A file that is replaced
   * keeps its permission bits.
   * @param access who may have access to it at most; by default what the umask leaves
   * @throws IgvmError FILE_UNWRITABLE: also when `path` is a directory, a symbolic link (it could lead anywhere; an
   *   output replaces files, not what they point to) or a device
   */
  add(path: string, access?: Access): OutputFile;
  /**
   * Gives every file its name; `last` comes last. Nothing can be added afterwards.
   * @param options.last the path whose presence implies all others; no other process's set with such a path gets its
   *   names in that folder meanwhile, so that of two builds at once one comes as a whole after the other
   * @param options.remove tells of files that an earlier build made and this one doesn't; removed before `last` is renamed
   * @throws IgvmError FILE_UNWRITABLE; the set is then aborted
   */
  commit(options?: CommitOptions): Promise<void>;
  /** Removes everything that was written, and folders that were made for it. Does nothing after a commit. */
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
        // Only folders that are still empty go; someone else may have put something there meanwhile.
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
      // A folder may be writable but not listable; then leftovers stay.
    }
    for (const name of names) {
      const path = join(folder, name);
      try {
        if (isLeftover(path, lstatSync(path).mtimeMs)) rmSync(path, { force: true });
      } catch {
        // Another build clears it too, or may, as it isn't ours to remove.
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
 * Refuses outputs that would replace a file which they are made from, whatever its name: through linked folders, links to files,
 * and file systems that ignore case. (A second hard link is another file to an output: it replaces one name.)
 * @param outputs paths of files that may not exist yet
 * @param inputs paths
 * @throws IgvmError FILE_UNWRITABLE
 */
export function checkNotInputs(outputs: readonly string[], inputs: readonly string[]): void {
  const read = new Set(inputs.flatMap(namesOfInput));
  const clash = outputs.find((path) => namesOfOutput(path).some((name) => read.has(name)));
  if (clash !== undefined) {
    throw new IgvmError('FILE_UNWRITABLE', 'the output would replace a file that it is made from', { file: clash });
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

/** The path without links on the way; of what doesn't exist, as far as its folders do. */
export function placeOf(path: string): string {
  const absolute = resolve(path);
  const parent = dirname(absolute);
  if (parent === absolute) return absolute;
  const [folder = placeOf(parent)] = some(() => realpathSync(parent));
  return join(folder, basename(absolute));
}

/** Tells a file with one name from every other. */
const inode = ({ dev, ino, nlink }: BigIntStats): string | undefined =>
  nlink === 1n && ino !== 0n ? `${dev}:${ino}` : undefined;

/** Nothing for a path that doesn't exist or can't be looked at: reading or writing it tells why. */
function some(look: () => string | undefined): string[] {
  try {
    const found = look();
    return found === undefined ? [] : [found];
  } catch {
    return [];
  }
}

/** Characters that are written at once: single lines would be a system call each. */
const CHUNK = 2 ** 16;

/** Joins small pieces of text to chunks that are worth a system call. */
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
