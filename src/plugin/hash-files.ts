/**
 * A `runtime` input of inferred targets: prints the contents' SHA-256 of files that Nx can't track by itself. Nx takes
 * what is printed for a part of a target's hash, also when a command fails, so every state of a file has an answer of
 * its own. Usage: `node hash-files.js ARGUMENT`, run in the workspace's root; see runtime-input.ts.
 */
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { matchGlob } from '../manifest/glob';
import { HashMemory } from './hash-memory';

/** What to hash. Paths are relative to the workspace or absolute. */
export type HashRequest =
  | { file: string }
  /** A pattern, and the folder it starts from. */
  | { glob: string; base: string }
  /** All files below a folder. */
  | { folder: string };

/** Requests as one word that no shell takes for anything else. */
export const encodeRequests = (requests: readonly HashRequest[]): string =>
  Buffer.from(JSON.stringify(requests)).toString('base64url');

export const decodeRequests = (argument: string): HashRequest[] =>
  JSON.parse(Buffer.from(argument, 'base64url').toString()) as HashRequest[];

function hashFile(path: string, memory: HashMemory): string {
  try {
    if (!statSync(path).isFile()) return 'not-a-file';
    return memory.hash(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : `unreadable-${code}`;
  }
}

function hashFolder(folder: string, memory: HashMemory): string {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
    return names
      .filter((name) => statSync(join(folder, name)).isFile())
      .map((name) => `${encodeURIComponent(name)}=${hashFile(join(folder, name), memory)}`)
      .join(',');
  } catch (error) {
    return `unreadable-${(error as NodeJS.ErrnoException).code ?? 'unknown'}`;
  }
}

function answer(request: HashRequest, root: string, memory: HashMemory): string {
  if ('file' in request) return hashFile(resolve(root, request.file), memory);
  if ('folder' in request) return hashFolder(resolve(root, request.folder), memory);
  // The name of the match is left out: an image depends on the content alone.
  const matches = matchGlob(request.glob, resolve(root, request.base));
  return [`matches-${matches.length}`, ...matches.map((path) => hashFile(path, memory))].join(' ');
}

/** One line for each request. */
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
