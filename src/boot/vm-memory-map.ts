import type { E820Range } from '../loader/linux/e820';
import { linuxMemoryMap } from '../loader/linux/linux-memory';
import { COMMON_MEMORY_LIMIT } from '../memory/guest-limits';

/**
 * What a guest that finds no tables of its VMM is told of a VM's memory: its first 2 GiB, as VMMs differ in where the rest is, and
 * devices and APICs lie in between.
 * @param memory bytes
 */
export const vmMemoryMap = (memory: number): E820Range[] => linuxMemoryMap(Math.min(memory, COMMON_MEMORY_LIMIT));
