import { IgvmError, unreachable } from '../errors/igvm-error';
import {
  type Directive,
  PAGE_FLAG,
  type PageDataDirective,
  type ParameterAreaDirective,
  type ParameterInsertDirective,
} from '../igvm/model';
import { PAGE_SIZE, pagesFor } from '../memory/page';
import type { DirectiveObserver } from '../igvm/stream';
import type { Launch } from './launches';
import type { LoadRefusal } from './load-refusals';

/** The result of measuring one launch of a guest. */
export interface LaunchResult {
  /** Undefined if the digest doesn't depend on the VMM that launches the guest. */
  readonly launch?: Launch;
  /** Undefined if the VMM refuses the file. With late refusals, the digest that would have been measured. */
  readonly digest?: Uint8Array;
  /** Why the VMM would not launch the guest. */
  readonly refusals: readonly LoadRefusal[];
  /** How the VMM deviates from the file. */
  readonly warnings: readonly string[];
}

/** The launch measurements of one platform, computed while the guest's directives are streamed in file order. */
export interface LaunchDigests extends DirectiveObserver {
  readonly compatibilityMask: number;
  /** One for each launch that was asked for, in that order. Called once, after the last directive. */
  results(): Promise<LaunchResult[]>;
  /** Ends worker threads. Needed only when `results` is never called, because the pass over the guest failed. */
  close(): Promise<void>;
}

/** Whether a directive is part of the guest that is measured; directives without a mask belong to all guests. */
export function isForPlatform(directive: object, compatibilityMask: number): boolean {
  if (!('compatibilityMask' in directive) || typeof directive.compatibilityMask !== 'number') return true;
  // As an unsigned number: the result of `&` is negative when both masks have bit 31.
  return (directive.compatibilityMask & compatibilityMask) >>> 0 === compatibilityMask;
}

/**
 * Most pages of all inserted areas and error ranges together: 256 MiB. VBS hashes every byte of them, their sizes come
 * unchecked from the file, and a few bytes of header must not keep a processor busy for seconds.
 */
const PAGE_LIMIT = 2 ** 16;

/** The sizes of a file's parameter areas, and the guest pages that they occupy. */
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
        'the parameter areas and error ranges of the file have more than 256 MiB in total',
      );
    }
    for (let offset = 0; offset < size; offset += PAGE_SIZE) yield gpa + offset;
  }
}

/**
 * The number of pages with contents that may be hashed. Decides whether worker threads pay off.
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

/** Where each inserted parameter area lies. Computed before the pages are streamed, as QEMU adds some areas early. */
export class InsertedAreas {
  private readonly pages = new Map<ParameterInsertDirective, number[]>();

  /** @throws IgvmError MEASUREMENT_IMPOSSIBLE for an area that is undefined, defined twice, or too large */
  constructor(directives: readonly Directive[], mask: number) {
    const areas = new ParameterAreas();
    for (const directive of directives) {
      if (directive.type === 'parameterArea') areas.add(directive);
      else if (directive.type === 'parameterInsert' && isForPlatform(directive, mask)) {
        this.pages.set(directive, [...areas.pagesOf(directive)]);
      }
    }
  }

  of(insert: ParameterInsertDirective): readonly number[] {
    return this.pages.get(insert) ?? unreachable('an insert that the file does not have');
  }
}

/**
 * Parameter areas that QEMU adds before the run of pages that it is collecting. QEMU adds a run when the next page does
 * not continue it, but an area at once, without ending the run (QEMU backends/igvm.c: qigvm_process_mem_page,
 * qigvm_directive_parameter_insert).
 */
export class EarlyInserts {
  private readonly byRun = new Map<PageDataDirective, Map<number, ParameterInsertDirective[]>>();
  private readonly early = new Set<ParameterInsertDirective>();

  constructor(directives: readonly Directive[], mask: number) {
    let open: { run: PageDataDirective; page: number; last: PageDataDirective; lastIndex: number } | undefined;
    for (const [index, directive] of directives.entries()) {
      if (!isForPlatform(directive, mask)) continue;
      if (directive.type === 'parameterInsert' && open !== undefined) this.add(open.run, open.page, directive);
      if (directive.type !== 'pageData') continue;
      const start = openStart(directive);
      const continues: boolean =
        open !== undefined && open.lastIndex === index - 1 && continuesRun(open.last, directive);
      if (open === undefined || !continues || start > 0)
        open = { run: directive, page: start, last: directive, lastIndex: index };
      else open = { ...open, last: directive, lastIndex: index };
    }
  }

  before(run: PageDataDirective, page: number): readonly ParameterInsertDirective[] {
    return this.byRun.get(run)?.get(page) ?? [];
  }

  has(insert: ParameterInsertDirective): boolean {
    return this.early.has(insert);
  }

  private add(run: PageDataDirective, page: number, insert: ParameterInsertDirective): void {
    const pages = this.byRun.get(run) ?? new Map<number, ParameterInsertDirective[]>();
    pages.set(page, [...(pages.get(page) ?? []), insert]);
    this.byRun.set(run, pages);
    this.early.add(insert);
  }
}

const filledPages = (run: PageDataDirective): number => Math.ceil(run.content.size / PAGE_SIZE);

/** The page at which the last part of a run begins: its pages without data are a separate part. */
function openStart(run: PageDataDirective): number {
  const filled = filledPages(run);
  return filled > 0 && filled < run.pageCount ? filled : 0;
}

function continuesRun(last: PageDataDirective, next: PageDataDirective): boolean {
  const lastHasData = filledPages(last) === last.pageCount;
  const step = (last.flags & PAGE_FLAG.IS_2MB_PAGE) === 0 ? PAGE_SIZE : 512 * PAGE_SIZE;
  return (
    last.flags === next.flags &&
    last.dataType === next.dataType &&
    last.compatibilityMask === next.compatibilityMask &&
    lastHasData === filledPages(next) > 0 &&
    next.gpa === last.gpa + (last.pageCount - 1) * PAGE_SIZE + step
  );
}
