import { hexRange } from '../errors/printable';
import type { DumpRecord } from '../igvm/dump';
import type { PageAcceptance, VpContextDirective } from '../igvm/model';

/** A descriptor table register: GDTR or IDTR. */
export interface TableRegister {
  base: bigint;
  limit: number;
}

/** A segment register with its hidden part; `limit` in bytes, `attributes` as in VMX (P, DPL, S, type; AVL, L, D, G). */
export interface SegmentRegister {
  base: bigint;
  limit: number;
  selector: number;
  attributes: number;
}

/** x64 registers that hold a table, in openvmm's set (vm/loader/src/importer.rs: X86Register). */
export type TableRegisterName = 'gdtr' | 'idtr';

export type SegmentRegisterName = 'ds' | 'es' | 'fs' | 'gs' | 'ss' | 'cs' | 'tr';

/** x64 registers that hold one value. MTRRs by their Intel SDM names. */
export type X64ValueRegisterName =
  | 'cr0'
  | 'cr3'
  | 'cr4'
  | 'efer'
  | 'pat'
  | 'rbp'
  | 'rip'
  | 'rsi'
  | 'rsp'
  | 'r8'
  | 'r9'
  | 'r10'
  | 'r11'
  | 'r12'
  | 'rflags'
  | 'mtrrDefType'
  | 'mtrrPhysBase0'
  | 'mtrrPhysMask0'
  | 'mtrrPhysBase1'
  | 'mtrrPhysMask1'
  | 'mtrrPhysBase2'
  | 'mtrrPhysMask2'
  | 'mtrrPhysBase3'
  | 'mtrrPhysMask3'
  | 'mtrrPhysBase4'
  | 'mtrrPhysMask4'
  | 'mtrrFix64k00000'
  | 'mtrrFix16k80000'
  | 'mtrrFix4kE0000'
  | 'mtrrFix4kE8000'
  | 'mtrrFix4kF0000'
  | 'mtrrFix4kF8000';

/** aarch64 registers (importer.rs: Aarch64Register). */
export type Arm64RegisterName =
  | 'pc'
  | 'x0'
  | 'x1'
  | 'x2'
  | 'x3'
  | 'x4'
  | 'x5'
  | 'x6'
  | 'x7'
  | 'cpsr'
  | 'vbarEl1'
  | 'ttbr0El1'
  | 'ttbr1El1'
  | 'mairEl1'
  | 'sctlrEl1'
  | 'tcrEl1';

export type VpRegisterName = TableRegisterName | SegmentRegisterName | X64ValueRegisterName | Arm64RegisterName;

/** One register of a VP's initial state with its value. */
export type VpRegister =
  | { name: TableRegisterName; table: TableRegister }
  | { name: SegmentRegisterName; segment: SegmentRegister }
  | { name: X64ValueRegisterName | Arm64RegisterName; value: bigint };

/** A part of a finished VP context: pages of the guest (TDX reset vector, SNP VMSA), or a directive. */
export type VpContextPart =
  | { kind: 'pages'; pageBase: number; pageCount: number; acceptance: PageAcceptance; data: Uint8Array }
  | { kind: 'directive'; directive: VpContextDirective };

/**
 * Collects the BSP's registers and turns them into one platform's VP context. Each platform has a file in this folder.
 */
export interface VpContextBuilder {
  /** Whether the context has a place for the register. Loaders ask this before they set an optional register. */
  canHold(name: VpRegisterName): boolean;
  /** Sets a register that the context can hold. Loaders check values that come from users first. */
  setRegister(register: VpRegister): void;
  /** First page number of the memory that the context may use for itself. */
  setContextPage(pageBase: number): void;
  /** The context's parts, in the order in which they are imported. Called once. */
  finish(): VpContextPart[];
}

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
  /** 64-bit mode, enabled and active. */
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

/** TR after reset: a busy 32-bit TSS with the largest 16-bit limit. */
export const TASK_REGISTER_AT_RESET = { selector: 0, base: 0n, limit: 0xffff, attributes: 0x8b } as const;

/** Bits and values of aarch64 registers that guests start with (Arm ARM, D24.2 and C5.2). */

/** CPSR: EL1 with its own stack pointer. */
export const CPSR_EL1H = 0b0101n;

/**
 * SCTLR_EL1: data cache (2) and instruction cache (12) on, and the bits that are one if their feature is missing: EOS,
 * TSCXT, EIS, SPAN, nTLSMD, LSMAOE.
 */
export const SCTLR_CACHES = [2n, 11n, 12n, 20n, 22n, 23n, 28n, 29n].reduce((value, bit) => value | (1n << bit), 0n);

/** The same with the MMU on. */
export const SCTLR_MMU_AND_CACHES = SCTLR_CACHES | 1n;

/** MAIR_EL1 of memory types, attribute 0 first; at most eight. */
export const memoryAttributes = (types: readonly number[]): bigint =>
  types.reduceRight((mair, type) => (mair << 8n) | BigInt(type), 0n);

/** A copy of a context's bytes with zeros in place of the named fields. */
export function withoutNamed(
  context: Uint8Array,
  named: Iterable<readonly [offset: number, size: number]>,
): Uint8Array {
  const rest = Uint8Array.from(context);
  for (const [offset, size] of named) rest.fill(0, offset, offset + size);
  return rest;
}

/** This many zeros end a run of bytes: one record per byte would make the descriptions of small contexts long. */
const GAP = 16;

/** The bytes of a context that no field shows and that are not zero, as records of a dump. */
export function unnamedBytes(rest: Uint8Array): DumpRecord[] {
  const records: DumpRecord[] = [];
  for (let at = 0; at < rest.length; at++) {
    if (rest[at] === 0) continue;
    const start = at;
    let end = at + 1;
    for (; at < rest.length && at < end + GAP; at++) if (rest[at] !== 0) end = at + 1;
    records.push({ name: `bytes ${hexRange(start, end)}`, value: rest.slice(start, end) });
  }
  return records;
}
