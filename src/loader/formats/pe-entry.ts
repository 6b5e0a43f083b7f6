import { IgvmError } from '../../errors/igvm-error';

/** Of the DOS header (PE format specification, MS-DOS stub): its size and the place of the PE header's offset. */
const DOS_HEADER = { size: 64, newHeaderOffset: 0x3c, signature: 0x5a4d };
/** Signature, file header and optional header in its 32-bit form, which the entry point has in common with 64-bit. */
const NT_HEADERS = { size: 248, entryPoint: 40, signature: 0x4550 };
/** Terse executable (UEFI PI specification, volume 1, section 15). */
const TE_HEADER = { size: 40, strippedSize: 6, entryPoint: 8, signature: 0x5a56 };

/**
 * Offset in bytes of the entry point of a PE or TE image from the image's start, with or without a DOS header. A TE
 * image counts addresses as if its stripped headers were still there, modulo 2^32.
 * @throws IgvmError FIRMWARE_INVALID
 */
export function peEntryPoint(image: DataView): number {
  const need = (offset: number, size: number): void => {
    if (offset < 0 || offset + size > image.byteLength) throw invalid('its headers lie outside the firmware');
  };
  need(0, DOS_HEADER.size);
  const isDos = image.getUint16(0, true) === DOS_HEADER.signature;
  const headers = isDos ? image.getInt32(DOS_HEADER.newHeaderOffset, true) : 0;
  need(headers, 4);
  if (image.getUint16(headers, true) === TE_HEADER.signature) {
    need(headers, TE_HEADER.size);
    const stripped = image.getUint16(headers + TE_HEADER.strippedSize, true);
    return (image.getUint32(headers + TE_HEADER.entryPoint, true) + TE_HEADER.size - stripped) >>> 0;
  }
  if (image.getUint32(headers, true) !== NT_HEADERS.signature) throw invalid('it is neither a PE nor a TE image');
  need(headers, NT_HEADERS.size);
  return image.getUint32(headers + NT_HEADERS.entryPoint, true);
}

const invalid = (why: string): IgvmError =>
  new IgvmError('FIRMWARE_INVALID', `the SEC core of the UEFI firmware cannot be started: ${why}`);
