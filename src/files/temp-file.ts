import { closeSync, openSync, readSync, renameSync, rmSync, write } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { IgvmError, unreachable } from '../errors/igvm-error';
import { errnoOf, unwritable } from './file-failure';
import { claimTempPath, releaseTempPath } from './temp-name';

const writeAt = promisify(write);

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

/** A file that is written under a temporary name and then takes its own, or is removed. */
export class TempFile implements OutputFile {
  private readonly temp: string;
  private fd: number | undefined;
  private readonly pending = new Set<Promise<void>>();
  private failure: unknown;

  constructor(
    readonly path: string,
    readonly target: string,
  ) {
    this.temp = claimTempPath(target);
    try {
      this.fd = openSync(this.temp, 'wx+');
    } catch (error) {
      releaseTempPath(this.temp);
      throw unwritable(path, error);
    }
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    const writing = this.writeFully(offset, bytes).catch((error: unknown) => {
      this.failure ??= unwritable(this.path, error);
      throw this.failure;
    });
    this.pending.add(writing);
    const done = (): void => void this.pending.delete(writing);
    writing.then(done, done);
    return writing;
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

  writeAll(bytes: Uint8Array): Promise<void> {
    return this.write(0, bytes);
  }

  /** Waits for writes under way; throws the first failure, even when nobody awaited that write. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.pending);
    if (this.failure !== undefined) throw this.failure;
  }

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

  discard(): void {
    try {
      this.close();
    } catch {
      // The file goes anyway.
    }
    try {
      rmSync(this.temp, { force: true });
    } catch {
      // Then the next build clears it.
    }
    releaseTempPath(this.temp);
  }

  private descriptor(): number {
    return this.fd ?? unreachable(`${this.path} used after it was closed`);
  }

  private async writeFully(offset: number, bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const { bytesWritten } = await writeAt(this.descriptor(), bytes, done, bytes.length - done, offset + done);
      done += bytesWritten;
    }
  }
}
