import { IgvmError } from '../../errors/igvm-error';
import { type Directive, type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG, type PageDataDirective } from '../../igvm/model';
import { validateIgvm } from '../../igvm/validate';
import { type ByteSource, bytesSource, readAll } from '../../memory/byte-source';
import { alignUp, PAGE_SIZE, pagesFor } from '../../memory/page';
import {
  decodeHobList,
  encodeHobList,
  hasPage,
  hobAreaOf,
  OVMF_ITEM_NAMES,
  OVMF_ITEMS_START,
  type OvmfItem,
  type OvmfItemName,
  pageAt,
} from './hob-list';
import { checkNoPageTwice, dataPages, inWrapOrder, withoutPageAt, withoutPages } from './pages';
import type { SecureBootVariables } from './secure-boot';

/** What is put into an image for OVMF. */
export interface OvmfPrograms {
  /** The program that the firmware starts and that starts `kernel`. */
  shim?: ByteSource;
  /** Any EFI program: a kernel with an EFI stub, a UKI. */
  kernel?: ByteSource;
  /** With them, the firmware checks the programs; these are then not part of the launch measurement. */
  secureBoot?: SecureBootVariables;
}

interface Item extends OvmfItem {
  content: ByteSource;
  isMeasured: boolean;
}

/**
 * An image of OVMF with programs and Secure Boot's variables in it, where igvm-update 0.2.6 puts them
 * (bin/igvm-update.rs, builder.rs): from 512 MiB on, with a list of them (HOBs) where the firmware looks for it. They
 * replace everything that an earlier update put in. As with igvm-update, an update with only empty programs replaces
 * the list and leaves the pages.
 * @returns a file of version 2 for x64, whatever `image` was, sorted as igvm-wrap does
 * @throws IgvmError OVMF_UNSUITABLE when the image has no firmware that takes such a list, LAYOUT_OVERLAP when
 *   something is there that no update put in, IGVM_INVALID, and what the sources throw
 */
export function addPrograms(image: IgvmFile, programs: OvmfPrograms): IgvmFile {
  const file: IgvmFile = { ...image, version: 2, arch: 'x64' };
  validateIgvm(file, { parameterOffsets: false });
  const hobArea = hobAreaOf(file.directives);
  const items = itemsOf(programs);
  const mask = allPlatforms(file);
  let directives = file.directives;
  if (items.length > 0) {
    if (items.some(({ size }) => size > 0)) directives = withoutPutIn(file, putIn(file));
    directives = [
      ...withoutPageAt(directives, hobArea),
      ...dataPages(hobArea, mask, bytesSource(encodeHobList(items))),
      ...pagesOf(items, mask, true),
      ...pagesOf(items, mask, false),
    ];
  }
  checkNoPageTwice(directives);
  file.directives = inWrapOrder(directives);
  validateIgvm(file, { parameterOffsets: false });
  return file;
}

/** Variables first, each at the next whole page. An empty program takes no memory. */
function itemsOf({ shim, kernel, secureBoot }: OvmfPrograms): Item[] {
  const contents: Partial<Record<OvmfItemName, ByteSource>> = { shim, kernel };
  if (secureBoot !== undefined) {
    for (const name of ['pk', 'kek', 'db', 'dbx'] as const) contents[name] = bytesSource(secureBoot[name]);
  }
  let address = OVMF_ITEMS_START;
  return OVMF_ITEM_NAMES.flatMap((name): Item[] => {
    const content = contents[name];
    if (content === undefined) return [];
    const isMeasured = secureBoot === undefined || (name !== 'shim' && name !== 'kernel');
    const item = { name, address, size: content.size, content, isMeasured };
    address += alignUp(content.size, PAGE_SIZE);
    return [item];
  });
}

const pagesOf = (items: readonly Item[], mask: number, isMeasured: boolean): PageDataDirective[] =>
  items
    .filter((item) => item.isMeasured === isMeasured)
    .flatMap(({ address, content }) => dataPages(address, mask, content, isMeasured ? 0 : PAGE_FLAG.UNMEASURED));

/** Programs and variables of an earlier `update`, by igvm-update 0.2.6 or by ours, and their removal. */

/** The programs and variables that an update put into an image. */
interface PutIn {
  /** In the order of their addresses; empty if nothing was put in. */
  items: OvmfItem[];
  /** GPAs in bytes of the pages with their data; the end is exclusive. */
  pages: { start: number; end: number };
}

/** The mask of all platforms of an image. */
const allPlatforms = ({ platforms }: IgvmFile): number =>
  platforms.reduce((bits, { compatibilityMask }) => bits | compatibilityMask, 0) >>> 0;

/**
 * The programs and variables that an update put into this image, from the list in its HOB area. A list that doesn't
 * match the image's pages is ignored. Reads two pages.
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
  // With only empty programs, igvm-update leaves the pages of the previous update, without an entry in the list.
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

/** The number of pages from the first item to `end`. */
const pagesIn = (runs: readonly PageDataDirective[], end: number): number =>
  runs.reduce((count, { gpa, pageCount }) => {
    const [from, to] = [Math.max(gpa, OVMF_ITEMS_START), Math.min(gpa + pageCount * PAGE_SIZE, end)];
    return count + Math.max(0, (to - from) / PAGE_SIZE);
  }, 0);

/** The end of the pages that start at the first item. */
function adjacentEnd(runs: readonly PageDataDirective[]): number {
  let end = OVMF_ITEMS_START;
  for (const { gpa, pageCount } of runs.toSorted((a, b) => a.gpa - b.gpa)) {
    if (gpa <= end) end = Math.max(end, gpa + pageCount * PAGE_SIZE);
  }
  return end;
}

/** The directives without the pages that an update put in; the list of them stays. */
const withoutPutIn = (file: IgvmFile, { pages }: PutIn): Directive[] => {
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
      throw new IgvmError('OVMF_UNSUITABLE', 'the list in the HOB area was not made by an update', {
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
