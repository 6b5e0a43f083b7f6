import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { noise, PAGE, zeros } from './inputs/bytes';
import { FIRMWARE } from './inputs/firmware';
import { LINUX_KERNELS } from './inputs/linux-kernels';
import { OPENHCL_PARTS, SNP_BOOT_SHIMS } from './inputs/boot-shims';

/**
 * Every file that a conformance case may name, and a function that makes it. The files are synthetic, small, and the same
 * on every machine.
 */
export const INPUTS: Readonly<Record<string, () => Uint8Array>> = {
  ...LINUX_KERNELS,
  ...OPENHCL_PARTS,
  ...FIRMWARE,
  ...SNP_BOOT_SHIMS,
  'initrd-small.bin': () => noise('initrd', 5 * PAGE + 777),
  'initrd-aligned.bin': () => Buffer.concat([zeros(PAGE), noise('initrd2', 20 * PAGE), zeros(PAGE)]),
  'initrd-empty.bin': () => zeros(0),
  'random.bin': () => noise('random', 100000),
  'tiny.bin': () => Buffer.from('\x7fELF', 'latin1'),
  'empty.bin': () => zeros(0),
};

/** Writes the inputs with these names (default: all) into `folder`. */
export function makeInputs(folder: string, names: Iterable<string> = Object.keys(INPUTS)): void {
  mkdirSync(folder, { recursive: true });
  for (const name of names) {
    const make = INPUTS[name];
    if (make !== undefined) writeFileSync(join(folder, name), make());
  }
}
