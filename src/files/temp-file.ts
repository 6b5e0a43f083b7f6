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
 * Names of the files that an unfinished build writes beside its outputs: `.nx-igvm-PROCESS-NUMBER.nx-igvm-tmp`. They say who
 * writes them, so that a later build can tell a killed build's leftovers from a running build's files. They don't hold the
 * output's own name: that may be as long as a name can be.
 */
const TEMP_NAME = new RegExp(`^\\.nx-igvm-${PROCESS_MARK.source}-\\d+\\.nx-igvm-tmp$`);

/** A leftover whose process nobody can look for is removed when it is this old (milliseconds). */
const ABANDONED_AFTER = 24 * 60 * 60 * 1000;

/** The temporary files of this thread. */
const live = new Set<string>();

/** The number of the next name. Threads of a process share its mark, and each has an instance of this module. */
let counter = threadId * 2 ** 32;

/** A new temporary path beside `target`. It counts as in use until {@link releaseTempPath}. */
export function claimTempPath(target: string): string {
  const path = join(dirname(target), `.nx-igvm-${processMark()}-${counter++}.nx-igvm-tmp`);
  live.add(path);
  return path;
}

/** The temporary file is renamed or removed. */
export const releaseTempPath = (path: string): void => void live.delete(path);

/**
 * Whether a file is what a build that no longer runs left behind.
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

/** Whether the name is one of ours, whoever's it is. */
export const isTempName = (name: string): boolean => TEMP_NAME.test(name);

const writeParts = promisify(writev);

/** One file of an output set; it appears at `path` when the set is committed. */
export interface OutputFile {
  /** The path as the user named it. */
  readonly path: string;
  /** Writes `bytes` at `offset`. They must not change until the promise settles; several writes may be under way. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Fills `target` with what was written at `offset`; those writes must have settled. */
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

/** Parts of one system call; systems allow 1024 (IOV_MAX). */
const MOST_PARTS = 256;

/** Bytes after which a system call takes no more parts: its buffers should soon be free for the next ones. */
const MOST_BYTES = 512 * 1024;

/** What file systems without permission bits say. */
const NO_MODES = ['EPERM', 'EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'];

/** @throws the errors of node:fs */
function setMode(fd: number, mode: number): void {
  if (process.platform === 'win32') return;
  try {
    fchmodSync(fd, mode);
  } catch (error) {
    if (!NO_MODES.includes(errnoOf(error) ?? '')) throw error;
  }
}

/** A file that is written under a temporary name and then takes its own, or is removed. */
export class TempFile implements OutputFile {
  private readonly temp: string;
  private fd: number | undefined;
  /** Otherwise a file of this name is someone else's. */
  private isMade = false;
  private queue: QueuedWrite[] = [];
  private writing: Promise<void> | undefined;
  private failure: IgvmError | undefined;

  /**
   * @param mode its permission bits, from the start: nobody opens it who may not read it later
   * @param access what `mode` was made of
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
      if (count === 0) throw new IgvmError('FILE_UNWRITABLE', 'was cut off while it was written', { file: this.path });
      done += count;
    }
  }

  /** Waits for writes under way; throws the first failure, even when nobody awaited that write. */
  async settled(): Promise<void> {
    await this.writing;
    if (this.failure !== undefined) throw this.failure;
  }

  /** @throws IgvmError FILE_UNWRITABLE: some file systems report a full disk only now */
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

  /** Gives the closed file its own name. @throws IgvmError FILE_UNWRITABLE */
  async rename(): Promise<void> {
    // Windows refuses to replace a file that someone (a virus scanner, most often) has open for a moment.
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
      // The file goes anyway.
    }
    try {
      if (this.isMade) rmSync(this.temp, { force: true });
    } catch {
      // Then the next build clears it.
    }
    releaseTempPath(this.temp);
  }

  /**
   * One system call at a time, with everything adjacent that has come up meanwhile: a file system lets one writer into
   * a file, and threads that wait for it take the processor from the one that reads.
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
