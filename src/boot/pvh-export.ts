import { IgvmError } from '../errors/igvm-error';
import { type Access, accessOfFiles } from '../files/access';
import { checkNotInputs, createOutputSet } from '../files/atomic-output';
import { withImage } from '../files/igvm-image';
import type { IgvmFile } from '../igvm/model';
import type { IgvmSink } from '../igvm/file-data';
import { ENTRY } from '../loader/cpu/tables-x64';
import { HIGH_MEMORY_START, LOW_MEMORY_END } from '../loader/linux/linux-direct';
import { bytesSource } from '../memory/byte-source';
import { PAGE_SIZE, pagesFor } from '../memory/page';
import type { GuestPages, PageRange } from './guest-pages';
import { fillParameters } from './guest-parameters';
import { nativeGuest, type NativeGuest } from './native-guest';
import { writePvhElf } from './pvh-elf';
import { type StagedCopy, STUB, stubBlock } from './pvh-stub';

/**
 * The source of a Linux guest's memory map and ACPI tables. `vmm`: the VMM; processors, PCI interrupts and power-off work as with any
 * kernel. `image`: the image's e820, ACPI and MP tables. `auto`: the image if it has a memory map, otherwise the VMM.
 */
export type GuestTables = 'vmm' | 'auto' | 'image';

export interface PvhExportOptions {
  /** Default `vmm`. */
  tables?: GuestTables;
  /** Replaces the image's command line. */
  commandLine?: string;
  /** The size of the VM's memory in bytes, for images that request a memory map. */
  memory?: number;
  /** The number of the VM's processors, for images that request it. Default: 1. */
  cpus?: number;
}

/** The result of an export. */
export interface PvhExport {
  /** The size of the ELF file in bytes. */
  fileSize: number;
  /** GPA of the stub, where the VM enters the image. */
  entry: number;
  /** The memory that a VM must have from GPA 0 on, in bytes. */
  memoryNeeded: number;
  /** Bytes from GPA 0 to the end of the image's pages; firmware must not use memory below. */
  pagesEnd: number;
  /** The source of the guest's tables. */
  tables: 'vmm' | 'image';
}

/** Below this GPA, the VMM and its firmware have data of their own until the guest runs. Such pages are staged above it. */
const STAGED_BELOW = HIGH_MEMORY_START;

const FOUR_GIB = 2 ** 32;

/**
 * Writes an image's NATIVE guest as one ELF file that any PVH VMM boots as a kernel. Pages above 1 MiB load at their addresses. Those
 * below, together with a stub, load into the first gap above 1 MiB. The stub copies them to their addresses and enters the VP context.
 * The image is read in chunks, so memory use doesn't depend on its size.
 * @param sink gets the file, which is incomplete if this fails
 * @throws IgvmError BOOT_PLATFORM, BOOT_CONTEXT, BOOT_LAYOUT, BOOT_PARAMETER, BOOT_OPTION
 */
export const exportPvh = (file: IgvmFile, sink: IgvmSink, options: PvhExportOptions = {}): Promise<PvhExport> =>
  exportGuest(nativeGuest(file), sink, options);

/**
 * {@link exportPvh} for a guest that has already been read. This fills in its parameters, so export it only once.
 * @throws IgvmError BOOT_CONTEXT, BOOT_LAYOUT, BOOT_PARAMETER, BOOT_OPTION
 */
export async function exportGuest(
  guest: NativeGuest,
  sink: IgvmSink,
  { tables: asked, commandLine, memory, cpus }: PvhExportOptions,
): Promise<PvhExport> {
  const { pages, context, zeroPage } = guest;
  checkPlaces(pages);
  const tables = chosenTables(asked, guest);
  fillParameters(guest, { tables, commandLine, memory, cpus });

  const low = pages.within(0, STAGED_BELOW);
  const size = PAGE_SIZE + low.reduce((sum, range) => sum + range.size, 0);
  const base = stagingPlace(guest, size);
  const copies: StagedCopy[] = [];
  const staged: PageRange[] = [];
  let next = base + PAGE_SIZE;
  for (const range of low) {
    copies.push({ source: next, destination: range.gpa, size: range.size });
    staged.push({ ...range, gpa: next });
    next += range.size;
  }
  const whileStaged = (gpa: number): number => {
    const copy = copies.find(({ destination, size: bytes }) => gpa >= destination && gpa < destination + bytes);
    return copy === undefined ? gpa : copy.source + gpa - copy.destination;
  };
  const filledZeroPage = tables === 'vmm' && zeroPage !== undefined ? whileStaged(zeroPage.gpa) : 0;
  const block = stubBlock(base, context, copies, filledZeroPage);
  if (block.length > PAGE_SIZE) {
    throw new IgvmError(
      'BOOT_LAYOUT',
      `the pages below 1 MiB lie in ${copies.length} separate places, too many to copy`,
    );
  }
  const ranges = [
    ...pages.within(STAGED_BELOW, Infinity),
    { gpa: base, size: PAGE_SIZE, content: bytesSource(block) },
    ...staged,
  ].sort((a, b) => a.gpa - b.gpa);
  const entry = base + STUB.CODE;
  const fileSize = await writePvhElf(sink, ranges, entry);
  const pagesEnd = Math.max(pages.end, base + size);
  const memoryNeeded = Math.max(guest.memoryNeeded, pagesEnd, tables === 'image' ? (zeroPage?.ramEnd ?? 0) : 0);
  return { fileSize, entry, memoryNeeded, pagesEnd, tables };
}

function checkPlaces(pages: GuestPages): void {
  const [misplaced] = pages.within(LOW_MEMORY_END, STAGED_BELOW);
  if (misplaced !== undefined) {
    throw new IgvmError('BOOT_LAYOUT', 'the image has pages where VMMs have video memory and firmware', {
      gpa: { start: misplaced.gpa, end: misplaced.gpa + misplaced.size },
    });
  }
}

/** The source of an exported guest's tables. */
export function chosenTables(asked: GuestTables = 'vmm', { zeroPage }: NativeGuest): 'vmm' | 'image' {
  if (zeroPage === undefined) return 'image';
  if (asked !== 'auto') return asked;
  return zeroPage.hasMemoryMap ? 'image' : 'vmm';
}

/** The first gap above 1 MiB for `size` bytes whose first page the image's page tables map to itself. */
function stagingPlace({ pages, context }: NativeGuest, size: number): number {
  let candidate = STAGED_BELOW;
  for (const { gpa, size: taken } of [...pages.within(STAGED_BELOW, FOUR_GIB), { gpa: FOUR_GIB, size: 0 }]) {
    // The page tables may map only some gaps.
    if (candidate + size <= gpa && isIdentityMapped(pages, context.cr3, candidate)) return candidate;
    candidate = gpa + taken;
  }
  throw new IgvmError(
    'BOOT_LAYOUT',
    `there is no gap of ${pagesFor(size)} pages between 1 MiB and 4 GiB that the image's page tables map to itself`,
  );
}

/** Address bits below the index of each level: PML4, PDPT, PD, PT. */
const SHIFTS = [39n, 30n, 21n, 12n] as const;

/** Whether the image's own 4-level page tables map the virtual address `address` to the same GPA. */
export function isIdentityMapped(pages: GuestPages, cr3: bigint, address: number): boolean {
  const virtual = BigInt(address);
  let table = cr3 & ENTRY.ADDRESS;
  for (const shift of SHIFTS) {
    const page = pages.page(Number(table));
    if (page === undefined) return false;
    const index = Number((virtual >> shift) & 511n);
    const entry = new DataView(page.buffer, page.byteOffset, page.length).getBigUint64(index * 8, true);
    if ((entry & ENTRY.PRESENT) === 0n) return false;
    const isLeaf = shift === 12n || ((entry & ENTRY.LARGE) !== 0n && shift < 39n);
    if (isLeaf) {
      const offset = (1n << shift) - 1n;
      return ((entry & ENTRY.ADDRESS & ~offset) | (virtual & offset)) === virtual;
    }
    table = entry & ENTRY.ADDRESS;
  }
  return false;
}

/** Writes the file `path`, which appears once it is complete. @throws IgvmError FILE_UNWRITABLE */
export async function writingFile<T>(
  path: string,
  write: (begin: () => IgvmSink) => Promise<T>,
  access?: Access,
): Promise<T> {
  const outputs = createOutputSet();
  try {
    const result = await write(() => outputs.add(path, access));
    await outputs.commit();
    return result;
  } finally {
    await outputs.abort();
  }
}

/**
 * Exports an image on disk, or the one inside a firmware DLL: see {@link exportGuest}.
 * @throws IgvmError as reading the image does, including FILE_CHANGED; FILE_UNWRITABLE also if the output is the image
 */
export async function exportImage(image: string, path: string, options: PvhExportOptions = {}): Promise<PvhExport> {
  checkNotInputs([path], [image]);
  const write = (begin: () => IgvmSink): Promise<PvhExport> =>
    withImage(image, ({ file }) => exportGuest(nativeGuest(file), begin(), options));
  return writingFile(path, write, accessOfFiles([image]));
}
