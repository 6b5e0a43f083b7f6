/** Fields of a bzImage's setup header that tests change, by their names in boot.rst. */
export interface BzImageFields {
  setup_sects: number;
  /** In units of 16 bytes; default: the code's size. */
  syssize: number;
  boot_flag: number;
  header: number;
  version: number;
  loadflags: number;
  xloadflags: number;
  cmdline_size: number;
  pref_address: bigint;
  init_size: number;
}

/** A bzImage whose code is `code`, with a header like those of today's kernels. */
export function bzImageFile(code: Uint8Array, fields: Partial<BzImageFields> = {}): Uint8Array {
  const setupSects = fields.setup_sects ?? 1;
  const file = new Uint8Array(((setupSects || 4) + 1) * 512 + code.length);
  file.set(code, file.length - code.length);
  const view = new DataView(file.buffer);
  view.setUint8(0x1f1, setupSects);
  view.setUint32(0x1f4, fields.syssize ?? code.length / 16, true);
  view.setUint16(0x1fe, fields.boot_flag ?? 0xaa55, true);
  view.setUint32(0x202, fields.header ?? 0x53726448, true);
  view.setUint16(0x206, fields.version ?? 0x020f, true);
  view.setUint8(0x211, fields.loadflags ?? 1);
  view.setUint16(0x236, fields.xloadflags ?? 1, true);
  view.setUint32(0x238, fields.cmdline_size ?? 2047, true);
  view.setBigUint64(0x258, fields.pref_address ?? 0x1000000n, true);
  view.setUint32(0x260, fields.init_size ?? 0x300000, true);
  view.setUint32(0x264, 0x190, true); // handover_offset
  return file;
}

/** An arm64 `Image` of `size` bytes. */
export function arm64ImageFile(
  size: number,
  fields: Partial<{ textOffset: bigint; imageSize: bigint; flags: bigint; magic: number }> = {},
): Uint8Array {
  const file = bytes(size, 7);
  const view = new DataView(file.buffer);
  view.setBigUint64(8, fields.textOffset ?? 0n, true);
  view.setBigUint64(16, fields.imageSize ?? BigInt(size), true);
  view.setBigUint64(24, fields.flags ?? 0xan, true);
  view.setUint32(56, fields.magic ?? 0x644d5241, true);
  return file;
}

/** `size` bytes that are not zero and differ from page to page and from `seed` to `seed`. */
export function bytes(size: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, at) => ((at * 7 + (at >> 8) * 13 + seed * 29) % 255) + 1);
}

/** A copy of `file` with `patch` at `offset`. */
export function patched(file: Uint8Array, offset: number, patch: readonly number[]): Uint8Array {
  const copy = Uint8Array.from(file);
  copy.set(patch, offset);
  return copy;
}
