import { MEASURED_PLATFORM_NAMES, type MeasuredPlatform } from '../measurement/measured-platform';
import type { LockedPlatform, LockedRegion, LockVmm, MeasurementLock } from './model';

/** A launch digest that is not the expected one; undefined where there is none. */
export interface DigestDifference {
  vmm: LockVmm;
  expected?: string;
  actual?: string;
}

/** How the guest of a platform differs from its lock. */
export interface PlatformDifference {
  platform: MeasuredPlatform;
  /** The side that lacks the platform; then there is nothing to compare. */
  missingIn?: 'image' | 'lock';
  digests: DigestDifference[];
  /** What changed, a sentence each: regions by their tags, headers, registers. */
  changes: string[];
}

/** How an image differs from its lock: empty when it measures as expected. Only digests decide. */
export function compareLocks(expected: MeasurementLock, actual: MeasurementLock): PlatformDifference[] {
  return MEASURED_PLATFORM_NAMES.flatMap((platform): PlatformDifference[] => {
    const [before, after] = [expected.platforms[platform], actual.platforms[platform]];
    if (before === undefined && after === undefined) return [];
    if (before === undefined || after === undefined) {
      return [{ platform, missingIn: after === undefined ? 'image' : 'lock', digests: [], changes: [] }];
    }
    const digests = compareDigests(before, after);
    return digests.length === 0 ? [] : [{ platform, digests, changes: changesBetween(before, after) }];
  });
}

const VMMS: readonly LockVmm[] = ['hyperv', 'kvm', 'any'];

/** Guests of which neither side knows a digest are different: nothing says that they are the same. */
function compareDigests({ digests: before }: LockedPlatform, { digests: after }: LockedPlatform): DigestDifference[] {
  const known = VMMS.filter((vmm) => before[vmm] !== undefined || after[vmm] !== undefined);
  return (known.length === 0 ? (['any'] as const) : known)
    .filter((vmm) => before[vmm] === undefined || before[vmm] !== after[vmm])
    .map((vmm) => ({ vmm, expected: before[vmm], actual: after[vmm] }));
}

/** What changed between two states of a guest, as far as their regions, headers and registers say. */
const changesBetween = (before: LockedPlatform, after: LockedPlatform): string[] => [
  ...regionChanges(before.regions, after.regions),
  ...factChanges('header', before.headers, after.headers),
  ...factChanges('register', before.registers, after.registers),
];

function regionChanges(before: readonly LockedRegion[], after: readonly LockedRegion[]): string[] {
  const [old, now] = [byName(before), byName(after)];
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((key) => {
    const [was, is] = [old.get(key), now.get(key)];
    if (was === undefined) return is === undefined ? [] : [`${regionText(is)}: new`];
    if (is === undefined) return [`${regionText(was)}: gone`];
    const changes = changesOfRegion(was, is);
    return changes.length === 0 ? [] : [`${regionText(is)}: ${changes.join(', ')}`];
  });
}

/** Regions by tag, and which of that tag; by their address where nothing names them. */
function byName(regions: readonly LockedRegion[]): Map<string, LockedRegion> {
  const counts = new Map<string, number>();
  return new Map(
    regions.map((region) => {
      if (region.tag === undefined) return [region.gpa, region];
      const count = counts.get(region.tag) ?? 0;
      counts.set(region.tag, count + 1);
      return [`${region.tag}\n${count}`, region];
    }),
  );
}

function changesOfRegion(was: LockedRegion, is: LockedRegion): string[] {
  const changes: string[] = [];
  if (was.gpa !== is.gpa) changes.push(`moved from ${was.gpa}`);
  if (was.size !== is.size) changes.push(`${was.size} bytes before`);
  if (was.kind !== is.kind) changes.push(`${was.kind} before`);
  if (was.sha256 !== is.sha256) changes.push('other contents');
  return changes;
}

function regionText({ tag, kind, gpa, size }: LockedRegion): string {
  const end = Number.parseInt(gpa, 16) + Number.parseInt(size, 16);
  return `${tag ?? kind} ${gpa}-0x${end.toString(16)}`;
}

function factChanges(kind: string, before: Record<string, string>, after: Record<string, string>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((what) => before[what] !== after[what])
    .map((what) => `${kind} ${what}: ${before[what] ?? 'none'} before, now ${after[what] ?? 'none'}`);
}
