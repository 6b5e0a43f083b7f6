import { type IgvmFile, PAGE_FLAG, type PageDataDirective } from '../../igvm/model';
import { validateIgvm } from '../../igvm/validate';
import { type ByteSource, bytesSource } from '../../memory/byte-source';
import { alignUp, PAGE_SIZE } from '../../memory/page';
import {
  encodeHobList,
  hobAreaOf,
  OVMF_ITEM_NAMES,
  OVMF_ITEMS_START,
  type OvmfItem,
  type OvmfItemName,
} from './hob-list';
import { checkNoPageTwice, dataPages, inWrapOrder, withoutPageAt } from './pages';
import { allPlatforms, putIn, withoutPutIn } from './put-in';
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

interface Item extends OvmfItem {
  content: ByteSource;
  isMeasured: boolean;
}

/**
 * An image of OVMF with programs and Secure Boot's variables in it, where igvm-update 0.2.6 puts them (bin/igvm-update.rs, builder.rs):
 * from 512 MiB on, with a list of them (HOBs) where the firmware looks for it. They replace everything that an earlier update put in.
 * Empty programs alone replace the list, and leave the pages, as with igvm-update.
 * @returns a file of version 2 for x64, whatever `image` was, sorted as igvm-wrap does
 * @throws IgvmError OVMF_UNSUITABLE when the image has no firmware that takes such a list, LAYOUT_OVERLAP when something is there
 *   that no update put in, IGVM_INVALID, and what the sources throw
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
