/**
 * The published schemas have more than validators need: what editors show and insert (the keywords of VS Code's JSON service, which other
 * editors know, too). Validators ignore keywords that they don't know; one in a strict mode is told of {@link EDITOR_KEYWORDS}.
 */
import type { JsonSchema } from './schemas';
import { HINTS } from './editor-hints';
import { tagOf } from './describe-schema';

/** The keywords of the published schemas that are none of JSON Schema. */
export const EDITOR_KEYWORDS = [
  'markdownDescription',
  'markdownEnumDescriptions',
  'enumDescriptions',
  'defaultSnippets',
  'errorMessage',
] as const;

const withoutMarkup = (text: string): string => text.replaceAll('`', '');

/** Where a key is in a document: `a.b` for a key of a key, `a[]` for the items of a list, `a.*` for the values of any key. */
type KeyPath = string;

const below = (path: KeyPath, key: string): KeyPath => (path === '' ? key : `${path}.${key}`);

/** The schemas right below one, with their places in the document. */
function children(schema: JsonSchema, path: KeyPath): [child: JsonSchema, path: KeyPath][] {
  const alternatives = [...(schema.anyOf ?? []), ...(schema.allOf ?? []), ...(schema.oneOf ?? [])];
  return [
    ...alternatives.map((each): [JsonSchema, KeyPath] => [each, path]),
    ...(schema.items === undefined ? [] : [[schema.items, `${path}[]`] as [JsonSchema, KeyPath]]),
    ...Object.entries(schema.properties ?? {}).map(([key, each]): [JsonSchema, KeyPath] => [each, below(path, key)]),
    ...(typeof schema.additionalProperties === 'object'
      ? [[schema.additionalProperties, below(path, '*')] as [JsonSchema, KeyPath]]
      : []),
    ...Object.entries(schema.definitions ?? {}).map(([name, each]): [JsonSchema, KeyPath] => [each, `#${name}`]),
  ];
}

/** Every schema below one, and itself, with its place in the document; the definition `x` is at `#x`. */
export function allSchemas(schema: JsonSchema, path: KeyPath = ''): [schema: JsonSchema, path: KeyPath][] {
  return [[schema, path], ...children(schema, path).flatMap(([child, at]) => allSchemas(child, at))];
}

/** Editors show what stands at the key, not what its alternatives say. */
function describeAtKey(schema: JsonSchema): void {
  for (const property of Object.values(schema.properties ?? {})) {
    const described = property.anyOf?.find(({ description }) => description !== undefined);
    if (property.description === undefined && described !== undefined) property.description = described.description!;
  }
}

/**
 * Words besides objects with one key each. An editor reports the first alternative when none fits: so that is an object, with a message
 * that names all of them, and not the words, as if there were nothing else. Its hovers know the meanings of `enum`, not of `const`.
 */
function showVariants(schema: JsonSchema): void {
  const { anyOf = [] } = schema;
  const words = anyOf.filter((each) => typeof each.const === 'string');
  const objects = anyOf.filter((each) => tagOf(each) !== undefined);
  const [first, ...others] = objects;
  if (first === undefined) return;
  const tags = objects.map((each) => `{ "${tagOf(each)}": … }`);
  first.errorMessage = `Expected one of ${[...words.map((each) => JSON.stringify(each.const)), ...tags].join(', ')}.`;
  const plain = words.map(({ const: word, description, ...rest }) => ({
    ...rest,
    enum: [word],
    markdownEnumDescriptions: [description ?? ''],
  }));
  const rest = anyOf.filter((each) => !words.includes(each) && !objects.includes(each));
  schema.anyOf = [first, ...others, ...plain, ...rest];
}

/** Marks of Markdown are for those who show them. */
function addMarkdown(schema: JsonSchema): void {
  if (schema.description !== undefined) {
    schema.markdownDescription = schema.description;
    schema.description = withoutMarkup(schema.description);
  }
  if (schema.markdownEnumDescriptions !== undefined) {
    schema['enumDescriptions'] = schema.markdownEnumDescriptions.map(withoutMarkup);
  }
}

/** A schema with all that editors show and insert. @param name of its file, `igvm` for igvm.schema.json */
export function editorSchema(name: string, schema: JsonSchema): JsonSchema {
  const result = structuredClone(schema);
  const hints = HINTS[name] ?? {};
  for (const change of [describeAtKey, showVariants, addMarkdown]) {
    for (const [each] of allSchemas(result)) change(each);
  }
  for (const [path, hint] of Object.entries(hints)) {
    // The outermost schema of a key is the one that an editor asks what to insert.
    const target = allSchemas(result).find(([, at]) => at === path);
    if (target === undefined) throw new Error(`${name}: a hint for ${path}, which is no key`);
    Object.assign(target[0], hint);
  }
  return result;
}
