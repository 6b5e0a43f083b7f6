import type { VpRegister } from './vp-register';

/** The registers of an OpenHCL guest that are the same under SNP and TDX. Segments differ. */
export const OPENHCL_REGISTERS: readonly VpRegister[] = [
  { name: 'gdtr', table: { base: 0x8a44000n, limit: 0x1f } },
  { name: 'cr0', value: 0x80000021n },
  { name: 'cr3', value: 0x8bc7000n },
  { name: 'cr4', value: 0x40060n },
  { name: 'efer', value: 0xd00n },
  { name: 'pat', value: 0x0007040600070406n },
  { name: 'rip', value: 0x8a19234n },
  { name: 'rsi', value: 0x2d000n },
];

/** The registers of a UEFI guest without a paravisor. */
export const UEFI_REGISTERS: readonly VpRegister[] = [
  { name: 'gdtr', table: { base: 0x706000n, limit: 0x1f } },
  { name: 'cr0', value: 0x80000023n },
  { name: 'cr3', value: 0x700000n },
  { name: 'cr4', value: 0x660n },
  { name: 'rip', value: 0x6e1b64n },
];
