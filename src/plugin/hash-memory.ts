import { createHash } from 'node:crypto';
import {
  type BigIntStats,
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { sha256OfOpenFile } from '../files/sha256';

/** A file that changed this recently may change again within the same time stamp. */
const SETTLED_MS = 2000n;

/** What a file's content can't change without changing: everything that a stat tells. */
function fingerprint({ size, mtimeNs, ctimeNs, ino, dev }: BigIntStats): string {
  return [size, mtimeNs, ctimeNs, ino, dev].join(':');
}

/** SHA-256 of files, remembered in a folder so that an unchanged file is read once. */
export class HashMemory {
  /** @param folder is made when something is to be remembered; it may be lost at any time */
  constructor(private readonly folder: string) {}

  /** Lower-case hex. @throws the errors of node:fs */
  hash(path: string): string {
    const file = openSync(path, 'r');
    try {
      const before = fstatSync(file, { bigint: true });
      const known = this.recall(path);
      if (known !== undefined && known.fingerprint === fingerprint(before)) return known.sha256;
      const sha256 = sha256OfOpenFile(file);
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
      const entry = JSON.parse(readFileSync(this.entry(path), 'utf8')) as Record<string, unknown>;
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
      const temporary = `${entry}.${process.pid}`;
      writeFileSync(temporary, JSON.stringify({ path, fingerprint: print, sha256 }));
      renameSync(temporary, entry);
    } catch {
      // Remembering only saves time.
    }
  }
}
