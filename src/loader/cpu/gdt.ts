import { PAGE_SIZE } from '../../memory/page';
import type { SegmentRegister, SegmentRegisterName } from '../../vp-context/vp-register';
import type { ImageImporter } from '../guest/importer';

/** Present, ring 0, execute/read, accessed, 64-bit, 4 KiB granularity (openvmm vm/x86/x86defs: X64_DEFAULT_*_SEGMENT_ATTRIBUTES). */
const CODE_ATTRIBUTES = 0xa09b;
/** Present, ring 0, read/write, accessed, 32-bit, 4 KiB granularity. */
const DATA_ATTRIBUTES = 0xc093;

/** Bytes of guest memory that {@link importDefaultGdt} takes. */
export const GDT_SIZE = PAGE_SIZE;

const DESCRIPTOR_SIZE = 8;
const DESCRIPTOR_COUNT = 4;

const DATA_SEGMENTS: readonly SegmentRegisterName[] = ['ds', 'es', 'fs', 'gs', 'ss'];

/** The places of a flat GDT's two descriptors, and its name in the map file. */
export interface GdtLayout {
  codeSelector: number;
  dataSelector: number;
  tag: string;
}

/** Null, code, data, null. */
const DEFAULT_LAYOUT: GdtLayout = { codeSelector: 0x08, dataSelector: 0x10, tag: 'default-gdt' };

/** Imports the GDT that Linux and UEFI start with: {@link importFlatGdt} with the default selectors. */
export function importDefaultGdt(importer: ImageImporter, pageBase: number): void {
  importFlatGdt(importer, pageBase, DEFAULT_LAYOUT);
}

/**
 * Imports a page with a flat GDT and sets GDTR and the segment registers to it (openvmm vm/loader/src/common.rs:
 * import_default_gdt). The descriptors have the limit 0xffff, as upstream's: 64-bit mode ignores it.
 * @throws IgvmError LAYOUT_OVERLAP
 */
export function importFlatGdt(importer: ImageImporter, pageBase: number, layout: GdtLayout): void {
  const { codeSelector, dataSelector, tag } = layout;
  const table = new DataView(new ArrayBuffer(DESCRIPTOR_COUNT * DESCRIPTOR_SIZE));
  for (const [selector, attributes] of [
    [codeSelector, CODE_ATTRIBUTES],
    [dataSelector, DATA_ATTRIBUTES],
  ] as const) {
    table.setUint16(selector, 0xffff, true);
    table.setUint16(selector + 5, attributes, true);
  }
  importer.importPages(pageBase, GDT_SIZE / PAGE_SIZE, tag, 'exclusive', new Uint8Array(table.buffer));

  importer.setRegister({
    name: 'gdtr',
    table: { base: BigInt(pageBase * PAGE_SIZE), limit: DESCRIPTOR_COUNT * DESCRIPTOR_SIZE - 1 },
  });
  const data = segment(dataSelector, DATA_ATTRIBUTES);
  for (const name of DATA_SEGMENTS) importer.setRegister({ name, segment: data });
  importer.setRegister({ name: 'cs', segment: segment(codeSelector, CODE_ATTRIBUTES) });
}

function segment(selector: number, attributes: number): SegmentRegister {
  return { base: 0n, limit: 0xffffffff, selector, attributes };
}
