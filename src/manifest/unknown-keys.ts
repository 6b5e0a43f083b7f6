import { distance as editDistance } from 'fastest-levenshtein';
import type * as z from 'zod/mini';
import { formatPath, type JsonPath } from '../errors/igvm-error';

/** The parts of a zod schema that determine the known keys. */
interface SchemaDef {
  type: string;
  shape?: Record<string, z.core.$ZodType>;
  catchall?: z.core.$ZodType;
  element?: z.core.$ZodType;
  innerType?: z.core.$ZodType;
  options?: readonly z.core.$ZodType[];
  in?: z.core.$ZodType;
  out?: z.core.$ZodType;
}

const defOf = (schema: z.core.$ZodType) => schema._zod.def as unknown as SchemaDef;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The schema without wrappers such as optional, default and transformations. */
function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const def = defOf(schema);
  if (def.innerType !== undefined) return unwrap(def.innerType);
  if (def.in === undefined || def.out === undefined) return schema;
  return unwrap(defOf(def.in).type === 'transform' ? def.out : def.in);
}

const requiredKeys = (schema: z.core.$ZodType): string[] =>
  Object.entries(defOf(schema).shape ?? {})
    .filter(([, inner]) => inner._zod.optin !== 'optional')
    .map(([key]) => key);

/** The option of a union that a value is meant to be: the one with the most required keys, all of which the value has. */
function meantObject(options: readonly z.core.$ZodType[], value: Record<string, unknown>): z.core.$ZodType | undefined {
  return options
    .map(unwrap)
    .filter(
      (option) => defOf(option).type === 'object' && requiredKeys(option).every((key) => Object.hasOwn(value, key)),
    )
    .sort((a, b) => requiredKeys(b).length - requiredKeys(a).length)[0];
}

/** The most entries in a list or table. A manifest has a few guests, and an initrd.json perhaps some hundred links. */
export const ENTRIES_LIMIT = 4096;

/** The number of entries that a list or table of the schema has in a document; 0 for everything else. */
function entriesOf({ type }: SchemaDef, value: unknown): number {
  if (type === 'array' && Array.isArray(value)) return value.length;
  return type === 'record' && isObject(value) ? Object.keys(value).length : 0;
}

/**
 * Compares a document with its schema. The result has the paths of the keys that the schema ignores, in order, and their names by
 * object; the paths of lists and tables with too many entries to validate; the known keys at a path; and, for a key that belongs to
 * another form of an object, the keys that the object lacks for that form.
 */
export function unknownKeys(schema: z.core.$ZodType, document: unknown) {
  const unknown: JsonPath[] = [];
  const overfull: JsonPath[] = [];
  const known = new Map<string, string[]>();
  const forms = new Map<string, { options: z.core.$ZodType[]; value: Record<string, unknown> }>();
  const visit = (wrapped: z.core.$ZodType, value: unknown, path: JsonPath): void => {
    const inner = unwrap(wrapped);
    const def = defOf(inner);
    if (entriesOf(def, value) > ENTRIES_LIMIT) {
      overfull.push(path);
    } else if (def.type === 'array' && Array.isArray(value)) {
      for (const [index, item] of value.entries()) visit(def.element!, item, [...path, index]);
    } else if (def.type === 'union' && isObject(value)) {
      forms.set(formatPath(path), { options: def.options!.map(unwrap), value });
      const meant = meantObject(def.options!, value);
      if (meant !== undefined) visit(meant, value, path);
    } else if (def.type === 'object' && isObject(value)) {
      const shape = def.shape!;
      known.set(formatPath(path), Object.keys(shape));
      for (const [key, item] of Object.entries(value)) {
        if (Object.hasOwn(shape, key)) visit(shape[key]!, item, [...path, key]);
        // A closed object (its catch-all is "never") reports its unknown keys itself.
        else if (def.catchall === undefined) unknown.push([...path, key]);
      }
    }
  };
  visit(schema, document, []);
  /** The unknown keys by object. Made once, because there may be as many objects as keys. */
  let byObject: Map<string, string[]> | undefined;
  const unknownAt = (path: JsonPath): string[] => {
    if (byObject === undefined) {
      byObject = new Map();
      for (const place of unknown) {
        const object = formatPath(place.slice(0, -1));
        const keys = byObject.get(object);
        if (keys === undefined) byObject.set(object, [String(place.at(-1))]);
        else keys.push(String(place.at(-1)));
      }
    }
    return byObject.get(formatPath(path)) ?? [];
  };
  return {
    unknown,
    unknownAt,
    overfull,
    knownAt: (path: JsonPath) => known.get(formatPath(path)) ?? [],
    neededWith: (path: JsonPath, key: string): string[] => {
      const { options = [], value = {} } = forms.get(formatPath(path)) ?? {};
      const form = options.find((option) => Object.hasOwn(defOf(option).shape ?? {}, key));
      return form === undefined ? [] : requiredKeys(form).filter((needed) => !Object.hasOwn(value, needed));
    },
  };
}

/** Whether two words differ by two neighbouring letters that have changed places, which is one mistake, and an edit distance of 2. */
function hasSwappedLetters(a: string, b: string): boolean {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at += 1;
  return a.slice(at) === `${b[at + 1]}${b[at]}${b.slice(at + 2)}` && at + 1 < b.length;
}

/**
 * The candidate that `word` is probably a misspelling of. Case doesn't matter, nor does the choice of `-` or `_`. At most a third of
 * the letters may differ, so that an unrelated word gets no suggestion.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const plain = (text: string) => text.slice(0, 64).toLowerCase().replaceAll('-', '_');
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const [written, known] = [plain(word), plain(candidate)];
    const distance = hasSwappedLetters(written, known) ? 1 : editDistance(written, known);
    if (distance < bestDistance && distance <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
