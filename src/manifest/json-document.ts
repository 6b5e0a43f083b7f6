import { findNodeAtLocation, type Node } from 'jsonc-parser';
import type { ErrorWhere, JsonPath } from '../errors/igvm-error';
import { unreadable } from '../files/file-failure';
import { JSON_SIZE_LIMIT, readRegularFile } from '../files/regular-file';
import { decodeUtf8, lineAndColumn, lineStarts, parseChecked } from './json-syntax';

/**
 * A JSON file with the places of all values. Whole numbers are bigints, exactly as written. A number with a fraction or an exponent is
 * a JavaScript number: serde_json also reads `1.0` and `1e3` as floating point.
 */
export interface JsonDocument {
  /** The file's name, for messages. */
  readonly file: string;
  readonly value: unknown;
  /** Keys that occur again in the same object. `value` has the last value. The caller decides whether that is an error. */
  readonly duplicates: readonly Duplicate[];
  /** The first duplicate that is neither at one of the given paths nor below one. */
  duplicateOutside(ignored: readonly JsonPath[]): Duplicate | undefined;
  /** Whether there is a value at `path`. */
  has(path: JsonPath): boolean;
  /** The text of the value at `path`, as in the file. */
  source(path: JsonPath): string;
  /** File, line, column and JSON path. For a missing value, the place of the object or array that should contain it. */
  where(path: JsonPath): ErrorWhere;
  /** As `where`, but with the place of the key instead of its value. */
  whereKey(path: JsonPath): ErrorWhere;
}

/** A key that occurs again in the same object. */
export interface Duplicate {
  readonly path: JsonPath;
  readonly where: ErrorWhere;
}

/** A path, linked from its end, so that deep places share their common parts. */
interface Place {
  readonly parent: Place | undefined;
  readonly step: string | number;
}

function pathOf(place: Place): JsonPath {
  const path: (string | number)[] = [];
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) path.push(at.step);
  return path.reverse();
}

/** Computes its place on demand: a file may have very many duplicates. */
const duplicateAt = (place: Place, whereOf: (path: JsonPath) => ErrorWhere): Duplicate => ({
  get path() {
    return pathOf(place);
  },
  get where() {
    return whereOf(pathOf(place));
  },
});

type Branch = Map<string | number, Branch | 'ignored'>;

/** Tests whether a place is at one of the paths or below one, in time that doesn't grow with the number of paths. */
function ignoredPlaces(paths: readonly JsonPath[]): (place: Place) => boolean {
  const tree: Branch = new Map();
  for (const path of paths) {
    let branch = tree;
    for (const [index, step] of path.entries()) {
      if (index === path.length - 1) branch.set(step, 'ignored');
      const next = branch.get(step) ?? new Map<string | number, Branch | 'ignored'>();
      if (next === 'ignored') break;
      branch.set(step, next);
      branch = next;
    }
  }
  const known = new Map<Place, Branch | 'ignored' | undefined>();
  const branchAt = (place: Place): Branch | 'ignored' | undefined => {
    if (known.has(place)) return known.get(place);
    const around = place.parent === undefined ? tree : branchAt(place.parent);
    const branch = around === 'ignored' ? around : around?.get(place.step);
    known.set(place, branch);
    return branch;
  };
  return (place) => branchAt(place) === 'ignored';
}

function numberValue(source: string): bigint | number {
  return /^(?:0|-?[1-9]\d*)$/.test(source) ? BigInt(source) : Number(source);
}

/**
 * The bytes of a JSON file.
 * @param display its name in messages
 * @param options.limit in bytes; a lock may be larger than a manifest
 * @param options.within an absolute folder: a file inside it that leads out of it through links is refused
 * @throws IgvmError FILE_UNREADABLE, also if it is not a regular file or is far too large
 */
export function readJsonFile(
  path: string,
  display: string,
  { limit = JSON_SIZE_LIMIT, within }: { limit?: number; within?: string | undefined } = {},
): Uint8Array {
  try {
    return readRegularFile(path, { limit, within });
  } catch (cause) {
    throw unreadable(display, cause);
  }
}

/**
 * Parses a JSON document strictly: UTF-8 without a byte order mark, no comments, no trailing commas or data.
 * @throws IgvmError MANIFEST_SYNTAX with file, line, column and JSON path.
 */
export function parseJson(content: string | Uint8Array, file: string): JsonDocument {
  const text = typeof content === 'string' ? content : decodeUtf8(content, file);
  const root = parseChecked(text, file);
  const starts = lineStarts(text);
  const at = (offset: number, path: JsonPath): ErrorWhere => ({
    file,
    ...lineAndColumn(starts, offset),
    jsonPath: path,
  });

  const duplicates: Duplicate[] = [];
  const duplicatePlaces: Place[] = [];
  const valueOf = (node: Node, place: Place | undefined): unknown => {
    if (node.type === 'array') {
      return (node.children ?? []).map((child, index) => valueOf(child, { parent: place, step: index }));
    }
    if (node.type === 'number') return numberValue(text.slice(node.offset, node.offset + node.length));
    if (node.type !== 'object') return node.value;
    const entries = new Map<string, unknown>();
    for (const property of node.children ?? []) {
      const [keyNode, valueNode] = property.children as [Node, Node];
      const key = keyNode.value as string;
      const keyPlace = { parent: place, step: key };
      if (entries.has(key)) {
        duplicates.push(duplicateAt(keyPlace, (path) => at(keyNode.offset, path)));
        duplicatePlaces.push(keyPlace);
      }
      entries.set(key, valueOf(valueNode, keyPlace));
    }
    // fromEntries defines properties, so that __proto__ is a key like any other.
    return Object.fromEntries(entries);
  };

  const members = new Map<Node, Map<unknown, Node | undefined>>();
  /** The values of an object by key. Cached, because a file may have very many keys with messages about them. */
  const membersOf = (object: Node): Map<unknown, Node | undefined> => {
    let known = members.get(object);
    if (known === undefined) {
      known = new Map(object.children?.map(({ children }) => [children?.[0]?.value, children?.[1]]));
      members.set(object, known);
    }
    return known;
  };

  /** The value of the last of several equal keys, as in `value`. */
  const find = (path: JsonPath): Node | undefined => {
    let node: Node | undefined = root;
    for (const step of path) {
      if (typeof step === 'number') node = node && findNodeAtLocation(node, [step]);
      else if (node?.type !== 'object') return undefined;
      else node = membersOf(node).get(step);
    }
    return node;
  };

  const nearestNode = (path: JsonPath): Node => {
    for (let length = path.length; length > 0; length--) {
      const node = find(path.slice(0, length));
      if (node !== undefined) return node;
    }
    return root;
  };

  return {
    file,
    value: valueOf(root, undefined),
    duplicates,
    duplicateOutside(ignored) {
      const isIgnored = ignoredPlaces(ignored);
      return duplicates[duplicatePlaces.findIndex((place) => !isIgnored(place))];
    },
    has: (path) => find(path) !== undefined,
    source: (path) => {
      const node = find(path);
      return node === undefined ? '' : text.slice(node.offset, node.offset + node.length);
    },
    where: (path) => at(nearestNode(path).offset, path),
    whereKey: (path) => {
      const node = find(path);
      const property = node?.parent?.type === 'property' ? node.parent : undefined;
      return at((property ?? nearestNode(path)).offset, path);
    },
  };
}
