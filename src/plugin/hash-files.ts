/**
 * A `runtime` input of inferred targets. It prints the SHA-256 of files that Nx can't track by itself. The output becomes part of a
 * target's hash, even when the command fails. So for a state that it doesn't understand, it prints something that it has never printed
 * before. Usage: `node hash-files.js ARGUMENT`, run in the workspace's root; see tracked-inputs.ts.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import {
  type BigIntStats,
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { PLACEHOLDER, programPath } from '../files/find-program';
import { JSON_SIZE_LIMIT, openRegularFile, readRegularFile } from '../files/regular-file';
import { sha256OfOpenFile } from '../files/hashes';
import { matchGlob } from '../resources/glob';

/** What to hash. Paths are relative to the workspace or absolute. */
export type HashRequest =
  | { file: string }
  /** A pattern, and the folder it starts from. */
  | { glob: string; base: string }
  /** A program that is named without a folder, found in PATH. */
  | { program: string }
  /** Everything below a folder. */
  | { tree: string }
  /** A file, or everything below a folder, whichever is at the path. */
  | { fileOrTree: string }
  /** A file of the workspace, if its path contains a symbolic link. */
  | { linked: string }
  /** A JSON file without these members of its top-level object. */
  | { json: string; without: readonly string[] }
  /** Nothing. The answer is different each time. */
  | { never: true };

/** Requests as one word without characters that are special to a shell. */
export const encodeRequests = (requests: readonly HashRequest[]): string =>
  Buffer.from(JSON.stringify(requests)).toString('base64url');

export const decodeRequests = (argument: string): HashRequest[] =>
  JSON.parse(Buffer.from(argument, 'base64url').toString()) as HashRequest[];

/**
 * The fallback that a shell prints when the hashing script can't run: PATH has no `node`, as in an IDE or a service, or an old one, or
 * the plugin has moved. Nx would treat equal output as equal files, so the output must be unique, without the help of a program. sh
 * prints its process ID, a UUID of the kernel (Linux), a random number (bash, zsh, busybox) and the time (if /bin/date exists). cmd.exe
 * reads the same words and prints a random number and the time. The words are part of the hash, so they are the same on every system.
 */
const OTHERWISE =
  'echo "never $$ $RANDOM $(read u < /proc/sys/kernel/random/uuid; echo $u) $(/bin/date) %RANDOM% %DATE% %TIME%"';

/**
 * The `runtime` input that hashes what Nx can't track; none without requests. No file name reaches a shell unencoded.
 * @param script path of this program, relative to the workspace
 */
export function runtimeInput({ script }: { script: string }, requests: readonly HashRequest[]): { runtime: string }[] {
  if (requests.length === 0) return [];
  return [{ runtime: `node ${programWord(script)} ${encodeRequests(requests)} || ${OTHERWISE}` }];
}

/** The arguments with which Node runs a script. A path with characters that are special to a shell is encoded in base64. */
function programWord(script: string): string {
  if (/^[\w@./-]+$/.test(script)) return script;
  const path = `Buffer.from('${Buffer.from(script).toString('base64url')}','base64url')+''`;
  return `-e "process.argv.splice(1,0,require('path').resolve(${path}));require('module').runMain()"`;
}

/** The requests in such an input; none for any other command. */
export function requestsOf(command: string): HashRequest[] {
  const [, argument] = /^node .* ([\w-]+) \|\| echo "never /.exec(command) ?? [];
  try {
    return argument === undefined ? [] : decodeRequests(argument);
  } catch {
    return [];
  }
}

/** A file that changed this recently may change again within the same time stamp. */
const SETTLED_MS = 2000n;

/** Bytes. Entries are far smaller. */
const ENTRY_LIMIT = 64 * 1024;

/** The attributes of a file. Its content can't change without changing one of them. */
function fingerprint({ size, mtimeNs, ctimeNs, ino, dev }: BigIntStats): string {
  return [size, mtimeNs, ctimeNs, ino, dev].join(':');
}

/** SHA-256 of files. Remembers them in a folder, so that an unchanged file is read once. */
export class HashMemory {
  /** @param folder created when there is something to remember. It may be deleted at any time. */
  constructor(private readonly folder: string) {}

  /** Lower-case hexadecimal. @throws NotRegularError for anything but a regular file; the errors of node:fs */
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

  /** Each path has a small file of its own, so that concurrent processes don't lose each other's entries. */
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
      // A new file with an unpredictable name. Otherwise a link could redirect the write to any file of the user.
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
 * A JSON object without some of its own members, for hashing: equal texts have the same meaning. Everything else stays as written,
 * including numbers of any size. Only space around the members is lost. Text that isn't a JSON object is returned whole.
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

/** The index after the closing quote of a JSON string. @param at index of its opening quote */
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

/** The key of a member, with its escapes decoded. */
const keyOf = (member: string): string => JSON.parse(member.slice(0, endOfString(member, 0))) as string;

/** An answer that no other run gives. A target with this in its hash is never taken from the cache. */
const never = (): string => `never-${randomUUID()}`;

/**
 * The answer for a path that can't be read. The reason (permissions, a failing disk, a file that is being changed) may be gone when the
 * target runs. So only a missing file gets a constant answer.
 * @throws errors that no file can cause, such as that of a Node that is too old for this program
 */
function failed(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  return code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : never();
}

function hashFile(path: string, memory: HashMemory): string {
  try {
    return memory.hash(path);
  } catch (error) {
    return failed(error);
  }
}

/** The hash of a JSON file without some members. Latin-1 keeps every byte distinct, whatever the encoding. */
function hashJson(path: string, without: readonly string[]): string {
  try {
    const text = readRegularFile(path, { limit: JSON_SIZE_LIMIT }).toString('latin1');
    return createHash('sha256').update(withoutMembers(text, without), 'latin1').digest('hex');
  } catch (error) {
    return failed(error);
  }
}

/** The properties of an entry that an initramfs depends on: its kind, and its content or target. The execute permission follows from the content. */
function describeEntry(path: string, memory: HashMemory): string {
  const info = lstatSync(path);
  if (info.isSymbolicLink()) return `link ${encodeURIComponent(readlinkSync(path))}`;
  if (!info.isFile()) return 'other';
  return `file ${hashFile(path, memory)}`;
}

/**
 * One line for each entry below a folder. Links are not followed, as when the folder is packed (src/initrd). An entry that can't
 * be read also gets a line, so that the others still count.
 * @throws the errors of node:fs for the folder itself
 */
function* describeTree(folder: string, prefix: string, memory: HashMemory): Generator<[name: string, what: string]> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const name = prefix + entry.name;
    const path = join(folder, entry.name);
    try {
      if (entry.isDirectory()) {
        yield [name, 'folder'];
        yield* describeTree(path, `${name}/`, memory);
      } else if (entry.name !== PLACEHOLDER) {
        yield [name, describeEntry(path, memory)];
      }
    } catch (error) {
      yield [name, failed(error)];
    }
  }
}

function hashTree(folder: string, memory: HashMemory): string {
  const hash = createHash('sha256');
  try {
    const entries = [...describeTree(folder, '', memory)].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    for (const [name, what] of entries) hash.update(`${JSON.stringify(name)} ${what}\n`);
  } catch (error) {
    return failed(error);
  }
  return hash.digest('hex');
}

/** A path that can't be examined doesn't count as a folder. Reading it as a file gives the reason. */
const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** Whether a path of the workspace contains a symbolic link. A missing file doesn't count as one. */
function passesLink(root: string, path: string): boolean {
  const steps = path.split('/');
  return steps.some(
    (_, index) =>
      lstatSync(join(root, ...steps.slice(0, index + 1)), { throwIfNoEntry: false })?.isSymbolicLink() ?? false,
  );
}

/** The hash of a file if its path contains a link. Nx tracks other files by itself. */
function hashLinked(path: string, root: string, memory: HashMemory): string {
  try {
    return passesLink(root, path) ? hashFile(resolve(root, path), memory) : 'no-link';
  } catch (error) {
    return failed(error);
  }
}

/** The files that a pattern matches; or an answer, for a pattern that the build will refuse or a folder that can't be searched. */
function globMatches(pattern: string, base: string): string[] | string {
  try {
    return matchGlob(pattern, base);
  } catch (error) {
    if (error instanceof IgvmError) return never();
    throw error;
  }
}

function answer(request: HashRequest, root: string, memory: HashMemory): string {
  if ('never' in request) return never();
  if ('linked' in request) return hashLinked(request.linked, root, memory);
  if ('file' in request) return hashFile(resolve(root, request.file), memory);
  if ('program' in request) return hashFile(programPath(request.program, root), memory);
  if ('json' in request) return hashJson(resolve(root, request.json), request.without);
  if ('fileOrTree' in request) {
    const path = resolve(root, request.fileOrTree);
    return isFolder(path) ? hashTree(path, memory) : hashFile(path, memory);
  }
  if ('tree' in request) return hashTree(resolve(root, request.tree), memory);
  // The names of the matches are left out, because an image depends only on their content.
  const matches = globMatches(request.glob, resolve(root, request.base));
  if (typeof matches === 'string') return matches;
  return [`matches-${matches.length}`, ...matches.map((path) => hashFile(path, memory))].join(' ');
}

/** One line for each request. @throws errors that no file can cause. Then the command fails, and its fallback prints the answer. */
export function hashFiles(requests: readonly HashRequest[], root: string, memory: HashMemory): string {
  return requests.map((request) => `${answer(request, root, memory)}\n`).join('');
}

/** The folder for remembered hashes, in Nx's data folder of the workspace. */
function memoryFolder(root: string): string {
  const data = process.env['NX_WORKSPACE_DATA_DIRECTORY'] ?? join('.nx', 'workspace-data');
  return join(resolve(root, data), 'nx-igvm-hashes');
}

// The build may put this code into another file than the one that runs.
if (require.main?.filename.endsWith('hash-files.js') === true) {
  const root = process.cwd();
  process.stdout.write(hashFiles(decodeRequests(process.argv[2] ?? ''), root, new HashMemory(memoryFolder(root))));
}
