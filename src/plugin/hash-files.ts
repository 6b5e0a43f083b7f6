/**
 * A `runtime` input of inferred targets: prints the contents' SHA-256 of files that Nx can't track by itself. Nx takes
 * what is printed for a part of a target's hash, also when the command fails, so a state that is not understood gets an
 * answer that was never given before. Usage: `node hash-files.js ARGUMENT`, run in the workspace's root; see tracked-inputs.ts.
 */
import { createHash, randomUUID } from 'node:crypto';
import { lstatSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { PLACEHOLDER, programPath } from '../files/find-program';
import { JSON_SIZE_LIMIT, readRegularFile } from '../files/regular-file';
import { matchGlob } from '../resources/glob';
import { decodeRequests, HashMemory, type HashRequest, withoutMembers } from './hash-requests';

/** An answer that no other run gives: a target whose hash it is part of is never taken from the cache. */
const never = (): string => `never-${randomUUID()}`;

/**
 * What there is to say of a path that can't be read. Whatever keeps it from being read (permissions, a failing disk, a file that
 * changes meanwhile) may be over when the target runs: only a missing file is a state to remember.
 * @throws what no file can cause, such as a Node that is too old for this program
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

/** What a JSON file says besides some members. Latin-1 keeps every byte apart, whatever they mean. */
function hashJson(path: string, without: readonly string[]): string {
  try {
    const text = readRegularFile(path, { limit: JSON_SIZE_LIMIT }).toString('latin1');
    return createHash('sha256').update(withoutMembers(text, without), 'latin1').digest('hex');
  } catch (error) {
    return failed(error);
  }
}

/** What an initramfs takes from an entry of a folder: its kind, its content or target. Who may execute it follows from its content. */
function describeEntry(path: string, memory: HashMemory): string {
  const info = lstatSync(path);
  if (info.isSymbolicLink()) return `link ${encodeURIComponent(readlinkSync(path))}`;
  if (!info.isFile()) return 'other';
  return `file ${hashFile(path, memory)}`;
}

/**
 * A line for each entry below a folder. Links are no folders, as for who packs it (src/initrd/collect-entries.ts), and an entry
 * that can't be read is one line: the others count still.
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

/** What can't be looked at is no folder: reading it as a file says why. */
const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** Whether a path of the workspace is a link or lies behind one. A missing file is neither. */
function passesLink(root: string, path: string): boolean {
  const steps = path.split('/');
  return steps.some(
    (_, index) =>
      lstatSync(join(root, ...steps.slice(0, index + 1)), { throwIfNoEntry: false })?.isSymbolicLink() ?? false,
  );
}

/** What a file holds if it is reached by way of a link; Nx sees the others by itself. */
function hashLinked(path: string, root: string, memory: HashMemory): string {
  try {
    return passesLink(root, path) ? hashFile(resolve(root, path), memory) : 'no-link';
  } catch (error) {
    return failed(error);
  }
}

/** The files that a pattern matches, or an answer for a pattern that the build will refuse or a folder that can't be searched. */
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
  // The name of the match is left out: an image depends on the content alone.
  const matches = globMatches(request.glob, resolve(root, request.base));
  if (typeof matches === 'string') return matches;
  return [`matches-${matches.length}`, ...matches.map((path) => hashFile(path, memory))].join(' ');
}

/** One line for each request. @throws what no file can cause: the command fails then, and its other half answers */
export function hashFiles(requests: readonly HashRequest[], root: string, memory: HashMemory): string {
  return requests.map((request) => `${answer(request, root, memory)}\n`).join('');
}

/** Where Nx keeps the data of a workspace. */
function memoryFolder(root: string): string {
  const data = process.env['NX_WORKSPACE_DATA_DIRECTORY'] ?? join('.nx', 'workspace-data');
  return join(resolve(root, data), 'nx-igvm-hashes');
}

if (require.main === module) {
  const root = process.cwd();
  process.stdout.write(hashFiles(decodeRequests(process.argv[2] ?? ''), root, new HashMemory(memoryFolder(root))));
}
