import { IgvmError } from '../errors/igvm-error';
import { PAGE_SIZE } from '../memory/page';
import type { LinuxLoadInfo } from './kernel';
import { E820, type E820Range } from './linux-direct-zero-page';

/** The end of low memory and the start of the kernel's: between them are video memory and the BIOS. */
export const LOW_MEMORY_END = 0xa0000;
export const HIGH_MEMORY_START = 0x100000;

/** Up to here all VMMs have RAM from 0 on without a gap; above, they differ in where they place the rest. */
const MEMORY_LIMIT = 2 ** 31;

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

/**
 * Checks the manifest's memory_size (bytes) against what is loaded and what VMMs have in common.
 * @throws IgvmError LAYOUT_OUT_OF_RANGE
 */
export function checkMemorySize(memorySize: number, { kernel, initrd }: LinuxLoadInfo): void {
  const wrong = (what: string): IgvmError =>
    new IgvmError('LAYOUT_OUT_OF_RANGE', `memory_size is ${memorySize}, but ${what}`);
  if (!Number.isSafeInteger(memorySize) || memorySize % PAGE_SIZE !== 0) throw wrong('must be a multiple of 4096');
  if (memorySize > MEMORY_LIMIT)
    throw wrong(`must be at most ${MEMORY_LIMIT}: above 2 GiB, VMMs place memory differently`);
  if (memorySize <= HIGH_MEMORY_START)
    throw wrong(`must be above ${HIGH_MEMORY_START}: the first MiB is not the kernel's`);
  if (BigInt(memorySize) <= kernel.end) throw wrong(`must be above ${kernel.end}: the kernel needs memory up to there`);
  const initrdEnd = initrd === undefined ? 0 : initrd.gpa + initrd.size;
  if (memorySize <= initrdEnd) throw wrong(`must be above ${initrdEnd}, where the initrd ends`);
}

/**
 * The e820 map of a guest with RAM up to `memorySize` bytes.
 * @param reserved start of the part of low memory that the kernel must leave alone, in bytes
 */
export function linuxMemoryMap(memorySize: number, reserved: number = LOW_MEMORY_END): E820Range[] {
  return [
    { start: 0, end: reserved, type: E820.RAM },
    { start: reserved, end: HIGH_MEMORY_START, type: E820.RESERVED },
    { start: HIGH_MEMORY_START, end: memorySize, type: E820.RAM },
  ];
}
