import type { Directive, IgvmFile, PageDataDirective } from '../igvm/model';
import { bytesSource, EMPTY_SOURCE, type ByteSource } from '../memory/byte-source';
import { NativeContext } from '../vp-context/native';

export const ZERO_PAGE = 0x1000;
export const PML4 = 0x3000;
export const PDPT = 0x4000;
export const COMMAND_LINE = 0xa000;
export const KERNEL = 0x200000;

const LARGE = 0x83n;

/** A run of pages for the only platform. Without `content`, they are empty. */
export function pageData(
  gpa: number,
  pageCount = 1,
  content: ByteSource | Uint8Array = EMPTY_SOURCE,
): PageDataDirective {
  return {
    type: 'pageData',
    gpa,
    pageCount,
    flags: 0,
    dataType: 0,
    compatibilityMask: 1,
    content: content instanceof Uint8Array ? bytesSource(content) : content,
  };
}

/** A page that starts with these 64-bit values. */
export function quads(...values: bigint[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4096));
  for (const [index, value] of values.entries()) view.setBigUint64(index * 8, value, true);
  return new Uint8Array(view.buffer);
}

/** boot_params with the magic, the address of the command line and, unless `ramEnd` is 0, an e820 map of that many bytes. */
export function zeroPage(ramEnd = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(4096));
  view.setUint32(0x202, 0x53726448, true);
  view.setUint32(0x228, COMMAND_LINE, true);
  if (ramEnd > 0) {
    view.setUint8(0x1e8, 1);
    view.setBigUint64(0x2d8, BigInt(ramEnd), true);
    view.setUint32(0x2e0, 1, true);
  }
  return new Uint8Array(view.buffer);
}

/** The context of VP 0 in 64-bit mode, as in linux images. */
export function nativeContext(change: { cr0?: bigint; cr4?: bigint; efer?: bigint; cr3?: bigint } = {}): Directive {
  const { cr0 = 0x80000001n, cr3 = BigInt(PML4), cr4 = 0x20n, efer = 0xd01n } = change;
  const context = new NativeContext();
  context.setRegister({ name: 'cr0', value: cr0 });
  context.setRegister({ name: 'cr3', value: cr3 });
  context.setRegister({ name: 'cr4', value: cr4 });
  context.setRegister({ name: 'efer', value: efer });
  context.setRegister({ name: 'rip', value: BigInt(KERNEL) });
  context.setRegister({ name: 'rsi', value: BigInt(ZERO_PAGE) });
  context.setRegister({ name: 'r12', value: 0x1122334455667788n });
  context.setRegister({ name: 'gdtr', table: { base: 0x2000n, limit: 0x1f } });
  context.setRegister({
    name: 'cs',
    segment: { base: 0n, limit: 0xffffffff, selector: 8, attributes: 0xa09b },
  });
  context.setRegister({
    name: 'ds',
    segment: { base: 0n, limit: 0xffffffff, selector: 0x10, attributes: 0xc093 },
  });
  const [part] = context.finish();
  if (part?.kind !== 'directive') throw new Error('a native context is a directive');
  return part.directive;
}

/** An image with a Linux zero page, page tables that map 4 GiB to themselves, and two pages of kernel. */
export function nativeImage(more: Directive[] = [], { ramEnd = 0, context = nativeContext() } = {}): IgvmFile {
  const kernel = new Uint8Array(5000).fill(0xcc);
  return {
    version: 2,
    arch: 'x64',
    platforms: [{ compatibilityMask: 1, highestVtl: 0, platformType: 0, platformVersion: 1, sharedGpaBoundary: 0n }],
    initializations: [],
    directives: [
      pageData(ZERO_PAGE, 1, zeroPage(ramEnd)),
      pageData(PML4, 1, quads(BigInt(PDPT) | 3n)),
      pageData(PDPT, 1, quads(LARGE, (1n << 30n) | LARGE, (2n << 30n) | LARGE, (3n << 30n) | LARGE)),
      pageData(KERNEL, 4, kernel),
      ...more,
      context,
    ],
  };
}

/** A parameter area at `gpa` that starts with `initial`, and the parameter that the VMM writes into it. */
export function parameter(
  index: number,
  gpa: number,
  kind: Extract<Directive, { type: 'parameter' }>['kind'],
  { size = 4096, byteOffset = 0, initial = '' } = {},
): Directive[] {
  const initialData = bytesSource(new TextEncoder().encode(initial));
  return [
    { type: 'parameterArea', size, index, initialData },
    { type: 'parameter', kind, index, byteOffset },
    { type: 'parameterInsert', gpa, compatibilityMask: 1, index },
  ];
}

/** The guest memory that an ELF file loads, and the facts in its headers. */
export interface LoadedElf {
  /** From the PVH note. */
  entry: number;
  segments: { gpa: number; fileSize: number; memorySize: number }[];
  /** Reads `size` bytes from `gpa` on. Memory outside of segments is zero. */
  read(gpa: number, size: number): Uint8Array;
}

/** Loads an ELF file like a PVH VMM. */
export function loadElf(bytes: Uint8Array): LoadedElf {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const number = (at: number): number => Number(view.getBigUint64(at, true));
  const segments: LoadedElf['segments'] = [];
  const memory: { gpa: number; bytes: Uint8Array }[] = [];
  let entry = 0;
  for (let index = 0; index < view.getUint16(56, true); index++) {
    const at = number(32) + index * 56;
    const [offset, gpa, fileSize, memorySize] = [number(at + 8), number(at + 24), number(at + 32), number(at + 40)];
    if (offset + fileSize > bytes.length) throw new Error('a segment is cut off');
    if (view.getUint32(at, true) === 4) entry = view.getUint32(offset + 16, true);
    if (view.getUint32(at, true) !== 1) continue;
    segments.push({ gpa, fileSize, memorySize });
    memory.push({ gpa, bytes: bytes.subarray(offset, offset + fileSize) });
  }
  const read = (gpa: number, size: number): Uint8Array => {
    const result = new Uint8Array(size);
    for (const segment of memory) {
      for (let index = 0; index < size; index++) {
        result[index] = segment.bytes[gpa + index - segment.gpa] ?? result[index] ?? 0;
      }
    }
    return result;
  };
  return { entry, segments, read };
}
