import { fdatasync } from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf } from './file-failure';

/** Bytes that are worth asking the disk for. */
const FEWEST = 16 * 2 ** 20;

/** The most that it is asked for at once, as the build may have to wait for it. A disk that is further behind is too slow. */
const MOST = 64 * 2 ** 20;

/** What file systems say that cannot do it. */
const UNSUPPORTED = ['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'];

/**
 * Whether a file that replaces another is better begun to be put on the disk while it is still being written. ext4 (see
 * `auto_da_alloc` in Linux, Documentation/admin-guide/ext4.rst) and btrfs hand all of it to the disk when it is renamed
 * over another, and the rename waits for as much of that as doesn't fit into the disk's queue. Elsewhere `fdatasync` may ask for
 * far more than that: under macOS that the disk empties its own cache.
 */
export const syncsEarly = (isReplacing: boolean): boolean => isReplacing && process.platform === 'linux';

/** Puts a file on the disk while it is being written; gives up when the disk doesn't keep pace. */
export class EarlySync {
  /** Bytes written since the sync under way, or the last one, has begun. */
  private written = 0;
  private syncing: Promise<void> | undefined;
  private hasGivenUp = false;
  private failure: { error: unknown } | undefined;

  constructor(private readonly sync: (fd: number) => Promise<void> = promisify(fdatasync)) {}

  /** To be told of `count` bytes that were written to `fd`, which stays open until {@link settled}. */
  wrote(fd: number, count: number): void {
    this.written += count;
    if (this.written < FEWEST || this.syncing !== undefined || this.hasGivenUp) return;
    if (this.written > MOST) {
      this.hasGivenUp = true;
      return;
    }
    this.written = 0;
    this.syncing = this.begin(fd);
  }

  /**
   * Waits for the sync under way.
   * @throws what the system said: it reports a failed write of an earlier moment once, and it may have been now
   */
  async settled(): Promise<void> {
    await this.syncing;
    if (this.failure !== undefined) throw this.failure.error;
  }

  private async begin(fd: number): Promise<void> {
    try {
      await this.sync(fd);
    } catch (error) {
      this.hasGivenUp = true;
      if (!UNSUPPORTED.includes(errnoOf(error) ?? '')) this.failure = { error };
    }
    this.syncing = undefined;
  }
}
