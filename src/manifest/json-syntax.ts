/** Whether a text is strict JSON, and a message that helps where it isn't. */
import {
  getLocation,
  type JSONVisitor,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
  visit,
} from 'jsonc-parser';
import { IgvmError, type JsonPath } from '../errors/igvm-error';

/** Deeper documents are refused, because the parser is recursive. No manifest needs more than ten levels. */
const MAX_NESTING = 512;

const PARSE_OPTIONS = { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false };

/** By the parser's names of its codes. No message quotes the file, which may be the wrong one and hold secrets. */
const SYNTAX_ERRORS: Record<string, string> = {
  InvalidSymbol: 'this is not a JSON value',
  InvalidNumberFormat: 'this is not a JSON number',
  PropertyNameExpected: 'expected a key in double quotes',
  ValueExpected: 'expected a JSON value',
  ColonExpected: 'expected a colon after the key',
  CommaExpected: 'expected a comma',
  CloseBraceExpected: 'expected a closing brace',
  CloseBracketExpected: 'expected a closing bracket',
  EndOfFileExpected: 'there is text after the end of the JSON document',
  InvalidCommentToken: 'comments are not allowed',
  UnexpectedEndOfComment: 'comments are not allowed',
  UnexpectedEndOfString: 'this string does not end on its line',
  UnexpectedEndOfNumber: 'this number is not complete',
  InvalidUnicode: 'this string has an incomplete \\u escape',
  InvalidEscapeCharacter: 'this string has an unknown escape',
  InvalidCharacter: 'this string has a control character that must be escaped',
};

/** Messages that say what is wrong, and not what to write. */
const PLAIN_MESSAGES = new Set([...Object.values(SYNTAX_ERRORS), 'this is not JSON']);

/** A message that fits the likely intention of the text at `offset`, for which the parser reports an error `name`. */
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
  if (/^['‘’“”`]/.test(rest)) return 'this is not a JSON value: a string needs double quotes';
  const hexadecimal = hexadecimalAt(text, offset);
  if (hexadecimal !== undefined) return `JSON has no hexadecimal numbers: write ${hexadecimal}`;
  if (/^\d/.test(rest)) return SYNTAX_ERRORS['InvalidNumberFormat']!;
  return before === ':' || before === ',' || before === '['
    ? 'this is not a JSON value: a string needs double quotes, other words are true, false and null'
    : SYNTAX_ERRORS['InvalidSymbol']!;
}

/**
 * The value of a key if it is a hexadecimal number such as `0x1000`. The parser's error may be at the `x`. Numbers longer than a u64
 * are never valid in a manifest, and not quoted.
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
export function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}

/** 1-based line and column (UTF-16 code units) of an offset. @param starts of the text's lines: found once for many offsets */
export function lineAndColumn(starts: readonly number[], offset: number): { line: number; column: number } {
  let line = 0;
  for (let end = starts.length; end - line > 1; ) {
    const middle = (line + end) >> 1;
    if (starts[middle]! <= offset) line = middle;
    else end = middle;
  }
  return { line: line + 1, column: offset - starts[line]! + 1 };
}

function syntaxError(text: string, file: string, offset: number, message: string): IgvmError {
  const where = { file, ...lineAndColumn(lineStarts(text), offset), jsonPath: pathAt(text, offset) };
  return new IgvmError('MANIFEST_SYNTAX', message, where, { saysAll: !PLAIN_MESSAGES.has(message) });
}

function pathAt(text: string, offset: number): JsonPath {
  let path: JsonPath;
  try {
    path = getLocation(text, offset).path;
  } catch (error) {
    // The parser recurses, and an invalid text may be nested too deeply for it.
    if (error instanceof RangeError) return [];
    throw error;
  }
  // An incomplete key makes an empty last step; the place is then the object around it.
  return path.at(-1) === '' ? path.slice(0, -1) : path;
}

/** @throws IgvmError MANIFEST_SYNTAX where the bytes are not UTF-8 */
export function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // A decoder that replaces what is wrong keeps everything before the first wrong byte.
    const lenient = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
    const valid = validPrefix(bytes);
    throw syntaxError(lenient, file, valid, 'the file is not UTF-8 text: save it as UTF-8');
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

/** Throws for the first mistake in a text that isn't JSON. */
function refuseSyntax(text: string, file: string): never {
  let depth = 0;
  let isComplete = false;
  const enter = (offset: number) => {
    if (++depth > MAX_NESTING) throw tooDeep(text, file, offset);
  };
  // The parser also reports the end of an object without a closing brace, with no length.
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

/**
 * The syntax tree of a document that is strict JSON.
 * @throws IgvmError MANIFEST_SYNTAX with file, line, column and JSON path
 */
export function parseChecked(text: string, file: string): Node {
  if (text.startsWith('\ufeff')) {
    throw syntaxError(text, file, 0, 'the file starts with a byte order mark, which JSON does not allow');
  }
  try {
    // The parser of JavaScript decides if the two should ever disagree. It is also the faster one.
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
