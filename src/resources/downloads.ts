/** Resources with a URL: from the download folder, or from the network into that folder. */
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { unreadable, unwritable } from '../files/file-failure';
import { sha256OfFile, sha256OfOpenFile } from '../files/hashes';
import { claimTempPath, releaseTempPath } from '../files/temp-file';
import { archiveFile, normalPath } from './archive-entries';
import { readMember } from './archive-member';
import { DOWNLOAD_LIMIT, downloadAny, downloadPinned, type TransferOptions } from './download';
import { downloadFolder, KeptDownload } from './download-folder';
import { parseUrl, shownReference, shownUrl, type UrlReference } from './resource-reference';

export interface DownloadOptions extends TransferOptions {
  /** The folder for downloads. Default: NX_IGVM_DOWNLOADS, or the system's place for such files. */
  folder?: string;
  /** The base of a relative folder. Default: the current folder. */
  cwd?: string;
}

/** A downloaded file. */
export interface Download {
  /** Absolute path in the download folder. */
  readonly path: string;
  /** SHA-256 of this file in hexadecimal. The reader must check it, as the folder may have been damaged since. */
  readonly sha256: string;
  /** How messages name it. */
  readonly display: string;
}

/** Downloads in progress in this thread. Other threads and processes wait for a lock. */
const running = new Map<string, Promise<Download>>();

/**
 * Gets the file of a URL from the download folder, without using the network, or downloads it. The folder never has a file whose digest
 * is wrong under its final name.
 * @throws IgvmError RESOURCE_UNPINNED with the digest of the file, when none is stated; DOWNLOAD_FAILED, DOWNLOAD_REFUSED,
 *   RESOURCE_DIGEST, ARCHIVE_INVALID, ARCHIVE_MEMBER, FILE_UNWRITABLE
 */
export function fetchReference(
  reference: UrlReference,
  where: ErrorWhere = {},
  options: DownloadOptions = {},
): Promise<Download> {
  const key = JSON.stringify([reference, options.folder, options.limit]);
  let fetched = running.get(key);
  if (fetched === undefined) {
    fetched = fetchNew(reference, options).finally(() => running.delete(key));
    running.set(key, fetched);
  }
  return fetched.catch((error: unknown) => {
    throw error instanceof IgvmError ? error.at(where) : error;
  });
}

async function fetchNew(reference: UrlReference, options: DownloadOptions): Promise<Download> {
  const { sha256, member } = reference;
  const url = parseUrl(reference.url);
  if (sha256 === undefined) {
    const { sha256: seen } = await fetchUnpinned(reference, options);
    const message = `${shownUrl(url)} is not pinned; add "sha256": "${seen}" if this is the file that you want to build from`;
    throw new IgvmError('RESOURCE_UNPINNED', message);
  }
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw new IgvmError('RESOURCE_UNPINNED', `"${sha256}" is not a SHA-256 of 64 hexadecimal digits`);
  }
  const root = rootOf(options);
  const display = shownReference(reference);
  if (member === undefined) {
    const { file } = await downloadPinned(root, url, sha256, options);
    return { path: file, sha256, display };
  }
  const kept = new KeptDownload(join(root, sha256));
  const known = kept.findMember(normalPath(member));
  if (known !== undefined) return { ...known, display };
  return { ...(await unpacked(kept, url, sha256, member, options)), display };
}

/**
 * Downloads a file that is not pinned.
 * @returns the SHA-256 of the download, for pinning, and the file or its member
 */
export async function fetchUnpinned(
  { url: text, member }: Omit<UrlReference, 'kind' | 'sha256'>,
  options: DownloadOptions = {},
): Promise<{ sha256: string; download: Download }> {
  const url = parseUrl(text);
  const { sha256 } = await downloadAny(rootOf(options), url, options);
  if (member === undefined) {
    const { file } = new KeptDownload(join(rootOf(options), sha256));
    return { sha256, download: { path: file, sha256, display: shownUrl(url) } };
  }
  return { sha256, download: await fetchReference({ kind: 'url', url: text, sha256, member }, {}, options) };
}

const rootOf = ({ folder, cwd = process.cwd() }: DownloadOptions): string => downloadFolder(folder, cwd);

/** Removes files that have changed since their download, so that they are downloaded again. @returns whether there were any */
export function discardDamaged(downloads: readonly { path: string; sha256?: string }[]): boolean {
  const damaged = downloads.filter(({ path, sha256 }) => {
    try {
      return sha256OfFile(path) !== sha256;
    } catch {
      return true;
    }
  });
  for (const { path } of damaged) rmSync(path, { force: true });
  return damaged.length > 0;
}

async function unpacked(
  kept: KeptDownload,
  url: URL,
  sha256: string,
  member: string,
  options: DownloadOptions,
): Promise<{ path: string; sha256: string }> {
  const { folder } = await downloadPinned(join(kept.folder, '..'), url, sha256, options);
  const archive = await verifiedArchive(kept, url, sha256, options);
  const temp = claimTempPath(join(folder, 'member'));
  try {
    const digest = await unpack(archive, normalPath(member), temp, shownUrl(url), options);
    const path = kept.memberPath(normalPath(member), digest);
    try {
      await rename(temp, path);
    } catch (error) {
      throw unwritable(path, error);
    }
    return { path, sha256: digest };
  } finally {
    await archive.close();
    await rm(temp, { force: true });
    releaseTempPath(temp);
  }
}

/** Opens the archive and checks its digest, so that the bytes that are unpacked are the ones that were checked. */
async function verifiedArchive(
  kept: KeptDownload,
  url: URL,
  sha256: string,
  options: DownloadOptions,
): Promise<FileHandle> {
  for (let attempt = 0; ; attempt++) {
    const handle = await openArchive(kept.file);
    try {
      if (sha256OfOpenFile(handle.fd, (await handle.stat()).size) === sha256) return handle;
    } catch (error) {
      await handle.close();
      throw unreadable(kept.file, error);
    }
    await handle.close();
    if (attempt > 0) throw new IgvmError('FILE_CHANGED', 'was written to while it was being read', { file: kept.file });
    // It was damaged after the download.
    await rm(kept.file, { force: true });
    await downloadPinned(join(kept.folder, '..'), url, sha256, options);
  }
}

async function openArchive(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** Unpacks a member into a new file. @returns its SHA-256 */
async function unpack(
  archive: FileHandle,
  member: string,
  path: string,
  display: string,
  { limit = DOWNLOAD_LIMIT }: DownloadOptions,
): Promise<string> {
  const hash = createHash('sha256');
  let output: FileHandle;
  try {
    output = await open(path, 'wx');
  } catch (error) {
    throw unwritable(path, error);
  }
  try {
    await readMember(
      archiveFile(archive.fd),
      member,
      { display, limit },
      {
        async write(chunk) {
          hash.update(chunk);
          try {
            await output.writeFile(chunk);
          } catch (error) {
            throw unwritable(path, error);
          }
        },
      },
    );
    return hash.digest('hex');
  } finally {
    await output.close();
  }
}
