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
