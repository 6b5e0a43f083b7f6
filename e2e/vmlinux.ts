import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** The first bytes of compressed kernels, and the programs that unpack them. */
const PACKERS = [
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], program: 'xz' },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], program: 'zstd' },
  { magic: [0x02, 0x21, 0x4c, 0x18], program: 'lz4' },
];

/** The ELF kernel inside a bzImage (Linux, Documentation/arch/x86/boot.rst: payload_offset, payload_length). */
export function extractVmlinux(vmlinuz: string): Buffer {
  const image = readFileSync(vmlinuz);
  const setupSectors = image.readUInt8(0x1f1) || 4;
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c));
  if (payload.readUInt16LE(0) === 0x8b1f) return gunzipSync(payload);
  const packer = PACKERS.find(({ magic }) => magic.every((byte, index) => payload[index] === byte));
  if (packer === undefined) throw new Error(`${vmlinuz} has an unknown compression`);
  // The kernel's build appends the unpacked size to the output of these programs.
  return execFileSync(packer.program, ['-dc'], { input: payload.subarray(0, -4), maxBuffer: 2 ** 30 });
}
