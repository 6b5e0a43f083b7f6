const PT_INTERP = 3;

/**
 * Whether these are the bytes of an ELF program that runs without a dynamic linker: one without a PT_INTERP program
 * header (ELF specification, "Program Header").
 */
export function isStaticExecutable(bytes: Uint8Array): boolean {
  const [magic0, magic1, magic2, magic3, elfClass, order] = bytes;
  if (magic0 !== 0x7f || magic1 !== 0x45 || magic2 !== 0x4c || magic3 !== 0x46) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = order === 1;
  const is64 = elfClass === 2;
  const headerSize = is64 ? 64 : 52;
  if (bytes.length < headerSize) return false;
  const offset = is64 ? Number(view.getBigUint64(32, little)) : view.getUint32(28, little);
  const size = view.getUint16(is64 ? 54 : 42, little);
  const count = view.getUint16(is64 ? 56 : 44, little);
  for (let index = 0; index < count; index++) {
    const start = offset + index * size;
    if (start + 4 > bytes.length) return false;
    if (view.getUint32(start, little) === PT_INTERP) return false;
  }
  return count > 0;
}
