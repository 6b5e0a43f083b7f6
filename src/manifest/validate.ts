import type * as z from 'zod/mini';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import type { JsonDocument } from './json-document';
import { formatPath, type JsonPath } from './json-path';
import { nearest } from './nearest';
import { UNKNOWN_KEY } from './unknown-key-issue';
import { unknownKeys } from './unknown-keys';

/** Something doubtful that doesn't keep an image from being built. */
export interface ManifestWarning {
  message: string;
  where: ErrorWhere;
}

const didYouMean = (guess: string | undefined) => (guess === undefined ? '' : `; did you mean "${guess}"?`);

/** What stands at a path, in a few words. */
function found(document: JsonDocument, path: JsonPath): string {
  const source = document.source(path);
  if (source.startsWith('{')) {
    const keys = Object.keys(valueAt(document.value, path) as object).slice(0, 4);
    return keys.length === 0
      ? 'an empty object'
      : `an object with the key${keys.length === 1 ? '' : 's'} ${keys.join(', ')}`;
  }
  if (source.startsWith('['))
    return (valueAt(document.value, path) as unknown[]).length === 0 ? 'an empty array' : 'an array';
  return source.length > 40 ? `${source.slice(0, 40)}…` : source;
}

function valueAt(value: unknown, path: JsonPath): unknown {
  return path.reduce<unknown>((inner, step) => (inner as Record<string | number, unknown> | null)?.[step], value);
}

type Issue = z.core.$ZodIssue;

/** The branch of a union that the document means: the one all of whose issues lie below the branch's own tag. */
function meantBranch(document: JsonDocument, path: JsonPath, branches: Issue[][]): Issue[] | undefined {
  return branches.find((branch) =>
    branch.every(({ path: [tag] }) => tag !== undefined && document.has([...path, tag as string])),
  );
}

/** All issues with their whole paths, unions replaced by the issues of the branch that was meant. */
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

/** `unknown` are the paths of keys without a meaning: one of them may be the misspelling of a missing key. */
function describe(document: JsonDocument, path: JsonPath, expected: string, unknown: readonly JsonPath[]): string {
  if (!document.has(path)) {
    const key = String(path.at(-1));
    const parent = formatPath(path.slice(0, -1));
    const guess = nearest(
      key,
      unknown.filter((other) => formatPath(other.slice(0, -1)) === parent).map((other) => String(other.at(-1))),
    );
    const hint = guess === undefined ? '' : `; is "${guess}" a misspelling of it?`;
    return `"${key}" is missing, expected ${expected}${hint}`;
  }
  const value = valueAt(document.value, path);
  const given =
    typeof value === 'string' ? [value] : typeof value === 'object' && value !== null ? Object.keys(value) : [];
  const alternatives = [...expected.matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
  const guess = given
    .map((name) => nearest(name, alternatives))
    .find((name) => name !== undefined && !given.includes(name));
  return `expected ${expected}, found ${found(document, path)}${didYouMean(guess)}`;
}

/** An error for each wrong place, in the order of the file. */
function toErrors(
  document: JsonDocument,
  issues: readonly Issue[],
  { unknown, knownAt: known, neededWith }: ReturnType<typeof unknownKeys>,
): IgvmError[] {
  return flatten(document, issues)
    .flatMap(({ path, issue }) => {
      if (issue.code === 'unrecognized_keys' && issue.message === UNKNOWN_KEY) {
        return issue.keys.map((key) => {
          const where = document.whereKey([...path, key]);
          const [needed] = neededWith(path, key);
          if (needed !== undefined) {
            return new IgvmError('MANIFEST_INVALID', `"${needed}" is missing, which goes with "${key}"`, where);
          }
          const guess = nearest(key, known(path));
          return new IgvmError(
            'MANIFEST_UNKNOWN_KEY',
            `unknown key "${key}"${guess === undefined ? `, expected one of ${known(path).join(', ')}` : didYouMean(guess)}`,
            where,
          );
        });
      }
      const where = document.has(path)
        ? document.where(path)
        : { ...document.where(path.slice(0, -1)), jsonPath: formatPath(path) };
      return new IgvmError('MANIFEST_INVALID', describe(document, path, issue.message, unknown), where);
    })
    .sort((a, b) => a.where.line! - b.where.line! || a.where.column! - b.where.column!);
}

/**
 * Validates a document. Keys that the schema doesn't know become warnings, or errors with `strict`; where the schema
 * is closed they are errors anyway.
 * @internal as the schema's type is that of a package which users of the library don't have
 * @throws IgvmError MANIFEST_INVALID or MANIFEST_UNKNOWN_KEY: the first wrong place, the others in `also`.
 */
export function validate<Schema extends z.ZodMiniType>(
  document: JsonDocument,
  schema: Schema,
  strict: boolean,
): { value: z.output<Schema>; warnings: ManifestWarning[] } {
  const keys = unknownKeys(schema, document.value);
  const { unknown, knownAt } = keys;
  const result = schema.safeParse(document.value);
  if (!result.success) throw combined(toErrors(document, result.error.issues, keys));
  const warnings = unknown.map((path) => {
    const key = String(path.at(-1));
    const guess = nearest(key, knownAt(path.slice(0, -1)));
    return { message: `unknown key "${key}" is ignored${didYouMean(guess)}`, where: document.whereKey(path) };
  });
  if (strict && warnings.length > 0) {
    throw combined(
      warnings.map(
        ({ message, where }) => new IgvmError('MANIFEST_UNKNOWN_KEY', message.replace(' is ignored', ''), where),
      ),
    );
  }
  return { value: result.data, warnings };
}

/** The first of several errors, with the others attached. */
export function combined(errors: readonly IgvmError[]): IgvmError {
  const [first, ...also] = errors;
  if (first === undefined) throw new Error('bug in nx-igvm: no error to report');
  return also.length === 0 ? first : new IgvmError(first.code, first.message, first.where, { also });
}
