/** Bits and values of x86 registers that guests start with (Intel SDM, volume 3: 2.5 control registers, 2.2.1 EFER). */

export const CR0 = {
  /** Protected mode. */
  PE: 1n << 0n,
  MP: 1n << 1n,
  ET: 1n << 4n,
  NE: 1n << 5n,
  /** Paging. */
  PG: 1n << 31n,
} as const;

export const CR4 = {
  PAE: 1n << 5n,
  MCE: 1n << 6n,
  OSFXSR: 1n << 9n,
  OSXMMEXCPT: 1n << 10n,
  OSXSAVE: 1n << 18n,
} as const;

export const EFER = {
  /** System calls. */
  SCE: 1n << 0n,
  /** 64-bit mode, wanted and active. */
  LME: 1n << 8n,
  LMA: 1n << 10n,
  /** Pages that can't be executed. */
  NXE: 1n << 11n,
  /** AMD64 manual, volume 2, 3.1.7: set in every SEV guest. */
  SVME: 1n << 12n,
} as const;

/** Bit 1 of RFLAGS is always set. */
export const RFLAGS_FIXED = 1n << 1n;

/** The page attribute table after reset (SDM, volume 3, 13.12.4). */
export const PAT_AT_RESET = 0x0007_0406_0007_0406n;

/** MTRRs (SDM, volume 3, 13.11.2): on, fixed ranges too; what no range covers is uncached. */
export const MTRR_DEFAULT_TYPE = 0xc00n;
/** Eight fixed ranges of write-back memory. */
export const MTRR_WRITE_BACK = 0x0606_0606_0606_0606n;

/** TR after reset: a busy 32-bit TSS with all that a 16-bit limit reaches. */
export const TASK_REGISTER_AT_RESET = { selector: 0, base: 0n, limit: 0xffff, attributes: 0x8b } as const;
