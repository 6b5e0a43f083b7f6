import { existsSync, statSync } from 'node:fs';
import { IgvmError } from '../errors/igvm-error';
import { escapeJson } from '../errors/printable';
import { errnoOf } from '../files/file-failure';
import { PLATFORM_NAMES } from '../igvm/platforms';
import { type JsonDocument, parseJson, readJsonFile } from '../manifest/json-document';
import { loadManifest } from '../manifest/load-manifest';
import { validate } from '../manifest/validate';
import { type Launch, launchesOf } from '../measurement/launches';
import type * as LockSchema from './lock-schema';
import type { LockedDigest, LockedPlatform, LockedRegion, MeasurementLock } from './lock-schema';

/** The largest lock, in bytes: enough for a few thousand regions. Real images have about a hundred. */
export const LOCK_SIZE_LIMIT = 2 ** 19;

/**
 * Reads a lock.
 * @param display the file's name in messages
 * @throws IgvmError LOCK_MISSING, FILE_UNREADABLE, MANIFEST_SYNTAX, LOCK_INVALID with file, line and column
 */
export function readLock(path: string, display: string = path): MeasurementLock {
  if (isMissing(path)) throw new IgvmError('LOCK_MISSING', 'there is no measurement lock', { file: display });
  return parseLock(readJsonFile(path, display, { limit: LOCK_SIZE_LIMIT }), display);
}

/** Whether there is no such file. A file that can't be examined is not missing: reading it reports why. */
function isMissing(path: string): boolean {
  try {
    statSync(path);
    return false;
  } catch (error) {
    return errnoOf(error) === 'ENOENT';
  }
}

/**
 * Reads a lock from the bytes of its file.
 * @param display the file's name in messages
 * @throws IgvmError MANIFEST_SYNTAX, LOCK_INVALID with file, line and column
 */
export function parseLock(content: Uint8Array, display: string): MeasurementLock {
  const document = parseJson(content, display);
  const [duplicate] = document.duplicates;
  if (duplicate !== undefined) {
    // With two values for one digest, people could read one while the check uses the other.
    throw new IgvmError('LOCK_INVALID', 'this key occurs twice', duplicate.where);
  }
  const { LOCK_VERSION, lockSchema } = require('./lock-schema') as typeof LockSchema;
  checkVersion(document, display, LOCK_VERSION);
  try {
    return validate(document, lockSchema, true).value as MeasurementLock;
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    throw new IgvmError('LOCK_INVALID', error.message, error.where, { cause: error });
  }
}

/** For a lock of another version, the message is about the version, not about missing keys. */
function checkVersion(document: JsonDocument, display: string, known: number): void {
  const { value } = document;
  const found = typeof value === 'object' && value !== null && 'lockVersion' in value ? value.lockVersion : undefined;
  if ((typeof found !== 'number' && typeof found !== 'bigint') || Number(found) === known) return;
  const why =
    Number(found) < known
      ? `it has version ${found}, which does not cover debugging, the security version and other platforms`
      : `it has version ${found}, and this nx-igvm reads version ${known}`;
  throw new IgvmError('LOCK_INVALID', why, document.where(['lockVersion']) ?? { file: display });
}

/** A lock as text. The same lock always has the same text, with one line for each fact, so that a diff shows the changes. */
export function lockText({ $schema, lockVersion, file, platforms }: MeasurementLock): string {
  const entries = PLATFORM_NAMES.flatMap((name) => {
    const platform = platforms[name];
    return platform === undefined ? [] : [`    ${JSON.stringify(name)}: ${platformText(platform)}`];
  });
  const members = [
    ...($schema === undefined ? [] : [`"$schema": ${JSON.stringify($schema)}`]),
    `"lockVersion": ${lockVersion}`,
    `"file": ${recordText(file, '  ')}`,
    `"platforms": ${entries.length === 0 ? '{}' : `{\n${entries.join(',\n')}\n  }`}`,
  ];
  return escapeJson(`{\n${members.map((member) => `  ${member}`).join(',\n')}\n}\n`);
}

const INDENT = '      ';

/** The members of a platform in the order in which people review them: launch policy, digests, contents. */
const MEMBERS: Record<keyof LockedPlatform, (platform: LockedPlatform) => string | undefined> = {
  debug: ({ debug }) => JSON.stringify(debug),
  svn: ({ svn }) => JSON.stringify(svn),
  familyId: ({ familyId }) => JSON.stringify(familyId),
  imageId: ({ imageId }) => JSON.stringify(imageId),
  policy: ({ policy }) => policy && recordText(policy, INDENT),
  attributes: ({ attributes }) => attributes && recordText(attributes, INDENT),
  highestVtl: ({ highestVtl }) => JSON.stringify(highestVtl),
  sharedGpaBoundary: ({ sharedGpaBoundary }) => JSON.stringify(sharedGpaBoundary),
  algorithm: ({ algorithm }) => JSON.stringify(algorithm),
  digests: ({ digests }) => digests && listText(digests.map(digestText)),
  documents: ({ documents }) =>
    documents &&
    recordText({ corim: documents.corim, identity: documents.identity, idBlock: documents.idBlock }, INDENT),
  corimInImage: ({ corimInImage }) => JSON.stringify(corimInImage),
  headers: ({ headers }) => recordText(headers, INDENT),
  registers: ({ registers }) => recordText(registers, INDENT),
  regions: ({ regions }) => listText(regions.map(regionText)),
};

function platformText(platform: LockedPlatform): string {
  const members = Object.entries(MEMBERS).flatMap(([name, textOf]) => {
    const text = textOf(platform);
    return text === undefined ? [] : [`${INDENT}${JSON.stringify(name)}: ${text}`];
  });
  return `{\n${members.join(',\n')}\n    }`;
}

function recordText(values: Readonly<Record<string, unknown>>, indent: string): string {
  const members = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [`${indent}  ${JSON.stringify(name)}: ${JSON.stringify(value)}`],
  );
  return members.length === 0 ? '{}' : `{\n${members.join(',\n')}\n${indent}}`;
}

const listText = (items: readonly string[]): string =>
  items.length === 0 ? '[]' : `[\n${items.map((item) => `${INDENT}  ${item}`).join(',\n')}\n${INDENT}]`;

const digestText = ({ digest, launches }: LockedDigest): string =>
  lineText({ digest, launches: launches?.map(({ vmm, vcpus, cpu, kvmMode }) => ({ vmm, vcpus, cpu, kvmMode })) });

const regionText = ({ gpa, size, kind, marks, measured, tag, sha256 }: LockedRegion): string =>
  lineText({ gpa, size, kind, marks, measured, tag, sha256 });

/** An object on one line. */
function lineText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(lineText).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).flatMap(([name, member]) =>
    member === undefined ? [] : [`${JSON.stringify(name)}: ${lineText(member)}`],
  );
  return `{ ${members.join(', ')} }`;
}

/** The manifest of a lock: the file beside it, from whose name inference derives that of the lock. */
const manifestOf = (lock: string): string | undefined =>
  lock.endsWith('.lock.json') ? `${lock.slice(0, -'.lock.json'.length)}.json` : undefined;

/**
 * The launches of an image that its lock must cover: those in the manifest beside the lock. Undefined if there is no such manifest or it
 * names none. Then the lock itself determines them.
 * @param lock path of the lock
 * @param display how messages name a path
 * @throws IgvmError LAUNCH_INVALID with the place; and as loadManifest, because a manifest that can't be read may name launches
 */
export function manifestLaunches(lock: string, display: (path: string) => string = String): Launch[] | undefined {
  const path = manifestOf(lock);
  if (path === undefined || !existsSync(path)) return undefined;
  const loaded = loadManifest(path, { display: display(path) });
  const { launches } = loaded.manifest;
  return launches?.flatMap(({ vmm, vcpus, cpu, kvm_mode: kvmMode }, index) => {
    try {
      return launchesOf({ vmm, vcpus, cpu, kvmMode });
    } catch (error) {
      throw error instanceof IgvmError ? error.at(loaded.positionOf(['launches', index])) : error;
    }
  });
}
