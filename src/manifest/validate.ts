import type * as z from 'zod/mini';
import { type ErrorWhere, IgvmError, type JsonPath } from '../errors/igvm-error';
import { PAGE_SIZE, readMemorySize } from '../memory/page';
import type { JsonDocument } from './json-document';
import { ENTRIES_LIMIT, nearest, unknownKeys } from './unknown-keys';

/**
 * The message of an issue about unknown keys in a closed object, for modules that print issues. (For an object with exactly one key,
 * the message is about the extra key.) Defined here so that it can be used without loading zod.
 */
export const UNKNOWN_KEY = 'unknown key';

/** A doubtful value that doesn't prevent a build. */
export interface ManifestWarning {
  message: string;
  where: ErrorWhere;
}

const didYouMean = (guess: string | undefined) => (guess === undefined ? '' : `; did you mean "${guess}"?`);

/** The most mistakes or warnings to show for a file: nobody reads more, and a file may have a hundred thousand. */
const SHOWN = 50;
/** The most keys of an object to compare with known ones. */
const COMPARED = 20;

/** A short description of the value at a path. */
function found(document: JsonDocument, path: JsonPath): string {
  const source = document.source(path);
  // A file with nothing but a string is not a manifest. It may be a password.
  if (path.length === 0 && !/^[[{]/.test(source)) return `${kindOf(document.value)}`;
  if (source.startsWith('{')) {
    const keys = Object.keys(valueAt(document.value, path) as object).slice(0, 4);
    return keys.length === 0
      ? 'an empty object'
      : `an object with the key${keys.length === 1 ? '' : 's'} ${keys.join(', ')}`;
  }
  if (source.startsWith('['))
    return (valueAt(document.value, path) as unknown[]).length === 0 ? 'an empty array' : 'an array';
  // The text before the host of a URL may be a password.
  const shown = source.replace(/:\/\/[^\s"]*@/g, '://…@');
  return shown.length > 40 ? `${shown.slice(0, 40)}…` : shown;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return 'a string';
  return typeof value === 'boolean' ? 'true or false' : 'a number';
}

function valueAt(value: unknown, path: JsonPath): unknown {
  return path.reduce<unknown>((inner, step) => (inner as Record<string | number, unknown> | null)?.[step], value);
}

type Issue = z.core.$ZodIssue;

/** The branch of a union that the document is meant to use: all issues of that branch are below its own tag. */
function meantBranch(document: JsonDocument, path: JsonPath, branches: Issue[][]): Issue[] | undefined {
  return branches.find((branch) =>
    branch.every(({ path: [tag] }) => tag !== undefined && document.has([...path, tag as string])),
  );
}

/** All issues with their full paths. A union is replaced by the issues of the intended branch. */
function flatten(
  document: JsonDocument,
  issues: readonly Issue[],
  prefix: JsonPath = [],
): { path: JsonPath; issue: Issue }[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...(issue.path as (string | number)[])];
    const branch = issue.code === 'invalid_union' ? meantBranch(document, path, issue.errors) : undefined;
    return branch === undefined ? [{ path, issue }] : flatten(document, branch, path);
  });
}

/** The unit of a number in bytes, by the end of its key. */
const UNITS: readonly (readonly [key: RegExp, bytes: number, what: string])[] = [
  [/_size$/, 1, 'in bytes'],
  [/_page_(?:count|base)$/, PAGE_SIZE, 'in pages of 4 KiB'],
];

/** The number that a text is meant to be where a number is expected: quoted, hexadecimal, or a size such as 512M. */
function numberMeant(path: JsonPath, text: string): string | undefined {
  if (/^(?:\d{1,20}|0x[0-9a-f]{1,16})$/i.test(text)) return `${BigInt(text)}, without quotes`;
  const unit = UNITS.find(([key]) => key.test(String(path.at(-1))));
  const bytes = readMemorySize(text);
  if (unit === undefined || bytes === undefined || bytes % unit[1] !== 0) return undefined;
  return `${bytes / unit[1]}, ${unit[2]}`;
}

/** The message about a wrong or missing value. An unknown key may be the misspelling of a missing one. */
function describe(
  document: JsonDocument,
  path: JsonPath,
  expected: string,
  { unknownAt }: Keys,
): [message: string, saysAll: boolean] {
  if (!document.has(path)) {
    const key = String(path.at(-1));
    const guess = nearest(key, unknownAt(path.slice(0, -1)).slice(0, COMPARED));
    const hint = guess === undefined ? '' : `; is "${guess}" a misspelling of it?`;
    return [`"${key}" is missing, expected ${expected}${hint}`, guess !== undefined];
  }
  const value = valueAt(document.value, path);
  const number =
    typeof value === 'string' && expected.startsWith('a whole number') ? numberMeant(path, value) : undefined;
  if (number !== undefined) return [`expected ${expected}, found ${found(document, path)}; write ${number}`, true];
  const given =
    typeof value === 'string'
      ? [value]
      : typeof value === 'object' && value !== null
        ? Object.keys(value).slice(0, COMPARED)
        : [];
  const alternatives = [...expected.matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
  const guess = given
    .map((name) => nearest(name, alternatives))
    .find((name) => name !== undefined && !given.includes(name));
  return [`expected ${expected}, found ${found(document, path)}${didYouMean(guess)}`, guess !== undefined];
}

type Keys = ReturnType<typeof unknownKeys>;

/** @param isFirst whether it is the first one of its object: only that message lists the known keys */
function unknownKeyError(document: JsonDocument, path: JsonPath, key: string, keys: Keys, isFirst: boolean): IgvmError {
  const where = document.whereKey([...path, key]);
  const [needed] = keys.neededWith(path, key);
  if (needed !== undefined) {
    return new IgvmError('MANIFEST_INVALID', `"${key}" needs "${needed}", which is missing`, where);
  }
  const known = keys.knownAt(path);
  const guess = nearest(key, known);
  const expected = isFirst ? `, expected one of ${known.join(', ')}` : '';
  const hint = guess === undefined ? expected : didYouMean(guess);
  return new IgvmError('MANIFEST_UNKNOWN_KEY', `unknown key "${key}"${hint}`, where, { saysAll: guess !== undefined });
}

/** An error for each wrong value, in the order of the file. */
function toErrors(document: JsonDocument, issues: readonly Issue[], keys: Keys): IgvmError[] {
  return flatten(document, issues.slice(0, SHOWN))
    .flatMap(({ path, issue }) => {
      if (issue.code === 'unrecognized_keys' && issue.message === UNKNOWN_KEY) {
        return issue.keys.slice(0, SHOWN).map((key, index) => unknownKeyError(document, path, key, keys, index === 0));
      }
      const where = document.has(path)
        ? document.where(path)
        : { ...document.where(path.slice(0, -1)), jsonPath: path };
      const [message, saysAll] = describe(document, path, issue.message, keys);
      return new IgvmError('MANIFEST_INVALID', message, where, { saysAll });
    })
    .sort((a, b) => a.where.line! - b.where.line! || a.where.column! - b.where.column!);
}

/** The result of validation: the value or the errors, and in either case the unknown keys. */
export interface Validation<Value> {
  /** Undefined when there are errors. */
  value: Value | undefined;
  errors: IgvmError[];
  /** Unknown keys that are ignored; with `strict`, they are errors. */
  warnings: ManifestWarning[];
  /** The unknown keys that look like misspelt known ones, which may be the cause of another error. */
  misspelt: IgvmError[];
}

/** Keys of other programs, which are not misspellings, and their effect here. */
const FOREIGN_KEYS: Readonly<Record<string, string>> = {
  processor_topology:
    "it is for kata's launcher; processor_count determines the number of processors, each with its own socket",
  vm_layout: "it is for kata's launcher; the keys of the image determine the guest's memory",
  boot_layout: "it is for kata's tools; the sizes of the parts determine where they lie, and the map file shows it",
  pcie: 'it is known only to unmerged branches of igvmfilegen; the image has no PCI Express',
};

/**
 * Validates a document. Keys that the schema doesn't know become warnings, or errors with `strict`; where the schema
 * is closed they are errors anyway.
 * @internal because the schema's type is from a package that users of the library don't have
 */
export function examine<Schema extends z.ZodMiniType>(
  document: JsonDocument,
  schema: Schema,
  strict: boolean,
  keys: Keys = unknownKeys(schema, document.value),
): Validation<z.output<Schema>> {
  const { unknown, knownAt, overfull } = keys;
  if (overfull.length > 0) {
    const errors = overfull
      .slice(0, SHOWN)
      .map((path) => new IgvmError('MANIFEST_INVALID', `has more than ${ENTRIES_LIMIT} entries`, document.where(path)));
    return { value: undefined, errors, warnings: [], misspelt: [] };
  }
  const result = schema.safeParse(document.value);
  const errors = result.success ? [] : toErrors(document, result.error.issues, keys);
  const found = unknown.slice(0, SHOWN).map((path) => {
    const key = String(path.at(-1));
    const foreign = Object.hasOwn(FOREIGN_KEYS, key) ? FOREIGN_KEYS[key] : undefined;
    const guess = foreign === undefined ? nearest(key, knownAt(path.slice(0, -1))) : undefined;
    return { key, guess, foreign, where: document.whereKey(path) };
  });
  const asError = ({ key, guess, where }: (typeof found)[number]) =>
    new IgvmError('MANIFEST_UNKNOWN_KEY', `unknown key "${key}"${didYouMean(guess)}`, where, {
      saysAll: guess !== undefined,
    });
  if (strict) errors.push(...found.map(asError));
  const warnings = found.map(({ key, guess, foreign, where }) => ({
    message:
      foreign === undefined
        ? `unknown key "${key}" is ignored${didYouMean(guess)}`
        : `key "${key}" is ignored: ${foreign}`,
    where,
  }));
  if (unknown.length > SHOWN) {
    const message = `${unknown.length - SHOWN} more unknown keys are ignored`;
    warnings.push({ message, where: document.whereKey(unknown[SHOWN]!) });
  }
  return {
    value: result.success && errors.length === 0 ? result.data : undefined,
    errors,
    warnings,
    misspelt: strict ? [] : found.filter(({ guess }) => guess !== undefined).map(asError),
  };
}

/**
 * Validates a document as {@link examine} does.
 * @throws IgvmError MANIFEST_INVALID or MANIFEST_UNKNOWN_KEY for the first wrong value. The others, including keys that may be
 *   misspelt, are in its `also`.
 */
export function validate<Schema extends z.ZodMiniType>(
  document: JsonDocument,
  schema: Schema,
  strict: boolean,
): { value: z.output<Schema>; warnings: ManifestWarning[] } {
  const { value, errors, warnings, misspelt } = examine(document, schema, strict);
  if (errors.length > 0) throw combined([...errors, ...misspelt]);
  return { value: value!, warnings };
}

/** The first of several errors, with the others attached. */
export function combined(errors: readonly IgvmError[]): IgvmError {
  const [first, ...also] = errors.length > SHOWN ? [...errors.slice(0, SHOWN), furtherErrors(errors)] : errors;
  if (first === undefined) throw new Error('bug in nx-igvm: no error to report');
  const { cause, saysAll } = first;
  return also.length === 0 ? first : new IgvmError(first.code, first.message, first.where, { also, cause, saysAll });
}

function furtherErrors(errors: readonly IgvmError[]): IgvmError {
  const { code, where } = errors[SHOWN]!;
  return new IgvmError(code, `and ${errors.length - SHOWN} more mistakes, of which this is the first`, where);
}
