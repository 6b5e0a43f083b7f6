import { createHash, randomBytes } from 'node:crypto';
import { type BigIntStats, closeSync, fstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openRegularFile, readRegularFile } from '../files/regular-file';
import { sha256OfOpenFile } from '../files/sha256';

/** A file that changed this recently may change again within the same time stamp. */
const SETTLED_MS = 2000n;

/** Bytes: far more than an entry has. */
const ENTRY_LIMIT = 64 * 1024;

/** What a file's content can't change without changing: everything that a stat tells. */
function fingerprint({ size, mtimeNs, ctimeNs, ino, dev }: BigIntStats): string {
  return [size, mtimeNs, ctimeNs, ino, dev].join(':');
}

/** SHA-256 of files, remembered in a folder so that an unchanged file is read once. */
export class HashMemory {
  /** @param folder is made when something is to be remembered; it may be lost at any time */
  constructor(private readonly folder: string) {}

  /** Lower-case hex. @throws NotRegularError for what is no regular file, and the errors of node:fs */
  hash(path: string): string {
    const { fd: file, stats: before } = openRegularFile(path);
    try {
      const known = this.recall(path);
      if (known !== undefined && known.fingerprint === fingerprint(before)) return known.sha256;
      const sha256 = sha256OfOpenFile(file, Number(before.size));
      const after = fstatSync(file, { bigint: true });
      const settled = BigInt(Date.now()) - after.ctimeMs > SETTLED_MS;
      if (settled && fingerprint(before) === fingerprint(after)) this.remember(path, fingerprint(after), sha256);
      return sha256;
    } finally {
      closeSync(file);
    }
  }

  /** One small file for each path, so that processes that run at once don't lose each other's entries. */
  private entry(path: string): string {
    return join(this.folder, `${createHash('sha256').update(path).digest('hex').slice(0, 32)}.json`);
  }

  private recall(path: string): { fingerprint: string; sha256: string } | undefined {
    try {
      const entry = JSON.parse(readRegularFile(this.entry(path), { limit: ENTRY_LIMIT }).toString()) as Record<
        string,
        unknown
      >;
      return entry['path'] === path && /^[0-9a-f]{64}$/.test(String(entry['sha256']))
        ? { fingerprint: String(entry['fingerprint']), sha256: String(entry['sha256']) }
        : undefined;
    } catch {
      return undefined;
    }
  }

  private remember(path: string, print: string, sha256: string): void {
    try {
      mkdirSync(this.folder, { recursive: true });
      const entry = this.entry(path);
      // A name that nobody can know beforehand, and only a file that wasn't there: a link could lead to any file of the user.
      const temporary = `${entry}.${randomBytes(8).toString('hex')}`;
      writeFileSync(temporary, JSON.stringify({ path, fingerprint: print, sha256 }), { flag: 'wx' });
      try {
        renameSync(temporary, entry);
      } catch {
        rmSync(temporary, { force: true });
      }
    } catch {
      // Remembering only saves time.
    }
  }
}
