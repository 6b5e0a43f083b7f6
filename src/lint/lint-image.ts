import { formatPlaced } from '../errors/igvm-error';
import { withImage } from '../files/igvm-image';
import { launchPolicy } from '../image/policy';
import type { IgvmFile, PlatformHeader, SnpIdBlockDirective } from '../igvm/model';
import { pageOverlaps } from '../igvm/page-overlaps';
import { platformOf, measuredPlatformOf, MEASURED_PLATFORMS } from '../igvm/platforms';
import { CPU_MODEL_NAMES } from '../measurement/kvm-vmsa';
import { DEFAULT_LAUNCH, type Launch, launchesOf, UNSETTLED_VMMS, vmmProfile } from '../measurement/launches';
import { isForPlatform } from '../measurement/launch-digests';
import { loadRefusals } from '../measurement/load-refusals';
import { measureLaunches } from '../measurement/measure';
import { type Vmm, VMM_NAMES } from '../manifest/model';

/** The rules that images are checked for. */
export type LintRule = 'refused' | 'policy' | 'id-blocks' | 'id-block-digest' | 'page-overlap';

/** A reason why a VMM would not launch an image, or something that a production image should not have. */
export interface LintFinding {
  rule: LintRule;
  /** The platform's name in messages. */
  platform: string;
  /** The VMM that refuses the file; undefined for a finding that doesn't depend on the VMM. */
  vmm?: string;
  /** One line: what, where, and what to change. */
  message: string;
}

/** The image to check, and the launches to check it for. */
export interface LintRequest {
  /** Path of the image. */
  image: string;
  /** Launches whose VMMs have to load the image. Default: all VMMs, with as many vCPUs as the image has contexts. */
  launches?: readonly Launch[];
}

/** Bits of a launch policy that a production image should not have, by the names of their fields. */
const UNWANTED_POLICY: Readonly<Record<string, string>> = {
  debug: 'it allows the host to debug the guest, and so to read its memory; set enable_debug to false',
  migrationAgent: 'it allows a migration agent to move the guest to another host; clear bit 18 of the policy',
};

/** The most vCPUs for which digests are computed, to compare them with that of an ID block. */
const MOST_VCPUS = 64;

/**
 * Everything that VMMs refuse in an image, and what a production image should not have. Only headers are read, except
 * for an image with an ID block: its digest is compared with those that VMMs on KVM report.
 * @throws IgvmError MEASUREMENT_IMPOSSIBLE; and as withImage does
 */
export const lintImage = ({ image, launches }: LintRequest): Promise<LintFinding[]> =>
  withImage(image, async ({ file }) => {
    const findings: LintFinding[] = [];
    for (const header of file.platforms) {
      const wanted = launches ?? launchesOfAll(file, header);
      const found = [
        ...refusalsOf(file, header, wanted),
        ...policyFindings(file, header),
        ...(await idBlockFindings(file, header)),
        ...overlapFindings(file, header),
      ];
      // Not `push(...found)`: there may be a finding for each page, too many for the arguments of one call.
      for (const finding of found) findings.push(finding);
    }
    return findings;
  });

const labelOf = ({ platformType }: PlatformHeader): string => platformOf(platformType)?.label ?? String(platformType);

const programOf = (vmm: Launch['vmm']): string => (vmm in UNSETTLED_VMMS ? vmm : vmmProfile(vmm as Vmm).program);

/** One launch for each VMM, with a vCPU for every context. */
function launchesOfAll(file: IgvmFile, { compatibilityMask }: PlatformHeader): Launch[] {
  const contexts = file.directives.flatMap((each) =>
    each.type === 'vpContext' && isForPlatform(each, compatibilityMask) ? [each.vpIndex + 1] : [],
  );
  const vcpus = contexts.reduce((most, count) => Math.max(most, count), 1);
  return VMM_NAMES.map((vmm) => (vmmProfile(vmm).takes.vcpus ? { vmm, vcpus } : { vmm }));
}

function refusalsOf(file: IgvmFile, header: PlatformHeader, launches: readonly Launch[]): LintFinding[] {
  const platform = measuredPlatformOf(header);
  if (platform === undefined) return [];
  const base = { rule: 'refused' as const, platform: labelOf(header) };
  const messages = new Map<string, LintFinding>();
  for (const launch of launches) {
    const { vmm } = launch;
    const add = (message: string): void => void messages.set(`${vmm} ${message}`, { ...base, vmm, message });
    if (vmm in UNSETTLED_VMMS) add(`no digest for ${vmm}: ${UNSETTLED_VMMS[vmm as keyof typeof UNSETTLED_VMMS]}`);
    else if (MEASURED_PLATFORMS[platform].dependsOnVmm) {
      for (const { reason, gpa } of loadRefusals(file, header.compatibilityMask, vmmProfile(vmm as Vmm), launch)) {
        add(formatPlaced(`${programOf(vmm)} refuses this file: ${reason}`, { gpa }));
      }
    } else if (vmm !== DEFAULT_LAUNCH.vmm) {
      add(`${programOf(vmm)} launches no ${labelOf(header)} guests from IGVM files`);
    }
  }
  return [...messages.values()];
}

function policyFindings(file: IgvmFile, header: PlatformHeader): LintFinding[] {
  const policy = launchPolicy(file, header);
  if (policy === undefined) return [];
  const fields = { ...policy.fields, debug: policy.debug };
  return Object.entries(fields).flatMap(([field, value]) => {
    const message = UNWANTED_POLICY[field];
    if (message === undefined || value !== true) return [];
    return [{ rule: 'policy' as const, platform: labelOf(header), message: `the ${policy.name}: ${message}` }];
  });
}

async function idBlockFindings(file: IgvmFile, header: PlatformHeader): Promise<LintFinding[]> {
  const blocks = file.directives.filter(
    (each): each is SnpIdBlockDirective => each.type === 'snpIdBlock' && isForPlatform(each, header.compatibilityMask),
  );
  const [block] = blocks;
  if (block === undefined) return [];
  const base = { platform: labelOf(header) };
  const several: LintFinding[] =
    blocks.length === 1
      ? []
      : [{ ...base, rule: 'id-blocks', message: `it has ${blocks.length} ID blocks, and a launch takes only one` }];
  return [...several, ...(await digestFindings(file, header, block)).map((each) => ({ ...base, ...each }))];
}

/** A finding for an ID block whose digest belongs to no launch on KVM: there, the firmware would refuse the guest. */
async function digestFindings(
  file: IgvmFile,
  header: PlatformHeader,
  { ld }: SnpIdBlockDirective,
): Promise<Pick<LintFinding, 'rule' | 'message'>[]> {
  const platform = measuredPlatformOf(header);
  if (platform === undefined) return [];
  const vcpus = Array.from({ length: MOST_VCPUS }, (_, index) => index + 1);
  const launches = [
    DEFAULT_LAUNCH,
    ...launchesOf({ vmm: 'qemu-kvm', vcpus, cpu: CPU_MODEL_NAMES }),
    ...launchesOf({ vmm: 'cloud-hypervisor-kvm', vcpus }),
  ];
  const { measurements } = await measureLaunches(file, { platforms: [platform], launches });
  const matching = measurements.filter(({ digest }) => Buffer.compare(digest, ld) === 0);
  if (matching.some(({ launch }) => launch?.vmm !== DEFAULT_LAUNCH.vmm)) return [];
  const whose =
    matching.length > 0
      ? 'the digest that Hyper-V reports'
      : 'a digest that neither Hyper-V nor a VMM on KVM reports for this image';
  const message = `the ID block expects ${whose}, so QEMU and Cloud Hypervisor on KVM can't launch the guest with it`;
  return [{ rule: 'id-block-digest', message }];
}

const overlapFindings = (file: IgvmFile, header: PlatformHeader): LintFinding[] =>
  pageOverlaps(file, header.compatibilityMask).map(({ gpa, end }) => ({
    rule: 'page-overlap',
    platform: labelOf(header),
    message: formatPlaced('the file fills this memory twice, and loaders differ in which contents they load', {
      gpa: { start: gpa, end },
    }),
  }));

/** Findings for people, one line each. */
export const lintText = (findings: readonly LintFinding[]): string =>
  findings.map(({ platform, message }) => `${platform}: ${message}\n`).join('');
