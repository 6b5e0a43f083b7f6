/** Where OVMF starts: the registers that igvm-wrap 0.2.6 gives it (src/x86regs.rs). */
import type { VpContextDirective } from '../../igvm/model';
import { NativeContext } from '../../vp-context/native';
import { KVM_VMSA_GPA, SEV_FEATURE, Vmsa } from '../../vp-context/vmsa';
import { OVMF_MASK } from './pages';

/** `real16`: at the reset vector, as a processor does. `flat32`: protected mode, without the firmware's 16-bit code. */
export type OvmfBootMode = 'real16' | 'flat32';

/** Attributes as VMX writes them: the type in the low byte, flags from bit 12. */
const STATES = {
  real16: {
    cs: { selector: 0xf000, attributes: 0x9b, limit: 0xffff, base: 0xffff_0000n },
    data: { selector: 0, attributes: 0x93, limit: 0xffff, base: 0n },
    tr: { selector: 0, attributes: 0x83, limit: 0xffff, base: 0n },
    cr0: 0x10n,
    rip: 0xfff0n,
  },
  flat32: {
    cs: { selector: 0x08, attributes: 0xc09b, limit: 0xffff_ffff, base: 0n },
    data: { selector: 0x10, attributes: 0xc093, limit: 0xffff_ffff, base: 0n },
    tr: { selector: 0, attributes: 0x8b, limit: 0xffff, base: 0n },
    cr0: 0x31n,
    rip: 0xffff_fff0n,
  },
} as const;

const NO_TABLE = { limit: 0xffff, base: 0n };

/** The same in both modes. CR4 and RFLAGS stay 0, which KVM measures otherwise (docs/ovmf.md). */
const SNP_FIELDS = {
  efer: 0x1000n,
  dr7: 0x400n,
  dr6: 0xffff_0ff0n,
  pat: 0x0007_0406_0007_0406n,
  sevFeatures: SEV_FEATURE.snp,
  xcr0: 1n,
  mxcsr: 0x1f80n,
  x87Fcw: 0x37fn,
} as const;

/** The VMSA of the first processor of a SEV-SNP guest. */
export function snpContext(mode: OvmfBootMode): VpContextDirective {
  const { cs, data, tr, cr0, rip } = STATES[mode];
  const vmsa = new Vmsa();
  vmsa.setSegment('cs', cs);
  for (const name of ['es', 'ss', 'ds', 'fs', 'gs'] as const) vmsa.setSegment(name, data);
  vmsa.setSegment('tr', tr);
  for (const name of ['gdtr', 'idtr'] as const) vmsa.setTable(name, NO_TABLE);
  for (const [name, value] of Object.entries({ ...SNP_FIELDS, cr0, rip })) {
    vmsa.set(name as keyof typeof SNP_FIELDS, value);
  }
  return {
    type: 'vpContext',
    format: 'snp',
    gpa: KVM_VMSA_GPA,
    compatibilityMask: OVMF_MASK.snp,
    vpIndex: 0,
    data: vmsa.page,
  };
}

/** The native context for protected mode; in real mode a native guest starts at the reset vector and needs none. */
export function nativeFlat32Context(): VpContextDirective {
  const { cs, data, cr0, rip } = STATES.flat32;
  const context = new NativeContext();
  context.setRegister({ name: 'cs', segment: cs });
  context.setRegister({ name: 'ds', segment: data });
  for (const name of ['gdtr', 'idtr'] as const) context.setRegister({ name, table: NO_TABLE });
  context.setRegister({ name: 'cr0', value: cr0 });
  context.setRegister({ name: 'rip', value: rip });
  context.setRegister({ name: 'rflags', value: 0n });
  const [part] = context.finish();
  const { data: bytes } = (part as { directive: VpContextDirective }).directive;
  return { type: 'vpContext', format: 'native', gpa: 0, compatibilityMask: OVMF_MASK.native, vpIndex: 0, data: bytes };
}
