import { PAGE_SIZE } from '../memory/page';
import { type SegmentRegister, type TableRegister, withoutNamed } from './vp-register';

/**
 * Bytes of the save area defined by the architecture (AMD64 manual, volume 2, appendix B); the rest of its page is
 * zero.
 */
export const VMSA_SIZE = 0x670;

/**
 * KVM puts the boot processor's VMSA here and measures this address, whatever the file contains (openvmm
 * snp_linux_direct.rs).
 */
export const KVM_VMSA_GPA = 0xffff_ffff_f000;

/** Byte offsets of the selectors, 16 bytes each: u16 selector, u16 attributes, u32 limit, u64 base. */
const SELECTORS = {
  es: 0x00,
  cs: 0x10,
  ss: 0x20,
  ds: 0x30,
  fs: 0x40,
  gs: 0x50,
  gdtr: 0x60,
  ldtr: 0x70,
  idtr: 0x80,
  tr: 0x90,
} as const;

/**
 * Byte offset and width of the other fields (AMD64 manual, volume 2, table B-4), except for the x87, MMX, XMM and YMM
 * registers.
 */
const FIELDS = {
  pl0Ssp: [0xa0, 8],
  pl1Ssp: [0xa8, 8],
  pl2Ssp: [0xb0, 8],
  pl3Ssp: [0xb8, 8],
  uCet: [0xc0, 8],
  vmpl: [0xca, 1],
  cpl: [0xcb, 1],
  efer: [0xd0, 8],
  xss: [0x140, 8],
  cr4: [0x148, 8],
  cr3: [0x150, 8],
  cr0: [0x158, 8],
  dr7: [0x160, 8],
  dr6: [0x168, 8],
  rflags: [0x170, 8],
  rip: [0x178, 8],
  dr0: [0x180, 8],
  dr1: [0x188, 8],
  dr2: [0x190, 8],
  dr3: [0x198, 8],
  dr0AddressMask: [0x1a0, 8],
  dr1AddressMask: [0x1a8, 8],
  dr2AddressMask: [0x1b0, 8],
  dr3AddressMask: [0x1b8, 8],
  rsp: [0x1d8, 8],
  sCet: [0x1e0, 8],
  ssp: [0x1e8, 8],
  isst: [0x1f0, 8],
  rax: [0x1f8, 8],
  star: [0x200, 8],
  lstar: [0x208, 8],
  cstar: [0x210, 8],
  sfmask: [0x218, 8],
  kernelGsBase: [0x220, 8],
  sysenterCs: [0x228, 8],
  sysenterEsp: [0x230, 8],
  sysenterEip: [0x238, 8],
  cr2: [0x240, 8],
  pat: [0x268, 8],
  dbgctl: [0x270, 8],
  lastBranchFromIp: [0x278, 8],
  lastBranchToIp: [0x280, 8],
  lastExceptionFromIp: [0x288, 8],
  lastExceptionToIp: [0x290, 8],
  specCtrl: [0x2e0, 8],
  pkru: [0x2e8, 4],
  tscAux: [0x2ec, 4],
  guestTscScale: [0x2f0, 8],
  guestTscOffset: [0x2f8, 8],
  registerProtectionNonce: [0x300, 8],
  rcx: [0x308, 8],
  rdx: [0x310, 8],
  rbx: [0x318, 8],
  secureAvicControl: [0x320, 8],
  rbp: [0x328, 8],
  rsi: [0x330, 8],
  rdi: [0x338, 8],
  r8: [0x340, 8],
  r9: [0x348, 8],
  r10: [0x350, 8],
  r11: [0x358, 8],
  r12: [0x360, 8],
  r13: [0x368, 8],
  r14: [0x370, 8],
  r15: [0x378, 8],
  exitInfo1: [0x390, 8],
  exitInfo2: [0x398, 8],
  exitIntInfo: [0x3a0, 8],
  nextRip: [0x3a8, 8],
  sevFeatures: [0x3b0, 8],
  virtualInterruptControl: [0x3b8, 8],
  guestErrorCode: [0x3c0, 8],
  virtualTom: [0x3c8, 8],
  tlbId: [0x3d0, 8],
  pcpuId: [0x3d8, 8],
  eventInject: [0x3e0, 8],
  xcr0: [0x3e8, 8],
  xsaveValidBitmapLow: [0x3f0, 8],
  xsaveValidBitmapHigh: [0x3f8, 8],
  x87Dp: [0x400, 8],
  mxcsr: [0x408, 4],
  x87Ftw: [0x40c, 2],
  x87Fsw: [0x40e, 2],
  x87Fcw: [0x410, 2],
  x87Op: [0x412, 2],
  x87Ds: [0x414, 2],
  x87Cs: [0x416, 2],
  x87Rip: [0x418, 8],
} as const satisfies Record<string, readonly [offset: number, width: 1 | 2 | 4 | 8]>;

export type VmsaSelectorName = keyof typeof SELECTORS;
export type VmsaFieldName = keyof typeof FIELDS;

/** Bits of SEV_FEATURES (AMD64 manual, volume 2, table B-4; openvmm vm/x86/x86defs/src/snp.rs: SevFeatures). */
export const SEV_FEATURE = {
  snp: 1n << 0n,
  vtom: 1n << 1n,
  reflectVc: 1n << 2n,
  restrictInjection: 1n << 3n,
  alternateInjection: 1n << 4n,
  debugSwap: 1n << 5n,
  preventHostIbs: 1n << 6n,
  btbIsolation: 1n << 7n,
  vmplSss: 1n << 8n,
  secureTsc: 1n << 9n,
  vmgexitParameter: 1n << 10n,
  pmcVirtualization: 1n << 11n,
  ibsVirtualization: 1n << 12n,
  guestInterceptControl: 1n << 13n,
  vmsaRegisterProtection: 1n << 14n,
  smtProtection: 1n << 15n,
  secureAvic: 1n << 16n,
  ibpbOnEntry: 1n << 21n,
  allowedSevFeaturesEnable: 1n << 63n,
} as const;

/** A VMSA (virtual machine save area): the page from which SEV-SNP starts a virtual processor. */
export class Vmsa {
  readonly page = new Uint8Array(PAGE_SIZE);
  private readonly view = new DataView(this.page.buffer);

  /** A zeroed save area, or a copy of one that was stored; `stored` holds at most a page. */
  constructor(stored?: Uint8Array) {
    if (stored !== undefined) this.page.set(stored.subarray(0, PAGE_SIZE));
  }

  get(name: VmsaFieldName): bigint {
    const [offset, width] = FIELDS[name];
    if (width === 8) return this.view.getBigUint64(offset, true);
    if (width === 4) return BigInt(this.view.getUint32(offset, true));
    return BigInt(width === 2 ? this.view.getUint16(offset, true) : this.view.getUint8(offset));
  }

  /** `value` is truncated to the field's width. */
  set(name: VmsaFieldName, value: bigint): void {
    const [offset, width] = FIELDS[name];
    if (width === 8) this.view.setBigUint64(offset, value, true);
    else if (width === 4) this.view.setUint32(offset, Number(value & 0xffffffffn), true);
    else if (width === 2) this.view.setUint16(offset, Number(value & 0xffffn), true);
    else this.view.setUint8(offset, Number(value & 0xffn));
  }

  /** Attributes lose the four bits between type and AVL that VMX keeps reserved. */
  setSegment(name: VmsaSelectorName, segment: SegmentRegister): void {
    this.setTable(name, segment);
    const at = SELECTORS[name];
    this.view.setUint16(at, segment.selector, true);
    this.view.setUint16(at + 2, (segment.attributes & 0xff) | ((segment.attributes >> 4) & 0xf00), true);
  }

  setTable(name: VmsaSelectorName, table: TableRegister): void {
    const at = SELECTORS[name];
    this.view.setBigUint64(at, 0n, true);
    this.view.setUint32(at + 4, table.limit, true);
    this.view.setBigUint64(at + 8, table.base, true);
  }

  /** The selector with its attributes as VMX writes them. */
  getSegment(name: VmsaSelectorName): SegmentRegister {
    const at = SELECTORS[name];
    const attributes = this.view.getUint16(at + 2, true);
    return {
      selector: this.view.getUint16(at, true),
      attributes: (attributes & 0xff) | ((attributes & 0xf00) << 4),
      limit: this.view.getUint32(at + 4, true),
      base: this.view.getBigUint64(at + 8, true),
    };
  }
}

/** The contents of a stored VMSA, for people: everything that is not zero, in the order of the save area. */
export interface DecodedVmsa {
  selectors: (SegmentRegister & { name: VmsaSelectorName })[];
  fields: { name: VmsaFieldName; value: bigint }[];
  /** The names of the bits set in SEV_FEATURES; unknown bits as `bit N`. */
  sevFeatures: string[];
}

/** Reads a VMSA as stored in a file: at most a page, missing bytes count as zero. */
export function decodeVmsa(data: Uint8Array): DecodedVmsa {
  const vmsa = new Vmsa(data);
  const selectorNames = Object.keys(SELECTORS) as VmsaSelectorName[];
  const fieldNames = Object.keys(FIELDS) as VmsaFieldName[];
  return {
    selectors: selectorNames
      .map((name) => ({ name, ...vmsa.getSegment(name) }))
      .filter(({ selector, attributes, limit, base }) => selector || attributes || limit || base),
    fields: fieldNames.map((name) => ({ name, value: vmsa.get(name) })).filter(({ value }) => value !== 0n),
    sevFeatures: sevFeatureNames(vmsa.get('sevFeatures')),
  };
}

/** The bytes of a stored VMSA that {@link decodeVmsa} doesn't decode; zeros in place of the others. */
export function unnamedInVmsa(data: Uint8Array): Uint8Array {
  const selectors = Object.values(SELECTORS);
  const rest = withoutNamed(data, [
    ...selectors.flatMap((at) => [[at, 3] as const, [at + 4, 12] as const]),
    ...Object.values(FIELDS),
  ]);
  // The upper four bits of the attributes have no name.
  for (const at of selectors) if (at + 3 < rest.length) rest[at + 3] = (rest[at + 3] ?? 0) & 0xf0;
  return rest;
}

function sevFeatureNames(features: bigint): string[] {
  const names: string[] = [];
  for (let bit = 0n; bit < 64n; bit++) {
    if (((features >> bit) & 1n) === 0n) continue;
    const known = Object.entries(SEV_FEATURE).find(([, mask]) => mask === 1n << bit);
    names.push(known?.[0] ?? `bit ${bit}`);
  }
  return names;
}
