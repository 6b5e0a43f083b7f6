/**
 * Linux' boot_params, the "zero page" (Linux, Documentation/arch/x86/zero-page.rst and boot.rst): what a boot loader tells
 * the kernel. A bzImage has the setup header, a part of it, at the same offsets as the zero page.
 */

/** The setup header up to and including `handover_offset`, which is as much of it as upstream copies. */
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
