import { IgvmError } from '../errors/igvm-error';
import type { Directive, ParameterAreaDirective, ParameterInsertDirective } from '../igvm/model';
import { PAGE_FLAG } from '../igvm/page-data';
import { PAGE_SIZE, pagesFor } from '../memory/page';

/**
 * Pages that all inserted areas and error ranges may have together: 256 MiB, of which VBS hashes every byte. Sizes come from
 * the file unchecked, and a few bytes of header must not keep a processor busy for seconds.
 */
const PAGE_LIMIT = 2 ** 16;

/** The sizes of a file's parameter areas, and the pages that they take in the guest. */
export class ParameterAreas {
  private readonly sizes = new Map<number, number>();
  private pages = 0;

  add(area: ParameterAreaDirective): void {
    if (this.sizes.has(area.index)) {
      throw new IgvmError('MEASUREMENT_IMPOSSIBLE', `parameter area ${area.index} is defined twice`);
    }
    this.sizes.set(area.index, area.size);
  }

  /** GPAs of the pages that an insert fills. */
  *pagesOf(insert: ParameterInsertDirective): Generator<number> {
    const size = this.sizes.get(insert.index);
    if (size === undefined) {
      throw new IgvmError('MEASUREMENT_IMPOSSIBLE', `parameter area ${insert.index} is inserted but never defined`, {
        gpa: { start: insert.gpa, end: insert.gpa + PAGE_SIZE },
      });
    }
    yield* this.pagesOfRange(insert.gpa, size);
  }

  /** GPAs of the pages of a range of `size` bytes. */
  *pagesOfRange(gpa: number, size: number): Generator<number> {
    this.pages += pagesFor(size);
    if (this.pages > PAGE_LIMIT) {
      throw new IgvmError(
        'MEASUREMENT_IMPOSSIBLE',
        'the parameter areas and error ranges of the file have more than 256 MiB together',
      );
    }
    for (let offset = 0; offset < size; offset += PAGE_SIZE) yield gpa + offset;
  }
}

/**
 * Pages of a file that can have contents to hash; decides whether worker threads pay.
 * @param withShared whether pages that the guest shares with the host are measured, too
 */
export function storedPages(directives: readonly Directive[], compatibilityMask: number, withShared = false): number {
  let pages = 0;
  for (const directive of directives) {
    if (directive.type !== 'pageData' || (directive.compatibilityMask & compatibilityMask) === 0) continue;
    if (!withShared && (directive.flags & PAGE_FLAG.SHARED) !== 0) continue;
    pages += pagesFor(directive.content.size);
  }
  return pages;
}
