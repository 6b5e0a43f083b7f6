import type { ErrorCode } from './codes';
import { hex, printable } from './printable';

/** Where a failure lies. Every field is optional; name all that are known. */
export interface ErrorWhere {
  /** Path of the file, as the user named it or relative to the workspace; shown as is. */
  file?: string;
  /** 1-based line in `file`. */
  line?: number;
  /** 1-based column in `file`, in UTF-16 code units. */
  column?: number;
  /** Keys and indices from the root of the JSON document; {@link formatPath} shows them as `guest_configs[0].image.linux`. */
  jsonPath?: JsonPath;
  /** Byte offset in `file`. */
  offset?: number;
  /** GPA range in bytes, end exclusive. */
  gpa?: { start: number; end: number };
}

/**
 * The one error type for everything a user or an input file can cause. `message` is one sentence without the place;
 * `format()` adds the place and the cure. Anything else that is thrown is a bug and keeps its stack trace.
 */
export class IgvmError extends Error {
  override readonly name = 'IgvmError';

  constructor(
    /** Stable code, listed with cause and cure in docs/errors.md. */
    readonly code: ErrorCode,
    message: string,
    readonly where: ErrorWhere = {},
    options?: { cause?: unknown; also?: readonly IgvmError[]; saysAll?: boolean },
  ) {
    super(message, options);
    this.also = options?.also ?? [];
    this.saysAll = options?.saysAll ?? false;
  }

  /** Whether the message says what to do, so that the general cure of its code would only repeat it. */
  readonly saysAll: boolean;

  /** Further failures of the same kind that were found at once, such as all mistakes of a manifest. */
  readonly also: readonly IgvmError[];

  /** The same error with more of its place known; what was already known stays. */
  at(where: ErrorWhere): IgvmError {
    return this.withWhere({ ...where, ...this.where });
  }

  /** The same error of something that begins at a byte offset in its file. */
  within(start: number): IgvmError {
    const { offset } = this.where;
    if (offset === undefined) return this;
    const where = { ...this.where, offset: start + offset };
    return this.withWhere(where);
  }

  private withWhere(where: ErrorWhere): IgvmError {
    const { cause, also, saysAll } = this;
    return new IgvmError(this.code, this.message, where, { cause, also, saysAll });
  }

  /**
   * `file:line:column: message (place) [CODE]` for this and each of `also`, every cure once below its first code, unless the message
   * says it all.
   * @param show how a file is named; by default as the error has it
   */
  format(show: (file: string) => string = (file) => file): string {
    // The tables are read only where something fails.
    const { ERROR_CODES } = require('./codes') as typeof import('./codes');
    const lines: string[] = [];
    const cures = new Set<ErrorCode>();
    for (const { code, message, where, saysAll } of [this, ...this.also]) {
      const shown = where.file === undefined ? where : { ...where, file: show(where.file) };
      lines.push(`${formatPlaced(message, shown)} [${code}]`);
      if (saysAll || cures.has(code)) continue;
      lines.push(`  ${ERROR_CODES[code].cure}`);
      cures.add(code);
    }
    return lines.join('\n');
  }
}

/**
 * A message with its place: `file:line:column: message (place)`. Warnings are printed with it too. It quotes names and
 * values of files, and stays one line whatever they hold.
 */
export function formatPlaced(message: string, where: ErrorWhere): string {
  const { file, line, column, jsonPath, offset, gpa } = where;
  const position = line === undefined ? '' : `:${line}${column === undefined ? '' : `:${column}`}`;
  const prefix = file === undefined ? '' : `${file}${position}: `;
  const places = [
    jsonPath === undefined ? '' : `at ${formatPath(jsonPath)}`,
    offset === undefined ? '' : `byte offset ${hex(offset)}`,
    gpa === undefined ? '' : `GPA ${hex(gpa.start)}-${hex(gpa.end)}`,
  ].filter((place) => place !== '');
  return printable(`${prefix}${message}${places.length === 0 ? '' : ` (${places.join(', ')})`}`);
}

/** Throws a bug, not a user's mistake: a state that our own code must never reach. */
export function unreachable(what: string): never {
  throw new Error(`bug in nx-igvm: ${what}`);
}

/** A place in a JSON document: keys and array indices from the root. */
export type JsonPath = readonly (string | number)[];

/** `guest_configs[0].image.linux`; `$` for the root; keys that are no identifiers in brackets: `resources["a b"]`. */
export function formatPath(path: JsonPath): string {
  if (path.length === 0) return '$';
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      if (/^[\w$]+$/.test(step)) return index === 0 ? step : `.${step}`;
      return `[${JSON.stringify(step)}]`;
    })
    .join('');
}
