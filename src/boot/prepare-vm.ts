import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { type OpenImage, withImage } from '../files/igvm-image';
import type { IgvmFile } from '../igvm/model';
import type { IgvmSink } from '../igvm/file-data';
import type { ByteSource } from '../memory/byte-source';
import { formatMemorySize } from '../memory/page';
import type { BootRequest } from './boot-image';
import type { InstalledVmm } from './find-vmm';
import { firmwareGuest, type FirmwareGuest, startsAtResetVector, writeFirmware, writeRanges } from './firmware-guest';
import { nativeGuest, type NativeGuest, nativeMemory, type NativeMemory } from './native-guest';
import { chosenTables, exportGuest, writingFile } from './pvh-export';
import type { BootWay, Vmm, VmSpec } from './vmm';

const DEFAULT_MEMORY = 2 ** 29;

/** A generous estimate of the memory that a kernel needs besides its image. Bytes. */
const HEADROOM = 2 ** 27;

const MIB = 2 ** 20;

/** The default memory for firmware, and the memory for it besides the image's pages. Bytes. */
const FIRMWARE_MEMORY = 2 ** 30;
const FIRMWARE_HEADROOM = 2 ** 29;
/** A PC has no memory for pages from here on. */
const FIRMWARE_FROM = 0xff00_0000;

/** Bytes copied at a time. */
const CHUNK = 1 << 20;

/** What the VMM does with the image, for each way. */
export const WAY_TEXTS: Record<BootWay, string> = {
  pvh: 'boots the image as a PVH kernel (way pvh)',
  igvm: 'loads the image itself (way igvm)',
  bios: "starts the image's firmware (way bios)",
};

/**
 * Everything about the VM that depends on the image. The files from which it boots are in `folder`, or the image itself.
 * @throws IgvmError BOOT_*, VMM_UNSUPPORTED, and what reading the image throws
 */
export const prepareVm = (
  request: BootRequest,
  installed: InstalledVmm,
  folder: string,
  size: VmSize,
): Promise<Omit<VmSpec, 'accel' | 'extraArgs'>> =>
  withImage(request.image, async (image) => {
    const { way: asked } = request;
    if (asked !== undefined && !Object.hasOwn(WAY_TEXTS, asked)) {
      throw new IgvmError('BOOT_OPTION', `way is "${String(asked)}", but must be ${Object.keys(WAY_TEXTS).join(', ')}`);
    }
    if (asked === 'igvm') checkLoadable(image.file, installed);
    const memory = nativeMemory(image.file);
    if (startsAtResetVector(memory)) return prepareFirmware(request, installed, folder, size, image, memory);
    if (asked === 'bios') throw new IgvmError('BOOT_WAY', 'only a firmware image can boot with way bios');
    return prepareGuest(request, installed, folder, size, image, nativeGuest(image.file, memory));
  });

/** The requested size of the VM. Memory in bytes. */
export interface VmSize {
  cpus: number;
  askedMemory: number | undefined;
}

async function prepareGuest(
  { image: path, way = 'pvh', commandLine, tables: askedTables }: BootRequest,
  installed: InstalledVmm,
  folder: string,
  { cpus, askedMemory }: VmSize,
  image: OpenImage,
  guest: NativeGuest,
): Promise<Omit<VmSpec, 'accel' | 'extraArgs'>> {
  if (way === 'igvm') {
    const whose = "a guest that its VMM loads from the image gets the image's";
    if (askedTables === 'vmm') throw new IgvmError('BOOT_WAY', `${whose} tables, not the VMM's`);
    if (commandLine !== undefined) {
      throw new IgvmError('BOOT_WAY', 'a guest that the VMM loads from the image gets the command line from the image');
    }
  }
  const tables = way === 'igvm' ? 'image' : chosenTables(askedTables, guest);
  const memory = vmMemory(guest, { way, tables }, installed, askedMemory);
  if (way === 'igvm') return { way, file: await loadableFile(image, path, folder), memory, cpus, tables };
  const file = join(folder, 'guest.elf');
  const options = { tables, commandLine, memory, cpus };
  const { memoryNeeded, pagesEnd } = await writingFile(file, (begin) => exportGuest(guest, begin(), options));
  // Staged pages need memory, too.
  checkMemory(memory, Math.max(memoryNeeded, pagesEnd + installed.vmm.firmwareRoom));
  return { way, file, memory, cpus, tables };
}

/** Firmware itself asks the VMM for memory, tables and processors, however it got into the VM. */
async function prepareFirmware(
  request: BootRequest,
  installed: InstalledVmm,
  folder: string,
  { cpus, askedMemory }: VmSize,
  image: OpenImage,
  contents: NativeMemory,
): Promise<Omit<VmSpec, 'accel' | 'extraArgs'>> {
  const { vmm, capabilities } = installed;
  if (request.way === 'pvh')
    throw new IgvmError('BOOT_WAY', 'firmware boots with way bios or igvm, not as a PVH kernel');
  if (request.tables === 'image')
    throw new IgvmError('BOOT_WAY', "a firmware image has no tables of its own; it gets the VMM's");
  if (request.commandLine !== undefined) {
    throw new IgvmError('BOOT_WAY', 'a kernel that firmware starts gets its command line from its UKI or boot loader');
  }
  const way = request.way ?? (loadingRefusal(image.file, installed) === undefined ? 'igvm' : 'bios');
  if (!capabilities.ways.includes(way)) {
    throw new IgvmError('VMM_UNSUPPORTED', `${vmm.label} does not start firmware from an image; QEMU does`);
  }
  const size = (guest: Pick<FirmwareGuest, 'memoryNeeded'>): number => firmwareMemory(guest, installed, askedMemory);
  if (way === 'igvm') {
    const memory = size({ memoryNeeded: Math.max(contents.memoryNeeded, ...ramEnds(contents)) });
    return { way, file: await loadableFile(image, request.image, folder), memory, cpus, tables: 'vmm' };
  }
  const guest = firmwareGuest(contents);
  const memory = size(guest);
  if (guest.hasOwnRegisters) {
    request.stderr(
      "nx-igvm: the firmware starts as after a reset, not with the image's registers (way igvm has them)\n",
    );
  }
  const file = join(folder, 'firmware.bin');
  await writingFile(file, (begin) => writeFirmware(guest, begin()));
  const loaded = guest.ram.map((ranges) => {
    const { gpa } = ranges[0]!;
    return { gpa, file: join(folder, `${gpa.toString(16)}.bin`), ranges };
  });
  for (const { file: path, gpa, ranges } of loaded) {
    await writingFile(path, (begin) => writeRanges(ranges, begin(), gpa));
  }
  return { way, file, loaded, memory, cpus, tables: 'vmm' };
}

/** The ends of the pages in memory. */
const ramEnds = ({ pages }: NativeMemory): number[] =>
  pages.within(0, FIRMWARE_FROM).map(({ gpa, size }) => gpa + size);

/** @throws IgvmError BOOT_MEMORY */
function firmwareMemory(
  { memoryNeeded }: Pick<FirmwareGuest, 'memoryNeeded'>,
  { vmm }: InstalledVmm,
  asked: number | undefined,
): number {
  if (memoryNeeded > vmm.lowMemoryEnd) throw tooHigh('pages', memoryNeeded, vmm);
  // Programs are copied once. A UKI's initrd is copied again and then unpacked.
  const memory = asked ?? Math.ceil(Math.max(FIRMWARE_MEMORY, memoryNeeded + FIRMWARE_HEADROOM) / MIB) * MIB;
  checkMemory(memory, memoryNeeded);
  return memory;
}

/**
 * Checks that the VMM can load the file itself.
 * @throws IgvmError BOOT_WAY, VMM_UNSUPPORTED
 */
function checkLoadable(file: IgvmFile, installed: InstalledVmm): void {
  const refusal = loadingRefusal(file, installed);
  if (refusal !== undefined) throw refusal;
}

function loadingRefusal(file: IgvmFile, { vmm, capabilities }: InstalledVmm): IgvmError | undefined {
  if (file.initializations.some(({ type }) => type === 'corimDocument' || type === 'corimSignature')) {
    return new IgvmError(
      'BOOT_WAY',
      `${vmm.label} can't read an image that holds CoRIM documents: build it with --no-embed-corim, or with "embed_corim": false in its manifest`,
    );
  }
  if (!capabilities.ways.includes('igvm')) {
    return new IgvmError(
      'VMM_UNSUPPORTED',
      vmm.name === 'qemu'
        ? "this QEMU can't load IGVM files: it was built without libigvm, and has no object igvm-cfg"
        : `${vmm.label} does not load NATIVE guests from IGVM files`,
    );
  }
  const refusal = vmm.igvmRefusal(file, capabilities);
  return refusal === undefined ? undefined : new IgvmError('BOOT_WAY', refusal);
}

/** A file that contains only the image, for a VMM. */
async function loadableFile({ source, isFirmwareDll }: OpenImage, path: string, folder: string): Promise<string> {
  if (!isFirmwareDll) return path;
  const copy = join(folder, 'guest.igvm');
  await writingFile(copy, (begin) => copySource(source, begin()));
  return copy;
}

async function copySource(source: ByteSource, sink: IgvmSink): Promise<void> {
  const buffer = new Uint8Array(Math.min(CHUNK, source.size));
  for (let done = 0; done < source.size; done += CHUNK) {
    const chunk = buffer.subarray(0, Math.min(CHUNK, source.size - done));
    source.read(done, chunk);
    await sink.write(done, chunk);
  }
}

/** @throws IgvmError BOOT_MEMORY when the VM would be too small, or the image lies too high for the VMM */
function vmMemory(
  guest: NativeGuest,
  { way, tables }: Pick<VmSpec, 'way' | 'tables'>,
  { vmm }: InstalledVmm,
  asked: number | undefined,
): number {
  const { pages, zeroPage } = guest;
  // A guest with the image's memory map uses all memory in the map.
  const ramEnd = tables === 'image' ? (zeroPage?.ramEnd ?? 0) : 0;
  const end = Math.max(pages.end, ramEnd);
  if (end > vmm.lowMemoryEnd) throw tooHigh(pages.end >= ramEnd ? 'pages' : 'a memory map', end, vmm);
  const memoryNeeded = Math.max(guest.memoryNeeded, ramEnd);
  const memory = asked ?? Math.ceil(Math.max(DEFAULT_MEMORY, memoryNeeded, pages.end + HEADROOM) / MIB) * MIB;
  checkMemory(memory, Math.max(memoryNeeded, way === 'pvh' ? pages.end + vmm.firmwareRoom : 0));
  return memory;
}

const tooHigh = (what: string, end: number, vmm: Vmm): IgvmError =>
  new IgvmError(
    'BOOT_MEMORY',
    `the image has ${what} up to ${formatMemorySize(end)}, but ${vmm.label} has memory without a gap only up to ${formatMemorySize(vmm.lowMemoryEnd)}`,
  );

/** @throws IgvmError BOOT_MEMORY */
function checkMemory(memory: number, needed: number): void {
  if (memory < needed) {
    throw new IgvmError(
      'BOOT_MEMORY',
      `the VM has ${formatMemorySize(memory)} of memory, but the image needs ${formatMemorySize(needed)}`,
    );
  }
}
