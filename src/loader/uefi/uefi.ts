import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';

/** Where UEFI gets its configuration: nowhere yet (a paravisor supplies it), or from IGVM parameters. */
export type UefiConfigType = 'none' | 'igvm';

/** Where UEFI lies, for a paravisor that has to start it. Bytes. */
export interface UefiLoadInfo {
  firmwareBase: number;
  /** From `firmwareBase` to the end of what the loader uses; upstream's reckoning, which on x64 is 1 MiB too much. */
  totalSize: number;
}

/** @throws IgvmError FIRMWARE_INVALID unless the image has the one size that this firmware comes in. */
export function checkFirmwareSize(image: ByteSource, size: number): void {
  if (image.size !== size) {
    throw new IgvmError(
      'FIRMWARE_INVALID',
      `the UEFI firmware has ${image.size} bytes, and firmware for this architecture always has ${size}`,
    );
  }
}
