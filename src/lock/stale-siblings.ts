import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { siblingPath } from '../build/output-names';
import type { TaggedRange } from '../regions/map-tags';
import { digestOfIdentity } from '../endorsement/identity-document';
import { parseSnpIdBlock } from '../endorsement/snp-id-block';
import { IgvmError } from '../errors/igvm-error';
import type { CorimHeader, IgvmFile } from '../igvm/model';
import { guestRegions } from '../regions/guest-regions';
import { readAll } from '../memory/byte-source';
import { digestHex } from '../measurement/digest-hex';
import { type MeasuredPlatform, measuredPlatformOf } from '../measurement/measured-platform';
import type { MeasurementLock } from './model';

/** Larger than any sibling; something else then has its name. */
const SIBLING_LIMIT = 16 * 2 ** 20;

/**
 * The files beside an image that are not of its build, by name with what is wrong with each. All files of a build appear at once,
 * but an image may be copied alone, or restored from elsewhere. Files that don't exist are not missed.
 * @param path of the image
 * @param measured what the image measures
 * @param map of the image's map file
 */
export function staleSiblings(
  path: string,
  file: IgvmFile,
  measured: MeasurementLock,
  map: readonly TaggedRange[][] | undefined,
): string[] {
  const stale: string[] = [];
  if (map !== undefined && !fitsMap(file, map)) {
    stale.push(`${basename(path)}.map describes another layout than the image has`);
  }
  for (const header of file.platforms) {
    const platform = measuredPlatformOf(header);
    const digests = platform && measured.platforms[platform]?.digests;
    const digest = digests?.hyperv ?? digests?.any;
    if (platform === undefined || digest === undefined) continue;
    const corim = file.initializations.find(
      (each): each is CorimHeader =>
        each.type === 'corimDocument' && each.compatibilityMask === header.compatibilityMask,
    );
    stale.push(...staleOfPlatform(path, platform, digest, corim));
  }
  return stale;
}

function staleOfPlatform(
  path: string,
  platform: MeasuredPlatform,
  digest: string,
  corim: CorimHeader | undefined,
): string[] {
  const checks: Record<string, (bytes: Uint8Array) => boolean> = {
    '.json': (bytes) => digestOfIdentity(bytes, platform) === digest,
    '.idblock': (bytes) => idBlockDigest(bytes) === digest,
    '.cbor': (bytes) => corim === undefined || Buffer.compare(bytes, readAll(corim.content, SIBLING_LIMIT)) === 0,
  };
  return Object.entries(checks).flatMap(([extension, isOfImage]) => {
    const sibling = siblingPath(path, platform, extension);
    const bytes = readSibling(sibling);
    if (bytes === 'other') return [`${basename(sibling)} is no file of a build`];
    return bytes === undefined || isOfImage(bytes) ? [] : [`${basename(sibling)} is about another image`];
  });
}

/** The bytes of a sibling; undefined for one that doesn't exist, `other` for a link, a folder or something far too large. */
function readSibling(path: string): Uint8Array | undefined | 'other' {
  if (!existsSync(path)) return undefined;
  try {
    const stats = lstatSync(path);
    return stats.isFile() && stats.size <= SIBLING_LIMIT ? readFileSync(path) : 'other';
  } catch (cause) {
    throw new IgvmError('FILE_UNREADABLE', 'the file cannot be read', { file: path }, { cause });
  }
}

function idBlockDigest(bytes: Uint8Array): string | undefined {
  try {
    return digestHex(parseSnpIdBlock(bytes).ld);
  } catch (error) {
    if (error instanceof IgvmError) return undefined;
    throw error;
  }
}

/** Whether the map names exactly the memory that the image's guests have. */
function fitsMap(file: IgvmFile, map: readonly TaggedRange[][]): boolean {
  if (map.length !== file.platforms.length) return false;
  return file.platforms.every(({ compatibilityMask }, index) => {
    const named = joined(map[index] ?? []);
    const used = joined(guestRegions(file, compatibilityMask, []));
    return (
      named.length === used.length && named.every(({ gpa, end }, at) => used[at]?.gpa === gpa && used[at].end === end)
    );
  });
}

/** Ranges by ascending address, adjacent ones as one. */
function joined(ranges: readonly { gpa: number; end: number }[]): { gpa: number; end: number }[] {
  const result: { gpa: number; end: number }[] = [];
  for (const { gpa, end } of ranges) {
    const last = result.at(-1);
    if (last !== undefined && gpa <= last.end) last.end = Math.max(last.end, end);
    else result.push({ gpa, end });
  }
  return result;
}
