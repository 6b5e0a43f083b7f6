import { IgvmError } from '../../errors/igvm-error';
import { hex } from '../../errors/printable';
import {
  type Directive,
  type IgvmFile,
  PAGE_DATA_TYPE,
  PLATFORM_TYPE,
  type PlatformHeader,
  type VpContextDirective,
} from '../../igvm/model';
import { PLATFORM_VERSION } from '../../igvm/platforms';
import { validateIgvm } from '../../igvm/validate';
import { type ByteSource, bytesSource, EMPTY_SOURCE, regionSource } from '../../memory/byte-source';
import { pagesFor } from '../../memory/page';
import { NativeContext } from '../../vp-context/native';
import { KVM_VMSA_GPA, SEV_FEATURE, Vmsa } from '../../vp-context/vmsa';
import { type OvmfRegion, type OvmfRegionKind, readOvmfTable } from '../formats/ovmf-table';
import { checkNoPageTwice, dataPages, inWrapOrder, OVMF_MASK, withoutPageAt } from './pages';

/** The options of `igvm-wrap`. */
export interface WrapOptions {
  /** OVMF's code, or a whole flash image. It ends at 4 GiB. */
  firmware: ByteSource;
  /** A variable store. It ends where the firmware begins. */
  vars?: ByteSource;
  native: boolean;
  snp: boolean;
  /** Whether a VMM fills in the memory map and the number of processors, where the firmware asks for them. */
  parameters: boolean;
  bootMode: OvmfBootMode;
  /** Of the SEV-SNP guest, u64. Default: igvm-wrap's, 0x30000. */
  policy?: bigint;
}

const FOUR_GIB = 2 ** 32;
/** The last part of the firmware is copied to below 1 MiB, where it runs in real mode. */
const LOW_COPY = { end: 2 ** 20, most: 128 * 1024 };
/** SMT is allowed, and bit 17, which has to be one (SEV-SNP ABI, guest policy). */
const SNP_POLICY = 0x30000n;

const PAGE_TYPES: Partial<Record<OvmfRegionKind, number>> = {
  sevMemory: PAGE_DATA_TYPE.NORMAL,
  sevSecrets: PAGE_DATA_TYPE.SECRETS,
  sevCpuid: PAGE_DATA_TYPE.CPUID_DATA,
  sevCallingArea: PAGE_DATA_TYPE.NORMAL,
  sevKernelHashes: PAGE_DATA_TYPE.NORMAL,
};

/**
 * OVMF as an IGVM file for QEMU, the way igvm-wrap 0.2.6 lays it out (bin/igvm-wrap.rs, builder.rs): the same headers
 * in the same order. The firmware's metadata lists the memory that has to be accepted before it starts under SEV-SNP,
 * and the places of the VMM's parameters.
 * @throws IgvmError LAYOUT_OVERLAP, LAYOUT_OUT_OF_RANGE, FIRMWARE_INVALID, IGVM_INVALID (also without a platform, and
 *   for firmware whose size isn't a multiple of a page), and what the sources throw
 */
export function wrapFirmware(options: WrapOptions): IgvmFile {
  const { native, snp, firmware, policy = SNP_POLICY } = options;
  if (firmware.size + (options.vars?.size ?? 0) > FOUR_GIB) {
    throw new IgvmError('LAYOUT_OUT_OF_RANGE', 'the firmware and its variables do not fit below 4 GiB');
  }
  const regions = readOvmfTable(firmware) ?? [];
  const file: IgvmFile = {
    version: 2,
    arch: 'x64',
    platforms: [
      ...(native ? [platform(PLATFORM_TYPE.NATIVE, OVMF_MASK.native)] : []),
      ...(snp ? [platform(PLATFORM_TYPE.SEV_SNP, OVMF_MASK.snp)] : []),
    ],
    initializations: snp ? [{ type: 'guestPolicy', policy, compatibilityMask: OVMF_MASK.snp }] : [],
    directives: directivesOf(options, regions),
  };
  if (file.platforms.length > 0) checkNoPageTwice(file.directives);
  file.directives = inWrapOrder(file.directives);
  validateIgvm(file, { parameterOffsets: false });
  return file;
}

const platform = (platformType: PlatformHeader['platformType'], compatibilityMask: number): PlatformHeader => ({
  compatibilityMask,
  highestVtl: 2,
  platformType,
  platformVersion: PLATFORM_VERSION,
  sharedGpaBoundary: 0n,
});

/** In the order in which igvm-wrap adds and removes them. */
function directivesOf(options: WrapOptions, regions: readonly OvmfRegion[]): Directive[] {
  const { firmware, vars = EMPTY_SOURCE, native, snp, parameters, bootMode } = options;
  const mask = (native ? OVMF_MASK.native : 0) | (snp ? OVMF_MASK.snp : 0);
  let directives: Directive[] = [];
  if (native && bootMode === 'flat32') directives.push(nativeFlat32Context());
  if (snp) directives.push(snpContext(bootMode), ...regions.flatMap(acceptedPages));
  const area = regions.find(({ kind }) => kind === 'parameterArea');
  if (parameters && area !== undefined) {
    directives.push({ type: 'parameterArea', size: area.size, index: 0, initialData: EMPTY_SOURCE });
    for (const { kind, base } of regions) {
      if (kind === 'memoryMap' || kind === 'vpCount') {
        directives.push({ type: 'parameter', kind, index: 0, byteOffset: base });
      }
    }
    directives = withoutPageAt(directives, area.base);
    directives.push({ type: 'parameterInsert', gpa: area.base, compatibilityMask: mask, index: 0 });
  }
  const hobArea = regions.find(({ kind }) => kind === 'hobArea');
  if (hobArea !== undefined) {
    // A page with data, all zeros: an empty list until a kernel is put in.
    directives = withoutPageAt(directives, hobArea.base);
    directives.push(...dataPages(hobArea.base, mask, bytesSource(new Uint8Array(1))));
  }
  if (bootMode === 'real16') {
    const size = Math.min(LOW_COPY.most, firmware.size);
    const low = regionSource(firmware, firmware.size - size, size);
    directives.push(...dataPages(LOW_COPY.end - size, mask, low));
  }
  const start = FOUR_GIB - firmware.size;
  directives.push(...dataPages(start, mask, firmware), ...dataPages(start - vars.size, mask, vars));
  return directives;
}

/** Pages without data that are accepted before a SEV-SNP guest starts. */
function acceptedPages({ kind, base, size }: OvmfRegion): Directive[] {
  const dataType = PAGE_TYPES[kind];
  if (dataType === undefined) return [];
  return [
    {
      type: 'pageData',
      gpa: base,
      pageCount: pagesFor(size),
      flags: 0,
      dataType,
      compatibilityMask: OVMF_MASK.snp,
      content: EMPTY_SOURCE,
    },
  ];
}

/** The entries of OVMF's metadata, for people; one line each. */
export function* describeOvmfTable(firmware: ByteSource): Generator<string> {
  const regions = readOvmfTable(firmware);
  if (regions === undefined || regions.length === 0)
    yield 'The firmware has no OVMF metadata that describes its memory.\n';
  for (const { kind, base, size } of regions ?? []) {
    const isOffset = kind === 'memoryMap' || kind === 'vpCount';
    yield `${kind}: ${isOffset ? 'offset' : 'GPA'} ${hex(base)}, ${hex(size)} bytes\n`;
  }
}

/** Where OVMF starts: the registers that igvm-wrap 0.2.6 gives it (src/x86regs.rs). */

/**
 * `real16`: at the reset vector, like a real processor. `flat32`: in protected mode, without the firmware's 16-bit
 * code.
 */
type OvmfBootMode = 'real16' | 'flat32';

/** Attributes in VMX's form: the type in the low byte, flags from bit 12 on. */
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

/** The same in both modes. CR4 and RFLAGS stay 0, but KVM measures other values (docs/ovmf.md). */
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
function snpContext(mode: OvmfBootMode): VpContextDirective {
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
function nativeFlat32Context(): VpContextDirective {
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
