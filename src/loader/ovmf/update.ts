import { hex } from '../../errors/hex';
import { IgvmError } from '../../errors/igvm-error';
import type { Directive, IgvmFile, PageDataDirective } from '../../igvm/model';
import { PAGE_FLAG } from '../../igvm/page-data';
import { validateIgvm } from '../../igvm/validate';
import { type ByteSource, bytesSource, EMPTY_SOURCE, regionSource } from '../../memory/byte-source';
import { alignUp, PAGE_SIZE } from '../../memory/page';
import { StructWriter } from '../../memory/struct-writer';
import { guidBytes } from '../formats/guid';
import { readOvmfTable } from '../formats/ovmf-table';
import { checkNoPageTwice, dataPages, inWrapOrder, withoutPageAt } from './pages';
import type { SecureBootVariables } from './secure-boot';

/** What is put into an image for OVMF. */
export interface OvmfPrograms {
  /** The program that the firmware starts; it starts `kernel`. */
  shim?: ByteSource;
  /** Any EFI program: a kernel with an EFI stub, a UKI. */
  kernel?: ByteSource;
  /** With them, the firmware checks the programs; these are then not part of the launch measurement. */
  secureBoot?: SecureBootVariables;
}

/** Where the data begins, and where the list that leads to it is announced. */
const DATA_START = 0x2000_0000;
/** The page with the reset vector and, for an image that can be updated, with the firmware's metadata. */
const LAST_FIRMWARE_PAGE = 0xffff_f000;

/** Types of the data (edk2: EFI_IGVM_DATA_HOB). */
const DATA_TYPE = { pk: 0x100, kek: 0x101, db: 0x102, dbx: 0x103, shim: 0x200, kernel: 0x201 } as const;

const HOB = {
  guidExtension: { type: 4, size: 48, guid: guidBytes('3dd177ff-b632-4e25-bef3-065063d55fc4') },
  endOfList: { type: 0xffff, size: 8 },
} as const;

interface Item {
  type: number;
  content: ByteSource;
  isMeasured: boolean;
  address: number;
}

/**
 * An image of OVMF with programs and Secure Boot's variables in it, where igvm-update 0.2.6 puts them (bin/igvm-update.rs, builder.rs):
 * from 512 MiB on, with a list of them (HOBs) where the firmware looks for it.
 * @returns a file of version 2 for x64, whatever `image` was, sorted as igvm-wrap does
 * @throws IgvmError OVMF_UNSUITABLE when the image has no firmware that takes such a list, LAYOUT_OVERLAP when something is there
 *   already, IGVM_INVALID, and what the sources throw
 */
export function addPrograms(image: IgvmFile, programs: OvmfPrograms): IgvmFile {
  const file: IgvmFile = { ...image, version: 2, arch: 'x64' };
  validateIgvm(file, { parameterOffsets: false });
  const hobArea = hobAreaOf(file.directives);
  const items = itemsOf(programs);
  const mask = file.platforms.reduce((bits, { compatibilityMask }) => bits | compatibilityMask, 0) >>> 0;
  let directives = file.directives;
  if (items.length > 0) {
    directives = [
      ...withoutPageAt(directives, hobArea),
      ...dataPages(hobArea, mask, bytesSource(hobList(items))),
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
  let next = DATA_START;
  const items: Item[] = [];
  const add = (name: keyof typeof DATA_TYPE, content: ByteSource | undefined, isMeasured: boolean): void => {
    if (content === undefined) return;
    items.push({ type: DATA_TYPE[name], content, isMeasured, address: next });
    next += alignUp(content.size, PAGE_SIZE);
  };
  if (secureBoot !== undefined) {
    for (const name of ['pk', 'kek', 'db', 'dbx'] as const) add(name, bytesSource(secureBoot[name]), true);
  }
  add('shim', shim, secureBoot === undefined);
  add('kernel', kernel, secureBoot === undefined);
  return items;
}

const pagesOf = (items: readonly Item[], mask: number, isMeasured: boolean): PageDataDirective[] =>
  items
    .filter((item) => item.isMeasured === isMeasured)
    .flatMap(({ address, content }) => dataPages(address, mask, content, isMeasured ? 0 : PAGE_FLAG.UNMEASURED));

/** UEFI PI specification, volume 3: a GUID extension for each item, and the end of the list. */
function hobList(items: readonly Item[]): Uint8Array {
  const { guidExtension, endOfList } = HOB;
  const out = new StructWriter();
  for (const { type, content, address } of items) {
    out.u16(guidExtension.type, guidExtension.size).u32(0).raw(guidExtension.guid);
    out.u64(address, content.size).u32(type, 0);
  }
  return out.u16(endOfList.type, endOfList.size).u32(0).finish();
}

/** Where the firmware looks for the list: read from its last page, as igvm-update does. */
function hobAreaOf(directives: readonly Directive[]): number {
  const run = directives.find(
    (each): each is PageDataDirective =>
      each.type === 'pageData' &&
      each.gpa <= LAST_FIRMWARE_PAGE &&
      LAST_FIRMWARE_PAGE < each.gpa + each.pageCount * PAGE_SIZE,
  );
  if (run === undefined) throw unsuitable(`there is no page at the reset vector, ${hex(LAST_FIRMWARE_PAGE)}`);
  const regions = readOvmfTable(pageAt(run, LAST_FIRMWARE_PAGE));
  if (regions === undefined) throw unsuitable("the firmware's last page has no metadata of OVMF");
  const area = regions.find(({ kind }) => kind === 'hobArea');
  if (area === undefined) throw unsuitable("the metadata in the firmware's last page names no HOB area");
  return area.base;
}

/** A whole page, or no bytes where the page has no data. */
function pageAt({ gpa, content }: PageDataDirective, at: number): ByteSource {
  const start = at - gpa;
  if (start >= content.size) return EMPTY_SOURCE;
  const page = new Uint8Array(PAGE_SIZE);
  const there = regionSource(content, start, Math.min(PAGE_SIZE, content.size - start));
  there.read(0, page.subarray(0, there.size));
  return bytesSource(page);
}

const unsuitable = (why: string): IgvmError => new IgvmError('OVMF_UNSUITABLE', why);
