import type { ErrorCode } from './codes';
import { hex, printable } from './printable';

/** The place of a failure. Every field is optional; set all that are known. */
export interface ErrorWhere {
  /** Path of the file, as the user named it or relative to the workspace; shown unchanged. */
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

  /** Whether the message includes the cure, so that the general cure of its code would only repeat it. */
  readonly saysAll: boolean;

  /** Further failures that were found at the same time, such as the other mistakes in a manifest. */
  readonly also: readonly IgvmError[];

  /** The same error with more details of its place. Details that were already known stay. */
  at(where: ErrorWhere): IgvmError {
    return this.withWhere({ ...where, ...this.where });
  }

  /** The same error for data that begins at a byte offset in its file. */
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
   * `file:line:column: message (place) [CODE]` for this error and each of `also`. Each cure follows the first error of its code, unless the
   * message includes it.
   * @param show makes the name of a file for messages; by default, it is unchanged
   */
  format(show: (file: string) => string = (file) => file): string {
    // The table is loaded only when something fails.
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
 * A message with its place: `file:line:column: message (place)`. Also for warnings. Messages quote names and values from files, but
 * stay on one line whatever these contain.
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

/** Reports a bug rather than a user's mistake: a state that our own code must never reach. */
export function unreachable(what: string): never {
  throw new Error(`bug in nx-igvm: ${what}`);
}

/** A place in a JSON document: keys and array indices from the root. */
export type JsonPath = readonly (string | number)[];

/** `guest_configs[0].image.linux`; `$` for the root; keys that are not identifiers in brackets: `resources["a b"]`. */
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
