import { unreachable } from '../errors/igvm-error';
import type { Directive, PageDataDirective, ParameterInsertDirective } from '../igvm/model';
import { PAGE_FLAG } from '../igvm/page-data';
import { PAGE_SIZE } from '../memory/page';
import { isForPlatform } from './launch-digest';
import { ParameterAreas } from './parameter-areas';

/** Where each inserted parameter area lies. Known before the pages stream by, as QEMU adds some of them earlier. */
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
 * Parameter areas that QEMU adds before the run of pages that it is gathering. It adds such a run when a page comes that
 * does not continue it, and an area at once, which leaves the run open (QEMU backends/igvm.c: qigvm_process_mem_page,
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

/** The page at which the last part of a run begins: those without data are a part of their own. */
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
