import { PLATFORM_NAMES } from '../igvm/platforms';
import { compareFacts, type Facts } from '../image/guest-facts';
import { launchesOf, launchName } from '../measurement/launches';
import type { LockedDigest, LockedPlatform, LockedRegion, MeasurementLock } from './lock-schema';

/** A launch digest that is not the expected one; undefined if there is none. */
export interface DigestDifference {
  /** The launch; empty if the digest doesn't depend on it. */
  launch: string;
  expected?: string;
  actual?: string;
}

/** How the guest of a platform differs from the lock, or how the file itself does. */
export interface LockDifference {
  /** Short name of the platform; undefined for facts that belong to no single guest. */
  platform?: string;
  /** The side that lacks the platform. Then there is nothing to compare. */
  missingIn?: 'image' | 'lock';
  digests: DigestDifference[];
  /** Other differences, a sentence each: launch policy, documents, regions by their tags, headers, registers. */
  changes: string[];
}

/** How an image differs from its lock; empty if it agrees with the lock in everything. */
export function compareLocks(expected: MeasurementLock, actual: MeasurementLock): LockDifference[] {
  const file = factChanges('', factsOf(expected.file), factsOf(actual.file));
  return [
    ...(file.length === 0 ? [] : [{ digests: [], changes: file }]),
    ...PLATFORM_NAMES.flatMap((platform): LockDifference[] => {
      const [before, after] = [expected.platforms[platform], actual.platforms[platform]];
      if (before === undefined && after === undefined) return [];
      if (before === undefined || after === undefined) {
        return [{ platform, missingIn: after === undefined ? 'image' : 'lock', digests: [], changes: [] }];
      }
      const digests = compareDigests(before, after);
      const changes = changesBetween(before, after);
      return digests.length + changes.length === 0 ? [] : [{ platform, digests, changes }];
    }),
  ];
}

const factsOf = (record: Readonly<Record<string, unknown>>): Facts =>
  new Map(Object.entries(record).map(([name, value]) => [name, String(value)]));

function compareDigests(before: LockedPlatform, after: LockedPlatform): DigestDifference[] {
  const [expected, actual] = [byLaunch(before.digests), byLaunch(after.digests)];
  return [...new Set([...expected.keys(), ...actual.keys()])]
    .filter((launch) => expected.get(launch) !== actual.get(launch))
    .map((launch) => ({ launch, expected: expected.get(launch), actual: actual.get(launch) }));
}

/** If a lock has two digests for a launch, both are joined, so that neither matches the image. */
function byLaunch(digests: readonly LockedDigest[] = []): Map<string, string> {
  const found = new Map<string, string>();
  for (const { digest, launches } of digests) {
    for (const launch of launches?.flatMap(launchesOf).map(launchName) ?? ['']) {
      const present = found.get(launch);
      found.set(launch, present === undefined ? digest : `${present} and ${digest}`);
    }
  }
  return found;
}

/** The changes between two states of a guest. */
const changesBetween = (before: LockedPlatform, after: LockedPlatform): string[] => [
  ...factChanges('', launchFacts(before), launchFacts(after)),
  ...regionChanges(before.regions, after.regions),
  ...factChanges('header ', factsOf(before.headers), factsOf(after.headers)),
  ...factChanges('register ', factsOf(before.registers), factsOf(after.registers)),
  ...factChanges('SHA-256 of the document ', factsOf({ ...before.documents }), factsOf({ ...after.documents })),
];

/** The launch policy of a guest, by the names of the lock's fields. */
function launchFacts(platform: LockedPlatform): Facts {
  const { debug, svn, familyId, imageId, policy, attributes, highestVtl, sharedGpaBoundary, algorithm } = platform;
  const own = { debug, svn, familyId, imageId, highestVtl, sharedGpaBoundary, algorithm };
  const facts = Object.entries({ ...own, corimInImage: platform.corimInImage }).filter(
    ([, value]) => value !== undefined,
  );
  const nested = Object.entries({ policy, attributes }).flatMap(([name, fields]) =>
    Object.entries(fields ?? {}).map(([field, value]) => [`${name} ${field}`, value] as const),
  );
  return factsOf(Object.fromEntries([...facts, ...nested]));
}

function regionChanges(before: readonly LockedRegion[], after: readonly LockedRegion[]): string[] {
  const [old, now] = [byName(before), byName(after)];
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((name) =>
    regionPairs(old.get(name) ?? [], now.get(name) ?? []).flatMap(([was, is]) => {
      if (was === undefined) return is === undefined ? [] : [`${regionText(is)}: new`];
      if (is === undefined) return [`${regionText(was)}: gone`];
      const changes = changesOfRegion(was, is);
      return changes.length === 0 ? [] : [`${regionText(is)}: ${changes.join(', ')}`];
    }),
  );
}

/** Regions by tag, or by address if they have no tag. */
function byName(regions: readonly LockedRegion[]): Map<string, LockedRegion[]> {
  const found = new Map<string, LockedRegion[]>();
  for (const region of regions) {
    const name = region.tag === undefined ? `at ${region.gpa}` : `tag ${region.tag}`;
    found.set(name, [...(found.get(name) ?? []), region]);
  }
  return found;
}

type RegionPair = readonly [was: LockedRegion | undefined, is: LockedRegion | undefined];

/** Pairs the regions of one name: first by the same address, then the moved ones in order. */
function regionPairs(before: readonly LockedRegion[], after: readonly LockedRegion[]): RegionPair[] {
  const places = new Map(after.map((is) => [is.gpa, is]));
  const stayed = new Map<LockedRegion, LockedRegion>();
  for (const was of before) {
    const is = places.get(was.gpa);
    if (is !== undefined) stayed.set(was, is);
    places.delete(was.gpa);
  }
  const known = new Set(stayed.values());
  const moved = after.filter((is) => !known.has(is)).reverse();
  const pairs = before.map((was): RegionPair => [was, stayed.get(was) ?? moved.pop()]);
  return [...pairs, ...moved.reverse().map((is): RegionPair => [undefined, is])];
}

function changesOfRegion(was: LockedRegion, is: LockedRegion): string[] {
  const changes: string[] = [];
  if (was.gpa !== is.gpa) changes.push(`moved from ${was.gpa}`);
  if (was.size !== is.size) changes.push(`${was.size} bytes before`);
  if (was.kind !== is.kind) changes.push(`${was.kind} before`);
  const [marksBefore, marks] = [was.marks ?? [], is.marks ?? []].map((each) => each.join(' ') || 'nothing');
  if (marksBefore !== marks) changes.push(`marked ${marks}, ${marksBefore} before`);
  if (was.measured !== is.measured) changes.push(was.measured ? 'measured before' : 'not measured before');
  if (was.sha256 !== is.sha256) changes.push('other contents');
  return changes;
}

function regionText({ tag, kind, gpa, size, measured }: LockedRegion): string {
  const end = BigInt(gpa) + BigInt(size);
  return `${tag ?? kind} ${gpa}-0x${end.toString(16)}${measured ? '' : ' (not measured)'}`;
}

const factChanges = (kind: string, before: Facts, after: Facts): string[] =>
  compareFacts(before, after).map(({ what, a, b }) => `${kind}${what}: ${a ?? 'none'} before, now ${b ?? 'none'}`);
