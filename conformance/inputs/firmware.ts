import { filled, noise, PAGE, struct, zeros } from './bytes';

/** Offset of the volume with the SEC core in x64 firmware. */
const SEC_VOLUME = 0x5e0000;
const SEC_VOLUME_SIZE = 0x20000;

const FFS2_GUID = Buffer.from('78e58c8c3d8a1c4f9935896185c32dd3', 'hex');

const align = (bytes: Uint8Array, alignment: number, filler: number): Buffer =>
  filled(bytes, Math.ceil(bytes.length / alignment) * alignment, filler);

/** A firmware volume (PI specification, vol. 3): files on 8-byte boundaries, free space of ones. */
function volume(files: readonly Uint8Array[], size: number): Buffer {
  const header = struct(
    zeros(16),
    FFS2_GUID,
    ['u64', size],
    Buffer.from('_FVH'),
    ['u32', 0xfeff],
    ['u16', 0x48],
    zeros(5),
    ['u8', 2],
    ['u32', size / PAGE],
    ['u32', PAGE],
    zeros(8),
  );
  const body = files.map((file, index) => (index === files.length - 1 ? Buffer.from(file) : align(file, 8, 0xff)));
  return filled(Buffer.concat([header, ...body]), size, 0xff);
}

const file = (type: number, payload: Uint8Array): Buffer =>
  struct(
    Buffer.alloc(16, 0x11),
    ['u16', 0xaaaa],
    ['u8', type],
    ['u8', 0],
    ['u24', 24 + payload.length],
    ['u8', 0xf8],
    payload,
  );

const section = (type: number, payload: Uint8Array): Buffer =>
  struct(['u24', 4 + payload.length], ['u8', type], payload);

/** A PE32+ image, up to its entry point. */
function pe(entry: number): Buffer {
  const dosHeader = Buffer.alloc(0x80);
  dosHeader.write('MZ', 0, 'latin1');
  dosHeader.writeInt32LE(0x80, 0x3c);
  const fileHeader = struct(['u16', 0x8664], ['u16', 1], zeros(12), ['u16', 0xf0], ['u16', 0x222e]);
  const optionalHeader = struct(['u16', 0x20b], ['u8', 14], ['u8', 0], ['u32', 0x1000], zeros(8), ['u32', entry]);
  return Buffer.concat([
    dosHeader,
    Buffer.from('PE\0\0', 'latin1'),
    fileHeader,
    filled(optionalHeader, 0xf0, 0),
    noise('pe', 0x1000),
  ]);
}

/** A TE image: a PE image with its headers reduced to 40 bytes. */
const te = (entry: number, strippedSize: number): Buffer =>
  struct(
    Buffer.from('VZ', 'latin1'),
    ['u16', 0x8664],
    ['u8', 1],
    ['u8', 11],
    ['u16', strippedSize],
    ['u32', entry],
    ['u32', 0x1000],
    zeros(24),
    noise('te', 0x800),
  );

const SEC_CORE = 3;
const PEIM_CORE_LIKE = 2;

function x64Firmware(executable: Uint8Array, secFileType = SEC_CORE): Buffer {
  const sections = Buffer.concat([align(section(0x19, noise('raw', 35)), 4, 0), section(0x10, executable)]);
  // A pad file of odd length and a raw file come first, so that the SEC core has to be searched for.
  const files = [
    file(0xf0, Buffer.alloc(37, 0xff)),
    file(1, noise('rawfile', 61)),
    file(secFileType, align(sections, 4, 0)),
  ];
  const image = Buffer.alloc(SEC_VOLUME + SEC_VOLUME_SIZE);
  for (let page = 0; page < SEC_VOLUME / PAGE; page += 16) noise(`uefi${page % 256}`, PAGE).copy(image, page * PAGE);
  volume(files, SEC_VOLUME_SIZE).copy(image, SEC_VOLUME);
  return image;
}

function arm64Firmware(): Buffer {
  const image = Buffer.alloc(0x800000);
  for (let page = 0; page < image.length / PAGE; page += 32) noise(`auefi${page % 512}`, PAGE).copy(image, page * PAGE);
  return image;
}

/** UEFI firmware by file name. */
export const FIRMWARE: Readonly<Record<string, () => Uint8Array>> = {
  'MSVM-x64-pe.fd': () => x64Firmware(pe(0x1a40)),
  'MSVM-x64-te.fd': () => x64Firmware(te(0x2340, 0x228)),
  'MSVM-x64-nosec.fd': () => x64Firmware(pe(0x1a40), PEIM_CORE_LIKE),
  'MSVM-x64-nofv.fd': () => zeros(0x600000),
  'MSVM-x64-wrongsize.fd': () => zeros(0x5ff000),
  'MSVM-aarch64.fd': arm64Firmware,
};
