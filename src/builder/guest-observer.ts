import type { DirectiveObserver } from '../igvm/stream';

/** Shows an observer only what belongs to one guest of a merged file: directives without a mask belong to all. */
export function forGuest(observer: DirectiveObserver, compatibilityMask: number): DirectiveObserver {
  return {
    pagesOverlap: observer.pagesOverlap,
    close: () => observer.close?.() ?? Promise.resolve(),
    directive: (directive) =>
      !('compatibilityMask' in directive) || (directive.compatibilityMask & compatibilityMask) !== 0
        ? observer.directive?.(directive)
        : undefined,
    pages: (run, firstPage, pageCount, bytes) =>
      (run.compatibilityMask & compatibilityMask) === 0
        ? undefined
        : observer.pages?.(run, firstPage, pageCount, bytes),
  };
}

/** Counts the pages that have streamed by. */
export function pageCounter(onPages: (done: number) => void): DirectiveObserver {
  let done = 0;
  return {
    pages: (_run, _firstPage, pageCount) => {
      done += pageCount;
      onPages(done);
    },
  };
}
