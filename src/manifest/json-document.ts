import {
  createScanner,
  findNodeAtLocation,
  getLocation,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { unreadable } from '../files/file-failure';
import { JSON_SIZE_LIMIT, readRegularFile } from '../files/regular-file';
import { formatPath, type JsonPath } from './json-path';

/**
 * A JSON file with the place of everything in it. Whole numbers are bigints, exactly as written; a number with a
 * fraction or an exponent is a JavaScript number, as serde_json too takes `1.0` and `1e3` for floating point.
 */
export interface JsonDocument {
  /** The file's name, for messages. */
  readonly file: string;
  readonly value: unknown;
  /** Keys that come a second time in their object; `value` has the last of them. Whether that is an error is the caller's choice. */
  readonly duplicates: readonly { path: JsonPath; where: ErrorWhere }[];
  /** Whether something is written at `path`. */
  has(path: JsonPath): boolean;
  /** What is written at `path`, as in the file. */
  source(path: JsonPath): string;
  /** File, line, column and JSON path. What isn't there is placed at the object or array that should have it. */
  where(path: JsonPath): ErrorWhere;
  /** As `where`, but the place of the key rather than of its value. */
  whereKey(path: JsonPath): ErrorWhere;
}

/** Deeper documents are refused: the parser recurses, and no manifest needs more than ten levels. */
const MAX_NESTING = 512;

const PARSE_OPTIONS = { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false };

/** By the names that the parser gives to its codes. */
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
  const path = getLocation(text, offset).path;
  // An incomplete key makes an empty last step; the place is then the object around it.
  const known = path.at(-1) === '' ? path.slice(0, -1) : path;
  return new IgvmError('MANIFEST_SYNTAX', message, {
    file,
    ...lineAndColumn(lineStarts(text), offset),
    jsonPath: formatPath(known),
  });
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

function checkNesting(text: string, file: string): void {
  const scanner = createScanner(text, true);
  let depth = 0;
  do {
    scanner.scan();
    const first = text[scanner.getTokenOffset()];
    if (first === '{' || first === '[') depth++;
    if (first === '}' || first === ']') depth--;
    if (depth > MAX_NESTING) {
      throw new IgvmError('MANIFEST_SYNTAX', `the document is nested deeper than ${MAX_NESTING} levels`, {
        file,
        ...lineAndColumn(lineStarts(text), scanner.getTokenOffset()),
        jsonPath: '$',
      });
    }
    // Not by the token's length: behind a comment without end, the scanner's last token has one.
  } while (scanner.getTokenOffset() < text.length);
}

function parseChecked(text: string, file: string): Node {
  if (text.startsWith('\ufeff')) {
    throw syntaxError(text, file, 0, 'the file starts with a byte order mark, which JSON does not allow');
  }
  checkNesting(text, file);
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, PARSE_OPTIONS);
  const [first] = errors;
  if (first !== undefined || root === undefined) {
    const behind = first !== undefined && root !== undefined && first.offset >= root.offset + root.length;
    const name = behind ? 'EndOfFileExpected' : first && printParseErrorCode(first.error);
    const message = (name && SYNTAX_ERRORS[name]) ?? 'this is not JSON';
    const found = first === undefined ? '' : text.slice(first.offset, first.offset + Math.min(first.length, 20));
    const tail = /^[^\p{Cc}\p{Zl}\p{Zp}]+$/u.test(found) ? `: ${found}` : '';
    throw syntaxError(text, file, first?.offset ?? 0, `${message}${tail}`);
  }
  try {
    // The platform's own parser has the last word, should the two ever disagree.
    JSON.parse(text);
  } catch {
    throw syntaxError(text, file, 0, 'this is not JSON');
  }
  return root;
}

function numberValue(source: string): bigint | number {
  return /^(?:0|-?[1-9]\d*)$/.test(source) ? BigInt(source) : Number(source);
}

/**
 * The bytes of a JSON file.
 * @param display its name in messages
 * @param limit bytes; a lock may be larger than a manifest
 * @throws IgvmError FILE_UNREADABLE also for what is no regular file, or far too large
 */
export function readJsonFile(path: string, display: string, limit = JSON_SIZE_LIMIT): Uint8Array {
  try {
    return readRegularFile(path, { limit });
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
  const duplicates: { path: JsonPath; where: ErrorWhere }[] = [];

  const starts = lineStarts(text);
  const at = (offset: number, path: JsonPath): ErrorWhere => ({
    file,
    ...lineAndColumn(starts, offset),
    jsonPath: formatPath(path),
  });

  const valueOf = (node: Node, path: JsonPath): unknown => {
    if (node.type === 'array') return (node.children ?? []).map((child, index) => valueOf(child, [...path, index]));
    if (node.type === 'number') return numberValue(text.slice(node.offset, node.offset + node.length));
    if (node.type !== 'object') return node.value;
    const entries = new Map<string, unknown>();
    for (const property of node.children ?? []) {
      const [keyNode, valueNode] = property.children as [Node, Node];
      const key = keyNode.value as string;
      const keyPath = [...path, key];
      if (entries.has(key)) duplicates.push({ path: keyPath, where: at(keyNode.offset, keyPath) });
      entries.set(key, valueOf(valueNode, keyPath));
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
    value: valueOf(root, []),
    duplicates,
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
