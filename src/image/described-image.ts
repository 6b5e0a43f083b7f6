import { type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG, type PlatformHeader } from '../igvm/model';
import type { DirectiveObserver } from '../igvm/stream';
import { type PageOverlap, pageOverlaps } from '../igvm/page-overlaps';
import { platformOf } from '../igvm/platforms';
import { DEFAULT_LAUNCH, digestHex, type Launch } from '../measurement/launches';
import { measureLaunches } from '../measurement/measure';
import { MEASURED_PLATFORMS, type MeasuredPlatform, measuredPlatformOf } from '../igvm/isolation';
import { type GuestRegion, guestRegions } from '../regions/guest-regions';
import type { TaggedRange } from '../regions/image-map';
import { type Facts, fileFacts, headerFacts, registerFacts } from './guest-facts';
import { type LaunchPolicy, launchPolicy } from './policy';
import { RegionDigests } from './region-digests';

/** A region of a guest's memory with a digest of what it holds. */
export interface DescribedRegion extends GuestRegion {
  /** SHA-256 of its pages, lower-case hexadecimal; absent where a VMM fills in parameters or registers. */
  sha256?: string;
  /** Whether the launch digest covers the contents: as Hyper-V launches the guest, where it depends on the VMM. */
  isMeasured: boolean;
}

/** A launch digest. */
export interface LaunchedDigest {
  /** Undefined where the digest doesn't depend on what launches the guest. */
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
  /** What each launch measures, `hyperv` first; none for a platform without launch measurement. */
  digests: LaunchedDigest[];
  /** Why launches that were asked for have no digest, one line each. */
  refusals: string[];
  policy?: LaunchPolicy;
  headers: Facts;
  registers: Facts;
  regions: DescribedRegion[];
  /** Where the file fills memory twice. */
  overlaps: PageOverlap[];
}

/** Everything that an image says and measures. */
export interface DescribedImage {
  /** What it says of itself and to no guest in particular. */
  file: Facts;
  /** In the order of the platform headers. */
  guests: DescribedGuest[];
}

/** What else the pass that describes an image does. */
export interface DescribeOptions {
  /** Who else wants to see the guests' pages in the same pass. */
  observers?: readonly DirectiveObserver[];
  /** Platforms whose launch digests are wanted. Default: all that have one. */
  measured?: readonly MeasuredPlatform[];
}

/**
 * Describes an image; reads its pages once, whatever the number of platforms and digests.
 * @param map tagged ranges a guest, in the order of the platform headers
 * @param launches of SEV-SNP guests, besides the one that documents endorse
 * @throws IgvmError MEASUREMENT_IMPOSSIBLE, LAUNCH_INVALID; FILE_CHANGED, FILE_UNREADABLE from the file's sources
 */
export async function describeImage(
  file: IgvmFile,
  map: readonly (readonly TaggedRange[])[] | undefined,
  launches: readonly Launch[] = [],
  { observers: others = [], measured: platforms }: DescribeOptions = {},
): Promise<DescribedImage> {
  const layouts = file.platforms.map(({ compatibilityMask }, index) => {
    const regions = guestRegions(file, compatibilityMask, map?.[index] ?? [], { apart: true });
    return { regions, contents: new RegionDigests(regions) };
  });
  const observers = [...layouts.map(({ contents }) => contents), ...others];
  const wanted = [DEFAULT_LAUNCH, ...launches.filter(({ vmm }) => vmm !== DEFAULT_LAUNCH.vmm)];
  const measured = await measureLaunches(file, { platforms, launches: wanted, observers });
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
        // Launches are of SEV-SNP guests: that other platforms have none such is no news.
        refusals: measured.refusals
          .filter((each) => each.platform === platform && MEASURED_PLATFORMS[each.platform].dependsOnVmm)
          .map(({ reason }) => reason),
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
 * Whether a platform's launch digest covers what a region holds (src/measurement: snp.ts, tdx.ts, vbs.ts). TDX knows no types of
 * pages; the processor state that lies in memory is that of SEV-SNP, which measures it.
 */
function isMeasured({ kind, spans }: GuestRegion, platform: MeasuredPlatform | undefined): boolean {
  if (platform === undefined) return false;
  if (kind === 'vpContext') return platform === 'snp';
  const run = spans[0]?.run;
  if (run === undefined || (run.flags & (PAGE_FLAG.UNMEASURED | PAGE_FLAG.SHARED)) !== 0) return false;
  return platform === 'tdx' || run.dataType === PAGE_DATA_TYPE.NORMAL;
}
