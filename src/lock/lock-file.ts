import { existsSync } from 'node:fs';
import { IgvmError } from '../errors/igvm-error';
import { parseJson, readJsonFile } from '../manifest/json-document';
import { validate } from '../manifest/validate';
import { MEASURED_PLATFORM_NAMES } from '../measurement/measured-platform';
import type * as LockSchema from './lock-schema';
import type { LockedPlatform, LockedRegion, MeasurementLock } from './model';

/** Bytes: a lock of an image with some thousand regions; those of real ones have a hundred. */
const LOCK_SIZE_LIMIT = 2 ** 19;

/**
 * Reads a lock.
 * @param display the file's name in messages
 * @throws IgvmError LOCK_MISSING, FILE_UNREADABLE, MANIFEST_SYNTAX, LOCK_INVALID with file, line and column
 */
export function readLock(path: string, display: string = path): MeasurementLock {
  if (!existsSync(path)) throw new IgvmError('LOCK_MISSING', 'there is no measurement lock', { file: display });
  return parseLock(readJsonFile(path, display, LOCK_SIZE_LIMIT), display);
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
    // Two values for one digest: people would read one, and the check use the other.
    throw new IgvmError('LOCK_INVALID', 'a key is here a second time', duplicate.where);
  }
  const { lockSchema } = require('./lock-schema') as typeof LockSchema;
  try {
    return validate(document, lockSchema, true).value as MeasurementLock;
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    throw new IgvmError('LOCK_INVALID', error.message, error.where, { cause: error });
  }
}

/** A lock as text: always the same for the same lock, and a line a region, so that a diff shows what changed. */
export function lockText({ $schema, lockVersion, platforms }: MeasurementLock): string {
  const entries = MEASURED_PLATFORM_NAMES.flatMap((name) => {
    const platform = platforms[name];
    return platform === undefined ? [] : [`    ${JSON.stringify(name)}: ${platformText(platform)}`];
  });
  const head = $schema === undefined ? '' : `  "$schema": ${JSON.stringify($schema)},\n`;
  const body = entries.length === 0 ? '{}' : `{\n${entries.join(',\n')}\n  }`;
  return `{\n${head}  "lockVersion": ${lockVersion},\n  "platforms": ${body}\n}\n`;
}

const INDENT = '      ';

function platformText({ algorithm, digests, headers, registers, regions }: LockedPlatform): string {
  const { hyperv, kvm, any } = digests;
  const members = [
    `"algorithm": ${JSON.stringify(algorithm)}`,
    `"digests": ${recordText({ hyperv, kvm, any })}`,
    `"headers": ${recordText(headers)}`,
    `"registers": ${recordText(registers)}`,
    `"regions": ${listText(regions.map(regionText))}`,
  ];
  return `{\n${members.map((member) => INDENT + member).join(',\n')}\n    }`;
}

function recordText(record: Record<string, string | undefined>): string {
  const members = Object.entries(record).flatMap(([name, value]) =>
    value === undefined ? [] : [`${INDENT}  ${JSON.stringify(name)}: ${JSON.stringify(value)}`],
  );
  return members.length === 0 ? '{}' : `{\n${members.join(',\n')}\n${INDENT}}`;
}

const listText = (items: readonly string[]): string =>
  items.length === 0 ? '[]' : `[\n${items.map((item) => `${INDENT}  ${item}`).join(',\n')}\n${INDENT}]`;

function regionText({ gpa, size, kind, tag, sha256 }: LockedRegion): string {
  const members = Object.entries({ gpa, size, kind, tag, sha256 }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${JSON.stringify(name)}: ${JSON.stringify(value)}`],
  );
  return `{ ${members.join(', ')} }`;
}
