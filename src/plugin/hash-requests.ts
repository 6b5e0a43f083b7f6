import { createHash, randomBytes } from 'node:crypto';
import { type BigIntStats, closeSync, fstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openRegularFile, readRegularFile } from '../files/regular-file';
import { sha256OfOpenFile } from '../files/sha256';

/** What to hash. Paths are relative to the workspace or absolute. */
export type HashRequest =
  | { file: string }
  /** A pattern, and the folder it starts from. */
  | { glob: string; base: string }
  /** A program that is named without a folder, where PATH has it. */
  | { program: string }
  /** Everything below a folder. */
  | { tree: string }
  /** What is at a path: a file, or everything below a folder. */
  | { fileOrTree: string }
  /** A file of the workspace, as far as links lead to it. */
  | { linked: string }
  /** A JSON file, without these members of its object. */
  | { json: string; without: readonly string[] }
  /** Nothing: the answer is another one each time. */
  | { never: true };

/** Requests as one word that no shell takes for anything else. */
export const encodeRequests = (requests: readonly HashRequest[]): string =>
  Buffer.from(JSON.stringify(requests)).toString('base64url');

export const decodeRequests = (argument: string): HashRequest[] =>
  JSON.parse(Buffer.from(argument, 'base64url').toString()) as HashRequest[];

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

/**
 * A JSON object without some of its own members, for hashing: equal texts say the same. Everything else stays as it is
 * written, numbers of any size included; only space around the members is lost. What isn't a JSON object comes back whole.
 */
export function withoutMembers(text: string, keys: readonly string[]): string {
  if (!isObject(text)) return text;
  const kept = members(text).filter((member) => !keys.includes(keyOf(member)));
  return `{${kept.join(',')}}`;
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** Where a string of JSON ends, behind its quote. @param at its first quote */
function endOfString(text: string, at: number): number {
  let end = at + 1;
  while (text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  return end + 1;
}

/** The members of an object as they are written. @param text a valid JSON object */
function members(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') {
      at = endOfString(text, at) - 1;
      continue;
    }
    const isEnd = depth === 1 && (character === ',' || character === '}');
    if (isEnd) found.push(text.slice(start, at).trim());
    if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    if (isEnd || (depth === 1 && start === 0)) start = at + 1;
  }
  return found.filter((member) => member !== '');
}

/** The key of a member, whatever escapes it is written with. */
const keyOf = (member: string): string => JSON.parse(member.slice(0, endOfString(member, 0))) as string;
