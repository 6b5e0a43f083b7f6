import { IgvmError, unreachable } from '../errors/igvm-error';
import { PAGE_SIZE } from '../memory/page';
import { SEV_FEATURE, Vmsa, type VmsaFieldName } from './vmsa';
import {
  CR0,
  CR4,
  EFER,
  RFLAGS_FIXED,
  TASK_REGISTER_AT_RESET,
  type VpContextBuilder,
  type VpContextPart,
  type VpRegister,
  type VpRegisterName,
} from './vp-register';
import { JUMP, X86Code } from './x86-code';

/** SNP guests with a vTOM (OpenHCL, UEFI). Source: openvmm vp_context_builder/snp.rs, SnpHardwareContext::new. */
export interface SnpContextOptions {
  /** Whether a paravisor runs in VTL2. Without one, the guest is an enlightened UEFI. */
  paravisorPresent: boolean;
  /** GPA above which memory is shared, a power of two. Used when there is no paravisor. */
  sharedGpaBoundary: bigint;
  injectionType: 'normal' | 'restricted';
  secureAvic: 'enabled' | 'disabled';
}

/** SNP guests that boot Linux itself and mark pages with the C-bit (snp.rs: new_linux_direct). */
export interface SnpLinuxDirectContextOptions {
  /** The page table bit that marks a page as private, as a mask. */
  cBitMask: bigint;
  injectionType: 'normal' | 'restricted';
}

const SELECTOR_REGISTERS = ['ds', 'es', 'fs', 'gs', 'ss', 'cs', 'tr'] as const;

const VALUE_REGISTERS = [
  'cr0',
  'cr3',
  'cr4',
  'efer',
  'pat',
  'rbp',
  'rip',
  'rsi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
] as const satisfies readonly (VpRegisterName & VmsaFieldName)[];

/** A Linux-direct guest starts by the Linux boot protocol, which defines more of the entry state. */
const LINUX_DIRECT_VALUE_REGISTERS = ['rsp', 'rflags'] as const satisfies readonly (VpRegisterName & VmsaFieldName)[];

/** The VMSA of the boot processor, imported as a page of type "VP context". */
export class SnpContext implements VpContextBuilder {
  private readonly tables: ReadonlySet<VpRegisterName>;
  private readonly values: ReadonlySet<VpRegisterName>;
  private readonly segments: ReadonlySet<VpRegisterName> = new Set(SELECTOR_REGISTERS);
  /**
   * Bits that are set in a register regardless of the loader: without them the VMSA is invalid, or KVM doesn't start
   * it.
   */
  private readonly forcedBits: Partial<Record<VpRegisterName, bigint>>;
  private contextPage: number | undefined;

  private constructor(
    private readonly vmsa: Vmsa,
    private readonly kind: { acceptLowMemory: boolean; linuxDirect: boolean },
    forcedBits: Partial<Record<VpRegisterName, bigint>>,
  ) {
    this.tables = new Set<VpRegisterName>(kind.linuxDirect ? ['gdtr', 'idtr'] : ['gdtr']);
    this.values = new Set([...VALUE_REGISTERS, ...(kind.linuxDirect ? LINUX_DIRECT_VALUE_REGISTERS : [])]);
    this.forcedBits = { efer: EFER.SVME, ...forcedBits };
  }

  /** @throws IgvmError ISOLATION_UNSUPPORTED for an enlightened UEFI with normal injection: it needs #HV interrupts. */
  static create(options: SnpContextOptions): SnpContext {
    const { paravisorPresent, sharedGpaBoundary, injectionType, secureAvic } = options;
    const restricted = injectionType === 'restricted';
    if (!paravisorPresent && !restricted) {
      throw new IgvmError(
        'ISOLATION_UNSUPPORTED',
        'SNP without a paravisor (max_vtl 0) needs injection_type "restricted", but it is "normal"',
        { jsonPath: ['isolation_type', 'snp', 'injection_type'] },
      );
    }
    let features = SEV_FEATURE.snp | SEV_FEATURE.debugSwap;
    if (restricted) features |= SEV_FEATURE.restrictInjection;
    if (paravisorPresent) {
      features |= SEV_FEATURE.btbIsolation | SEV_FEATURE.ibpbOnEntry;
      features |= SEV_FEATURE.preventHostIbs | SEV_FEATURE.vmsaRegisterProtection;
      if (secureAvic === 'enabled') features |= SEV_FEATURE.secureAvic;
    } else {
      features |= SEV_FEATURE.vtom;
    }
    const vmsa = new Vmsa();
    vmsa.set('efer', EFER.SVME);
    vmsa.set('sevFeatures', features);
    vmsa.set('virtualTom', paravisorPresent ? 0n : sharedGpaBoundary);
    vmsa.set('xcr0', 1n);
    return new SnpContext(vmsa, { acceptLowMemory: !paravisorPresent, linuxDirect: false }, {});
  }

  static createLinuxDirect(options: SnpLinuxDirectContextOptions): SnpContext {
    const restricted = options.injectionType === 'restricted';
    const vmsa = new Vmsa();
    vmsa.set('efer', EFER.SVME);
    vmsa.set('sevFeatures', SEV_FEATURE.snp | (restricted ? SEV_FEATURE.restrictInjection : 0n));
    // The following is the state of a processor after reset, which KVM measures as well.
    vmsa.set('xcr0', 1n);
    vmsa.set('rflags', RFLAGS_FIXED);
    vmsa.set('dr6', 0xffff0ff0n);
    vmsa.set('dr7', 0x400n);
    vmsa.setSegment('tr', TASK_REGISTER_AT_RESET);
    vmsa.setSegment('ldtr', { base: 0n, limit: 0xffff, selector: 0, attributes: 0x82 });
    vmsa.setTable('idtr', { base: 0n, limit: 0xffff });
    vmsa.set('x87Fcw', 0x37fn);
    vmsa.set('mxcsr', 0x1f80n);
    return new SnpContext(
      vmsa,
      { acceptLowMemory: false, linuxDirect: true },
      { cr0: CR0.ET, cr3: options.cBitMask, cr4: CR4.MCE },
    );
  }

  canHold(name: VpRegisterName): boolean {
    return this.values.has(name) || this.segments.has(name) || this.tables.has(name);
  }

  setRegister(register: VpRegister): void {
    if (!this.canHold(register.name)) unreachable(`an SNP VP context has no place for ${register.name}`);
    if ('table' in register) this.vmsa.setTable(register.name, register.table);
    else if ('segment' in register) this.vmsa.setSegment(register.name, register.segment);
    else this.vmsa.set(register.name as VmsaFieldName, register.value | (this.forcedBits[register.name] ?? 0n));
  }

  setContextPage(pageBase: number): void {
    if (this.contextPage !== undefined) unreachable('the SNP context page is set twice');
    this.contextPage = pageBase;
  }

  /**
   * The VMSA, preceded by the stub that accepts low memory for UEFI. Nothing if no page was set: such an image (a UEFI
   * without a configuration) has no VP context.
   * @throws IgvmError KERNEL_INVALID when a directly booted Linux has no entry point.
   */
  finish(): VpContextPart[] {
    const pageBase = this.contextPage;
    if (pageBase === undefined) return [];
    if (this.kind.linuxDirect && this.vmsa.get('rip') === 0n) {
      throw new IgvmError('KERNEL_INVALID', 'linux-kernel has its entry point at 0');
    }
    const parts: VpContextPart[] = [];
    if (this.kind.acceptLowMemory) {
      parts.push({
        kind: 'pages',
        pageBase: 0,
        pageCount: 1,
        acceptance: 'exclusive',
        data: acceptLowMemoryStub(this.vmsa.get('rip')),
      });
      this.vmsa.set('rip', BigInt(STUB_ENTRY));
    }
    parts.push({ kind: 'pages', pageBase, pageCount: 1, acceptance: 'vpContext', data: this.vmsa.page });
    return parts;
  }
}

/** Offset of the stub's first instruction in its page, which is at GPA 0. */
const STUB_ENTRY = 9;

/**
 * UEFI expects the low megabyte to be validated, as a paravisor would have done. This page, at the unused GPA 0, does
 * that and jumps to the real entry point. It holds the entry point (u64), an INT3 for failures, and code.
 */
function acceptLowMemoryStub(entryPoint: bigint): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  new DataView(page.buffer).setBigUint64(0, entryPoint, true);
  const failure = STUB_ENTRY - 1;
  const code = new X86Code(page, failure);
  code.emit(0xcc); // int3: a triple fault
  code.withImmediate([0xbe], 0x1000); // mov esi, first page
  code.withImmediate([0xbb], 0x100000); // mov ebx, end
  code.emit(0x33, 0xc9); // xor ecx, ecx: 4 KiB pages
  code.withImmediate([0xba], 1); // mov edx, 1: validate
  const nextPage = code.offset;
  code.emit(0x8b, 0xc6); // mov eax, esi
  code.emit(0xf2, 0x0f, 0x01, 0xff); // pvalidate
  code.jumpBack(JUMP.ifCarry, failure);
  code.emit(0x48, 0x85, 0xc0); // test rax, rax
  code.jumpBack(JUMP.ifNotZero, failure);
  code.withImmediate([0x81, 0xc6], 0x1000); // add esi, page size
  code.emit(0x3b, 0xf3); // cmp esi, ebx
  code.jumpBack(JUMP.ifBelow, nextPage);
  code.withRelative([0xff, 0x25], 0); // jmp [entry point]
  return page;
}
