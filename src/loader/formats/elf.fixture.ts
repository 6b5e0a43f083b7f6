import { StructWriter } from '../../memory/struct-writer';
import { patched } from './kernel.fixture';

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

/** The file with a section header at its end that holds the count of program headers. */
export function withCountInSection(file: Uint8Array, count: number): Uint8Array {
  const larger = new Uint8Array(file.length + 64);
  larger.set(file);
  new DataView(larger.buffer).setUint32(file.length + 44, count, true);
  return patched(patched(patched(larger, 40, u64(BigInt(file.length))), 56, [0xff, 0xff]), 58, [64]);
}

/** The bytes of a 64-bit field. */
export const u64 = (value: bigint): number[] => {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, value, true);
  return [...new Uint8Array(view.buffer)];
};
