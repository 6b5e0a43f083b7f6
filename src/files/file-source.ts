import { type BigIntStats, closeSync, fstatSync, readSync } from 'node:fs';
import { type ErrorWhere, IgvmError, unreachable } from '../errors/igvm-error';
import type { ByteSource } from '../memory/byte-source';
import { unreadable } from './file-failure';
import { openRegularFile } from './regular-file';

/** A file that is open for reading. Its size is the one it had when it was opened. */
export interface FileSource extends ByteSource {
  /** How messages name the file. */
  readonly label: string;
  /**
   * Checks that the file has not changed since it was opened. To be called after the last read, as no single read notices that the
   * file was rewritten or grew.
   * @throws IgvmError FILE_CHANGED when its size or modification time differs
   */
  checkUnchanged(): void;
  /** Closes the file. Further calls do nothing. */
  close(): void;
}

/**
 * Opens a regular file as a byte source. Close it when done.
 * @param place the place for messages
 * @throws IgvmError FILE_UNREADABLE when it does not exist, may not be read or is not a regular file
 */
export function openFileSource(path: string, place: ErrorWhere = {}): FileSource {
  const label = place.file ?? path;
  try {
    const { fd, stats } = openRegularFile(path);
    return new OpenFile(label, fd, stats, place);
  } catch (error) {
    throw unreadable(label, error);
  }
}

class OpenFile implements FileSource {
  readonly size: number;
  private isOpen = true;

  constructor(
    readonly label: string,
    private readonly fd: number,
    private readonly stats: BigIntStats,
    readonly place: ErrorWhere,
  ) {
    this.size = Number(stats.size);
  }

  read(offset: number, target: Uint8Array): void {
    const fd = this.descriptor();
    let done = 0;
    while (done < target.length) {
      let count: number;
      try {
        count = readSync(fd, target, done, target.length - done, offset + done);
      } catch (error) {
        throw unreadable(this.label, error);
      }
      if (count === 0) throw this.changed('became shorter');
      done += count;
    }
  }

  checkUnchanged(): void {
    const fd = this.descriptor();
    let now: BigIntStats;
    try {
      now = fstatSync(fd, { bigint: true });
    } catch (error) {
      throw unreadable(this.label, error);
    }
    if (now.size !== this.stats.size) throw this.changed(now.size < this.stats.size ? 'became shorter' : 'grew');
    if (now.mtimeNs !== this.stats.mtimeNs) throw this.changed('was written to');
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    closeSync(this.fd);
  }

  /** The descriptor of a closed file may belong to another file by now. */
  private descriptor(): number {
    return this.isOpen ? this.fd : unreachable(`${this.label} was read after it was closed`);
  }

  private changed(how: string): IgvmError {
    return new IgvmError('FILE_CHANGED', `${how} while it was being read`, { file: this.label });
  }
}
