import { StructWriter } from '../../memory/struct-writer';

export const MACHINE = { x64: 62, aarch64: 183 } as const;

/** A little-endian ELF64 file with one PT_LOAD per segment, each aligned in the file as in memory. */
export function elfFile(
  arch: keyof typeof MACHINE,
  entry: number,
  segments: readonly { address: number; data: Uint8Array; memorySize?: number }[],
): Uint8Array {
  const headersEnd = 64 + 56 * segments.length;
  let offset = headersEnd;
  const placed = segments.map((segment) => {
    offset += (((segment.address - offset) % 4096) + 4096) % 4096;
    const at = offset;
    offset += segment.data.length;
    return { ...segment, at };
  });
  const file = new StructWriter()
    .raw(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0))
    .zeros(8)
    .u16(2, MACHINE[arch])
    .u32(1)
    .u64(entry, 64, 0)
    .u32(0)
    .u16(64, 56, segments.length, 64, 0, 0);
  for (const { address, data, memorySize, at } of placed) {
    file.u32(1, 5).u64(at, address, address, data.length, memorySize ?? data.length, 4096);
  }
  for (const { at, data } of placed) file.zeros(at - file.length).raw(data);
  return file.finish();
}
