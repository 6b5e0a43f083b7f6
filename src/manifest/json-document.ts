import {
  findNodeAtLocation,
  getLocation,
  type JSONVisitor,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
  visit,
} from 'jsonc-parser';
import { type ErrorWhere, IgvmError, type JsonPath } from '../errors/igvm-error';
import { unreadable } from '../files/file-failure';
import { JSON_SIZE_LIMIT, readRegularFile } from '../files/regular-file';

/**
 * A JSON file with the place of everything in it. Whole numbers are bigints, exactly as written; a number with a
 * fraction or an exponent is a JavaScript number, as serde_json too takes `1.0` and `1e3` for floating point.
 */
export interface JsonDocument {
  /** The file's name, for messages. */
  readonly file: string;
  readonly value: unknown;
  /** Keys that come a second time in their object; `value` has the last of them. Whether that is an error is the caller's choice. */
  readonly duplicates: readonly Duplicate[];
  /** The first of them that is neither at one of the given paths nor below one. */
  duplicateOutside(ignored: readonly JsonPath[]): Duplicate | undefined;
  /** Whether something is written at `path`. */
  has(path: JsonPath): boolean;
  /** What is written at `path`, as in the file. */
  source(path: JsonPath): string;
  /** File, line, column and JSON path. What isn't there is placed at the object or array that should have it. */
  where(path: JsonPath): ErrorWhere;
  /** As `where`, but the place of the key rather than of its value. */
  whereKey(path: JsonPath): ErrorWhere;
}

/** A key that comes a second time in its object. */
export interface Duplicate {
  readonly path: JsonPath;
  readonly where: ErrorWhere;
}

/** Deeper documents are refused: the parser recurses, and no manifest needs more than ten levels. */
const MAX_NESTING = 512;

const PARSE_OPTIONS = { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false };

/** By the names that the parser gives to its codes. None says what is in the file: it may be another one than was meant. */
const SYNTAX_ERRORS: Record<string, string> = {
  InvalidSymbol: 'this is no JSON value',
  InvalidNumberFormat: 'this is not a JSON number',
  PropertyNameExpected: 'expected a key in double quotes',
  ValueExpected: 'expected a JSON value',
  ColonExpected: 'expected a colon after the key',
  CommaExpected: 'expected a comma',
  CloseBraceExpected: 'expected a closing brace',
  CloseBracketExpected: 'expected a closing bracket',
  EndOfFileExpected: 'there is something behind the end of the JSON document',
  InvalidCommentToken: 'comments are not allowed',
  UnexpectedEndOfComment: 'comments are not allowed',
  UnexpectedEndOfString: 'this string has no end on its line',
  UnexpectedEndOfNumber: 'this number is not complete',
  InvalidUnicode: 'this string has an incomplete \\u escape',
  InvalidEscapeCharacter: 'this string has an unknown escape',
  InvalidCharacter: 'this string has a control character that must be escaped',
};

/** A message that fits what is likely to be meant by the text at `offset`, which a parser calls an error of the kind `name`. */
function syntaxMessage(text: string, offset: number, name: string): string {
  const rest = text.slice(offset, offset + 40);
  const before = text
    .slice(Math.max(0, offset - 200), offset)
    .trimEnd()
    .at(-1);
  const [closing] = /^[}\]]/.exec(rest) ?? [];
  if (closing !== undefined && before === ',') return `remove the comma before this "${closing}"`;
  if (name === 'ValueExpected' && rest === '') return 'the document ends where a JSON value is expected';
  if (name !== 'InvalidSymbol' && name !== 'InvalidNumberFormat') return SYNTAX_ERRORS[name] ?? 'this is not JSON';
  const isKey = /^[^\s,{}[\]]*\s*:/.test(rest) && (before === '{' || before === ',');
  if (isKey) return SYNTAX_ERRORS['PropertyNameExpected']!;
  if (/^['‘’“”`]/.test(rest)) return 'this is no JSON value: a string needs double quotes';
  const hexadecimal = hexadecimalAt(text, offset);
  if (hexadecimal !== undefined) return `JSON has no hexadecimal numbers: write ${hexadecimal}`;
  if (/^\d/.test(rest)) return SYNTAX_ERRORS['InvalidNumberFormat']!;
  return before === ':' || before === ',' || before === '['
    ? 'this is no JSON value: a string needs double quotes, other words are true, false and null'
    : SYNTAX_ERRORS['InvalidSymbol']!;
}

/**
 * The value of a key, when it is a hexadecimal number such as `0x1000`: as JSON writes it. The parser's complaint may be about
 * the `x`. Longer ones than a u64 are no numbers of a manifest, and not repeated.
 */
function hexadecimalAt(text: string, offset: number): bigint | undefined {
  const around = text.slice(Math.max(0, offset - 12), offset + 24);
  for (const match of around.matchAll(/[:[,]\s*(0[xX][0-9a-fA-F]{1,16})(?=[\s,}\]])/g)) {
    const start = Math.max(0, offset - 12) + match.index;
    if (start <= offset && offset < start + match[0].length) return BigInt(match[1]!);
  }
  return undefined;
}

/** Where the lines of a text start, ascending. */
function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}

/** 1-based line and column (UTF-16 code units) of an offset. @param starts of the text's lines: found once for many offsets */
function lineAndColumn(starts: readonly number[], offset: number): { line: number; column: number } {
  let line = 0;
  for (let end = starts.length; end - line > 1; ) {
    const middle = (line + end) >> 1;
    if (starts[middle]! <= offset) line = middle;
    else end = middle;
  }
  return { line: line + 1, column: offset - starts[line]! + 1 };
}

function syntaxError(text: string, file: string, offset: number, message: string): IgvmError {
  return new IgvmError('MANIFEST_SYNTAX', message, {
    file,
    ...lineAndColumn(lineStarts(text), offset),
    jsonPath: pathAt(text, offset),
  });
}

function pathAt(text: string, offset: number): JsonPath {
  let path: JsonPath;
  try {
    path = getLocation(text, offset).path;
  } catch (error) {
    // A text that is wrong and nested very deep: the parser recurses.
    if (error instanceof RangeError) return [];
    throw error;
  }
  // An incomplete key makes an empty last step; the place is then the object around it.
  return path.at(-1) === '' ? path.slice(0, -1) : path;
}

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // A decoder that replaces what is wrong keeps everything before the first wrong byte.
    const lenient = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
    const valid = validPrefix(bytes);
    throw syntaxError(lenient, file, valid, 'the file is not UTF-8 text');
  }
}

/** Length in UTF-16 code units of the longest prefix that is UTF-8. */
function validPrefix(bytes: Uint8Array): number {
  let low = 0;
  let high = bytes.length;
  const decodes = (length: number) => {
    try {
      // `stream` lets a prefix end inside a character.
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, length), { stream: true });
      return true;
    } catch {
      return false;
    }
  };
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (decodes(middle)) low = middle;
    else high = middle - 1;
  }
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(0, low), { stream: true }).length;
}

const tooDeep = (text: string, file: string, offset: number): IgvmError =>
  new IgvmError('MANIFEST_SYNTAX', `the document is nested deeper than ${MAX_NESTING} levels`, {
    file,
    ...lineAndColumn(lineStarts(text), offset),
    jsonPath: [],
  });

/** @param text valid JSON */
function checkNesting(text: string, file: string): void {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '"':
        for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++;
        break;
      case '{':
      case '[':
        if (++depth > MAX_NESTING) throw tooDeep(text, file, at);
        break;
      case '}':
      case ']':
        depth--;
        break;
      default:
    }
  }
}

/** Throws for the first mistake of a text that isn't JSON; what comes after it doesn't matter. */
function refuseSyntax(text: string, file: string): never {
  let depth = 0;
  let isComplete = false;
  const enter = (offset: number) => {
    if (++depth > MAX_NESTING) throw tooDeep(text, file, offset);
  };
  // An object without its closing brace ends as well, with no length.
  const leave = (offset: number) => {
    depth--;
    isComplete ||= depth === 0 && offset < text.length;
  };
  const visitor: JSONVisitor = {
    onObjectBegin: enter,
    onArrayBegin: enter,
    onObjectEnd: leave,
    onArrayEnd: leave,
    onLiteralValue: () => {
      isComplete ||= depth === 0;
    },
    onError: (code, offset) => {
      const name = isComplete ? 'EndOfFileExpected' : printParseErrorCode(code);
      throw syntaxError(text, file, offset, syntaxMessage(text, offset, name));
    },
  };
  visit(text, visitor, PARSE_OPTIONS);
  throw syntaxError(text, file, 0, 'this is not JSON');
}

function parseChecked(text: string, file: string): Node {
  if (text.startsWith('\ufeff')) {
    throw syntaxError(text, file, 0, 'the file starts with a byte order mark, which JSON does not allow');
  }
  try {
    // The platform's own parser has the last word, should the two ever disagree. It is also the faster one.
    JSON.parse(text);
  } catch {
    refuseSyntax(text, file);
  }
  checkNesting(text, file);
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, PARSE_OPTIONS);
  if (root === undefined || errors.length > 0)
    throw syntaxError(text, file, errors[0]?.offset ?? 0, 'this is not JSON');
  return root;
}

/** A path from its end on: what is deep in a document shares the way to it. */
interface Place {
  readonly parent: Place | undefined;
  readonly step: string | number;
}

function pathOf(place: Place): JsonPath {
  const path: (string | number)[] = [];
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) path.push(at.step);
  return path.reverse();
}

/** Finds out where it is when someone asks: a file may have very many of them. */
const duplicateAt = (place: Place, whereOf: (path: JsonPath) => ErrorWhere): Duplicate => ({
  get path() {
    return pathOf(place);
  },
  get where() {
    return whereOf(pathOf(place));
  },
});

type Branch = Map<string | number, Branch | 'ignored'>;

/** Whether a place is at one of the paths or below one, in time that doesn't grow with their number. */
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
 * @param options.limit bytes; a lock may be larger than a manifest
 * @param options.within an absolute folder: a file inside it that leads out of it by way of links is refused
 * @throws IgvmError FILE_UNREADABLE also for what is no regular file, or far too large
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
 * Reads a JSON document strictly: UTF-8 without a byte order mark, no comments, no trailing commas or data.
 * @throws IgvmError MANIFEST_SYNTAX with file, line, column and JSON path.
 */
export function parseJson(content: string | Uint8Array, file: string): JsonDocument {
  const text = typeof content === 'string' ? content : decode(content, file);
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
    // fromEntries defines properties, so that a key named __proto__ is a key like any other.
    return Object.fromEntries(entries);
  };

  const members = new Map<Node, Map<unknown, Node | undefined>>();
  /** The values of an object by key, found once: a file may have very many keys of which something is to be said. */
  const membersOf = (object: Node): Map<unknown, Node | undefined> => {
    let known = members.get(object);
    if (known === undefined) {
      known = new Map(object.children?.map(({ children }) => [children?.[0]?.value, children?.[1]]));
      members.set(object, known);
    }
    return known;
  };

  /** The last of several equal keys, as in `value`. */
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
