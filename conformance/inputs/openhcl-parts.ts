import { noise, PAGE } from './bytes';
import { elf, MACHINE, type Segment } from './elf';

const SHARED_OBJECT = 3;

const flat = (address: number, data: Uint8Array, flags: number, memorySize = data.length): Segment => ({
  physical: address,
  virtual: BigInt(address),
  data,
  memorySize,
  flags,
});

const shim = noise('shim', 12 * PAGE + 333);
const shimData = noise('shim.data', 900);
const sidecar = noise('sidecar', 6 * PAGE + 10);

/** A boot shim is a static PIE linked at 0; its last segment has room behind it. */
const bootShim = (machine: number): Buffer =>
  elf(
    0x1234,
    [
      flat(0x0, shim.subarray(0, 4 * PAGE), 5),
      flat(0x4000, shim.subarray(4 * PAGE), 4),
      flat(0x20000, shimData, 6, shimData.length + 5 * PAGE),
    ],
    { machine, type: SHARED_OBJECT },
  );

/** What OpenHCL needs besides a kernel and an initrd. */
export const OPENHCL_PARTS: Readonly<Record<string, () => Uint8Array>> = {
  'openhcl_boot-x64.elf': () => bootShim(MACHINE.x64),
  'openhcl_boot-aarch64.elf': () => bootShim(MACHINE.aarch64),
  'sidecar-x64.elf': () =>
    elf(0x40, [flat(0x0, sidecar, 5), flat(0x8000, noise('sidecar.d', 100), 6, 3 * PAGE)], { type: SHARED_OBJECT }),
};
