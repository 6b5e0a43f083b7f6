/**
 * The building blocks of the manifest's schema. Each has a noun phrase for error messages ("expected <phrase>, found …") and a
 * description for JSON Schema. They use zod's small variant, which takes half the time in a build. Even so, this file and the schemas
 * are loaded only where something is validated.
 */
import * as z from 'zod/mini';
import { UNKNOWN_KEY } from './validate';

// Checks are compiled for documents with many objects of a kind. A manifest has a few, and compiling takes longer than checking them.
z.config({ jitless: true });

export { nullish, optional, _default as withDefault } from 'zod/mini';

const MAX_U64 = 2n ** 64n - 1n;

interface Limits {
  /** Inclusive. */
  min?: bigint;
  /** Inclusive. */
  max: bigint;
}

/** A whole number of any size, kept exactly. */
export function exact({ min = 0n, max }: Limits, description: string) {
  const phrase = `a whole number from ${min} to ${max}`;
  return z
    .bigint({ error: () => phrase })
    .check(z.minimum(min, { error: () => phrase }), z.maximum(max, { error: () => phrase }))
    .register(z.globalRegistry, { type: 'integer', minimum: Number(min), maximum: Number(max), description });
}

/** A whole number that fits in a JavaScript number. */
export function count(limits: Limits, description: string) {
  return z
    .pipe(exact(limits, description), z.transform(Number))

    .register(z.globalRegistry, {
      type: 'integer',
      minimum: Number(limits.min ?? 0n),
      maximum: Number(limits.max),
      description,
    });
}

export const u8 = (description: string) => count({ max: 255n }, description);
export const u32 = (description: string) => count({ max: 2n ** 32n - 1n }, description);
export const u64 = (description: string) => exact({ max: MAX_U64 }, description);

/** One of a few whole numbers. @param meanings the meaning of each */
export function oneOfNumbers(meanings: Record<number, string>, description: string) {
  const values = Object.keys(meanings).map(BigInt);
  const phrase = values.join(' or ');
  const exactly = z
    .bigint({ error: () => phrase })
    .check(z.refine((value) => values.includes(value), { error: () => phrase }));
  return z
    .pipe(exactly, z.transform(Number))
    .register(z.globalRegistry, { enum: values.map(Number), description, ...enumDescriptions(meanings) });
}

export const flag = (description: string) =>
  z.boolean({ error: () => 'true or false' }).register(z.globalRegistry, { description });

/** Text without lone surrogates, which have no UTF-8 form. */
export function text(description: string) {
  return z
    .string({ error: () => 'a string' })
    .check(z.refine((value) => !/\p{Surrogate}/u.test(value), { error: () => 'a string of whole Unicode characters' }))
    .register(z.globalRegistry, { description });
}

/** Text that becomes a C string. */
export function cString(description: string) {
  return textThat((value) => !value.includes('\0'), 'a string without NUL characters', description);
}

/** Text that passes a test, which `phrase` describes. */
export function textThat(passes: (value: string) => boolean, phrase: string, description: string) {
  return text(description).check(z.refine(passes, { error: () => phrase }));
}

/**
 * Text with at least one character, described by `phrase`. Doesn't use zod's `minLength`, which also checks the `length` of values of
 * the wrong type, and throws if that can't be compared with a number.
 */
export function someText(phrase: string, description: string) {
  const isSome = textThat((value) => value !== '', phrase, description);
  return isSome.register(z.globalRegistry, { minLength: 1, description });
}

/** Text with a fixed form, which `phrase` describes. */
export function patternText(pattern: RegExp, phrase: string, description: string) {
  return z
    .string({ error: () => phrase })
    .check(z.regex(pattern, { error: () => phrase }))
    .register(z.globalRegistry, { pattern: pattern.source, description });
}

const anObject = (tooMany: string) => ({
  error: (issue: { code: string }) => ({ invalid_type: 'an object', unrecognized_keys: tooMany })[issue.code],
});

/** An object whose unknown keys are ignored (the caller names them in warnings). */
export function struct<Shape extends z.core.$ZodLooseShape>(shape: Shape, description?: string) {
  const schema = z.object(shape, anObject(UNKNOWN_KEY));
  return description === undefined ? schema : schema.register(z.globalRegistry, { description });
}

/** An object whose unknown keys are errors. */
export function closedStruct<Shape extends z.core.$ZodLooseShape>(shape: Shape, description: string) {
  return z.strictObject(shape, anObject(UNKNOWN_KEY)).register(z.globalRegistry, { description });
}

export function list<Item extends z.core.SomeType>(item: Item, description: string) {
  return z.array(item, { error: () => 'an array' }).register(z.globalRegistry, { description });
}

/** An array with at least one item, described by `phrase`. Doesn't use zod's `minLength`: see {@link someText}. */
export function someOf<Item extends z.core.SomeType>(item: Item, phrase: string, description: string) {
  const isSome = list(item, description).check(z.refine((items) => items.length > 0, { error: () => phrase }));
  return isSome.register(z.globalRegistry, { minItems: 1, description });
}

/** An object with any keys. */
export function record<Value extends z.core.SomeType>(value: Value, description: string) {
  return z.record(z.string(), value, { error: () => 'an object' }).register(z.globalRegistry, { description });
}

/** The meanings of an enum's values, in their order, under the key that editors use. */
const enumDescriptions = (meanings: Record<string, string>) => ({
  markdownEnumDescriptions: Object.values(meanings),
});

const quoted = (words: readonly string[]) => words.map((word) => JSON.stringify(word)).join(', ');

/** serde also accepts `{ "word": null }` for a variant without content. */
const plainVariant = (words: readonly string[]) => (value: unknown) => {
  if (typeof value !== 'object' || value === null) return value;
  const [entry, ...more] = Object.entries(value);
  return entry !== undefined && more.length === 0 && entry[1] === null && words.includes(entry[0]) ? entry[0] : value;
};

/** One of a few words. @param meanings the meaning of each */
export function word<const Word extends string>(meanings: Record<Word, string>, description: string) {
  const words = Object.keys(meanings) as [Word, ...Word[]];
  const schema = z.enum(words, { error: () => `one of ${quoted(words)}` });
  return z
    .pipe(z.transform(plainVariant(words)), schema)
    .register(z.globalRegistry, { description, ...enumDescriptions(meanings) });
}

/** An object with exactly one key, which names the kind of its value. */
export function tagged<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, anObject('an object with exactly one key'));
}

/**
 * An externally tagged enum: a plain word, or an object with one key. Objects come from {@link tagged}.
 * @param meanings the plain words, with the meaning of each
 */
export function variants<const Word extends string, Options extends readonly [z.ZodMiniObject, ...z.ZodMiniObject[]]>(
  meanings: Record<Word, string>,
  options: Options,
  description: string,
) {
  const words = Object.keys(meanings) as Word[];
  const literals = words.map((name) => {
    const literal = z.literal(name);
    z.globalRegistry.add(literal, { description: meanings[name] });
    return literal;
  });
  const tags = options.flatMap((option) => Object.keys(option.shape));
  const plain = words.length === 0 ? '' : `${quoted(words)} or `;
  const schema = z.union([...literals, ...options] as [...z.ZodMiniLiteral<Word>[], ...Options], {
    error: () => `${plain}an object with exactly one of the keys ${quoted(tags)}`,
  });
  return z.pipe(z.transform(plainVariant(words)), schema).register(z.globalRegistry, { description });
}

/** As parsed by `URL`: some texts that begin correctly are not URLs. */
const isDownloadable = (value: string): boolean =>
  URL.canParse(value) && /^https?:$/.test(new URL(value).protocol) && new URL(value).hostname !== '';

/** The keys of a file from a web server. */
export const webFile = {
  url: textThat(
    isDownloadable,
    'a URL that begins with https:// or http://',
    'The https or http URL of the file, or of an archive that contains it. Downloads are kept in the download folder.',
  ),
  sha256: z.optional(
    patternText(
      /^[0-9a-fA-F]{64}$/,
      '64 hexadecimal digits',
      'SHA-256 of the download: with `member`, of the archive. Without it, the build fails and prints the digest that it found.',
    ),
  ),
  member: z.optional(
    someText(
      'a path in the archive',
      'The file in the archive: tar (also with gzip, xz or zstd), .deb, .rpm or .zip. Links in the archive are followed.',
    ),
  ),
};
