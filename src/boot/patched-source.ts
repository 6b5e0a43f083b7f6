import type { ByteSource } from '../memory/byte-source';

/** Bytes that replace those at `offset`. */
export interface Patch {
  offset: number;
  bytes: Uint8Array;
}

/**
 * `source` with some bytes replaced, later patches over earlier ones. A patch behind the source's end makes it longer;
 * what lies between is zero. There may be as many patches as an image has parameters: hundreds of thousands.
 */
export function patchedSource(source: ByteSource, patches: readonly Patch[]): ByteSource {
  if (patches.length === 0) return source;
  let size = source.size;
  for (const { offset, bytes } of patches) size = Math.max(size, offset + bytes.length);
  return {
    size,
    read(offset, target) {
      const available = Math.min(target.length, Math.max(0, source.size - offset));
      if (available > 0) source.read(offset, target.subarray(0, available));
      target.fill(0, available);
      for (const patch of patches) {
        const start = Math.max(offset, patch.offset);
        const end = Math.min(offset + target.length, patch.offset + patch.bytes.length);
        if (start < end) target.set(patch.bytes.subarray(start - patch.offset, end - patch.offset), start - offset);
      }
    },
    ready: source.ready?.bind(source),
    late: source.late,
  };
}
