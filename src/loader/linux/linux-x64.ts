import { IgvmError } from '../../errors/igvm-error';
import { hex } from '../../errors/printable';
import type { ParameterKind } from '../../igvm/model';
import type { DirectLinuxImage } from '../../manifest/model';
import type { ByteSource } from '../../memory/byte-source';
import { COMMON_MEMORY_LIMIT, formatMemorySize, PAGE_SIZE } from '../../memory/page';
import {
  CR0,
  CR4,
  EFER,
  MTRR_DEFAULT_TYPE,
  MTRR_WRITE_BACK,
  PAT_AT_RESET,
  type X64ValueRegisterName,
} from '../../vp-context/vp-register';
import { isBzImage } from '../formats/bzimage';
import { isElf, programKind } from '../formats/elf-header';
import { importGdt, buildIdentityMap } from '../cpu/tables-x64';
import type { ImageImporter } from '../guest/importer';
import { type LinuxLoadInfo, loadKernelAndInitrdX64 } from '../guest/kernel';
import {
  checkDirectLinuxIsolation,
  commandLineLimit,
  type DirectLinux,
  encodeCommandLine,
  type E820Range,
  linuxDirectZeroPage,
  HIGH_MEMORY_START,
  LINUX_MAP,
  linuxMemoryMap,
  LOW_MEMORY_END,
} from './linux-direct';
import { importProcessors } from './linux-processors';

/** What a VMM supplies besides the command line, in the order of the file. */
const VMM_PARAMETERS: readonly { kind: ParameterKind & keyof typeof LINUX_MAP; tag: string }[] = [
  { kind: 'memoryMap', tag: 'linux-memory-map' },
  { kind: 'madt', tag: 'linux-madt' },
  { kind: 'srat', tag: 'linux-srat' },
  { kind: 'slit', tag: 'linux-slit' },
  { kind: 'pptt', tag: 'linux-pptt' },
];

/** 64-bit mode with paging. */
const CONTROL_REGISTERS: readonly [X64ValueRegisterName, bigint][] = [
  ['cr0', CR0.PG | CR0.PE],
  ['cr3', BigInt(LINUX_MAP.pageTables.gpa)],
  ['cr4', CR4.PAE],
  ['efer', EFER.NXE | EFER.LMA | EFER.LME | EFER.SCE],
];

/** As firmware would set them: page attributes as after a reset, MTRRs on, the lowest 640 KiB write-back. */
const CACHE_REGISTERS: readonly [X64ValueRegisterName, bigint][] = [
  ['mtrrDefType', MTRR_DEFAULT_TYPE],
  ['mtrrFix64k00000', MTRR_WRITE_BACK],
  ['mtrrFix16k80000', MTRR_WRITE_BACK],
];

/**
 * Lays out an x64 Linux guest that the VMM starts at the kernel's 64-bit entry point (Linux, Documentation/arch/x86/
 * boot.rst), under no isolation or VBS. With `boot_data` "vmm" the VMM supplies command line, memory map and ACPI tables
 * through parameter areas; with "embedded" the image has all that it needs.
 * @throws IgvmError KERNEL_INVALID, LAYOUT_OVERLAP, LAYOUT_OUT_OF_RANGE, CONFIG_UNSUPPORTED, ISOLATION_UNSUPPORTED
 */
export function loadLinuxDirectX64(importer: ImageImporter, linux: DirectLinux): LinuxLoadInfo {
  const { image, kernel, initrd } = linux;
  checkDirectLinuxIsolation(importer.isolation.type);
  checkOptions(linux);
  checkNoProgram(kernel);

  // An ELF kernel lies where it is linked; a bzImage can lie anywhere and is put at the start of high memory.
  const startAddress = isBzImage(kernel) ? HIGH_MEMORY_START : 0;
  const loaded = loadKernelAndInitrdX64(importer, kernel, startAddress, initrd);
  checkKernelInRam(loaded);
  checkEntrypoint(loaded);
  checkInitrdAddress(loaded.initrd);
  if (image.memory_size !== undefined) checkMemorySize(image.memory_size, loaded);
  const memoryMap = initialMemoryMap(importer, image);
  const commandLine = encodeCommandLine(
    image.command_line,
    loaded.bzImage?.commandLineSize,
    LINUX_MAP.commandLine.size,
  );

  importGdt(importer, LINUX_MAP.gdt.page);
  const pageTables = buildIdentityMap({ pageTableGpa: LINUX_MAP.pageTables.gpa });
  importer.importPages(
    LINUX_MAP.pageTables.page,
    pageTables.length / PAGE_SIZE,
    'linux-pagetables',
    'exclusive',
    pageTables,
  );
  const zeroPage = linuxDirectZeroPage({
    commandLine: {
      gpa: LINUX_MAP.commandLine.gpa,
      size: commandLineLimit(loaded.bzImage?.commandLineSize),
    },
    initrd: loaded.initrd,
    setupData: 0,
    memoryMap,
    bzImage: loaded.bzImage,
    rsdpGpa: image.processor_count === undefined ? undefined : LINUX_MAP.acpiTables.gpa,
  });
  importer.importPages(LINUX_MAP.zeroPage.page, 1, 'linux-zeropage', 'exclusive', zeroPage);
  if (image.boot_data === 'embedded') importBootData(importer, commandLine, image.memory_size);
  else createVmmParameters(importer, commandLine);

  const { entrypoint } = loaded.kernel;
  const rip =
    image.processor_count === undefined ? entrypoint : importProcessors(importer, image.processor_count, entrypoint);
  setRegisters(importer, rip);
  return loaded;
}

/** The memory map of the zero page; empty for an image without memory_size. */
function initialMemoryMap(
  importer: ImageImporter,
  { memory_size: size, processor_count: processors }: DirectLinuxImage,
): E820Range[] {
  if (size === undefined) return [];
  const common = Math.min(size, COMMON_MEMORY_LIMIT);
  if (common < size) {
    importer.note(
      "the image's own memory map covers only the first 2 GiB of memory_size: VMMs differ in where they place the rest",
    );
  }
  return linuxMemoryMap(common, processors === undefined ? undefined : LINUX_MAP.acpiTables.gpa);
}

/** Memory and command line as parts of the image. */
function importBootData(importer: ImageImporter, commandLine: Uint8Array, memorySize: number | undefined): void {
  importer.importPages(
    LINUX_MAP.commandLine.page,
    LINUX_MAP.commandLine.pages,
    'linux-cmdline',
    'exclusive',
    commandLine,
  );
  if (memorySize !== undefined) {
    importer.requireMemory(HIGH_MEMORY_START / PAGE_SIZE, (memorySize - HIGH_MEMORY_START) / PAGE_SIZE, {
      vtl2Protectable: false,
    });
  }
}

/**
 * Areas that the VMM fills. The area of the command line holds the manifest's command line until then, so that it is
 * never lost.
 */
function createVmmParameters(importer: ImageImporter, commandLine: Uint8Array): void {
  const initial = commandLine.length > 1 ? commandLine : undefined;
  const area = importer.createParameterArea(
    LINUX_MAP.commandLine.page,
    LINUX_MAP.commandLine.pages,
    'linux-cmdline',
    initial,
  );
  importer.importParameter(area, 0, 'commandLine');
  for (const { kind, tag } of VMM_PARAMETERS) {
    const { page, pages } = LINUX_MAP[kind];
    importer.importParameter(importer.createParameterArea(page, pages, tag), 0, kind);
  }
}

function setRegisters(importer: ImageImporter, rip: bigint): void {
  const left: string[] = [];
  const setIfHeld = (name: X64ValueRegisterName, value: bigint): void => {
    if (importer.canHoldRegister(name)) importer.setRegister({ name, value });
    else left.push(name);
  };
  for (const [name, value] of CONTROL_REGISTERS) importer.setRegister({ name, value });
  setIfHeld('pat', PAT_AT_RESET);
  importer.setRegister({ name: 'rip', value: rip });
  importer.setRegister({ name: 'rsi', value: BigInt(LINUX_MAP.zeroPage.gpa) });
  for (const [name, value] of CACHE_REGISTERS) setIfHeld(name, value);
  if (left.length === 0) return;
  importer.detail(`the VMM sets ${left.join(', ')}: this kind of VP context has no place for them`);
}

/** Options that only make sense together. */
function checkOptions({ image }: DirectLinux): void {
  const embedded = image.boot_data === 'embedded';
  if (embedded && image.memory_size === undefined) {
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      'boot_data "embedded" needs memory_size: the image says how much memory there is',
      { jsonPath: ['image', 'linux', 'memory_size'] },
    );
  }
  if (embedded && image.memory_size !== undefined && image.memory_size > COMMON_MEMORY_LIMIT) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `memory_size is ${image.memory_size}, but boot_data "embedded" allows at most ${COMMON_MEMORY_LIMIT}: above 2 GiB, VMMs place memory differently`,
      { jsonPath: ['image', 'linux', 'memory_size'] },
    );
  }
  if (!embedded && image.processor_count !== undefined) {
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      'processor_count needs boot_data "embedded": otherwise the VMM describes the processors to the kernel',
      { jsonPath: ['image', 'linux', 'processor_count'] },
    );
  }
}

/** @throws IgvmError KERNEL_INVALID */
function checkNoProgram(kernel: ByteSource): void {
  const program = isElf(kernel) ? programKind(kernel) : undefined;
  if (program !== undefined) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `linux-kernel is ${program}, not a kernel: use a bzImage (vmlinuz) or its vmlinux, and put programs into an initramfs`,
      { offset: 0 },
    );
  }
}

/** Offset of e_entry in an ELF file. */
const ELF_ENTRY_OFFSET = 24;

/**
 * @throws IgvmError LAYOUT_OVERLAP when the kernel covers the video memory and the BIOS, where VMMs have no RAM for it
 */
function checkKernelInRam({ kernel }: LinuxLoadInfo): void {
  const misplaced = kernel.segments.find(({ start, end }) => start < HIGH_MEMORY_START && end > LOW_MEMORY_END);
  if (misplaced !== undefined) {
    throw new IgvmError(
      'LAYOUT_OVERLAP',
      'linux-kernel covers video memory and BIOS (GPA 0xa0000-0x100000), where the guest has no RAM: use a kernel that is linked at 1 MiB or above',
      { gpa: misplaced },
    );
  }
}

/** End of the memory that is mapped when an x64 kernel starts. */
const FIRST_MAPPING_END = 2 ** 32;

/**
 * Checks that the entry point lies in the kernel and is mapped: an ELF file can contain any value.
 * @throws IgvmError KERNEL_INVALID, LAYOUT_OUT_OF_RANGE
 */
function checkEntrypoint({ kernel }: LinuxLoadInfo): void {
  const { entrypoint, segments } = kernel;
  if (segments.length === 0) throw new IgvmError('KERNEL_INVALID', 'linux-kernel has no segment to load');
  if (!segments.some(({ start, end }) => entrypoint >= BigInt(start) && entrypoint < BigInt(end))) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `linux-kernel has its entry point at ${hex(entrypoint)}, outside its loaded segments`,
      { offset: ELF_ENTRY_OFFSET },
    );
  }
  const high = segments.find(({ end }) => end > FIRST_MAPPING_END);
  if (high !== undefined) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      'linux-kernel reaches above 4 GiB, which the page tables that it starts with do not map: use a kernel that is linked lower',
      { gpa: high },
    );
  }
}

const MIB = 1n << 20n;

/** A size in MiB if it is a whole number of MiB, otherwise in bytes. */
const inMebibytes = (bytes: number): string => (bytes % Number(MIB) === 0 ? formatMemorySize(bytes) : `${bytes} bytes`);

/**
 * Checks the manifest's memory_size (bytes) against what is loaded.
 * @throws IgvmError LAYOUT_OUT_OF_RANGE
 */
function checkMemorySize(memorySize: number, { kernel, initrd }: LinuxLoadInfo): void {
  const wrong = (what: string): IgvmError =>
    new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `memory_size is ${inMebibytes(memorySize)}, ${what}`,
      { jsonPath: ['image', 'linux', 'memory_size'] },
      { saysAll: true },
    );
  if (!Number.isSafeInteger(memorySize) || memorySize % PAGE_SIZE !== 0) {
    throw wrong('and has to be a multiple of 4096 bytes');
  }
  const initrdEnd = initrd === undefined ? 0n : BigInt(initrd.gpa + initrd.size);
  const [end, who] =
    initrdEnd > kernel.end ? [initrdEnd, 'the kernel and the initrd need'] : [kernel.end, 'the kernel needs'];
  // Rounded up to whole MiB, and at least one byte more than the end.
  const least = (end / MIB + 1n) * MIB;
  if (BigInt(memorySize) <= end || memorySize <= HIGH_MEMORY_START) {
    throw wrong(`and ${who} at least ${least / MIB} MiB: ${least}`);
  }
}

/** The zero page has 32 bits for it. */
function checkInitrdAddress(initrd: LinuxLoadInfo['initrd']): void {
  if (initrd !== undefined && initrd.gpa + initrd.size > 2 ** 32) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      'the initrd lies above 4 GiB, where the kernel does not find it: use a kernel linked lower, or a smaller initrd',
      { gpa: { start: initrd.gpa, end: initrd.gpa + initrd.size } },
    );
  }
}
