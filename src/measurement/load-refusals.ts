import { hex } from '../errors/printable';
import { HEADER_LABEL, HEADER_TYPE } from '../igvm/headers/header-tables';
import {
  type Directive,
  type IgvmFile,
  type InitializationHeader,
  PAGE_FLAG,
  pageTypeName,
  PARAMETER_TYPE,
  type VpContextDirective,
} from '../igvm/model';
import { PAGE_SIZE, pagesFor } from '../memory/page';
import { KVM_VMSA_GPA, SEV_FEATURE, Vmsa, type VmsaFieldName } from '../vp-context/vmsa';
import { withoutNamed } from '../vp-context/vp-register';
import { dependsOnModel, EFER, eferFor, unknownCr4Bits } from './kvm-vmsa';
import type { ContextRule, Launch, VmmProfile } from './launches';
import { isForPlatform } from './launch-digests';

type LaunchedFile = Pick<IgvmFile, 'platforms' | 'initializations' | 'directives'>;

/** Why a VMM does not launch a file, and how to change that. */
export interface LoadRefusal {
  /** One sentence without the VMM's name, with the cure after a semicolon if there is one. */
  readonly reason: string;
  /**
   * Set if the VMM passes all pages to KVM and KVM refuses one of them. The digest that would have been measured is
   * then known and useful for comparison, though no guest ever reports it.
   */
  readonly isLate?: true;
  readonly gpa?: { start: number; end: number };
}

/** SEV_FEATURES that KVM lets a VMM choose (Linux 6.16, arch/x86/kvm/svm/sev.c: sev_supported_vmsa_features), and SNP itself. */
const KVM_SEV_FEATURES = SEV_FEATURE.snp | SEV_FEATURE.debugSwap | SEV_FEATURE.secureTsc;

/** The parts of a VMSA that QEMU passes to KVM, as `[byte offset, bytes]` (target/i386/sev.c: check_vmsa_supported). */
const QEMU_FIELDS: readonly (readonly [number, number])[] = [
  // Ten selectors.
  [0x00, 0xa0],
  [0xd0, 8],
  // CR4, CR3, CR0, DR7, DR6, RFLAGS, RIP.
  [0x148, 0x38],
  [0x1d8, 8],
  [0x1f8, 8],
  [0x268, 8],
  // RCX, RDX, RBX.
  [0x308, 0x18],
  // RBP, RSI, RDI, R8 to R15.
  [0x328, 0x58],
  [0x3b0, 8],
  [0x3e8, 8],
  [0x408, 4],
  [0x410, 2],
];

/** End of the defined fields of a VMSA, in bytes. */
const VMSA_FIELDS_END = 0x670;

const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
/** The L bit of a code segment's attributes: bit 9 in a VMSA, bit 13 in VMX's form, which this is. */
const LONG_CODE = 0x2000;
const DR7_ALWAYS_SET = 0x400n;
const XCR0 = { x87: 1n, sse: 2n, avx: 4n } as const;

interface Context {
  readonly vpIndex: number;
  readonly gpa: number;
  readonly vmsa: Vmsa;
  readonly launch: Launch;
  readonly profile: VmmProfile;
}

/** Each check returns the reason for refusing a context, or undefined. docs/launch-digests.md names their sources. */
const CONTEXT_RULES: Record<ContextRule, (context: Context) => string | undefined> = {
  fixedGpa: ({ gpa }) =>
    gpa === KVM_VMSA_GPA ? undefined : `its GPA is ${hex(gpa)}; KVM has VMSAs at ${hex(KVM_VMSA_GPA)} only`,
  needsVcpu: ({ vpIndex, launch: { vcpus = 1 } }) =>
    vpIndex < vcpus ? undefined : `there is no such vCPU; launch with ${vpIndex + 1} vCPUs or more`,
  snpFeature: ({ vmsa }) =>
    (vmsa.get('sevFeatures') & SEV_FEATURE.snp) === 0n ? 'SEV_FEATURES lacks bit 0, SEV-SNP' : undefined,
  offeredFeatures: ({ vmsa }) => {
    const others = vmsa.get('sevFeatures') & ~KVM_SEV_FEATURES;
    return others === 0n ? undefined : `SEV_FEATURES has bits that KVM does not offer: ${hex(others)}`;
  },
  knownFields: ({ vmsa }) => {
    const rest = withoutNamed(vmsa.page.subarray(0, VMSA_FIELDS_END), QEMU_FIELDS);
    const at = rest.findIndex((byte) => byte !== 0);
    return at < 0 ? undefined : `it sets a field that QEMU does not pass to KVM, at byte ${hex(at)} of the VMSA`;
  },
  debugControl: ({ vmsa }) => {
    const value = vmsa.get('dr7');
    return (value & ~DR7_ALWAYS_SET) === 0n ? undefined : `KVM accepts no breakpoints, but DR7 is ${hex(value)}`;
  },
  extendedControl: ({ vmsa }) => {
    const value = vmsa.get('xcr0');
    const isAvxAlone = (value & XCR0.avx) !== 0n && (value & XCR0.sse) === 0n;
    return (value & XCR0.x87) !== 0n && !isAvxAlone
      ? undefined
      : `KVM does not accept XCR0 ${hex(value)}; QEMU then continues with a vCPU that is only half set up`;
  },
  knownCr4: ({ vmsa, launch: { cpu } }) => {
    const value = vmsa.get('cr4');
    const unknown = unknownCr4Bits(value);
    if (unknown !== 0n) return `it is not known how QEMU handles the CR4 bits ${hex(unknown)}`;
    return cpu !== undefined && cpu.drops === undefined && dependsOnModel(value)
      ? `CR4 has bits that not every processor model has, and ${cpu.name} is the signature of no known model; name the model`
      : undefined;
  },
  tableLimits: ({ vmsa }) =>
    [vmsa.getSegment('gdtr'), vmsa.getSegment('idtr')].every(({ limit }) => limit <= 0xffff)
      ? undefined
      : 'the limit of GDTR or IDTR has more than 16 bits',
  // Linux, arch/x86/kvm/x86.c: kvm_is_valid_sregs.
  processorMode: ({ vmsa, profile: { launch } }) => {
    if (typeof launch.vmsas === 'string') return undefined;
    const efer = eferFor(launch.vmsas, vmsa);
    const has = (name: VmsaFieldName, bit: bigint): boolean => (vmsa.get(name) & bit) !== 0n;
    const isActive = (efer & EFER.lma) !== 0n;
    if (has('cr0', CR0_PG) && (efer & EFER.lme) !== 0n) {
      return isActive && has('cr4', CR4_PAE) ? undefined : 'long mode with paging needs EFER.LMA and CR4.PAE';
    }
    const isLongCode = (vmsa.getSegment('cs').attributes & LONG_CODE) !== 0;
    return isActive || isLongCode ? 'EFER.LMA and a 64-bit CS need EFER.LME and paging' : undefined;
  },
};

const WITHOUT_CORIM = 'build it without one: "embed_corim": false in the manifest';

const HEADER_CURE: Partial<Record<InitializationHeader['type'] | Directive['type'], string>> = {
  corimDocument: WITHOUT_CORIM,
  corimSignature: WITHOUT_CORIM,
};

/**
 * All reasons why a VMM refuses to launch the SEV-SNP guest of a file. Only headers are read.
 * @param mask compatibility mask of the platform
 */
export function loadRefusals(file: LaunchedFile, mask: number, profile: VmmProfile, launch: Launch): LoadRefusal[] {
  const { loads } = profile;
  if (loads === undefined) return [];
  const refusals: LoadRefusal[] = [];
  const refuse = (reason: string, gpa?: number): void => void refusals.push(placed(reason, gpa));
  if (!loads.otherPlatforms && file.platforms.length > 1) {
    refuse('it has platforms other than SEV-SNP; build an image for this platform alone');
  }
  for (const header of file.initializations) {
    if (!loads.initializations.includes(header.type)) refuse(unknownHeader(header));
  }
  const seen = new Set<string>();
  for (const directive of file.directives) {
    const label = unloadable(directive, profile);
    // One finding of a kind is enough.
    if (label !== undefined && !seen.has(label)) refuse(label, 'gpa' in directive ? directive.gpa : undefined);
    if (label !== undefined) seen.add(label);
    if (!isForPlatform(directive, mask) || directive.type !== 'vpContext') continue;
    refusals.push(...contextRefusals(directive, profile, launch));
  }
  // There may be one for each page.
  for (const refusal of pageRefusals(file.directives, mask, profile.launch.largePage)) refusals.push(refusal);
  return refusals;
}

const placed = (reason: string, gpa?: number): LoadRefusal =>
  gpa === undefined ? { reason } : { reason, gpa: { start: gpa, end: gpa + PAGE_SIZE } };

function unloadable(directive: Directive, { loads }: VmmProfile): string | undefined {
  if (loads === undefined) return undefined;
  if (!loads.directives.includes(directive.type)) return unknownHeader(directive);
  if (directive.type === 'parameter' && !loads.parameters.includes(directive.kind)) {
    return `it does not know the parameter ${directive.kind} (${hex(PARAMETER_TYPE[directive.kind])})`;
  }
  if (directive.type === 'pageData' && !loads.pageTypes.includes(directive.dataType)) {
    return `it does not load pages of type ${pageTypeName(directive.dataType)}`;
  }
  return undefined;
}

function unknownHeader(header: InitializationHeader | Directive): string {
  const type = header.type === 'unknown' ? header.headerType : HEADER_TYPE[header.type as keyof typeof HEADER_TYPE];
  const cure = HEADER_CURE[header.type];
  return `it does not know the header ${HEADER_LABEL[header.type]} (${hex(type)})${cure === undefined ? '' : `; ${cure}`}`;
}

function contextRefusals(directive: VpContextDirective, profile: VmmProfile, launch: Launch): LoadRefusal[] {
  const { vpIndex, gpa, data } = directive;
  if (directive.format !== 'snp') return [];
  const context = { vpIndex, gpa, vmsa: new Vmsa(data), profile, launch };
  return (profile.loads?.contexts ?? []).flatMap((rule) => {
    const reason = CONTEXT_RULES[rule](context);
    return reason === undefined ? [] : [placed(`the VP context of vCPU ${vpIndex}: ${reason}`, gpa)];
  });
}

/** KVM adds a page to a guest once (EEXIST), and QEMU fails to launch with an empty parameter area. */
function pageRefusals(directives: readonly Directive[], mask: number, largePage: number): LoadRefusal[] {
  const sizes = new Map<number, number>();
  const ranges: { start: number; end: number }[] = [];
  const refusals: LoadRefusal[] = [];
  for (const directive of directives) {
    if (directive.type === 'parameterArea') sizes.set(directive.index, directive.size);
    if (!isForPlatform(directive, mask)) continue;
    if (directive.type === 'pageData') {
      const { gpa, pageCount, flags } = directive;
      const isLarge = (flags & PAGE_FLAG.IS_2MB_PAGE) !== 0;
      ranges.push({ start: gpa, end: gpa + (isLarge ? largePage : pageCount) * PAGE_SIZE });
      // Each large page of a run overlaps the next.
      if (isLarge && pageCount > 1) ranges.push({ start: gpa + PAGE_SIZE, end: gpa + pageCount * PAGE_SIZE });
    } else if (directive.type === 'parameterInsert') {
      const size = pagesFor(sizes.get(directive.index) ?? 0) * PAGE_SIZE;
      if (size === 0) refusals.push(placed('it inserts an empty parameter area', directive.gpa));
      ranges.push({ start: directive.gpa, end: directive.gpa + size });
    }
  }
  ranges.sort((a, b) => a.start - b.start);
  let end = 0;
  for (const range of ranges) {
    if (range.start < end) {
      const until = Math.min(end, range.end);
      refusals.push({ reason: 'it adds a page twice', isLate: true, gpa: { start: range.start, end: until } });
    }
    end = Math.max(end, range.end);
  }
  return refusals;
}
