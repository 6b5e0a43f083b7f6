/** The folder in which downloads are kept. Each has a subfolder named by the digest of the file, regardless of its URL. */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { unwritable } from '../files/file-failure';
import { type FolderLock, lockFile } from '../files/folder-lock';

/** The environment variable that names the folder. */
export const DOWNLOADS_VARIABLE = 'NX_IGVM_DOWNLOADS';

/** How often a lock is refreshed (milliseconds). If it isn't for {@link ABANDONED_AFTER}, its process was killed. */
const REFRESH = 1000;
const ABANDONED_AFTER = 15_000;

/**
 * The folder for downloads: that of an option, or of NX_IGVM_DOWNLOADS, or the system's place for such files.
 * @param option an absolute path
 * @param cwd the base of a relative path in the variable
 * @throws IgvmError DOWNLOAD_FAILED on a system without a home folder
 */
export function downloadFolder(option: string | undefined, cwd: string, environment = process.env): string {
  const named = option ?? (environment[DOWNLOADS_VARIABLE] || undefined);
  if (named !== undefined) return resolve(cwd, named);
  return join(systemCache(environment), 'nx-igvm', 'downloads');
}

function systemCache({ LOCALAPPDATA, XDG_CACHE_HOME }: NodeJS.ProcessEnv): string {
  if (process.platform === 'win32' && LOCALAPPDATA !== undefined && isAbsolute(LOCALAPPDATA)) return LOCALAPPDATA;
  if (process.platform !== 'win32' && XDG_CACHE_HOME !== undefined && isAbsolute(XDG_CACHE_HOME)) return XDG_CACHE_HOME;
  let home = '';
  try {
    home = homedir();
  } catch {
    // Reported below.
  }
  if (!isAbsolute(home)) {
    throw new IgvmError('DOWNLOAD_FAILED', `there is no home folder to keep downloads in: set ${DOWNLOADS_VARIABLE}`);
  }
  const cache = { darwin: ['Library', 'Caches'], win32: ['AppData', 'Local'] }[process.platform as string] ?? [
    '.cache',
  ];
  return join(home, ...cache);
}

const MEMBER = /^member-([0-9a-f]{64})-([0-9a-f]{64})$/;

/** The files of one download. */
export class KeptDownload {
  /** The complete file, whose digest is the name of the folder. */
  readonly file: string;
  /** The beginning of the file, while the download is incomplete. */
  readonly part: string;
  /** Facts about {@link part}. */
  readonly partFacts: string;

  constructor(readonly folder: string) {
    this.file = join(folder, 'file');
    this.part = join(folder, 'part');
    this.partFacts = join(folder, 'part.json');
  }

  /** Whether the file is complete. */
  get isWhole(): boolean {
    return isFile(this.file);
  }

  /** @throws IgvmError FILE_UNWRITABLE */
  make(): void {
    try {
      mkdirSync(this.folder, { recursive: true });
    } catch (error) {
      throw unwritable(this.folder, error);
    }
  }

  /** Does work that only one process may do at a time. @throws IgvmError FILE_UNWRITABLE, and what the work throws */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    this.make();
    const times = { abandonedAfter: ABANDONED_AFTER, patience: Number.POSITIVE_INFINITY };
    const lock: FolderLock = await lockFile(join(this.folder, 'lock'), this.folder, times);
    const timer = setInterval(() => lock.refresh(), REFRESH).unref();
    try {
      return await work();
    } finally {
      clearInterval(timer);
      lock.release();
    }
  }

  /** The path of a member. Its name includes the digest, so that both exist together or not at all. */
  memberPath(member: string, sha256: string): string {
    return join(this.folder, `member-${keyOf(member)}-${sha256}`);
  }

  /** A member that was unpacked earlier, with its SHA-256. */
  findMember(member: string): { path: string; sha256: string } | undefined {
    const key = keyOf(member);
    for (const name of namesIn(this.folder)) {
      const [, of, sha256] = MEMBER.exec(name) ?? [];
      const path = join(this.folder, name);
      if (of === key && sha256 !== undefined && isFile(path)) return { path, sha256 };
    }
    return undefined;
  }

  /** Removes damaged files. */
  discard(path: string): void {
    rmSync(path, { force: true });
  }
}

const keyOf = (member: string): string => createHash('sha256').update(member).digest('hex');

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
