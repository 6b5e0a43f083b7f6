import { unreachable } from '../errors/igvm-error';
import { PAGE_SIZE } from '../memory/page';
import type { Directive, IgvmFile, PageDataDirective } from './model';
import { inFileOrder, type PagesStep, type Step } from './reading-order';

/** An observer of a guest's pages: the writer, a measurement, OpenHCL's page hashes, an initrd's CRC32. */
export interface DirectiveObserver {
  /** A directive other than page data. The directives and pages of each platform come in file order. */
  directive?(directive: Exclude<Directive, PageDataDirective>): void | Promise<void>;
  /**
   * Some adjacent pages of a run, ascending. `bytes` holds `pageCount` whole pages (padded with zeros), or is
   * undefined when they are empty. The bytes may be used until the returned promise settles (until return, without one).
   * They begin at a multiple of 8 in their buffer and belong to all observers: none may change them.
   */
  pages?(
    run: PageDataDirective,
    firstPage: number,
    pageCount: number,
    bytes: Uint8Array | undefined,
  ): void | Promise<void>;
  /**
   * Whether `pages` and `directive` may be called while earlier promises of `pages` are pending. These then only say
   * how long the bytes are in use. Meant for the writer, whose bytes are still being written, and for hashing in other
   * threads.
   */
  readonly pagesOverlap?: boolean;
  /** Ends its work in the background. The owner of the observer calls it, even when the pass has failed. */
  close?(): Promise<void>;
}

/**
 * Pages in one chunk: 2 MiB. A chunk costs 0.1 ms, whatever its size. Larger ones were no faster and need more memory.
 */
const CHUNK_PAGES = 512;

/** Chunks in flight: one is read and hashed while earlier ones are still being written. */
const CHUNKS_IN_FLIGHT = 3;

/** Calls that may wait for a slow observer before the pass waits for it, too. */
const CALLS_WAITING = 64;

/**
 * The one pass over a guest's memory: reads its data in chunks of at most 2 MiB, and shows every directive to all observers. An
 * observer is called again only when its previous promise has settled (but see `pagesOverlap`). A slow observer does not hold up the
 * others until three chunks are in use. Memory use does not depend on the size of the image.
 * @param order default: file order, in which data that several platforms have is read for each of them
 * @throws IgvmError from the sources (FILE_CHANGED, FILE_UNREADABLE) and from the observers; by then no observer's
 *   promise is pending any more
 */
export async function streamDirectives(
  file: Pick<IgvmFile, 'directives'>,
  observers: readonly DirectiveObserver[],
  order: Iterable<Step> = inFileOrder(file.directives),
): Promise<void> {
  const lanes = observers.map((observer) => new Lane(observer));
  const chunks = new ChunkPool();
  try {
    for (const step of order) {
      if (step.type === 'pages') {
        await showPages(step, lanes, chunks);
      } else {
        for (const lane of lanes) void lane.next((observer) => observer.directive?.(step));
      }
      for (const lane of lanes) if (lane.waiting > CALLS_WAITING) await lane.idle();
    }
    for (const lane of lanes) await lane.idle();
  } finally {
    await Promise.allSettled(lanes.map((lane) => lane.idle()));
  }
}

async function showPages(
  { runs, pageCount, hasData }: PagesStep,
  lanes: readonly Lane[],
  chunks: ChunkPool,
): Promise<void> {
  for (const lane of lanes) await lane.directivesDone();
  if (!hasData) {
    for (const { run, firstPage } of runs) {
      for (const lane of lanes) void lane.pages((observer) => observer.pages?.(run, firstPage, pageCount, undefined));
    }
    return;
  }
  const [first = unreachable('pages of no run')] = runs;
  const { content } = first.run;
  if (content.late) unreachable('page data that is known only when all pages have been streamed');
  if (content.ready !== undefined) {
    for (const lane of lanes) await lane.idle();
    await content.ready();
  }
  for (let done = 0; done < pageCount; done += CHUNK_PAGES) {
    const count = Math.min(CHUNK_PAGES, pageCount - done);
    const chunk = chunks.free() ?? (await chunks.wait());
    const bytes = chunk.subarray(0, count * PAGE_SIZE);
    const offset = (first.firstPage + done) * PAGE_SIZE;
    const available = Math.min(bytes.length, content.size - offset);
    content.read(offset, bytes.subarray(0, available));
    bytes.fill(0, available);
    const pending: Promise<void>[] = [];
    for (const { run, firstPage } of runs) {
      for (const lane of lanes) {
        const seen = lane.pages((observer) => observer.pages?.(run, firstPage + done, count, bytes));
        if (seen !== undefined) pending.push(seen);
      }
    }
    chunks.release(chunk, pending);
    for (const lane of lanes) lane.check();
  }
}

type Call = (observer: DirectiveObserver) => void | Promise<void>;

/** The calls to one observer. Each begins when the previous one has settled. */
class Lane {
  private readonly unsettled = new Set<Promise<void>>();
  /** What the next call waits for. */
  private tail: Promise<void> | undefined;
  private failure: { error: unknown } | undefined;

  constructor(private readonly observer: DirectiveObserver) {}

  /** Calls begun or waiting. */
  get waiting(): number {
    return this.unsettled.size;
  }

  /** Undefined if the call has finished already; otherwise a promise that never rejects. */
  next(call: Call): Promise<void> | undefined {
    const settled = this.begin(call);
    if (settled !== undefined) this.tail = settled;
    return settled;
  }

  /** As {@link next}; if pages overlap, the next call does not wait for this one. */
  pages(call: Call): Promise<void> | undefined {
    return this.observer.pagesOverlap ? this.begin(call) : this.next(call);
  }

  /** Waits until overlapping pages may be shown: from then on none waits for another. */
  async directivesDone(): Promise<void> {
    while (this.observer.pagesOverlap && this.tail !== undefined) await this.tail;
  }

  /** @throws what the observer failed with */
  check(): void {
    if (this.failure !== undefined) throw this.failure.error;
  }

  /** Waits for all calls so far. */
  async idle(): Promise<void> {
    await Promise.all(this.unsettled);
    this.check();
  }

  private begin(call: Call): Promise<void> | undefined {
    this.check();
    const begun = this.tail === undefined ? call(this.observer) : this.tail.then(() => this.unlessFailed(call));
    if (begun === undefined) return undefined;
    const settled: Promise<void> = begun
      .catch((error: unknown) => void (this.failure ??= { error }))
      .then(() => {
        this.unsettled.delete(settled);
        if (this.tail === settled) this.tail = undefined;
      });
    this.unsettled.add(settled);
    return settled;
  }

  private unlessFailed(call: Call): void | Promise<void> {
    return this.failure === undefined ? call(this.observer) : undefined;
  }
}

/** Memory that threads may share, so that an observer need not copy what it hands to one. Browsers may not have it. */
const newBuffer = (size: number): ArrayBufferLike =>
  typeof SharedArrayBuffer === 'undefined' ? new ArrayBuffer(size) : new SharedArrayBuffer(size);

/** Buffers of one chunk each, made as they are needed. */
class ChunkPool {
  private made = 0;
  private readonly unused: Uint8Array[] = [];
  private readonly inUse: { chunk: Uint8Array; until: Promise<unknown> }[] = [];

  free(): Uint8Array | undefined {
    if (this.unused.length > 0 || this.made === CHUNKS_IN_FLIGHT) return this.unused.pop();
    this.made++;
    return new Uint8Array(newBuffer(CHUNK_PAGES * PAGE_SIZE));
  }

  /** The chunk that has been in use the longest. */
  async wait(): Promise<Uint8Array> {
    const oldest = this.inUse.shift() ?? unreachable('no chunk in use and none free');
    await oldest.until;
    return oldest.chunk;
  }

  release(chunk: Uint8Array, pending: readonly Promise<void>[]): void {
    if (pending.length === 0) this.unused.push(chunk);
    else this.inUse.push({ chunk, until: Promise.all(pending) });
  }
}
