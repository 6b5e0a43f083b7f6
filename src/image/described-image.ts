import type { IgvmError } from '../errors/igvm-error';
import { digestHex } from '../errors/printable';
import { type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG, type PlatformHeader } from '../igvm/model';
import type { DirectiveObserver } from '../igvm/stream';
import { type PageOverlap, pageOverlaps } from '../igvm/page-overlaps';
import { platformOf, MEASURED_PLATFORMS, type MeasuredPlatform, measuredPlatformOf } from '../igvm/platforms';
import { DEFAULT_LAUNCH, type Launch } from '../measurement/launches';
import { measureLaunches } from '../measurement/measure';
import { type GuestRegion, guestRegions } from '../regions/guest-regions';
import type { TaggedRange } from '../regions/image-map';
import { type Facts, fileFacts, headerFacts, registerFacts } from './guest-facts';
import { type LaunchPolicy, launchPolicy } from './policy';
import { RegionDigests } from './region-digests';

/** A region of a guest's memory with a digest of its content. */
export interface DescribedRegion extends GuestRegion {
  /** SHA-256 of its pages, lower-case hexadecimal; absent if a VMM fills in parameters or registers. */
  sha256?: string;
  /** Whether the launch digest covers the content. If that depends on the VMM, this is about Hyper-V's launch. */
  isMeasured: boolean;
}

/** A launch digest. */
export interface LaunchedDigest {
  /** Undefined if the digest doesn't depend on the VMM. */
  launch?: Launch;
  /** Upper-case hexadecimal. */
  digest: string;
}

/** The guest of one platform. */
export interface DescribedGuest {
  /** Short name of the platform. */
  name: string;
  label: string;
  header: PlatformHeader;
  /** Undefined for a platform without launch measurement. */
  platform?: MeasuredPlatform;
  /** The digest of each launch, `hyperv` first; none for a platform without launch measurement. */
  digests: LaunchedDigest[];
  /** Why requested launches have no digest, one line each. */
  refusals: string[];
  /** Why the guest can't be measured (MEASUREMENT_IMPOSSIBLE), if it is described all the same. */
  impossible?: IgvmError;
  policy?: LaunchPolicy;
  headers: Facts;
  registers: Facts;
  regions: DescribedRegion[];
  /** Memory that the file fills more than once. */
  overlaps: PageOverlap[];
}

/** All facts and measurements of an image. */
export interface DescribedImage {
  /** Facts about the file itself, and facts that belong to no particular guest. */
  file: Facts;
  /** In the order of the platform headers. */
  guests: DescribedGuest[];
}

/** Options for describing an image. */
export interface DescribeOptions {
  /** Further observers of the guests' pages in the same pass. */
  observers?: readonly DirectiveObserver[];
  /** Whether a guest that can't be measured is described with the reason, instead of failing. Default: no. */
  describeImpossible?: boolean;
}

/**
 * Describes an image. Reads its pages once, whatever the number of platforms and digests.
 * @param map tagged ranges for each guest, in the order of the platform headers
 * @param launches launches of SEV-SNP guests, besides the one that documents endorse
 * @throws IgvmError MEASUREMENT_IMPOSSIBLE, LAUNCH_INVALID; FILE_CHANGED, FILE_UNREADABLE from the file's sources
 */
export async function describeImage(
  file: IgvmFile,
  map: readonly (readonly TaggedRange[])[] | undefined,
  launches: readonly Launch[] = [],
  { observers: others = [], describeImpossible: reportImpossible }: DescribeOptions = {},
): Promise<DescribedImage> {
  const layouts = file.platforms.map(({ compatibilityMask }, index) => {
    const regions = guestRegions(file, compatibilityMask, map?.[index] ?? [], { apart: true });
    return { regions, contents: new RegionDigests(regions) };
  });
  const observers = [...layouts.map(({ contents }) => contents), ...others];
  const wanted = [DEFAULT_LAUNCH, ...launches.filter(({ vmm }) => vmm !== DEFAULT_LAUNCH.vmm)];
  const measured = await measureLaunches(file, { launches: wanted, observers, reportImpossible });
  return {
    file: fileFacts(file),
    guests: file.platforms.map((header, index): DescribedGuest => {
      const platform = measuredPlatformOf(header);
      const { name = String(header.platformType), label = name } = platformOf(header.platformType) ?? {};
      const { regions = [], contents } = layouts[index] ?? {};
      return {
        name,
        label,
        header,
        platform,
        digests: measured.measurements
          .filter((each) => each.platform === platform)
          .map(({ launch, digest }) => ({ launch, digest: digestHex(digest) })),
        // The launches concern SEV-SNP guests. That other platforms lack them needs no mention.
        refusals: measured.refusals
          .filter((each) => each.platform === platform && MEASURED_PLATFORMS[each.platform].dependsOnVmm)
          .map(({ reason }) => reason),
        impossible: platform && measured.impossible?.get(platform),
        policy: launchPolicy(file, header),
        headers: headerFacts(file, header),
        registers: registerFacts(file, header.compatibilityMask),
        regions: regions.map((region) => ({
          ...region,
          sha256: contents?.digestOf(region),
          isMeasured: isMeasured(region, platform),
        })),
        overlaps: pageOverlaps(file, header.compatibilityMask),
      };
    }),
  };
}

/**
 * Whether a platform's launch digest covers the content of a region (src/measurement: snp.ts, tdx-vbs.ts). TDX has no types of
 * pages. Only SEV-SNP has processor state in memory, and measures it.
 */
function isMeasured({ kind, spans }: GuestRegion, platform: MeasuredPlatform | undefined): boolean {
  if (platform === undefined) return false;
  if (kind === 'vpContext') return platform === 'snp';
  const run = spans[0]?.run;
  if (run === undefined || (run.flags & (PAGE_FLAG.UNMEASURED | PAGE_FLAG.SHARED)) !== 0) return false;
  return platform === 'tdx' || run.dataType === PAGE_DATA_TYPE.NORMAL;
}
