import type { GuestArch } from '../igvm/model';
import type { VpRegisterName } from './vp-register';

/**
 * Hyper-V's names of the registers (HvX64RegisterName, HvArm64RegisterName in the hypervisor's functional specification;
 * crates.io igvm, src/hv_defs.rs).
 */
export const VBS_REGISTER: Record<GuestArch, Partial<Record<VpRegisterName, number>>> = {
  x64: {
    rsp: 0x00020004,
    rbp: 0x00020005,
    rsi: 0x00020006,
    r8: 0x00020008,
    r9: 0x00020009,
    r10: 0x0002000a,
    r11: 0x0002000b,
    r12: 0x0002000c,
    rip: 0x00020010,
    rflags: 0x00020011,
    cr0: 0x00040000,
    cr3: 0x00040002,
    cr4: 0x00040003,
    es: 0x00060000,
    cs: 0x00060001,
    ss: 0x00060002,
    ds: 0x00060003,
    fs: 0x00060004,
    gs: 0x00060005,
    tr: 0x00060007,
    idtr: 0x00070000,
    gdtr: 0x00070001,
    efer: 0x00080001,
    pat: 0x00080004,
    mtrrDefType: 0x0008000e,
    mtrrPhysBase0: 0x00080010,
    mtrrPhysBase1: 0x00080011,
    mtrrPhysBase2: 0x00080012,
    mtrrPhysBase3: 0x00080013,
    mtrrPhysBase4: 0x00080014,
    mtrrPhysMask0: 0x00080040,
    mtrrPhysMask1: 0x00080041,
    mtrrPhysMask2: 0x00080042,
    mtrrPhysMask3: 0x00080043,
    mtrrPhysMask4: 0x00080044,
    mtrrFix64k00000: 0x00080070,
    mtrrFix16k80000: 0x00080071,
    mtrrFix4kE0000: 0x00080077,
    mtrrFix4kE8000: 0x00080078,
    mtrrFix4kF0000: 0x00080079,
    mtrrFix4kF8000: 0x0008007a,
  },
  aarch64: {
    x0: 0x00020000,
    x1: 0x00020001,
    x2: 0x00020002,
    x3: 0x00020003,
    x4: 0x00020004,
    x5: 0x00020005,
    x6: 0x00020006,
    x7: 0x00020007,
    pc: 0x00020022,
    cpsr: 0x00020023,
    sctlrEl1: 0x00040002,
    ttbr0El1: 0x00040005,
    ttbr1El1: 0x00040006,
    tcrEl1: 0x00040007,
    mairEl1: 0x0004000b,
    vbarEl1: 0x0004000c,
  },
};

/** The registers whose value is not a plain number. */
export const TABLE_REGISTERS = ['gdtr', 'idtr'] as const;
export const SEGMENT_REGISTERS = ['ds', 'es', 'fs', 'gs', 'ss', 'cs', 'tr'] as const;
