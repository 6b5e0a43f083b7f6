import { type ByteSource, bytesSource } from '../../memory/byte-source';
import { StructWriter } from '../../memory/struct-writer';

export const FILE_TYPE = { RAW: 1, SECURITY_CORE: 3, PAD: 0xf0 };
export const SECTION_TYPE = { PE32: 0x10, RAW: 0x19 };

const u24 = (writer: StructWriter, value: number): StructWriter => writer.u16(value & 0xffff).u8(value >> 16);

/** A firmware section: header and content, padded to a multiple of 4. */
export function section(type: number, content: Uint8Array): Uint8Array {
  const writer = u24(new StructWriter(), 4 + content.length)
    .u8(type)
    .raw(content);
  return writer.zeros(-writer.length & 3).finish();
}

/** A firmware file: header and content. */
export function firmwareFile(type: number, ...content: Uint8Array[]): Uint8Array {
  const size = content.reduce((sum, part) => sum + part.length, 24);
  const writer = new StructWriter().zeros(16).u16(0).u8(type, 0);
  u24(writer, size).u8(0xf8);
  for (const part of content) writer.raw(part);
  return writer.finish();
}

/** A firmware volume of 128 KiB, its files at multiples of 8 from the end of the header. */
export function firmwareVolume(...files: Uint8Array[]): Uint8Array {
  const header = new StructWriter().zeros(32).u64(0x20000).ascii('_FVH').u32(0).u16(0x48, 0, 0).u8(0, 2).zeros(16);
  const body = new StructWriter();
  for (const file of files) body.zeros(-body.length & 7).raw(file);
  const volume = header.raw(body.finish());
  return volume.zeros(0x20000 - volume.length).finish();
}

/** A PE image with a DOS header. */
export function peImage(entry: number): Uint8Array {
  return new StructWriter()
    .ascii('MZ')
    .zeros(0x3a)
    .u32(0x80)
    .zeros(0x40)
    .ascii('PE\0\0')
    .zeros(20 + 16)
    .u32(entry)
    .zeros(0x200)
    .finish();
}

/** A TE image. */
export function teImage(entry: number, strippedSize: number): Uint8Array {
  return new StructWriter().ascii('VZ').zeros(4).u16(strippedSize).u32(entry).zeros(0x100).finish();
}

/** An x64 firmware image of 6 MiB with a volume where the SEC volume belongs. */
export function x64Firmware(volume: Uint8Array): ByteSource {
  const image = new Uint8Array(0x600000);
  image.fill(0x5a, 0, 4096);
  image.set(volume, 0x5e0000);
  return bytesSource(image);
}

/** Firmware that can be started: entry point 0x1234 in the PE image of its SEC core. */
export const STARTABLE_FIRMWARE = x64Firmware(
  firmwareVolume(firmwareFile(FILE_TYPE.SECURITY_CORE, section(SECTION_TYPE.PE32, peImage(0x1234)))),
);
/** The headers of volume, file and section precede the PE image. */
export const STARTABLE_ENTRY = 0x5e0000 + 0x48 + 24 + 4 + 0x1234;
