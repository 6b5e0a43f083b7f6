import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type * as JsonDocument from '../manifest/json-document';
import type * as LoadManifest from '../manifest/load-manifest';

export type Json = Record<string, unknown>;

/** The value when it is a JSON object, otherwise an empty one. */
export const asRecord = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};

/**
 * Reads a JSON file of the workspace; what is no object is taken for an empty one, and reported when it is built.
 * @param path relative to the workspace, or absolute
 * @throws IgvmError FILE_UNREADABLE or MANIFEST_SYNTAX, the only failures of inference
 */
export function readJsonObject(workspaceRoot: string, path: string): Json {
  try {
    return asRecord(JSON.parse(readFileSync(resolve(workspaceRoot, path), 'utf8')));
  } catch {
    // The slower reader says what is wrong, and where.
    const { parseJson } = require('../manifest/json-document') as typeof JsonDocument;
    const { readJsonFile } = require('../manifest/load-manifest') as typeof LoadManifest;
    return asRecord(parseJson(readJsonFile(resolve(workspaceRoot, path), path), path).value);
  }
}
