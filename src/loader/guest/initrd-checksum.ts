import { availableParallelism } from 'node:os';
import { crc32 } from 'node:zlib';
import { unreachable } from '../../errors/igvm-error';
import type { PageDataDirective } from '../../igvm/model';
import type { DirectiveObserver } from '../../igvm/stream';
import { HashThread } from '../../measurement/hash-thread';
import { PAGE_SIZE } from '../../memory/page';

/** Bytes of an initrd from which on a thread pays: it takes 40 ms to start, and 256 MiB take 60 ms. */
const THREAD_THRESHOLD = 128 * 2 ** 20;

/** CRC32 of an initrd, gathered while its pages stream by, so that it need not be read twice. */
export class InitrdChecksum implements DirectiveObserver {
  readonly pagesOverlap = true;
  private seen = 0;
  /** The sum of what was added up on this thread, and that of all since another one goes on. */
  private here = 0;
  private inThread: Promise<number> | undefined;
  private thread: HashThread | undefined;
  private readonly usesThread: boolean;

  /**
   * @param gpa where the initrd lies in guest memory, page-aligned
   * @param size of the initrd in bytes, without the padding of its last page
   */
  constructor(
    private readonly gpa: number,
    private readonly size: number,
  ) {
    this.usesThread = size >= THREAD_THRESHOLD && availableParallelism() > 1;
  }

  pages(
    run: PageDataDirective,
    firstPage: number,
    _pageCount: number,
    bytes: Uint8Array | undefined,
  ): void | Promise<void> {
    const offset = run.gpa + firstPage * PAGE_SIZE - this.gpa;
    if (offset < 0 || offset >= this.size) return;
    if (bytes === undefined || offset !== this.seen) unreachable('the pages of an initrd out of order');
    const part = bytes.subarray(0, Math.min(bytes.length, this.size - offset));
    this.seen += part.length;
    if (this.usesThread) this.thread ??= new HashThread();
    const { thread } = this;
    // Nothing waits for the thread to start: until then the bytes are summed up here.
    if (thread === undefined || (this.inThread === undefined && !thread.isStarted)) {
      this.here = crc32(part, this.here);
      return;
    }
    const start = this.inThread === undefined ? this.here : undefined;
    this.inThread = thread.run({ kind: 'crc32', start, pages: part }).then(toNumber);
    return this.inThread.then(() => undefined);
  }

  /** The checksum, once all pages have been seen. */
  async value(): Promise<number> {
    if (this.seen !== this.size) unreachable(`the checksum has seen ${this.seen} of the initrd's ${this.size} bytes`);
    return this.inThread ?? this.here;
  }

  async close(): Promise<void> {
    await this.thread?.close();
  }
}

/** A little-endian number of 32 bits. */
const toNumber = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
