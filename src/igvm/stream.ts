import { PAGE_SIZE } from '../memory/page';
import type { Directive, IgvmFile, PageDataDirective } from './model';

/** Everything that looks at a guest's pages: the writer, a measurement, OpenHCL's page hashes, an initrd's CRC32. */
export interface DirectiveObserver {
  /** A directive other than page data, in file order. */
  directive?(directive: Exclude<Directive, PageDataDirective>): void | Promise<void>;
  /**
   * Some adjacent pages of a run, in file order. `bytes` holds `pageCount` whole pages (padded with zeros), or is
   * undefined when they are empty. The bytes may be used until the returned promise settles (until return, without one).
   */
  pages?(
    run: PageDataDirective,
    firstPage: number,
    pageCount: number,
    bytes: Uint8Array | undefined,
  ): void | Promise<void>;
}

/** Pages in one chunk: 1 MiB. Larger chunks measured no faster and cost memory. */
const CHUNK_PAGES = 256;

/** Chunks in flight: one is read and hashed while earlier ones are still being written. */
const CHUNKS_IN_FLIGHT = 4;

/**
 * The one pass over a guest's memory: reads each run once, in chunks of at most 1 MiB, and shows every directive to all
 * observers in file order. Memory use does not depend on the size of the image.
 * @throws IgvmError from the sources (FILE_CHANGED, FILE_UNREADABLE) and from the observers
 */
export async function streamDirectives(
  file: Pick<IgvmFile, 'directives'>,
  observers: DirectiveObserver[],
): Promise<void> {
  const buffers: { bytes: Uint8Array; busy: Promise<unknown> | undefined }[] = [];
  let turn = 0;
  const nextBuffer = async (): Promise<{ bytes: Uint8Array; busy: Promise<unknown> | undefined }> => {
    const slot = turn++ % CHUNKS_IN_FLIGHT;
    const buffer = (buffers[slot] ??= { bytes: new Uint8Array(CHUNK_PAGES * PAGE_SIZE), busy: undefined });
    await buffer.busy;
    buffer.busy = undefined;
    return buffer;
  };
  try {
    for (const directive of file.directives) {
      if (directive.type !== 'pageData') {
        for (const observer of observers) await observer.directive?.(directive);
        continue;
      }
      await directive.content.ready?.();
      const filled = Math.ceil(directive.content.size / PAGE_SIZE);
      for (let page = 0; page < filled; page += CHUNK_PAGES) {
        const count = Math.min(CHUNK_PAGES, filled - page);
        const buffer = await nextBuffer();
        const bytes = buffer.bytes.subarray(0, count * PAGE_SIZE);
        const available = Math.min(bytes.length, directive.content.size - page * PAGE_SIZE);
        directive.content.read(page * PAGE_SIZE, bytes.subarray(0, available));
        bytes.fill(0, available);
        const pending = observers.map((observer) => observer.pages?.(directive, page, count, bytes));
        if (pending.some((promise) => promise !== undefined)) {
          buffer.busy = Promise.all(pending);
          // A rejection is reported when the buffer is next needed; until then it must not count as unhandled.
          buffer.busy.catch(() => undefined);
        }
      }
      if (filled < directive.pageCount) {
        for (const observer of observers)
          await observer.pages?.(directive, filled, directive.pageCount - filled, undefined);
      }
    }
  } finally {
    await Promise.allSettled(buffers.map((buffer) => buffer.busy));
  }
  for (const buffer of buffers) await buffer.busy;
}
