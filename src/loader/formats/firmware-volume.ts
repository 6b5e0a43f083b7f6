import { IgvmError } from '../../errors/igvm-error';
import { type ByteSource, readAll, regionSource } from '../../memory/byte-source';

/** The DOS header (PE format specification, MS-DOS stub): its size, and where it holds the offset of the PE header. */
const DOS_HEADER = { size: 64, newHeaderOffset: 0x3c, signature: 0x5a4d };
/**
 * Signature, file header and optional header up to the entry point, which is at the same place in 32-bit and 64-bit
 * files.
 */
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

/** Where UEFI for Hyper-V keeps the volume that it starts in (openvmm vm/loader/src/uefi/mod.rs; mu_msvm's MsvmPkgX64.fdf). */
export const SEC_VOLUME_OFFSET = 0x5e0000;

/** Sizes, offsets and types of the PI Firmware Volume format (UEFI PI specification, volume 3, chapters 2 and 3). */
const VOLUME_HEADER = { size: 56, length: 32, signature: 40, headerLength: 48 };
const FILE_HEADER = { size: 24, type: 18, length: 20 };
const SECTION_HEADER = { size: 4, length: 0, type: 3 };
const VOLUME_SIGNATURE = 0x4856465f; // "_FVH"
const FILE_TYPE_SECURITY_CORE = 3;
const SECTION_TYPE_PE32 = 0x10;

/**
 * Offset in bytes of the SEC core's entry point from the start of an x64 firmware image: the first file of type
 * "security core" in the SEC volume, and in it the first PE32 section, which holds a PE or TE image.
 *
 * As upstream does, a SEC core without a PE32 section is taken as code that starts after its last section, and sections
 * are aligned from the file's place in its volume.
 * @throws IgvmError FIRMWARE_INVALID
 */
export function secEntryPointOffset(image: ByteSource): number {
  if (image.size < SEC_VOLUME_OFFSET) throw noEntryPoint('the image ends before its SEC volume');
  const bytes = readAll(regionSource(image, SEC_VOLUME_OFFSET, image.size - SEC_VOLUME_OFFSET), SEC_VOLUME_LIMIT);
  const volume = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const need = (offset: number, size: number, what: string): void => {
    if (offset + size > volume.byteLength) throw noEntryPoint(`${what} lies beyond the end of the image`);
  };
  const u24 = (offset: number): number => volume.getUint16(offset, true) + volume.getUint8(offset + 2) * 0x10000;

  need(0, VOLUME_HEADER.size, 'the SEC volume header');
  if (volume.getUint32(VOLUME_HEADER.signature, true) !== VOLUME_SIGNATURE) {
    throw noEntryPoint('there is no firmware volume at 0x5e0000');
  }
  const volumeLength = volume.getBigUint64(VOLUME_HEADER.length, true);
  const filesStart = volume.getUint16(VOLUME_HEADER.headerLength, true);

  // Files are aligned relative to the end of the volume header.
  let file = 0;
  for (;;) {
    if (BigInt(file) >= volumeLength) throw noEntryPoint('the SEC volume has no security core file');
    file += -file & 7;
    need(filesStart + file, FILE_HEADER.size, 'a file header of the SEC volume');
    if (volume.getUint8(filesStart + file + FILE_HEADER.type) === FILE_TYPE_SECURITY_CORE) break;
    const size = u24(filesStart + file + FILE_HEADER.length);
    if (size === 0) throw noEntryPoint('a file of the SEC volume has size 0');
    file += size;
  }

  const fileSize = u24(filesStart + file + FILE_HEADER.length);
  let section = file + FILE_HEADER.size;
  while (section < fileSize) {
    section += -section & 3;
    const at = filesStart + section;
    need(at, SECTION_HEADER.size, 'a section header of the security core');
    if (volume.getUint8(at + SECTION_HEADER.type) === SECTION_TYPE_PE32) {
      const content = at + SECTION_HEADER.size;
      return SEC_VOLUME_OFFSET + content + peEntryPoint(new DataView(bytes.buffer, bytes.byteOffset + content));
    }
    const size = u24(at + SECTION_HEADER.length);
    if (size === 0) throw noEntryPoint('a section of the security core has size 0');
    section += size;
  }
  return SEC_VOLUME_OFFSET + filesStart + section;
}

/** The SEC volume is the last one of the image; the only existing firmware has one of 128 KiB. */
const SEC_VOLUME_LIMIT = 0x100000;

const noEntryPoint = (why: string): IgvmError =>
  new IgvmError('FIRMWARE_INVALID', `the UEFI firmware has no SEC entry point: ${why}`);
