/** What an earlier `update`, of igvm-update 0.2.6 or of ours, put into an image, and how it is taken out again. */
import { IgvmError } from '../../errors/igvm-error';
import { type Directive, type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG, type PageDataDirective } from '../../igvm/model';
import { bytesSource, readAll } from '../../memory/byte-source';
import { PAGE_SIZE, pagesFor } from '../../memory/page';
import { decodeHobList, hasPage, hobAreaOf, OVMF_ITEMS_START, type OvmfItem, pageAt } from './hob-list';
import { dataPages, inWrapOrder, withoutPageAt, withoutPages } from './pages';

/** What is in an image by an update. */
export interface PutIn {
  /** In the order of their places; none where nothing was put in. */
  items: OvmfItem[];
  /** GPAs in bytes of the pages with their data; the end is the first byte behind them. */
  pages: { start: number; end: number };
}

/** All platforms of an image: what a page has that is for each of them. */
export const allPlatforms = ({ platforms }: IgvmFile): number =>
  platforms.reduce((bits, { compatibilityMask }) => bits | compatibilityMask, 0) >>> 0;

/**
 * What an update put into this image, which the list in its HOB area says. A list that doesn't fit the image's pages doesn't count.
 * Reads two pages.
 * @throws IgvmError OVMF_UNSUITABLE when the image has no firmware with a HOB area, and what the image's sources throw
 */
export function putIn(file: IgvmFile): PutIn {
  const items = listedIn(file, hobAreaOf(file.directives));
  const last = items.at(-1);
  if (last === undefined) return nothing();
  const end = last.address + pagesFor(last.size) * PAGE_SIZE;
  const runs = file.directives.filter((directive) => isPutIn(directive, allPlatforms(file)));
  const isComplete = pagesIn(runs, end) === (end - OVMF_ITEMS_START) / PAGE_SIZE;
  if (!isComplete) return nothing();
  // After an update with empty programs alone, igvm-update leaves the pages of the one before, without an entry in the list.
  return { items, pages: { start: OVMF_ITEMS_START, end: end > OVMF_ITEMS_START ? end : adjacentEnd(runs) } };
}

const nothing = (): PutIn => ({ items: [], pages: { start: OVMF_ITEMS_START, end: OVMF_ITEMS_START } });

function listedIn(file: IgvmFile, hobArea: number): OvmfItem[] {
  const page = hobPage(file, hobArea);
  return (page && decodeHobList(page)) ?? [];
}

function hobPage(file: IgvmFile, hobArea: number): Uint8Array | undefined {
  const mask = allPlatforms(file);
  const run = file.directives.find(
    (each): each is PageDataDirective => hasPage(each, hobArea) && isPutIn(each, mask) && each.flags === 0,
  );
  return run && readAll(pageAt(run, hobArea), PAGE_SIZE);
}

/** Whether pages are of the kind that an update adds. */
const isPutIn = (directive: Directive, mask: number): directive is PageDataDirective =>
  directive.type === 'pageData' &&
  directive.compatibilityMask === mask &&
  directive.dataType === PAGE_DATA_TYPE.NORMAL &&
  (directive.flags === 0 || directive.flags === PAGE_FLAG.UNMEASURED) &&
  directive.content.size > 0;

/** How many pages there are from the first item's place to `end`. */
const pagesIn = (runs: readonly PageDataDirective[], end: number): number =>
  runs.reduce((count, { gpa, pageCount }) => {
    const [from, to] = [Math.max(gpa, OVMF_ITEMS_START), Math.min(gpa + pageCount * PAGE_SIZE, end)];
    return count + Math.max(0, (to - from) / PAGE_SIZE);
  }, 0);

/** Where the pages from the first item's place on end. */
function adjacentEnd(runs: readonly PageDataDirective[]): number {
  let end = OVMF_ITEMS_START;
  for (const { gpa, pageCount } of runs.toSorted((a, b) => a.gpa - b.gpa)) {
    if (gpa <= end) end = Math.max(end, gpa + pageCount * PAGE_SIZE);
  }
  return end;
}

/** The directives without the pages that an update put in; the list of them stays. */
export const withoutPutIn = (file: IgvmFile, { pages }: PutIn): Directive[] => {
  const mask = allPlatforms(file);
  return withoutPages(file.directives, pages, (run) => isPutIn(run, mask));
};

/**
 * The image as it was before programs and variables were put into it: the bytes that `nx-igvm wrap` or igvm-wrap wrote.
 * An image without any is returned as it is.
 * @throws IgvmError OVMF_UNSUITABLE when the image has no firmware with a HOB area, or a list there that no update made
 */
export function removePrograms(image: IgvmFile): IgvmFile {
  const hobArea = hobAreaOf(image.directives);
  const there = putIn(image);
  if (there.items.length === 0) {
    if (hobPage(image, hobArea)?.some((byte) => byte !== 0)) {
      throw new IgvmError('OVMF_UNSUITABLE', 'the list in the HOB area is none that an update made', {
        gpa: { start: hobArea, end: hobArea + PAGE_SIZE },
      });
    }
    return image;
  }
  const emptyList = dataPages(hobArea, allPlatforms(image), bytesSource(new Uint8Array(1)));
  return {
    ...image,
    directives: inWrapOrder([...withoutPageAt(withoutPutIn(image, there), hobArea), ...emptyList]),
  };
}
