/**
 * The list through which OVMF finds the programs and variables of an image, and its place (UEFI PI specification,
 * volume 3; edk2: EFI_IGVM_DATA_HOB).
 */
import { hex } from '../../errors/printable';
import { IgvmError } from '../../errors/igvm-error';
import type { Directive, PageDataDirective } from '../../igvm/model';
import { type ByteSource, bytesSource, EMPTY_SOURCE, regionSource } from '../../memory/byte-source';
import { alignUp, PAGE_SIZE } from '../../memory/page';
import { StructWriter } from '../../memory/struct-writer';
import { guidBytes, hexOfGuid, readOvmfTable } from '../formats/ovmf-table';

/** Types of the data, in the order in which igvm-update puts them into memory. */
const DATA_TYPE = { pk: 0x100, kek: 0x101, db: 0x102, dbx: 0x103, shim: 0x200, kernel: 0x201 } as const;

export type OvmfItemName = keyof typeof DATA_TYPE;
/** All names, in the order of their places. */
export const OVMF_ITEM_NAMES = Object.keys(DATA_TYPE) as readonly OvmfItemName[];

/** An item that an image passes to OVMF: a variable of Secure Boot, or a program. */
export interface OvmfItem {
  name: OvmfItemName;
  /** GPA in bytes, at a page. */
  address: number;
  /** Bytes. An empty item takes no memory. */
  size: number;
}

/** GPA of the first item; each following one begins at the next whole page. */
export const OVMF_ITEMS_START = 0x2000_0000;
const FOUR_GIB = 2 ** 32;

/** The page with the reset vector and, for an image that can be updated, with the firmware's metadata. */
const LAST_FIRMWARE_PAGE = 0xffff_f000;

const GUID = '3dd177ff-b632-4e25-bef3-065063d55fc4';
const GUID_EXTENSION = { type: 4, size: 48, guid: 8, address: 24, length: 32, dataType: 40 } as const;
const END_OF_LIST = { type: 0xffff, size: 8 } as const;

/** The list of these items as the firmware reads it: a GUID extension HOB for each, and the end of the list. */
export function encodeHobList(items: readonly OvmfItem[]): Uint8Array {
  const out = new StructWriter();
  for (const { name, address, size } of items) {
    out.u16(GUID_EXTENSION.type, GUID_EXTENSION.size).u32(0).raw(guidBytes(GUID));
    out.u64(address, size).u32(DATA_TYPE[name], 0);
  }
  return out.u16(END_OF_LIST.type, END_OF_LIST.size).u32(0).finish();
}

/**
 * The items of a list that igvm-update 0.2.6 or `nx-igvm update` made.
 * @param page the first page of the HOB area
 * @returns undefined for anything else: other HOBs, unexpected addresses (see {@link OVMF_ITEMS_START}), no list at all
 */
export function decodeHobList(page: Uint8Array): OvmfItem[] | undefined {
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  const items: OvmfItem[] = [];
  let next = OVMF_ITEMS_START;
  let names = OVMF_ITEM_NAMES;
  for (let at = 0; at + GUID_EXTENSION.size <= page.length; at += GUID_EXTENSION.size) {
    const type = view.getUint16(at, true);
    const length = view.getUint16(at + 2, true);
    if (type === END_OF_LIST.type && length === END_OF_LIST.size) return items.length > 0 ? items : undefined;
    if (type !== GUID_EXTENSION.type || length !== GUID_EXTENSION.size) return undefined;
    const guid = page.subarray(at + GUID_EXTENSION.guid, at + GUID_EXTENSION.address);
    if (Buffer.from(guid).toString('hex') !== hexOfGuid(GUID)) return undefined;
    const dataType = view.getUint32(at + GUID_EXTENSION.dataType, true);
    const place = names.findIndex((each) => DATA_TYPE[each] === dataType);
    const size = view.getBigUint64(at + GUID_EXTENSION.length, true);
    if (place < 0 || size > FOUR_GIB) return undefined;
    if (view.getBigUint64(at + GUID_EXTENSION.address, true) !== BigInt(next)) return undefined;
    items.push({ name: names[place]!, address: next, size: Number(size) });
    names = names.slice(place + 1);
    next += alignUp(Number(size), PAGE_SIZE);
  }
  return undefined;
}

/**
 * GPA of the page where the firmware looks for the list, from the firmware's last page, as in igvm-update.
 * @throws IgvmError OVMF_UNSUITABLE when the image has no firmware with such a page
 */
export function hobAreaOf(directives: readonly Directive[]): number {
  const run = directives.find((each): each is PageDataDirective => hasPage(each, LAST_FIRMWARE_PAGE));
  if (run === undefined) throw unsuitable(`there is no page at the reset vector, ${hex(LAST_FIRMWARE_PAGE)}`);
  const regions = readOvmfTable(pageAt(run, LAST_FIRMWARE_PAGE));
  if (regions === undefined) throw unsuitable("the firmware's last page has no metadata of OVMF");
  const area = regions.find(({ kind }) => kind === 'hobArea');
  if (area === undefined) throw unsuitable("the metadata in the firmware's last page names no HOB area");
  return area.base;
}

/** Whether this is page data that includes the page at `gpa`. */
export const hasPage = (directive: Directive, gpa: number): directive is PageDataDirective =>
  directive.type === 'pageData' && directive.gpa <= gpa && gpa < directive.gpa + directive.pageCount * PAGE_SIZE;

/** A whole page of a run, padded with zeros; no bytes if the page has no data. */
export function pageAt({ gpa, content }: PageDataDirective, at: number): ByteSource {
  const start = at - gpa;
  if (start >= content.size) return EMPTY_SOURCE;
  const page = new Uint8Array(PAGE_SIZE);
  const there = regionSource(content, start, Math.min(PAGE_SIZE, content.size - start));
  there.read(0, page.subarray(0, there.size));
  return bytesSource(page);
}

const unsuitable = (why: string): IgvmError => new IgvmError('OVMF_UNSUITABLE', why);
