import { IgvmError } from '../errors/igvm-error';
import type { ParameterKind } from '../igvm/model';
import {
  MP_FLOATING_POINTER_GPA,
  MP_FLOATING_POINTER_SIZE,
  MP_HEADER_SIZE,
  MP_LENGTH_OFFSET,
  MP_PROCESSOR_SIZE,
  MP_PROCESSOR_TYPE,
  MP_SIGNATURE,
} from '../loader/linux/linux-processors';
import { PAGE_SIZE } from '../memory/page';
import { StructWriter } from '../memory/struct-writer';
import type { GuestPages } from './guest-pages';
import { type GuestParameter, type NativeGuest, vmMemoryMap } from './native-guest';

/** Facts about a VM that its VMM knows. */
export interface VmFacts {
  tables: 'vmm' | 'image';
  commandLine?: string;
  /** Bytes. */
  memory?: number;
  cpus?: number;
}

/** IGVM_VHS_MEMORY_MAP_ENTRY: memory that the guest may use. */
const MEMORY_MAP_TYPE_MEMORY = 0;

/** IgvmEnvironmentInfo: memory is initially shared with the host, as in any guest without isolation. */
const MEMORY_IS_SHARED = 1;

/** All PC-like VMMs have PCI and APICs between 3 and 4 GiB. */
const MMIO = { start: 0xc0000000, end: 2 ** 32 };

/**
 * Does the work of a VMM for an image that leaves boot data to it: fills the parameter areas and the Linux zero page in the guest's
 * pages. ACPI tables of the topology (SRAT, SLIT, PPTT, MADT) stay empty, as with a VMM that provides none. If `tables` is `vmm`, the
 * guest finds the VMM's own.
 * @throws IgvmError BOOT_PARAMETER for a parameter that is unknown or doesn't fit its area; BOOT_OPTION for impossible facts
 */
export function fillParameters(guest: NativeGuest, facts: VmFacts): void {
  const { tables, memory } = facts;
  const { zeroPage } = guest;
  checkFacts(facts);
  // The image's MP and ACPI tables are for VMMs without ACPI; a guest that gets the VMM's tables counts processors there.
  const inTable = tables === 'vmm' ? leaveOutMpTable(guest.pages) : undefined;
  if (tables === 'vmm') zeroPage?.leaveOutAcpi();
  const cpus = inTable ?? facts.cpus ?? 1;
  if (facts.commandLine !== undefined) zeroPage?.fitCommandLine(terminated(facts.commandLine).length - 1);
  for (const parameter of guest.parameters) {
    const bytes = PARAMETER_BYTES[parameter.kind]({ ...facts, cpus });
    if (bytes === undefined) continue;
    if (bytes.length > parameter.room) throw tooLarge(parameter, bytes.length);
    guest.pages.write(parameter.gpa, bytes);
  }
  if (facts.commandLine !== undefined && !guest.parameters.some(({ kind }) => kind === 'commandLine')) {
    if (zeroPage === undefined) {
      throw new IgvmError('BOOT_PARAMETER', 'the image is not Linux and has no parameter for a command line');
    }
    zeroPage.setCommandLine(terminated(facts.commandLine));
  }
  if (tables === 'image' && zeroPage !== undefined && !zeroPage.hasMemoryMap) {
    if (memory === undefined) {
      throw new IgvmError('BOOT_PARAMETER', 'the image leaves the memory map to its VMM, so its size must be given');
    }
    zeroPage.setMemoryMap(memory);
  }
}

type KnownFacts = VmFacts & { cpus: number };

/** The value of each parameter; undefined if the area keeps its initial data. */
const PARAMETER_BYTES: Record<ParameterKind, (facts: KnownFacts) => Uint8Array | undefined> = {
  vpCount: ({ cpus }) => new StructWriter().u32(cpus).finish(),
  memoryMap: ({ memory }) => (memory === undefined ? undefined : memoryMap(memory)),
  commandLine: ({ commandLine }) => (commandLine === undefined ? undefined : terminated(commandLine)),
  environmentInfo: () => new StructWriter().u32(MEMORY_IS_SHARED).finish(),
  mmioRanges: () =>
    new StructWriter()
      .u64(MMIO.start / PAGE_SIZE, (MMIO.end - MMIO.start) / PAGE_SIZE)
      .zeros(16)
      .finish(),
  madt: () => undefined,
  srat: () => undefined,
  slit: () => undefined,
  pptt: () => undefined,
  deviceTree: () => {
    throw new IgvmError('BOOT_PARAMETER', 'the image needs a device tree, which VMMs for x64 do not provide');
  },
};

/** Entries in ascending order, followed by an empty one (igvm_defs: IGVM_VHS_MEMORY_MAP_ENTRY). */
function memoryMap(memory: number): Uint8Array {
  const writer = new StructWriter();
  for (const { start, end, type } of vmMemoryMap(memory)) {
    if (type !== 1) continue;
    writer
      .u64(start / PAGE_SIZE, (end - start) / PAGE_SIZE)
      .u16(MEMORY_MAP_TYPE_MEMORY, 0)
      .u32(0);
  }
  return writer.zeros(24).finish();
}

/** A VMM's command line is ASCII with a NUL. Linux accepts UTF-8. */
const terminated = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);

function checkFacts({ commandLine, memory, cpus }: VmFacts): void {
  if (commandLine?.includes('\0') === true) {
    throw new IgvmError('BOOT_OPTION', 'the command line contains a NUL, at which the guest would stop reading');
  }
  if (memory !== undefined && (!Number.isSafeInteger(memory) || memory % PAGE_SIZE !== 0 || memory < 2 << 20)) {
    throw new IgvmError('BOOT_OPTION', `memory is ${memory}, but must be a multiple of ${PAGE_SIZE} from 2 MiB on`);
  }
  if (cpus !== undefined && !(Number.isInteger(cpus) && cpus >= 1 && cpus <= 4096)) {
    throw new IgvmError('BOOT_OPTION', `cpus is ${cpus}, but must be a number from 1 to 4096`);
  }
}

const tooLarge = ({ kind, room, gpa }: GuestParameter, size: number): IgvmError =>
  new IgvmError('BOOT_PARAMETER', `parameter ${kind} needs ${size} bytes, and its area has ${room}`, {
    gpa: { start: gpa, end: gpa + room },
  });

/**
 * Removes the pointer to the image's MP table from guest memory, for a guest that gets its VMM's ACPI tables.
 * @returns the number of processors in the table; with this VP_COUNT, its fix-up changes nothing; undefined without a table
 */
export function leaveOutMpTable(pages: GuestPages): number | undefined {
  const pointer = pages.read(MP_FLOATING_POINTER_GPA, MP_FLOATING_POINTER_SIZE);
  if (pointer === undefined || new TextDecoder().decode(pointer.subarray(0, 4)) !== MP_SIGNATURE) return undefined;
  const count = processorsAt(pages, new DataView(pointer.buffer).getUint32(4, true));
  if (count !== undefined) pages.write(MP_FLOATING_POINTER_GPA, new Uint8Array(MP_FLOATING_POINTER_SIZE));
  return count;
}

function processorsAt(pages: GuestPages, gpa: number): number | undefined {
  const header = pages.read(gpa, MP_HEADER_SIZE);
  if (header === undefined) return undefined;
  const length = new DataView(header.buffer).getUint16(MP_LENGTH_OFFSET, true);
  const table = pages.read(gpa, length);
  if (table === undefined) return undefined;
  let count = 0;
  while (
    MP_HEADER_SIZE + (count + 1) * MP_PROCESSOR_SIZE <= length &&
    table[MP_HEADER_SIZE + count * MP_PROCESSOR_SIZE] === MP_PROCESSOR_TYPE
  )
    count++;
  return count;
}
