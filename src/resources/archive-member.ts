import { posix } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { nearest } from '../manifest/unknown-keys';
import { archiveEntries, type ArchiveEntry, type ArchiveFile, normalPath } from './archive-entries';
import { UnpackError } from './decompress';

/** The most links to follow from one entry to the next. */
const MOST_LINKS = 8;

/** How many names of an archive are kept for a message about a missing member, and how many are compared letter by letter. */
const KEPT_NAMES = 20_000;
const COMPARED = 1000;

/** Receives the content of a member. */
export interface MemberSink {
  write(chunk: Uint8Array): Promise<void>;
}

/**
 * Extracts one file from an archive: the one at a path, or the one that links in the archive lead to from there. Reads the whole
 * archive, to make sure that it is complete and that no other member has the same name.
 * @param display the name of the archive, for messages
 * @param limit the most bytes of the member, and of the unpacked archive
 * @param open creates the sink for the member; called once
 * @throws IgvmError ARCHIVE_INVALID, ARCHIVE_MEMBER, and what the sink throws
 */
export async function readMember(
  file: ArchiveFile,
  member: string,
  { display, limit }: { display: string; limit: number },
  sink: MemberSink,
): Promise<void> {
  try {
    let path = normalPath(member);
    let inode: string | undefined;
    for (let links = 0; links <= MOST_LINKS; links++) {
      const found = await pass(file, path, inode, limit, sink);
      if (found.isWritten) return;
      if (found.next === undefined) throw missing(display, member, path, found.names);
      ({ path, inode } = found.next);
    }
    throw new IgvmError('ARCHIVE_MEMBER', `${display}: "${member}" leads from link to link`);
  } catch (error) {
    throw error instanceof UnpackError ? new IgvmError('ARCHIVE_INVALID', `${display} ${error.message}`) : error;
  }
}

interface Pass {
  isWritten: boolean;
  /** The path to look for in the next pass. */
  next?: { path: string; inode?: string };
  /** The paths of some files in the archive. */
  names: string[];
}

/**
 * Reads the archive once.
 * @param inode that of a file with several names, whose content comes with another one
 */
async function pass(
  file: ArchiveFile,
  path: string,
  inode: string | undefined,
  limit: number,
  sink: MemberSink,
): Promise<Pass> {
  const result: Pass = { isWritten: false, names: [] };
  for await (const entry of archiveEntries(file, limit)) {
    if (entry.kind !== 'folder' && result.names.length < KEPT_NAMES) result.names.push(entry.path);
    const isMeant = inode === undefined ? entry.path === path : entry.inode === inode && entry.size > 0;
    if (!isMeant) continue;
    if (result.isWritten || result.next !== undefined) throw new UnpackError(`has "${path}" twice`);
    if (entry.kind === 'link' || entry.kind === 'hard link') result.next = { path: linked(entry) };
    else if (entry.kind !== 'file') throw notFile(entry, path, limit);
    else if (entry.inode !== undefined && entry.size === 0 && inode === undefined) {
      result.next = { path, inode: entry.inode };
    } else {
      await write(entry, path, limit, sink);
      result.isWritten = true;
    }
  }
  return result;
}

/** A symbolic link is relative to its folder. A hard link and an absolute link are relative to the archive. */
function linked({ path, kind, target = '' }: ArchiveEntry): string {
  const isRelative = kind === 'link' && !target.startsWith('/');
  return normalPath(posix.normalize(isRelative ? posix.join(posix.dirname(path), target) : target));
}

function notFile({ kind, size }: ArchiveEntry, path: string, limit: number): UnpackError {
  if (size > limit) return tooLarge(path, limit);
  return new UnpackError(`has "${path}" as ${kind === 'folder' ? 'a folder' : 'no regular file, or a sparse one'}`);
}

const tooLarge = (path: string, limit: number): UnpackError =>
  new UnpackError(`has more than ${limit} bytes in "${path}", the most that a member may have`);

async function write(entry: ArchiveEntry, path: string, limit: number, sink: MemberSink): Promise<void> {
  let size = 0;
  if (entry.size > limit) throw tooLarge(path, limit);
  for await (const chunk of entry.content()) {
    size += chunk.length;
    if (size > limit) throw tooLarge(path, limit);
    await sink.write(chunk);
  }
  if (size !== entry.size) throw new UnpackError(`has only ${size} of ${entry.size} bytes of "${path}"`);
}

/** Names that may have been meant: the same name in another folder, names with the same beginning, and similar ones. */
function missing(display: string, member: string, path: string, names: readonly string[]): IgvmError {
  const base = posix.basename(path);
  const [word = ''] = /^[\p{L}\p{M}_]{4,}/u.exec(base) ?? [];
  const guess = nearest(path, names.slice(0, COMPARED));
  const alike = names.filter((name) => posix.basename(name) === base);
  const begun = word === '' ? [] : names.filter((name) => posix.basename(name).startsWith(word));
  const near = [...new Set([...alike, ...(guess === undefined ? [] : [guess]), ...begun])].slice(0, 3);
  const hint = near.length === 0 ? '' : `; it has ${near.map((name) => `"${name}"`).join(', ')}`;
  return new IgvmError('ARCHIVE_MEMBER', `${display} has no file "${member}"${hint}`);
}
