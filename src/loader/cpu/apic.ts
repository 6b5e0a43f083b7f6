/** Interrupt controllers as PCs have them, and as QEMU, KVM and Hyper-V emulate them. GPAs. */
export const LOCAL_APIC_BASE = 0xfee00000;
export const IO_APIC_BASE = 0xfec00000;
