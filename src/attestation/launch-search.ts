import { formatPlaced } from '../errors/igvm-error';
import { hex } from '../errors/printable';
import { platformHeader } from '../igvm/platforms';
import type { IgvmFile } from '../igvm/model';
import { streamDirectives } from '../igvm/stream';
import { VMM_NAMES, type Vmm } from '../manifest/model';
import { CPU_MODEL_NAMES, parseCpu, processorSignature } from '../measurement/kvm-vmsa';
import { type Launch, vmmProfile } from '../measurement/launches';
import { loadRefusals } from '../measurement/load-refusals';
import { SnpLaunchDigests } from '../measurement/snp';

/** Most vCPUs of the launches that are searched: with a known processor model, and with any signature. */
export const SEARCHED_VCPUS = 512;
export const SEARCHED_VCPUS_BY_SIGNATURE = 64;

/**
 * Families and models whose signatures are searched, with every stepping: AMD's server processors from Naples to the
 * successors of Turin (AMD's processor programming references). `-cpu host` has the host's own signature.
 */
const SIGNATURES: readonly { readonly family: number; readonly models: readonly (readonly [number, number])[] }[] = [
  {
    family: 0x17,
    models: [
      [0x00, 0x0f],
      [0x30, 0x3f],
    ],
  },
  {
    family: 0x19,
    models: [
      [0x00, 0x1f],
      [0xa0, 0xaf],
    ],
  },
  {
    family: 0x1a,
    models: [
      [0x00, 0x1f],
      [0x50, 0x5f],
    ],
  },
];

/** A launch that has the digest. */
export interface FoundLaunch {
  launch: Launch;
  /**
   * Why the VMM would not launch this file that way. The digest is then that of another file with the same pages, such
   * as one without the CoRIM. Only the first few refusals are listed.
   */
  refusals: string[];
}

export interface LaunchSearch {
  found: FoundLaunch[];
  /** The number of launches whose digests were compared. */
  tried: number;
  /** Whether all processor signatures were searched, as no known model had the digest. */
  triedSignatures: boolean;
}

/**
 * Searches for launches of an SEV-SNP guest that have a given digest, in one pass over its pages: every VMM, with 1 to
 * {@link SEARCHED_VCPUS} vCPUs and each of QEMU's processor models; if none matches, with the signatures of other
 * processors. If KVM measures only the first vCPU (`bsp-only`), the digest with one vCPU is that of any count.
 * @param digest 48 bytes
 * @param signature CPUID leaf 1 EAX of the processor that made the report, which is tried first
 * @throws IgvmError MEASUREMENT_UNAVAILABLE, MEASUREMENT_IMPOSSIBLE; FILE_CHANGED, FILE_UNREADABLE from the file's
 *   sources
 */
export async function searchLaunches(file: IgvmFile, digest: Uint8Array, signature?: number): Promise<LaunchSearch> {
  const mask = platformHeader(file, 'snp').compatibilityMask;
  const digests = new SnpLaunchDigests(file, mask, [], { searched: VMM_NAMES });
  try {
    await streamDirectives(file, [digests]);
    await digests.results();
  } finally {
    await digests.close();
  }
  const result: LaunchSearch = { found: [], tried: 0, triedSignatures: false };
  const look = (launch: Pick<Launch, 'vmm' | 'cpu'>, most: number): void => {
    const { takes } = vmmProfile(launch.vmm as Vmm);
    let count = 0;
    for (const each of digests.digestsByCount(launch)) {
      result.tried++;
      count++;
      if (Buffer.compare(each, digest) === 0) {
        result.found.push(withRefusals(file, mask, takes.vcpus ? { ...launch, vcpus: count } : launch));
      }
      if (count === most) break;
    }
  };
  for (const vmm of VMM_NAMES) {
    if (!vmmProfile(vmm).takes.cpu) look({ vmm }, SEARCHED_VCPUS);
    else for (const cpu of CPU_MODEL_NAMES) look({ vmm, cpu: parseCpu(cpu) }, SEARCHED_VCPUS);
  }
  if (result.found.length > 0) return result;
  result.triedSignatures = true;
  for (const vmm of VMM_NAMES.filter((each) => vmmProfile(each).takes.cpu)) {
    if (signature !== undefined) look({ vmm, cpu: parseCpu(hex(signature)) }, SEARCHED_VCPUS);
    for (const each of signatures()) {
      if (each !== signature) look({ vmm, cpu: parseCpu(hex(each)) }, SEARCHED_VCPUS_BY_SIGNATURE);
    }
  }
  return result;
}

function* signatures(): Generator<number> {
  for (const { family, models } of SIGNATURES) {
    for (const [first, last] of models) {
      for (let model = first; model <= last; model++) {
        for (let stepping = 0; stepping < 16; stepping++) yield processorSignature(family, model, stepping);
      }
    }
  }
}

function withRefusals(file: IgvmFile, mask: number, launch: Launch): FoundLaunch {
  const profile = vmmProfile(launch.vmm as Vmm);
  const refusals = loadRefusals(file, mask, profile, launch);
  // There may be a refusal for each page.
  return { launch, refusals: refusals.slice(0, 4).map(({ reason, gpa }) => formatPlaced(reason, { gpa })) };
}
