import { closeSync, fchmodSync, fstatSync, openSync, readSync, renameSync, rmSync, writev } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { threadId } from 'node:worker_threads';
import { IgvmError, unreachable } from '../errors/igvm-error';
import { type Access, type NewMode, withoutForeignGroup } from './access';
import { errnoOf, unwritable } from './file-failure';
import { PROCESS_MARK, processMark, processOf } from './process-folder';

/**
 * Names of the files that an unfinished build writes beside its outputs: `.nx-igvm-PROCESS-NUMBER.nx-igvm-tmp`. They identify the
 * process, so that a later build can distinguish the files of a killed build from those of a running one. They don't contain the name
 * of the output, which may have the maximum length already.
 */
const TEMP_NAME = new RegExp(`^\\.nx-igvm-${PROCESS_MARK.source}-\\d+\\.nx-igvm-tmp$`);

/** A temporary file whose process can't be looked up is removed at this age (milliseconds). */
const ABANDONED_AFTER = 24 * 60 * 60 * 1000;

/** The temporary files of this thread. */
const live = new Set<string>();

/** The number of the next name. The threads of a process share its mark, but each has its own instance of this module. */
let counter = threadId * 2 ** 32;

/** A new temporary path beside `target`. It is in use until {@link releaseTempPath}. */
export function claimTempPath(target: string): string {
  const path = join(dirname(target), `.nx-igvm-${processMark()}-${counter++}.nx-igvm-tmp`);
  live.add(path);
  return path;
}

/** To be called when the temporary file was renamed or removed. */
export const releaseTempPath = (path: string): void => void live.delete(path);

/**
 * Whether a file was left behind by a build that is no longer running.
 * @param path of the file
 * @param modified its modification time in milliseconds
 * @param now the time in milliseconds
 */
export function isLeftover(path: string, modified: number, now = Date.now()): boolean {
  const mark = TEMP_NAME.exec(basename(path));
  if (mark === null || live.has(path)) return false;
  if (now - modified > ABANDONED_AFTER) return true;
  return processOf(mark) === 'gone';
}

/** Whether a name is that of a temporary file of any process. */
export const isTempName = (name: string): boolean => TEMP_NAME.test(name);

const writeParts = promisify(writev);

/** One file of an output set; it appears at `path` when the set is committed. */
export interface OutputFile {
  /** The path as the user named it. */
  readonly path: string;
  /** Writes `bytes` at `offset`. They must not change until the promise settles. Several writes may be pending. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Fills `target` with the bytes written at `offset`, whose writes must have settled. */
  read(offset: number, target: Uint8Array): void;
  /** Writes `bytes` as the whole content. */
  writeAll(bytes: Uint8Array): Promise<void>;
}

interface QueuedWrite {
  offset: number;
  bytes: Uint8Array;
  resolve(): void;
  reject(error: unknown): void;
}

/** The most parts in one system call; systems allow 1024 (IOV_MAX). */
const MOST_PARTS = 256;

/** Bytes after which a system call gets no more parts, so that its buffers are free again soon. */
const MOST_BYTES = 512 * 1024;

/** Errors of file systems without permission bits. */
const NO_MODES = ['EPERM', 'EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'];

/** @throws errors of node:fs */
function setMode(fd: number, mode: number): void {
  if (process.platform === 'win32') return;
  try {
    fchmodSync(fd, mode);
  } catch (error) {
    if (!NO_MODES.includes(errnoOf(error) ?? '')) throw error;
  }
}

/** A file that is written under a temporary name and then renamed or removed. */
export class TempFile implements OutputFile {
  private readonly temp: string;
  private fd: number | undefined;
  /** While false, a file with this name belongs to someone else. */
  private isMade = false;
  private queue: QueuedWrite[] = [];
  private writing: Promise<void> | undefined;
  private failure: IgvmError | undefined;

  /**
   * @param mode its permission bits from the start, so that only those can open it who may read it later
   * @param access the access that `mode` was made from
   * @throws IgvmError FILE_UNWRITABLE
   */
  constructor(
    readonly path: string,
    readonly target: string,
    mode: NewMode,
    access: Access,
  ) {
    this.temp = claimTempPath(target);
    try {
      this.fd = openSync(this.temp, 'wx+', mode.make);
      this.isMade = true;
      const made = fstatSync(this.fd);
      const present = made.mode & 0o777;
      const wanted = withoutForeignGroup(mode.exact ?? present, made.gid, access);
      if (wanted !== present) setMode(this.fd, wanted);
    } catch (error) {
      this.discard();
      throw unwritable(path, error);
    }
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      this.queue.push({ offset, bytes, resolve, reject });
      this.writing ??= this.drain();
    });
  }

  writeAll(bytes: Uint8Array): Promise<void> {
    return this.write(0, bytes);
  }

  read(offset: number, target: Uint8Array): void {
    let done = 0;
    while (done < target.length) {
      let count: number;
      try {
        count = readSync(this.descriptor(), target, done, target.length - done, offset + done);
      } catch (error) {
        throw unwritable(this.path, error);
      }
      if (count === 0)
        throw new IgvmError('FILE_UNWRITABLE', 'was truncated while it was being written', { file: this.path });
      done += count;
    }
  }

  /** Waits for pending writes. Throws the first failure, even if nobody awaited that write. */
  async settled(): Promise<void> {
    await this.writing;
    if (this.failure !== undefined) throw this.failure;
  }

  /** @throws IgvmError FILE_UNWRITABLE: some file systems report a full disk only here */
  close(): void {
    if (this.fd === undefined) return;
    const fd = this.fd;
    this.fd = undefined;
    try {
      closeSync(fd);
    } catch (error) {
      throw unwritable(this.path, error);
    }
  }

  /** Renames the closed file to its target. @throws IgvmError FILE_UNWRITABLE */
  async rename(): Promise<void> {
    // Windows refuses to replace a file that another program, usually a virus scanner, has open for a moment.
    for (let attempt = 0; ; attempt++) {
      try {
        renameSync(this.temp, this.target);
        releaseTempPath(this.temp);
        return;
      } catch (error) {
        const isBusy = process.platform === 'win32' && ['EPERM', 'EACCES', 'EBUSY'].includes(errnoOf(error) ?? '');
        if (!isBusy || attempt === 10) throw unwritable(this.path, error);
        await setTimeout(50);
      }
    }
  }

  /** Removes the temporary file, if it is still there. Never fails. */
  discard(): void {
    try {
      this.close();
    } catch {
      // The file is removed anyway.
    }
    try {
      if (this.isMade) rmSync(this.temp, { force: true });
    } catch {
      // Then the next build removes it.
    }
    releaseTempPath(this.temp);
  }

  /**
   * Makes one system call at a time, with all adjacent writes that are queued by then. A file system allows only one writer in a file,
   * and waiting threads would compete with the reader for the processor.
   */
  private async drain(): Promise<void> {
    while (this.queue.length > 0) {
      const batch = this.takeAdjacent();
      try {
        if (this.failure !== undefined) throw this.failure;
        await this.writeFully(batch);
        for (const write of batch) write.resolve();
      } catch (error) {
        this.failure ??= error instanceof IgvmError ? error : unwritable(this.path, error);
        for (const write of batch) write.reject(this.failure);
      }
    }
    this.writing = undefined;
  }

  private takeAdjacent(): QueuedWrite[] {
    const start = this.queue[0]?.offset ?? 0;
    let end = start;
    const stop = this.queue.findIndex(({ offset, bytes }, index) => {
      if (offset !== end || index === MOST_PARTS || end - start >= MOST_BYTES) return true;
      end = offset + bytes.length;
      return false;
    });
    return this.queue.splice(0, stop === -1 ? this.queue.length : stop);
  }

  private async writeFully(batch: readonly QueuedWrite[]): Promise<void> {
    let at = batch[0]?.offset ?? 0;
    let parts = batch.map(({ bytes }) => bytes).filter(({ length }) => length > 0);
    while (parts.length > 0) {
      let { bytesWritten: done } = await writeParts(this.descriptor(), parts, at);
      at += done;
      while (parts[0] !== undefined && done >= parts[0].length) {
        done -= parts[0].length;
        parts = parts.slice(1);
      }
      if (parts[0] !== undefined) parts[0] = parts[0].subarray(done);
    }
  }

  private descriptor(): number {
    return this.fd ?? unreachable(`${this.path} used after it was closed`);
  }
}
