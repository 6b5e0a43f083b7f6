/** Bits and values of aarch64 registers that guests start with (Arm ARM, D24.2 and C5.2). */

/** CPSR: EL1 with its own stack pointer. */
export const CPSR_EL1H = 0b0101n;

/**
 * SCTLR_EL1: data cache (2) and instruction cache (12) on, and the bits that are one where their feature is missing: EOS,
 * TSCXT, EIS, SPAN, nTLSMD, LSMAOE.
 */
export const SCTLR_CACHES = [2n, 11n, 12n, 20n, 22n, 23n, 28n, 29n].reduce((value, bit) => value | (1n << bit), 0n);

/** With the MMU on, too. */
export const SCTLR_MMU_AND_CACHES = SCTLR_CACHES | 1n;

/** MAIR_EL1 of memory types, attribute 0 first; at most eight. */
export const memoryAttributes = (types: readonly number[]): bigint =>
  types.reduceRight((mair, type) => (mair << 8n) | BigInt(type), 0n);
