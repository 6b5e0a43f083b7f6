import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';

/**
 * Linux's boot_params, the "zero page" (Linux, Documentation/arch/x86/zero-page.rst and boot.rst): the information that
 * a boot loader gives to the kernel. A part of it, the setup header, is at the same offsets in a bzImage.
 */

/** The setup header up to and including `handover_offset`, the part that upstream copies. */
export const SETUP_HEADER_START = 0x1f1;
export const SETUP_HEADER_END = 0x268;

/** Offsets of fields, in bytes. */
export const BOOT_PARAMS = {
  acpi_rsdp_addr: 0x070,
  e820_entries: 0x1e8,
  setup_sects: 0x1f1,
  syssize: 0x1f4,
  boot_flag: 0x1fe,
  header: 0x202,
  version: 0x206,
  type_of_loader: 0x210,
  loadflags: 0x211,
  ramdisk_image: 0x218,
  ramdisk_size: 0x21c,
  cmd_line_ptr: 0x228,
  kernel_alignment: 0x230,
  xloadflags: 0x236,
  cmdline_size: 0x238,
  setup_data: 0x250,
  pref_address: 0x258,
  init_size: 0x260,
  e820_table: 0x2d0,
} as const;

/** What `boot_flag` and `header` hold. */
export const BOOT_FLAG = 0xaa55;
/** "HdrS" */
export const HEADER_MAGIC = 0x53726448;

/** Offset of the 64-bit entry point in the protected-mode code (boot.rst, "64-bit BOOT PROTOCOL"). */
const ENTRY_OFFSET = 0x200;

/** Version 2.12 added xloadflags, which tell whether there is a 64-bit entry point. */
const MINIMUM_VERSION = 0x020c;
const PARAGRAPH = 16;
const LOADED_HIGH = 1;
const XLF_KERNEL_64 = 1;

/** The properties of a bzImage that a loader needs. Sizes and offsets in bytes. */
export interface BzImageInfo {
  /** The setup header's bytes from SETUP_HEADER_START to SETUP_HEADER_END, for the zero page. */
  setupHeader: Uint8Array;
  /**
   * Offset and size in the file of the loaded part: everything after the real-mode setup. Not checked against the file.
   */
  payloadOffset: number;
  payloadSize: number;
  /** Offset of the 64-bit entry point from the payload's start. */
  entryOffset: number;
  /** The kernel decompresses to this address (or its load address, if higher) ... */
  preferredAddress: bigint;
  /** ... and needs this much memory there. */
  initSize: number;
  /** The longest command line that the kernel accepts, without NUL. */
  commandLineSize: number;
}

/** Whether a file is a bzImage: long enough for a setup header, and with its two magic numbers. */
export function isBzImage(source: ByteSource): boolean {
  if (source.size < SETUP_HEADER_END) return false;
  return hasMarks(readHead(source));
}

/**
 * Reads a bzImage's setup header (openvmm vm/loader/src/bzimage.rs: parse_bzimage).
 * @param label what the file is, for messages
 * @throws IgvmError KERNEL_INVALID with the byte offset of the offending field
 */
export function readBzImage(source: ByteSource, label: string): BzImageInfo {
  const invalid = (what: string, field: keyof typeof BOOT_PARAMS): IgvmError =>
    new IgvmError('KERNEL_INVALID', `${label} ${what}`, { offset: BOOT_PARAMS[field] });

  if (source.size < SETUP_HEADER_END) throw invalid('is too short for a bzImage', 'setup_sects');
  const view = readHead(source);
  if (!hasMarks(view)) throw invalid('is not a bzImage: it lacks the boot flag or the mark "HdrS"', 'boot_flag');
  const version = view.getUint16(BOOT_PARAMS.version, true);
  if (version < MINIMUM_VERSION) {
    throw invalid(
      `is too old to be entered in 64-bit mode: it has boot protocol ${version >> 8}.${version & 0xff}, and 2.12 is needed`,
      'version',
    );
  }
  if ((view.getUint8(BOOT_PARAMS.loadflags) & LOADED_HIGH) === 0) {
    throw invalid('is a zImage: it cannot be loaded at 1 MiB', 'loadflags');
  }
  if ((view.getUint16(BOOT_PARAMS.xloadflags, true) & XLF_KERNEL_64) === 0) {
    throw invalid('has no 64-bit entry point; a kernel built for x86-64 has one', 'xloadflags');
  }
  // "For backwards compatibility, if the setup_sects field contains 0, the real value is 4." (boot.rst)
  const setupSectors = view.getUint8(BOOT_PARAMS.setup_sects) || 4;
  const payloadOffset = (setupSectors + 1) * 512;
  const rest = Math.max(source.size - payloadOffset, 0);
  const payloadSize = readPayloadSize(view, rest);
  if (payloadSize <= ENTRY_OFFSET) {
    throw invalid(
      `is truncated: ${payloadSize} bytes of code do not reach the entry point at ${ENTRY_OFFSET}`,
      'syssize',
    );
  }
  return {
    setupHeader: new Uint8Array(view.buffer, SETUP_HEADER_START),
    payloadOffset,
    payloadSize,
    entryOffset: ENTRY_OFFSET,
    preferredAddress: view.getBigUint64(BOOT_PARAMS.pref_address, true),
    initSize: view.getUint32(BOOT_PARAMS.init_size, true),
    commandLineSize: view.getUint32(BOOT_PARAMS.cmdline_size, true),
  };
}

/**
 * Bytes after the setup. The header counts them in paragraphs of 16 bytes, the last of which may be cut off: Debian's
 * memtest86+ ends within one, and boot loaders accept it.
 * @param rest bytes that the file has there
 */
function readPayloadSize(view: DataView, rest: number): number {
  const size = view.getUint32(BOOT_PARAMS.syssize, true) * PARAGRAPH;
  return size === 0 || (size > rest && size - rest < PARAGRAPH) ? rest : size;
}

function readHead(source: ByteSource): DataView<ArrayBuffer> {
  const head = new Uint8Array(SETUP_HEADER_END);
  source.read(0, head);
  return new DataView(head.buffer);
}

function hasMarks(view: DataView): boolean {
  return (
    view.getUint16(BOOT_PARAMS.boot_flag, true) === BOOT_FLAG &&
    view.getUint32(BOOT_PARAMS.header, true) === HEADER_MAGIC
  );
}
