import { type ByteSource, bytesSource } from '../../memory/byte-source';
import { elfFile } from '../formats/elf.fixture';
import type { OpenhclGuest } from './openhcl';
import { StructWriter } from '../../memory/struct-writer';

const filled = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value);

/** Two pages of code linked at 16 MiB. */
export const X64_KERNEL = bytesSource(elfFile('x64', 0x1000010, [{ address: 0x1000000, data: filled(0x2000, 1) }]));

/** An arm64 Image of three pages that asks for four. */
export const ARM64_KERNEL: ByteSource = bytesSource(
  new StructWriter()
    .zeros(8)
    .u64(0, 0x4000, 0xa)
    .zeros(24)
    .ascii('ARM\x64')
    .zeros(4)
    .raw(filled(0x3000 - 64, 2))
    .finish(),
);

/** A boot shim of one page, linked at 0. */
export const bootShim = (arch: 'x64' | 'aarch64'): ByteSource =>
  bytesSource(elfFile(arch, 0x20, [{ address: 0, data: filled(0x1000, 5) }]));

/** A small OpenHCL guest. */
export const openhclGuest = (arch: 'x64' | 'aarch64', changes: Partial<OpenhclGuest> = {}): OpenhclGuest => ({
  kernel: arch === 'x64' ? X64_KERNEL : ARM64_KERNEL,
  bootShim: bootShim(arch),
  initrd: bytesSource(filled(5000, 6)),
  commandLine: 'quiet',
  staticCommandLine: false,
  memoryPageCount: 16384n,
  vtl0: { kind: 'none' },
  ...changes,
});
