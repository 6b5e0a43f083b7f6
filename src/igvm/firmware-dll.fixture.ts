/** Bytes that stand for an image. */
export const IMAGE = Uint8Array.from({ length: 100 }, (_, index) => index);

/** The defect of a DLL in a test. */
export interface DllOptions {
  type?: string;
  magic?: number;
  /** Bytes of the resource, as the DLL has it. */
  imageSize?: number;
  image?: Uint8Array;
  directoryCount?: number;
}

/** A resource DLL with one section: root directory, id, language, data entry, name, image. */
export function dll({
  type = 'VMFW',
  magic = 0x20b,
  image = IMAGE,
  imageSize = image.length,
  directoryCount = 16,
}: DllOptions = {}): Uint8Array {
  const bytes = new Uint8Array(0x300 + Math.max(0x300, image.length));
  const view = new DataView(bytes.buffer);
  const u16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  u16(0, 0x5a4d);
  u32(0x3c, 0x80);
  u32(0x80, 0x4550);
  u16(0x86, 1);
  u16(0x94, 240);
  const root = 0x200;
  const optional = 0x98;
  u16(optional, magic);
  u32(optional + 108, directoryCount);
  u32(optional + 128, 0x1000);
  const section = optional + 240;
  u32(section + 8, 0x100 + Math.max(0x200, image.length));
  u32(section + 12, 0x1000);
  u32(section + 16, bytes.length - root);
  u32(section + 20, root);
  const directory = (at: number, name: number, offset: number): void => {
    u16(root + at + 12, name > 0x7fffffff ? 1 : 0);
    u16(root + at + 14, name > 0x7fffffff ? 0 : 1);
    u32(root + at + 16, name);
    u32(root + at + 20, offset);
  };
  directory(0, 0x80000080, 0x80000020);
  directory(0x20, 1, 0x80000040);
  directory(0x40, 0x409, 0x60);
  u32(root + 0x60, 0x1100);
  u32(root + 0x64, imageSize);
  u16(root + 0x80, type.length);
  for (let index = 0; index < type.length; index++) u16(root + 0x82 + 2 * index, type.charCodeAt(index));
  bytes.set(image, root + 0x100);
  return bytes;
}
