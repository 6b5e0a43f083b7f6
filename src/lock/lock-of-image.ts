import { hex } from '../errors/hex';
import { IgvmError } from '../errors/igvm-error';
import { createHash, type Hash } from 'node:crypto';
import { headerFacts, registerFacts } from '../diff/compare-guests';
import { readPages, storedEnd } from '../regions/guest-pages';
import type { TaggedRange } from '../regions/map-tags';
import type { IgvmFile } from '../igvm/model';
import { type GuestRegion, guestRegions } from '../regions/guest-regions';
import { imageDigests } from '../measurement/image-digests';
import { MEASURED_PLATFORMS, type MeasuredPlatform, measuredPlatformOf } from '../measurement/measured-platform';
import { PAGE_SIZE } from '../memory/page';
import type { LockedPlatform, LockedRegion, MeasurementLock } from './model';

/** The names that a lock has for the guests of a file: for an image without a map. */
export const tagsOfLock = ({ platforms }: MeasurementLock, file: Pick<IgvmFile, 'platforms'>): TaggedRange[][] =>
  file.platforms.map((header) => {
    const platform = measuredPlatformOf(header);
    const regions = (platform && platforms[platform]?.regions) ?? [];
    return regions.flatMap(({ gpa, size, tag }) => {
      const start = Number.parseInt(gpa, 16);
      return tag === undefined ? [] : [{ gpa: start, end: start + Number.parseInt(size, 16), tag }];
    });
  });

/** Version of the format that is written. */
const LOCK_VERSION = 1;

/**
 * Kinds whose contents matter: those that the launch measures, and pages that the host shares, whose digests OpenHCL's images
 * carry in a page that is measured.
 */
const MEASURED_KINDS: ReadonlySet<GuestRegion['kind']> = new Set(['data', 'empty', 'cpuid', 'shared']);

/** Facts of an image that its signers add after the measurement. */
const NOT_MEASURED = /^(?:corimDocument|corimSignature|snpIdBlock)\b/;

/**
 * What an image measures, on every platform and for every VMM.
 * @param map tagged ranges a guest, in the order of the platform headers
 * @throws IgvmError MEASUREMENT_IMPOSSIBLE for a platform without any digest, as two of those would look alike; FILE_CHANGED,
 *   FILE_UNREADABLE from the file's sources
 */
export async function lockOfImage(file: IgvmFile, map: readonly TaggedRange[][] | undefined): Promise<MeasurementLock> {
  const digests = await imageDigests(file);
  const platforms: MeasurementLock['platforms'] = {};
  for (const [index, header] of file.platforms.entries()) {
    const platform = measuredPlatformOf(header);
    if (platform === undefined || platforms[platform] !== undefined) continue;
    const own = digests.filter((digest) => digest.platform === platform);
    if (own.every(({ digest }) => digest === undefined)) {
      throw new IgvmError('MEASUREMENT_IMPOSSIBLE', own[0]?.reason ?? 'the platform has no launch digest');
    }
    platforms[platform] = {
      ...guestOf(file, index, platform, map?.[index] ?? []),
      digests: Object.fromEntries(
        own.flatMap(({ vmm = 'any', digest }) => (digest === undefined ? [] : [[vmm, digest]])),
      ),
    };
  }
  return { lockVersion: LOCK_VERSION, platforms };
}

function guestOf(
  file: IgvmFile,
  index: number,
  platform: MeasuredPlatform,
  tags: readonly TaggedRange[],
): Omit<LockedPlatform, 'digests'> {
  const header = file.platforms[index]!;
  const mask = header.compatibilityMask;
  const headers = [...headerFacts(file, header)].filter(([what]) => !NOT_MEASURED.test(what));
  return {
    algorithm: MEASURED_PLATFORMS[platform].algorithm,
    headers: Object.fromEntries(headers),
    registers: Object.fromEntries(registerFacts(file, mask)),
    regions: guestRegions(file, mask, tags).map(lockedRegion),
  };
}

function lockedRegion(region: GuestRegion): LockedRegion {
  const [tag] = region.tags;
  const hasContents = region.spans.length > 0 && MEASURED_KINDS.has(region.kind);
  return {
    gpa: hex(region.gpa),
    size: hex(region.end - region.gpa),
    kind: region.kind,
    ...(tag === undefined ? {} : { tag }),
    ...(hasContents ? { sha256: contentsDigest(region) } : {}),
  };
}

/** Bytes hashed at once. */
const CHUNK = 2 ** 20;

/** What is empty is told from stored zeros, which some platforms measure differently. */
function contentsDigest({ spans }: GuestRegion): string {
  const hash = createHash('sha256');
  let empty = 0;
  for (const { gpa, end, run } of spans) {
    const stored = Math.max(gpa, Math.min(end, storedEnd(run)));
    if (stored > gpa && empty > 0) {
      addEmpty(hash, empty);
      empty = 0;
    }
    // No larger than what is read: a small file may have very many regions.
    const chunk = new Uint8Array(Math.min(CHUNK, stored - gpa));
    for (let at = gpa; at < stored; at += CHUNK) {
      const part = chunk.subarray(0, Math.min(CHUNK, stored - at));
      readPages(run, at, part);
      hash.update(part);
    }
    empty += (end - stored) / PAGE_SIZE;
  }
  if (empty > 0) addEmpty(hash, empty);
  return hash.digest('hex');
}

const addEmpty = (hash: Hash, pages: number): void => void hash.update(`${pages} empty pages`);
