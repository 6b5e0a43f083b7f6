import { resolve } from 'node:path';
import { unreadable } from '../files/file-failure';
import { JSON_SIZE_LIMIT, readRegularFile } from '../files/regular-file';
import type * as JsonDocument from '../manifest/json-document';

export type Json = Record<string, unknown>;

/** The value when it is a JSON object, otherwise an empty one. */
export const asRecord = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};

/**
 * The bytes of a file that inference looks at. It does so on every command of Nx, and nobody has asked for this file: one
 * in the workspace must not lead out of it by way of links, to a secret or a device.
 * @param path relative to the workspace, or absolute
 * @throws NotRegularError, and the errors of node:fs
 */
export const readForInference = (workspaceRoot: string, path: string, limit = JSON_SIZE_LIMIT): Buffer =>
  readRegularFile(resolve(workspaceRoot, path), { limit, within: workspaceRoot });

/**
 * Reads a JSON file of the workspace; what is no object is taken for an empty one, and reported when it is built.
 * @param path relative to the workspace, or absolute
 * @throws IgvmError FILE_UNREADABLE or MANIFEST_SYNTAX, the only failures of inference
 */
export function readJsonObject(workspaceRoot: string, path: string): Json {
  let bytes: Buffer;
  try {
    bytes = readForInference(workspaceRoot, path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  try {
    return asRecord(JSON.parse(bytes.toString()));
  } catch {
    // The slower reader says what is wrong, and where.
    const { parseJson } = require('../manifest/json-document') as typeof JsonDocument;
    return asRecord(parseJson(bytes, path).value);
  }
}
