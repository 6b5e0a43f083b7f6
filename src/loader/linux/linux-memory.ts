import { hex } from '../../errors/hex';
import { IgvmError } from '../../errors/igvm-error';
import { PAGE_SIZE } from '../../memory/page';
import { E820, type E820Range } from './e820';
import type { LinuxLoadInfo } from '../guest/kernel';
import { HIGH_MEMORY_START, LOW_MEMORY_END } from './linux-memory-map';

/** Of e_entry in an ELF file. */
const ELF_ENTRY_OFFSET = 24;

/**
 * @throws IgvmError LAYOUT_OVERLAP when the kernel covers the video memory and the BIOS, where VMMs have no RAM for it
 */
export function checkKernelInRam({ kernel }: LinuxLoadInfo): void {
  const misplaced = kernel.segments.find(({ start, end }) => start < HIGH_MEMORY_START && end > LOW_MEMORY_END);
  if (misplaced !== undefined) {
    throw new IgvmError(
      'LAYOUT_OVERLAP',
      'linux-kernel covers video memory and BIOS (GPA 0xa0000-0x100000), where the guest has no RAM: use a kernel that is linked at 1 MiB or above',
      { gpa: misplaced },
    );
  }
}

/** End of what the page tables map that an x64 kernel starts with. */
const FIRST_MAPPING_END = 2 ** 32;

/**
 * Checks that the kernel starts within itself, where it is mapped: an ELF file can say anything.
 * @throws IgvmError KERNEL_INVALID, LAYOUT_OUT_OF_RANGE
 */
export function checkEntrypoint({ kernel }: LinuxLoadInfo): void {
  const { entrypoint, segments } = kernel;
  if (segments.length === 0) throw new IgvmError('KERNEL_INVALID', 'linux-kernel has no segment to load');
  if (!segments.some(({ start, end }) => entrypoint >= BigInt(start) && entrypoint < BigInt(end))) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `linux-kernel has its entry point at ${hex(entrypoint)}, where nothing of it is loaded`,
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

/**
 * Checks the manifest's memory_size (bytes) against what is loaded.
 * @throws IgvmError LAYOUT_OUT_OF_RANGE
 */
export function checkMemorySize(memorySize: number, { kernel, initrd }: LinuxLoadInfo): void {
  const wrong = (what: string): IgvmError =>
    new IgvmError('LAYOUT_OUT_OF_RANGE', `memory_size is ${memorySize}, but ${what}`, {
      jsonPath: 'image.linux.memory_size',
    });
  if (!Number.isSafeInteger(memorySize) || memorySize % PAGE_SIZE !== 0) throw wrong('must be a multiple of 4096');
  if (memorySize <= HIGH_MEMORY_START) {
    throw wrong(`must be above ${HIGH_MEMORY_START}: much of the first MiB is not memory`);
  }
  if (BigInt(memorySize) <= kernel.end) throw wrong(`must be above ${kernel.end}: the kernel needs memory up to there`);
  const initrdEnd = initrd === undefined ? 0 : initrd.gpa + initrd.size;
  if (memorySize <= initrdEnd) throw wrong(`must be above ${initrdEnd}, where the initrd ends`);
}

/**
 * The e820 map of a guest with RAM from 0 to `memorySize` bytes, but for the hole below 1 MiB.
 * @param reserved start of the part of low memory that the kernel must leave alone, in bytes
 */
export function linuxMemoryMap(memorySize: number, reserved: number = LOW_MEMORY_END): E820Range[] {
  return [
    { start: 0, end: reserved, type: E820.RAM },
    { start: reserved, end: HIGH_MEMORY_START, type: E820.RESERVED },
    { start: HIGH_MEMORY_START, end: memorySize, type: E820.RAM },
  ];
}
